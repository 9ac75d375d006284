"""An instance's disk, served over NBD, as the image of a bundle: where its data lies, and how it is read.

The disk has two layers: the overlay, which the NBD server knows, and the blocks of the snapshot below it, which the exporter's map
knows.  Zeros of either are never read.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from amiable.blocks.nbd_client import NbdClient, NbdFailed, Status
from amiable.bundle.layout import Layout, fit_extents
from amiable.bundle.sparse_tar import BLOCK as SECTOR
from amiable.bundle.sparse_tar import Extent
from amiable.model.units import BLOCK_BYTES


class Base(Protocol):
    """Which blocks of the snapshot have bytes."""

    def next_data(self, index: int) -> int | None:
        """The first block from ``index`` on that has."""
        ...


class NoBase:
    """A disk that began empty."""

    def next_data(self, index: int) -> int | None:
        """Nothing has bytes."""
        return None


def disk_layout(client: NbdClient, base: Base, *, size_bytes: int, stopped: Callable[[], None]) -> Layout:
    """The disk of a volume of ``size_bytes``, which has whole sectors, as a bundle's image; raises NbdFailed.

    ``stopped`` is called before each read, and raises when there shall be no more.
    """
    disk_bytes = -(-size_bytes // SECTOR) * SECTOR
    if client.size_bytes != disk_bytes:
        raise NbdFailed(f"the server has {client.size_bytes} bytes; the disk has {disk_bytes}")

    def find_runs() -> Iterator[Extent]:
        for run in data_runs(client.statuses(), base):
            stopped()
            yield run

    def read_into(view: memoryview, offset: int) -> None:
        stopped()
        client.read_into(view, offset)

    return Layout(disk_bytes, fit_extents(find_runs, disk_bytes), read_into)


def data_runs(statuses: Iterable[Status], base: Base) -> Iterator[Extent]:
    """Where there may be other bytes than zeros, in order."""
    for status in statuses:
        if status.is_zero:
            continue
        if not status.is_hole:
            yield status.offset, status.length_bytes
            continue
        end = status.offset + status.length_bytes
        at = status.offset
        while at < end and (index := base.next_data(at // BLOCK_BYTES)) is not None and index * BLOCK_BYTES < end:
            start = max(at, index * BLOCK_BYTES)
            at = min(end, (index + 1) * BLOCK_BYTES)
            yield start, at - start
