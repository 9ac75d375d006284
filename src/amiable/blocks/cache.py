"""A volume's blocks for the exporter: from the packs, through a cache file of verified blocks.

    exports/<volume>.map      where each block lies (``export_map``)
    exports/<volume>.cache    slots of one block each, at most ``CACHE_SLOTS_MAX`` (512 MiB), used round

A block is decompressed and its SHA-256 compared when it enters the cache; later reads are plain reads of the file.  The table of
slots is in memory, so a new process begins with an empty cache.  Readers take no lock: an entry that is still the same object
after the read was not overwritten during it.
"""

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from amiable.blocks.export_map import ExportMap
from amiable.blocks.nbd import Extent
from amiable.blocks.pack import PackDamaged, read_place
from amiable.model.units import BLOCK_BYTES

CACHE_SLOTS_MAX: Final = 1024
FETCH_LOCKS: Final = 16
ZEROS: Final = bytes(BLOCK_BYTES)


class VolumeBlocks:
    """Reads of one volume; thread-safe.  ``size_bytes`` may be more or less than the map's (None: the same): behind the map are zeros."""

    def __init__(
        self,
        map_path: Path,
        packs: Path,
        cache_path: Path,
        size_bytes: int | None,
        *,
        fetched: Callable[[int], None] = lambda index: None,
        slots: int = CACHE_SLOTS_MAX,
    ) -> None:
        """Opens the map and an empty cache; ``fetched`` is told the index of each block that comes from a pack.

        Raises MapDamaged, OSError.
        """
        self._map = ExportMap(map_path)
        self.size_bytes = self._map.size_bytes if size_bytes is None else size_bytes
        self._packs = packs
        self._cache_path = cache_path
        self._fetched = fetched
        self._slots = slots
        cache_path.unlink(missing_ok=True)  # an earlier one of the volume may still write into its own
        self._cache = os.open(cache_path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._where: dict[int, tuple[int, int]] = {}
        self._holders: list[int | None] = [None] * slots
        self._next = 0
        self._table = threading.Lock()
        self._fetching = [threading.Lock() for _ in range(FETCH_LOCKS)]

    @property
    def checksum(self) -> bytes:
        """The map's checksum: two maps with the same one are the same."""
        return self._map.checksum

    def close(self) -> None:
        """Closes the map and the cache, and removes the cache; no read may be under way."""
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(self._cache), self._cache_path.stat()):  # else a later one's has the name
                self._cache_path.unlink()
        os.close(self._cache)
        self._map.close()

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``; raises OSError where a block cannot be had whole and verified."""
        index, start = divmod(offset, BLOCK_BYTES)
        if start + length <= BLOCK_BYTES:
            return self._part(index, start, length)
        parts: list[bytes] = []
        while length:
            some = min(length, BLOCK_BYTES - start)
            parts.append(self._part(index, start, some))
            index, start, length = index + 1, 0, length - some
        return b"".join(parts)

    def extents(self, offset: int, length: int, count_max: int) -> list[Extent]:
        """Up to ``count_max`` runs of data and holes from ``offset``, within ``length``; neighbours differ."""
        found: list[Extent] = []
        at, end = offset, offset + length
        while at < end and len(found) < count_max:
            until, is_data = self._run(at, end)
            found.append(Extent(until - at, is_data))
            at = until
        return found

    def _run(self, at: int, end: int) -> tuple[int, bool]:
        index = at // BLOCK_BYTES
        data = self._map.next_data(index)
        if data is None:
            return end, False
        if data > index:
            return min(end, data * BLOCK_BYTES), False
        while index * BLOCK_BYTES < end and self._map.next_data(index) == index:
            index += 1
        return min(end, index * BLOCK_BYTES), True

    def _part(self, index: int, start: int, length: int) -> bytes:
        slot = self._where.get(index)
        if slot is not None:
            data = os.pread(self._cache, length, slot[0] * BLOCK_BYTES + start)
            if self._where.get(index) is slot and len(data) == length:
                return data
        with self._fetching[index % FETCH_LOCKS]:
            slot = self._where.get(index)
            if slot is not None:  # another thread fetched it meanwhile
                data = os.pread(self._cache, length, slot[0] * BLOCK_BYTES + start)
                if self._where.get(index) is slot and len(data) == length:
                    return data
            return self._fetch(index)[start : start + length]

    def _fetch(self, index: int) -> bytes:
        entry = self._map.find(index)
        if entry is None:
            return ZEROS
        try:
            plain = read_place(self._packs, entry.place, entry.digest)
        except PackDamaged as error:
            raise OSError(f"block {index}: {error}") from error
        self._fetched(index)
        self._keep(index, plain)
        return plain

    def _keep(self, index: int, plain: bytes) -> None:
        """Puts a verified block into the next slot; a full disk only means that it is fetched again."""
        with self._table:
            slot, self._next = self._next % self._slots, self._next + 1
            holder, self._holders[slot] = self._holders[slot], None
            if holder is not None:
                self._where.pop(holder, None)
            try:
                if os.pwrite(self._cache, plain, slot * BLOCK_BYTES) != len(plain):
                    return
            except OSError:
                return
            self._holders[slot] = index
            self._where[index] = (slot, self._next)
