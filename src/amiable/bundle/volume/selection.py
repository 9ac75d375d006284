"""The entries of a volume that go into its image, parents first, each opened without following a link.

A running system changes meanwhile.  What is promised: every entry is one that stood there at the moment it was reached; a name that
vanished is left out and reported; a file that was written to while it was read is taken and reported; no link that someone sets
in the meantime leads out of the volume, for every step is taken from an open folder.  Databases must be stopped or dumped first, as with
every bundling of a live system.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from amiable.bundle.volume.filters import EMPTIED, PRIVATE_MARK, READ_BYTES_MAX, Filters
from amiable.model.errors import LocalRefusal

KEPT_EMPTY: Final = ("dev", "media", "mnt", "proc", "run", "sys", "tmp")
"""Folders whose content belongs to the running system."""
MADE_ANEW: Final = "lost+found"
"""Every file system has its own."""
DEPTH_MAX: Final = 400
UNREADABLE_NAMED_MAX: Final = 3


@dataclass(frozen=True, slots=True)
class Entry:
    """Something in the volume: where it goes in the image, and the open folder it stands in."""

    path: str
    folder: int
    name: str
    facts: os.stat_result

    @property
    def parent(self) -> str:
        return self.path.rpartition("/")[0]


@dataclass(frozen=True, slots=True)
class Report:
    """What was not taken as it stood: (path, why) in the order of the walk."""

    left_out: list[tuple[str, str]] = field(default_factory=list)
    remarks: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Selection:
    """What to take below ``root``.  ``empty`` are mount points with the reason why only the folder is taken.

    ``outputs`` are paths that the bundling itself makes.
    """

    root: Path
    filters: Filters
    empty: dict[str, str] = field(default_factory=dict)
    outputs: frozenset[str] = frozenset()

    def walk(self, report: Report) -> Iterator[Entry]:
        """Every entry, the root first; an entry is good until the next is asked for.  Raises LocalRefusal for what cannot be read."""
        unreadable: list[str] = []
        try:
            descriptor = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise LocalRefusal(f"{self.root} cannot be bundled: {error.strerror}") from error
        try:
            yield Entry("", descriptor, ".", os.fstat(descriptor))
            yield from self._below(descriptor, "", report, unreadable)
        finally:
            os.close(descriptor)
        if unreadable:
            named = ", ".join(printable(path) for path in unreadable[:UNREADABLE_NAMED_MAX])
            more = (
                f" and {len(unreadable) - UNREADABLE_NAMED_MAX} more" if len(unreadable) > UNREADABLE_NAMED_MAX else ""
            )
            raise LocalRefusal(
                f"{named}{more} cannot be read", hint="run this as root, or leave them out with --exclude", exit_code=74
            )

    def _below(self, folder: int, path: str, report: Report, unreadable: list[str]) -> Iterator[Entry]:
        if path.count("/") > DEPTH_MAX:
            raise LocalRefusal(f"{printable(path)} lies deeper than {DEPTH_MAX} folders")
        for name in sorted(os.listdir(folder)):
            if not path and name == MADE_ANEW:
                continue
            child = f"{path}/{name}" if path else name
            try:
                facts = os.stat(name, dir_fd=folder, follow_symlinks=False)
                why = self._refusal(child, folder, name, facts)
                if why is not None:
                    report.left_out.append((child, why))
                    continue
                if stat.S_ISREG(facts.st_mode):
                    os.close(open_at(folder, name))
                yield Entry(child, folder, name, facts)
                if stat.S_ISDIR(facts.st_mode):
                    yield from self._inside(Entry(child, folder, name, facts), report, unreadable)
            except FileNotFoundError:
                report.left_out.append((child, "vanished while it was read"))
            except PermissionError:
                unreadable.append(child)
            except OSError as error:
                if error.errno not in (errno.ELOOP, errno.ENOTDIR, errno.ENXIO):
                    raise
                report.left_out.append((child, "replaced while it was read"))

    def _inside(self, entry: Entry, report: Report, unreadable: list[str]) -> Iterator[Entry]:
        """What stands in the folder ``entry``."""
        if entry.path in KEPT_EMPTY:
            return
        if entry.path in self.empty:
            report.left_out.append((f"{entry.path}/*", self.empty[entry.path]))
            return
        descriptor = open_at(entry.folder, entry.name, os.O_DIRECTORY)
        try:
            yield from self._below(descriptor, entry.path, report, unreadable)
        finally:
            os.close(descriptor)

    def _refusal(self, path: str, folder: int, name: str, facts: os.stat_result) -> str | None:
        """Why the entry is left out."""
        if path in self.outputs:
            return "the bundle itself"
        if stat.S_ISSOCK(facts.st_mode):
            return "socket"
        why = self.filters.reason(path)
        if why is None and stat.S_ISREG(facts.st_mode) and self.filters.depends_on_content(path):
            with _file(folder, name) as descriptor:
                if PRIVATE_MARK in os.pread(descriptor, READ_BYTES_MAX, 0):
                    return "private key"
        return why

    def empties(self, path: str) -> bool:
        """Whether the file ``path`` goes into the image with nothing in it."""
        return self.filters.secrets and path in EMPTIED


def open_at(folder: int, name: str, flags: int = 0) -> int:
    """The file or folder ``name`` opened for reading, no link followed, its access time left alone where that is allowed."""
    flags |= os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(name, flags | os.O_NOATIME, dir_fd=folder)
    except PermissionError:
        return os.open(name, flags, dir_fd=folder)


def printable(path: str) -> str:
    """``path`` as a terminal may show it, from the volume's root on."""
    return "/" + "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in path)


@contextmanager
def _file(folder: int, name: str) -> Iterator[int]:
    descriptor = open_at(folder, name)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def read_below(root: Path, path: str) -> str | None:
    """The text of the file ``path`` of a volume, no link followed; ``None`` where it is no file that can be read."""
    try:
        with folder_of(root, path) as folder, _file(folder, path.rpartition("/")[2]) as descriptor:
            return os.pread(descriptor, READ_BYTES_MAX, 0).decode(errors="surrogateescape")
    except OSError:
        return None


def names_below(root: Path, path: str) -> frozenset[str]:
    """The names in the folder ``path`` of a volume; none where it is no folder."""
    try:
        with folder_of(root, f"{path}/.") as folder:
            with os.scandir(folder) as entries:
                return frozenset(entry.name for entry in entries)
    except OSError:
        return frozenset()


def write_below(root: Path, path: str, content: bytes, mode: int) -> None:
    """Puts a new file at ``path`` of a volume, in place of what stands there; no link is followed."""
    name = path.rpartition("/")[2]
    with folder_of(root, path, make=True) as folder:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)
        descriptor = os.open(
            name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=folder
        )
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)


@contextmanager
def folder_of(root: Path, path: str, *, make: bool = False) -> Iterator[int]:
    """The open folder in which ``path`` of a volume stands."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in path.split("/")[:-1]:
            if make:
                with suppress(FileExistsError):
                    os.mkdir(name, dir_fd=descriptor)
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)
