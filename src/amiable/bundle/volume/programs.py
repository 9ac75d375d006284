"""Programs of the host that make a part of an image, run to their end."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import Final

from amiable.model.errors import LocalRefusal

WAIT_SECONDS_MAX: Final = 1800
SYSTEM_FOLDERS: Final = ("/usr/sbin", "/sbin")
"""Not on an ordinary user's PATH, but mke2fs and sfdisk live there."""

PACKAGES: Final = {
    "mke2fs": "e2fsprogs", "e2fsck": "e2fsprogs", "sfdisk": "fdisk", "mformat": "mtools", "mmd": "mtools", "mcopy": "mtools",
    "grub-mkimage": "grub-common", "unshare": "util-linux", "mount": "mount", "blkid": "util-linux",
    "debugfs": "e2fsprogs", "newuidmap": "uidmap", "apt-get": "apt",
}  # fmt: skip
"""Where Debian has them."""


def find_program(name: str) -> str:
    """Where ``name`` lies; raises LocalRefusal when it is not installed."""
    found = shutil.which(name, path=search_path())
    if found is None:
        raise LocalRefusal(
            f"{name} is not installed", hint=f"sudo apt-get install {PACKAGES.get(name, name)}", exit_code=69
        )
    return found


def run(command: Sequence[str], *, environment: Mapping[str, str] | None = None, input_text: str | None = None) -> str:
    """What ``command`` printed; raises LocalRefusal with its last words when it fails."""
    try:
        done = subprocess.run(
            [find_program(command[0]), *command[1:]],
            env={**os.environ, "PATH": search_path(), "LC_ALL": "C", **(environment or {})},
            input=input_text,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=WAIT_SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise LocalRefusal(f"{command[0]} had not ended after {WAIT_SECONDS_MAX} s", exit_code=124) from error
    if done.returncode != 0:
        last_words = " ".join((done.stderr or done.stdout).strip().splitlines()[-4:])
        raise LocalRefusal(f"{command[0]} ended with {done.returncode}: {last_words}", exit_code=74)
    return done.stdout


def search_path() -> str:
    """PATH with the folders of system programs."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), *SYSTEM_FOLDERS])
