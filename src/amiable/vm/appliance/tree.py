"""A root file system as a value: paths with what stands there, in the order of their paths.

Every entry belongs to root and carries no time of its own: the writers (``cpio``, ``guests.ext4``) give all entries the
same one, so equal trees make equal images.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath


@dataclass(frozen=True)
class Directory:
    mode: int = 0o755


@dataclass(frozen=True)
class File:
    content: bytes
    mode: int = 0o644


@dataclass(frozen=True)
class Link:
    target: str


@dataclass(frozen=True)
class CharacterDevice:
    major: int
    minor: int
    mode: int = 0o600


Entry = Directory | File | Link | CharacterDevice


@dataclass
class Tree:
    """Entries by path without a leading slash; parents are made as they are needed."""

    entries: dict[str, Entry] = field(default_factory=dict)

    def add(self, path: str, entry: Entry) -> None:
        path = path.strip("/")
        for parent in reversed(PurePosixPath(path).parents):
            if str(parent) != ".":
                self.entries.setdefault(str(parent), Directory())
        self.entries[path] = entry

    def add_host_file(self, source: Path, *, at: str | None = None, mode: int = 0o755) -> None:
        """A copy of a file of this machine, links followed, at its own path unless told otherwise."""
        self.add(at or str(source), File(source.read_bytes(), mode))

    def __iter__(self) -> Iterator[tuple[str, Entry]]:
        """Parents come before their children."""
        return iter(sorted(self.entries.items(), key=lambda item: PurePosixPath(item[0]).parts))
