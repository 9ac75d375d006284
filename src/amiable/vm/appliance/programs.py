"""Programs of the host, run to their end, with what they said when they fail."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

WAIT_SECONDS_MAX = 1800

SYSTEM_FOLDERS = ("/usr/sbin", "/sbin")
"""Not on an ordinary user's PATH, but mke2fs and sfdisk live there."""


NOT_DEBIAN = "the parts come from the packages of Debian 12, with Debian's own tools"
HINTS = {
    "apt-get": NOT_DEBIAN,
    "apt-cache": NOT_DEBIAN,
    "dpkg-deb": NOT_DEBIAN,
    "grub-mkimage": "apt-get install grub-common",
    "sfdisk": "apt-get install fdisk",
    "mke2fs": "apt-get install e2fsprogs",
}


class BuildFailure(Exception):
    """Something could not be built; the text says why, ``hint`` what to do."""

    def __init__(self, what: str, *, hint: str = "") -> None:
        super().__init__(what)
        self.hint = hint


def find_program(name: str) -> Path:
    """Where ``name`` lies; raises BuildFailure when it is not installed."""
    found = shutil.which(name, path=_search_path())
    if found is None:
        raise BuildFailure(f"{name} is not installed", hint=HINTS.get(name, f"apt-get install {name}"))
    return Path(found)


def run(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    input_text: str | None = None,
    folder: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """What ``command`` said; raises BuildFailure with its last words when it fails."""
    try:
        done = subprocess.run(
            [str(find_program(command[0])), *command[1:]],
            env={**os.environ, "PATH": _search_path(), "LC_ALL": "C", **(environment or {})},
            input=input_text,
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=WAIT_SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BuildFailure(f"{command[0]} did not end within {WAIT_SECONDS_MAX} s") from None
    if done.returncode != 0:
        last_words = "\n".join((done.stderr or done.stdout).strip().splitlines()[-8:])
        raise BuildFailure(f"{command[0]} ended with {done.returncode}: {last_words}")
    return done


def _search_path() -> str:
    return os.pathsep.join([os.environ.get("PATH", os.defpath), *SYSTEM_FOLDERS])
