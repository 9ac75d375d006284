"""What a Debian system is put together from: values, and the command line of mmdebstrap that follows from them."""

import io
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

SUITE: Final = "bookworm"
UNUSED: Final = ("/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/doc/*")
"""What no machine needs to run; left out of every package."""
FILE_TIME: Final = 1_700_000_000
FORGOTTEN: Final = (
    'rm -f "$1"/etc/ssh/ssh_host_* "$1"/etc/resolv.conf "$1"/var/lib/dbus/machine-id "$1"/var/lib/systemd/random-seed'
    ' && : >"$1"/etc/machine-id'
)
"""What would make two machines one, or tell of the host."""


@dataclass(frozen=True, slots=True)
class TextFile:
    """One file of root's, by content and mode."""

    text: str
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class System:
    """A root file system: packages, then ``files`` by path without the first slash, then ``commands`` (sh; root's folder is $1).

    ``name`` is what the UUIDs follow from.  ``early_commands`` run before the packages are unpacked.
    """

    name: str
    label: str
    packages: Sequence[str]
    files: Mapping[str, TextFile]
    commands: Sequence[str] = ()
    early_commands: Sequence[str] = ()
    masked_units: Sequence[str] = field(default=())


def archive_of(files: Mapping[str, TextFile]) -> bytes:
    """The files as a tar, root's all; folders that are missing come by themselves."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, file in sorted(files.items()):
            content = file.text.encode()
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode, entry.mtime = len(content), file.mode, FILE_TIME
            tar.addfile(entry, io.BytesIO(content))
    return made.getvalue()


def bootstrap_command(system: System, files: Path, archive: Path) -> list[str]:
    """mmdebstrap's argv: packages, then the tar ``files``, then the commands; the sources come on its input."""
    last = [*system.commands, *_masking(system.masked_units), FORGOTTEN]
    return [
        *["mmdebstrap", "--variant=minbase", f"--include={','.join(system.packages)}", "--skip=output/dev"],
        *["--aptopt=Acquire::Languages none", *(f"--dpkgopt=path-exclude={pattern}" for pattern in UNUSED)],
        *(f"--essential-hook={command}" for command in system.early_commands),
        f"--customize-hook=tar-in {files} /",
        *(f"--customize-hook={command}" for command in last),
        *[SUITE, str(archive), "-"],
    ]


def _masking(units: Sequence[str]) -> list[str]:
    if not units:
        return []
    return [f'for unit in {" ".join(units)}; do ln -sf /dev/null "$1/etc/systemd/system/$unit"; done']
