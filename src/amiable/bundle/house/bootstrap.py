"""A system's packages become an archive, and the archive the root of a disk.

    apt's sources ──mmdebstrap──▶ root.tar ──tar, mke2fs -d──▶ disk (GPT) ◀── GRUB

As root, or in a user namespace with all owners.  Whatever lies in the scratch folder belongs to other owners there: it is removed
from inside the namespace too.
"""

import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from uuid import uuid5

from amiable.bundle.house.system import SUITE, System, archive_of, bootstrap_command
from amiable.bundle.volume import boot_loader, disk
from amiable.bundle.volume.disk import NAMESPACE, PLANS
from amiable.bundle.volume.programs import WAIT_SECONDS_MAX, find_program, run, search_path
from amiable.model.errors import LocalRefusal

PLAN: Final = PLANS["gpt"]
PROGRAMS: Final = (
    "apt-get", "mmdebstrap", "tar", "mke2fs", "sfdisk", "debugfs", "grub-mkimage", "mformat", "mmd", "mcopy",
)  # fmt: skip
FEATURES: Final = "^orphan_file,^metadata_csum_seed"
"""Left out: GRUB 2.06 reads neither."""
GRUB_MODULES: Final = (
    "part_gpt", "ext2", "normal", "configfile", "linux", "search", "search_label", "serial", "terminal", "echo", "test",
)  # fmt: skip
END_SECONDS_MAX: Final = 30
OFFLINE: Final = re.compile(
    r"Temporary failure resolving|Could not resolve|Could not connect|Cannot initiate the connection|Failed to fetch"
    r"|Connection timed out|Network is unreachable"
)
SUBORDINATE_IDS: Final = Path("/etc/subuid")

_UNPACK: Final = (
    'set -e; mkdir "$1"; tar -C "$1" --numeric-owner --xattrs --xattrs-include="*" -xf "$2"; mkdir -p "$1/dev"; shift 2; '
    'status=0; "$@" || status=$?; rm -rf "$ROOT"; exit $status'
)


def require_host() -> None:
    """Refuses a host that cannot build: programs that are missing, GRUB, an ordinary user without subordinate ids."""
    for program in PROGRAMS:
        find_program(program)
    boot_loader.require()
    if os.geteuid() == 0:
        return
    find_program("unshare")
    find_program("newuidmap")
    user = pwd.getpwuid(os.geteuid()).pw_name
    ranges = SUBORDINATE_IDS.read_text() if SUBORDINATE_IDS.exists() else ""
    if not re.search(rf"^({re.escape(user)}|{os.geteuid()}):", ranges, re.MULTILINE):
        raise LocalRefusal(
            f"{user} has no subordinate user ids, which a system's other owners are mapped to",
            hint=f"sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}, or build as root",
            exit_code=69,
        )


def package_sources() -> list[str]:
    """The lines of sources.list that this host uses for the suite, updates and security included."""
    said = run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"])
    lines = sources_in(said)
    if not lines:
        raise LocalRefusal(
            f"apt has no source of Debian {SUITE}", hint="sudo apt-get update, on Debian 12", exit_code=69
        )
    return lines


def sources_in(said: str) -> list[str]:
    """The suite's sources among apt's index targets, as lines of sources.list."""
    wanted = re.compile(rf" {SUITE}(-updates|-security)? main$")
    return list(dict.fromkeys(f"deb {line}" for line in said.splitlines() if wanted.search(line)))


def build_disk(system: System, sources: Sequence[str], image: Path, *, size_bytes: int) -> None:
    """Makes ``image``, sparse, of ``size_bytes``: ``system`` on a GPT disk that BIOS and UEFI start.  On an error it is not there."""
    with image.open("xb") as file:
        file.truncate(size_bytes)
    try:
        with _scratch() as scratch:
            archive = scratch / "root.tar"
            bootstrap(system, sources, archive, scratch=scratch)
            disk.partition(image, PLAN, size_bytes=size_bytes, name=system.name)
            _write_root(system, archive, image, scratch=scratch)
        boot_loader.install(image, PLAN, search=f"--label {system.label}", modules=GRUB_MODULES)
    except BaseException:  # Ctrl-C too
        image.unlink(missing_ok=True)
        raise


def bootstrap(system: System, sources: Sequence[str], archive: Path, *, scratch: Path) -> None:
    """Installs ``system`` into ``archive``."""
    files = scratch / "files.tar"
    files.write_bytes(archive_of(system.files))
    files.chmod(0o644)
    work = scratch / "work"
    work.mkdir(mode=0o755)
    work.chmod(0o1777)  # in a user namespace mmdebstrap is another user
    command = bootstrap_command(system, files, archive)
    _run_group(command, input_text="".join(f"{line}\n" for line in sources), temporary=work)


def _write_root(system: System, archive: Path, image: Path, *, scratch: Path) -> None:
    """The archive as the root file system of ``image``."""
    root = scratch / "root"
    identity = uuid5(NAMESPACE, system.label)
    size_bytes = PLAN.root_bytes(image.stat().st_size)
    make_file_system = [
        *["mke2fs", "-q", "-F", "-t", "ext4", "-L", system.label, "-U", str(identity), "-O", FEATURES, "-d", str(root)],
        *["-E", f"hash_seed={identity},root_owner=0:0,offset={PLAN.root_offset_bytes}"],
        *[str(image), f"{size_bytes // 1024}k"],
    ]
    run(
        [*_as_all_owners(), "sh", "-c", _UNPACK, "sh", str(root), str(archive), *make_file_system],
        environment={"ROOT": str(root)},
    )


def _as_all_owners() -> list[str]:
    return [] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--map-auto"]


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder for what comes between; removed whoever owns what is in it."""
    folder = Path(tempfile.mkdtemp(prefix="amiable-house-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        if os.geteuid() != 0:
            subprocess.run([*_as_all_owners(), "rm", "-rf", str(folder)], capture_output=True, timeout=600, check=False)
        shutil.rmtree(folder, ignore_errors=True)


def _run_group(command: Sequence[str], *, input_text: str, temporary: Path) -> None:
    """Runs ``command`` in a process group of its own, which ends as a whole: mmdebstrap's apt and dpkg would outlive it."""
    process = subprocess.Popen(
        [find_program(command[0]), *command[1:]],
        env={**os.environ, "PATH": search_path(), "LC_ALL": "C", "TMPDIR": str(temporary)},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        _, said = process.communicate(input_text, timeout=WAIT_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        raise LocalRefusal(f"{command[0]} had not ended after {WAIT_SECONDS_MAX} s", exit_code=124) from None
    finally:
        _end_group(process)
    if process.returncode != 0:
        raise refusal_of(command[0], process.returncode, said)


def _end_group(process: "subprocess.Popen[str]") -> None:
    """Asks whatever is left of the group to end, then ends it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(END_SECONDS_MAX)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def refusal_of(program: str, status: int, said: str) -> LocalRefusal:
    """What a builder's failure means: its last words, and where the network is at fault, that."""
    lines = [line.strip() for line in said.splitlines() if re.match(r"(E|Err|error|dpkg|W): ?|.*: error", line.strip())]
    words = " ".join((lines or said.strip().splitlines())[-4:])[-800:]
    if OFFLINE.search(said):
        hint = "is the network there?  sudo apt-get update must work on this host"
        return LocalRefusal(f"packages cannot be fetched: {words}", hint=hint, exit_code=69)
    return LocalRefusal(f"{program} ended with {status}: {words}", exit_code=74)
