"""An instance's disk, served over NBD, as the image of a bundle: where its data lies, and how it is read.

The disk has two layers: the overlay, which the NBD server knows, and the blocks of the snapshot below it, which the exporter's map
knows.  Zeros of either are never read.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol

from amiable.blocks.nbd_client import NbdClient, Status
from amiable.bundle.layout import EXTENTS_MAX, Layout
from amiable.model.units import BLOCK_BYTES

SECTOR: Final = 512
"""Extents of a bundle begin on these."""

Extent = tuple[int, int]
"""Offset and length, bytes."""


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


def disk_layout(client: NbdClient, base: Base, stopped: Callable[[], None]) -> Layout:
    """The disk as a bundle's image.  ``stopped`` is called before each read, and raises when there shall be no more."""
    runs = list(data_runs(client.statuses(), base))
    least_hole = SECTOR
    while len(extents := merge(runs, client.size_bytes, least_hole)) > EXTENTS_MAX:
        least_hole *= 8

    def read_into(view: memoryview, offset: int) -> None:
        stopped()
        client.read_into(view, offset)

    return Layout(client.size_bytes, tuple(extents), read_into)


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


def merge(runs: Iterable[Extent], size_bytes: int, least_hole: int) -> list[Extent]:
    """``runs`` rounded outward to sectors; those with a hole between them that is shorter than ``least_hole`` are one."""
    extents: list[Extent] = []
    for offset, length in runs:
        start = offset - offset % SECTOR
        end = min(-(-(offset + length) // SECTOR) * SECTOR, size_bytes)
        if extents and start - sum(extents[-1]) < least_hole:
            start = extents.pop()[0]
        extents.append((start, end - start))
    return extents
