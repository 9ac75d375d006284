"""ext4 file systems written without root, a mount or a staging folder.

``debugfs`` makes each entry in the order of the tree, with a fixed clock (E2FSPROGS_FAKE_TIME) and fixed UUIDs.  ``mke2fs -d``
would not do: it keeps the folder's own change times and reads it in the host's order, so two builds differ.
"""

from __future__ import annotations

import os
import stat
import tempfile
import uuid
from pathlib import Path

from amiable.bundle.volume.disk import NAMESPACE
from amiable.vm.appliance.programs import run
from amiable.vm.appliance.tree import CharacterDevice, Directory, Entry, File, Link, Tree

EPOCH = 1_700_000_000
"""The one time that every entry carries, in Unix seconds."""

FEATURES = "^orphan_file,^metadata_csum_seed"
"""Left out: GRUB 2.06 reads neither."""


def write_ext4(tree: Tree, target: Path, *, label: str, size_bytes: int, offset_bytes: int = 0) -> None:
    """Writes a file system of ``size_bytes`` at ``offset_bytes`` of ``target``; its UUID follows from its label."""
    identity = uuid.uuid5(NAMESPACE, label)
    run(
        ["mke2fs", "-q", "-F", "-t", "ext4", "-L", label, "-U", str(identity), "-O", FEATURES]
        + ["-E", f"hash_seed={identity},root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0,offset={offset_bytes}"]
        + [str(target), f"{size_bytes // 1024}k"],
        environment=_fixed_clock(),
    )
    with tempfile.TemporaryDirectory(prefix="amiable-ext4-") as folder:
        script = Path(folder) / "script"
        script.write_text("".join(f"{line}\n" for line in _commands(tree, Path(folder))))
        device = f"{target}?offset={offset_bytes}" if offset_bytes else str(target)
        said = run(["debugfs", "-w", "-f", str(script), device], environment=_fixed_clock())
    complaints = [line for line in said.stderr.splitlines() if not line.startswith("debugfs 1.")]
    if complaints:
        raise RuntimeError(f"debugfs could not write {target.name}: {complaints[0]}")


def _fixed_clock() -> dict[str, str]:
    return {"E2FSPROGS_FAKE_TIME": str(EPOCH), "SOURCE_DATE_EPOCH": str(EPOCH), "MKE2FS_CONFIG": os.devnull}


def _commands(tree: Tree, folder: Path) -> list[str]:
    """One debugfs command a line; contents of files are laid into ``folder``."""
    lines: list[str] = []
    for number, (path, entry) in enumerate(tree):
        parent, _, name = path.rpartition("/")
        lines.append(f"cd /{parent}")
        lines += _entry_commands(name, entry, folder / f"content-{number}")
    return lines


def _entry_commands(name: str, entry: Entry, content_path: Path) -> list[str]:
    match entry:
        case Directory(mode):
            return [f"mkdir {name}", f"sif {name} mode 0{stat.S_IFDIR | mode:o}"]
        case File(content, mode):
            content_path.write_bytes(content)
            owner = [f"sif {name} uid 0", f"sif {name} gid 0"]
            return [f"write {content_path} {name}", f"sif {name} mode 0{stat.S_IFREG | mode:o}", *owner]
        case Link(target):
            return [f"symlink {name} {target}"]
        case CharacterDevice(major, minor, mode):
            return [f"mknod {name} c {major} {minor}", f"sif {name} mode 0{stat.S_IFCHR | mode:o}"]
