"""What a file system is filled with: a selection of a volume, and files made for the image that stand in place of the volume's."""

import errno
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from amiable.bundle.volume.ext import BLOCK_BYTES, ROOT_INODE, Facts, Writer
from amiable.bundle.volume.libext2fs import DIRECTORY_EXISTS, ExtError
from amiable.bundle.volume.selection import Entry, Report, Selection, open_at
from amiable.model.errors import LocalRefusal

Progress = Callable[[int, int], None]

MINIMAL_DEVICES: Final = (("console", 5, 1, 0o600), ("null", 1, 3, 0o666), ("zero", 1, 5, 0o666))
"""In /dev, for what runs before the kernel's own devices are there."""
UNKEPT_ATTRIBUTES: Final = ("system.nfs4_acl", "trusted.overlay.", "user.overlay.")
ATTRIBUTE_BYTES_MAX: Final = BLOCK_BYTES - 64
"""What an inode's one block of attributes holds."""
ATTRIBUTE_ENTRY_BYTES: Final = 24


@dataclass(frozen=True, slots=True)
class Made:
    """A file made for the image."""

    content: bytes
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class Measure:
    """What a selection needs: entries, and bytes of whole blocks."""

    entries: int
    data_bytes: int


def measure(selection: Selection, made: Mapping[str, Made]) -> Measure:
    """How much ``selection`` and ``made`` are; the walk's remarks are of no interest yet."""
    entries, data_bytes = len(made), sum(len(file.content) + BLOCK_BYTES for file in made.values())
    seen: set[tuple[int, int]] = set()
    for entry in selection.walk(Report()):
        entries += 1
        key = (entry.facts.st_dev, entry.facts.st_ino)
        if entry.facts.st_nlink > 1 and not stat.S_ISDIR(entry.facts.st_mode):
            if key in seen:
                continue
            seen.add(key)
        allocated = min(entry.facts.st_blocks * 512, entry.facts.st_size + BLOCK_BYTES)
        data_bytes += -(-allocated // BLOCK_BYTES) * BLOCK_BYTES
    return Measure(entries, data_bytes)


@dataclass(frozen=True, slots=True)
class Contents:
    """What goes into a file system: ``selection``, and ``made`` in place of its files of the same path; together ``total``.

    ``report`` tells afterwards what was not taken as it stood.
    """

    selection: Selection
    made: Mapping[str, Made]
    total: Measure
    report: Report


class Filling:
    """One run over ``contents`` into a file system."""

    def __init__(self, writer: Writer, contents: Contents) -> None:
        self._writer = writer
        self._contents = contents
        self._selection = contents.selection
        self._report = contents.report
        self._folders: dict[str, int] = {"": ROOT_INODE}
        self._names: dict[tuple[int, int], int] = {}

    def run(self, progress: Progress | None = None) -> None:
        """Writes every entry; ``progress`` counts bytes of files."""
        made, total, done_bytes = self._contents.made, self._contents.total, 0
        for entry in self._selection.walk(self._report):
            if entry.path in made and not stat.S_ISDIR(entry.facts.st_mode):
                continue
            try:
                self._take(entry)
            except FileNotFoundError:
                self._report.left_out.append((entry.path, "vanished while it was read"))
            except PermissionError as error:
                raise LocalRefusal(
                    f"/{entry.path} cannot be read: {error.strerror}",
                    hint="run this as root, or --exclude it",
                    exit_code=74,
                ) from error
            except OSError as error:
                if error.errno not in (errno.ELOOP, errno.ENXIO):
                    raise LocalRefusal(f"/{entry.path} cannot be read: {error.strerror}", exit_code=74) from error
                self._report.left_out.append((entry.path, "replaced while it was read"))
            done_bytes += entry.facts.st_blocks * 512
            if progress is not None:
                progress(min(done_bytes, total.data_bytes), total.data_bytes)
        for path, file in made.items():
            self._make(path, file)
        self._make_devices()

    def _take(self, entry: Entry) -> None:
        mode, name = entry.facts.st_mode, os.fsencode(entry.name)
        parent = self._folders.get(entry.parent)
        if parent is None:
            raise FileNotFoundError(entry.path)  # its folder was gone when it was reached
        key = (entry.facts.st_dev, entry.facts.st_ino)
        if not entry.path:
            self._writer.describe(ROOT_INODE, _facts(entry.facts, self._attributes(entry.path, entry.folder)))
        elif stat.S_ISDIR(mode):
            descriptor = open_at(entry.folder, entry.name, os.O_DIRECTORY)
            try:
                facts = _facts(entry.facts, self._attributes(entry.path, descriptor))
            finally:
                os.close(descriptor)
            self._folders[entry.path] = self._writer.directory(parent, name, facts)
        elif key in self._names and self._linked(parent, name, self._names[key]):
            return
        elif stat.S_ISREG(mode):
            self._names[key] = self._take_file(entry, parent, name)
        elif stat.S_ISLNK(mode):
            target = os.fsencode(os.readlink(entry.name, dir_fd=entry.folder))
            self._names[key] = self._writer.link(parent, name, target, _facts(entry.facts, ()))
        else:
            facts = _facts(entry.facts, ())
            self._names[key] = self._writer.node(parent, name, facts)
            self._writer.describe(self._names[key], facts)
        if entry.facts.st_nlink < 2:
            self._names.pop(key, None)

    def _take_file(self, entry: Entry, parent: int, name: bytes) -> int:
        if self._selection.empties(entry.path):
            self._report.remarks.append((entry.path, "written empty: the next boot makes its own"))
            return self._writer.content(parent, name, _facts(entry.facts, ()), b"")
        descriptor = open_at(entry.folder, entry.name)
        try:
            before = os.fstat(descriptor)
            inode = self._writer.file(
                parent, name, _facts(before, self._attributes(entry.path, descriptor)), descriptor
            )
            after = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
            self._report.remarks.append((entry.path, "changed while it was read"))
        return inode

    def _linked(self, parent: int, name: bytes, inode: int) -> bool:
        """Gives ``inode`` one more name, unless it has as many as it may."""
        try:
            self._writer.again(parent, name, inode)
        except ExtError as error:
            if error.code != errno.EMLINK:
                raise
            return False
        return True

    def _attributes(self, path: str, descriptor: int) -> tuple[tuple[str, bytes], ...]:
        """The extended attributes; ``security.*`` and ``trusted.*`` as far as this user sees them."""
        try:
            keys = os.listxattr(descriptor)
        except OSError as error:
            if error.errno == errno.ENOTSUP:
                return ()
            raise
        kept, room_bytes = [], ATTRIBUTE_BYTES_MAX
        for key in sorted(keys):
            if key.startswith(UNKEPT_ATTRIBUTES):
                continue
            value = os.getxattr(descriptor, key)
            cost_bytes = len(os.fsencode(key)) + len(value) + ATTRIBUTE_ENTRY_BYTES
            if cost_bytes > room_bytes:
                self._report.remarks.append((path, f"attribute {key} of {len(value)} bytes was not kept: too large"))
                continue
            kept.append((key, value))
            room_bytes -= cost_bytes
        return tuple(kept)

    def _folder(self, path: str) -> int:
        """The inode of the folder ``path``, made where it is not there."""
        if path not in self._folders:
            parent, _, name = path.rpartition("/")
            facts = _new(stat.S_IFDIR | 0o755)
            try:
                self._folders[path] = self._writer.directory(self._folder(parent), os.fsencode(name), facts)
            except ExtError as error:
                if error.code != DIRECTORY_EXISTS:
                    raise
                raise LocalRefusal(
                    f"/{path} is no folder in the volume: nothing can be written there", hint="--exclude it"
                ) from error
        return self._folders[path]

    def _make(self, path: str, file: Made) -> None:
        parent, _, name = path.rpartition("/")
        self._writer.content(self._folder(parent), os.fsencode(name), _new(stat.S_IFREG | file.mode), file.content)

    def _make_devices(self) -> None:
        folder = self._folder("dev")
        for name, major, minor, mode in MINIMAL_DEVICES:
            facts = _new(stat.S_IFCHR | mode, os.makedev(major, minor))
            self._writer.describe(self._writer.node(folder, os.fsencode(name), facts), facts)
        for path in ("proc", "sys"):
            self._folder(path)


def _facts(seen: os.stat_result, attributes: tuple[tuple[str, bytes], ...]) -> Facts:
    return Facts(
        mode=seen.st_mode,
        uid=seen.st_uid,
        gid=seen.st_gid,
        accessed_ns=seen.st_atime_ns,
        modified_ns=seen.st_mtime_ns,
        changed_ns=seen.st_ctime_ns,
        device=seen.st_rdev,
        attributes=attributes,
    )


def _new(mode: int, device: int = 0) -> Facts:
    """An entry made for the image: root's, without a time of its own."""
    return Facts(mode, uid=0, gid=0, accessed_ns=0, modified_ns=0, changed_ns=0, device=device)
