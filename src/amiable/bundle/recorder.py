"""What a bundle is made of, noted while it is made: the digests and tables of its assurance sidecar.

Memory: 40 bytes for each 512 KiB of data, 16 for each chunk and extent, up to the limits of ``tables``; an image beyond them gets
the digests without the tables.
"""

from array import array
from types import TracebackType
from typing import Final, Self

from amiable.bundle.block_digests import BlockDigests
from amiable.rules.content_digest import ZERO_BLOCK, ContentDigest

BLOCKS_MAX: Final = 1 << 17
"""64 GiB of data.  With all tables full a sidecar has 13 MB, and writing it takes 70 MB of memory."""

CHUNKS_MAX: Final = 1 << 17
EXTENTS_MAX: Final = 1 << 18


class Recorder:
    """Told by the pipeline what it packs.  A context manager, that its threads end."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self.header_bytes = 0
        self.extent_offsets = array("Q")
        self.extent_lengths = array("Q")
        self.chunk_bytes = array("Q")
        self.deflated_bytes = array("Q")
        self.block_indexes = array("Q")
        self.block_digests = bytearray()
        self.part_digests: list[bytes] = []
        self.stream_digest = b""
        self.secrets = (b"", b"")
        self.is_complete = True
        """Whether the tables hold everything: false once a limit was passed."""

        self._content = ContentDigest(0)
        self._blocks = BlockDigests(self._take)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._blocks.__exit__(kind, error, traceback)

    def begin(self, size_bytes: int, header_bytes: int, secrets: tuple[bytes, bytes]) -> None:
        """The image has ``size_bytes``; its first stored byte is ``header_bytes`` into the tar stream.  Called first.

        ``secrets`` are the bundle's AES key and IV.
        """
        self.size_bytes, self.header_bytes, self.secrets = size_bytes, header_bytes, secrets
        self._content = ContentDigest(size_bytes)

    def data(self, image_offset: int, view: memoryview | bytes | bytearray) -> None:
        """``view`` lies at ``image_offset`` of the image, and is what the tar stream stores next.

        Called in rising order, from one thread.  The bytes are hashed later: they must stay as they are, so the buffer is not used
        again.
        """
        self._blocks.add(image_offset, view)
        end = self.extent_offsets[-1] + self.extent_lengths[-1] if self.extent_offsets else 0
        if self.extent_offsets and image_offset == end:
            self.extent_lengths[-1] += len(view)
        elif self._has_room(self.extent_offsets, EXTENTS_MAX):
            self.extent_offsets.append(image_offset)
            self.extent_lengths.append(len(view))

    def chunk(self, plain_bytes: int, deflated_bytes: int) -> None:
        """The next ``plain_bytes`` of the tar stream became the next ``deflated_bytes`` of the deflate stream, on their own."""
        if self._has_room(self.chunk_bytes, CHUNKS_MAX):
            self.chunk_bytes.append(plain_bytes)
            self.deflated_bytes.append(deflated_bytes)

    def part(self, index: int, sha256: bytes) -> None:
        """Part ``index`` has this SHA-256; called in order."""
        assert index == len(self.part_digests)
        self.part_digests.append(sha256)

    def stream(self, sha256: bytes) -> None:
        """The whole tar stream has this SHA-256."""
        self.stream_digest = sha256

    def content_digest(self) -> bytes:
        """The image's content digest; waits for what is still being hashed.  Called after the last :meth:`data`."""
        self._blocks.finish()
        return self._content.digest()

    def _take(self, index: int, digest: bytes) -> None:
        self._content.add(index, digest)
        if digest != ZERO_BLOCK and self._has_room(self.block_indexes, BLOCKS_MAX):
            self.block_indexes.append(index)
            self.block_digests += digest

    def _has_room(self, table: "array[int]", count_max: int) -> bool:
        self.is_complete = self.is_complete and len(table) < count_max
        return self.is_complete
