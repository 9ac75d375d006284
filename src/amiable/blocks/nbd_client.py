"""The NBD client: what reading a disk takes from QEMU's or ``qemu-nbd``'s export, and nothing else.

    handshake (fixed newstyle): STRUCTURED_REPLY ─▶ SET_META_CONTEXT base:allocation, and what else is asked for ─▶ GO
    then one request at a time: READ, BLOCK_STATUS

The server may be a QEMU that its guest has taken over, so every length it sends is compared with what was asked for before it is
believed; what does not fit ends the connection.  Source: NetworkBlockDevice/nbd, doc/proto.md.
"""

import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from amiable.blocks.nbd import (
    ACK,
    BLOCK_STATUS,
    CONTEXT,
    DONE,
    ERROR_CHUNK,
    FIXED_NEWSTYLE,
    GO,
    INFO_EXPORT,
    INFO_REPLY,
    META_CONTEXT,
    NO_ZEROES,
    NONE,
    OFFSET_DATA,
    OFFSET_HOLE,
    OPTION_MAGIC,
    OPTION_REPLY_MAGIC,
    READ,
    REQUEST_MAGIC,
    SET_META_CONTEXT,
    STATUS_CHUNK,
    STRUCTURED_MAGIC,
    STRUCTURED_REPLY,
)
from amiable.model.units import GIB, MIB

READ_BYTES_MAX: Final = 16 * MIB
STATUS_BYTES: Final = 1 * GIB
"""The span of one BLOCK_STATUS request."""
RUN_BYTES_MIN: Final = 512
"""How long the runs of a disk are at least, on average."""
REPLY_BYTES_MAX: Final = 1 * MIB
"""Of an option's answer, or of a chunk without data."""
REPLIES_MAX: Final = 64
CHUNKS_MAX: Final = 4096
HOLE, ZERO = 1, 2
DEPTH: Final = b"qemu:allocation-depth"
"""QEMU's context: 0 where no layer of the disk has anything, 1 where the uppermost has, more where one below it has."""

_GREETING = struct.Struct(">8sQH")
_OPTION_REPLY = struct.Struct(">QIII")
_REQUEST = struct.Struct(">IHHQQI")
_CHUNK = struct.Struct(">IHHQI")
_STATUS = struct.Struct(">II")


def bitmap_context(name: str) -> bytes:
    """QEMU's context of a dirty bitmap: 1 where something was written."""
    return f"qemu:dirty-bitmap:{name}".encode()


class NbdFailed(Exception):
    """The export could not be read; the text says why."""


@dataclass(frozen=True, slots=True)
class Status:
    """A run of the disk.  ``is_zero``: it reads as zeros; ``is_hole``: this layer has nothing there, what lies below it may."""

    offset: int
    length_bytes: int
    is_zero: bool
    is_hole: bool


class NbdClient:
    """One connection to one export, for one thread.  The caller closes the socket, which should have a timeout.

    ``context`` is a second one to ask for, beside holes and zeros; NbdFailed where the server does not know it.
    ``wait`` is called before each receiving, returns when there is something or has waited for long enough, and may raise.
    """

    def __init__(
        self,
        connection: socket.socket,
        export: str = "",
        *,
        context: bytes | None = None,
        wait: Callable[[socket.socket], None] = lambda _: None,
    ) -> None:
        self._socket = connection
        self._wait = wait
        self._handle = 0
        self._contexts: dict[bytes, bytes] = {}
        with _failing():
            self.size_bytes = self._negotiate(export.encode(), [CONTEXT, *([context] if context else [])])

    def _negotiate(self, export: bytes, wanted: list[bytes]) -> int:
        magic, option_magic, flags = _GREETING.unpack(self._receive(_GREETING.size))
        if magic != b"NBDMAGIC" or option_magic != OPTION_MAGIC or not flags & FIXED_NEWSTYLE:
            raise NbdFailed("no NBD server of a known kind answers")
        self._socket.sendall(struct.pack(">I", FIXED_NEWSTYLE | flags & NO_ZEROES))
        self._option(STRUCTURED_REPLY, b"")
        name = struct.pack(">I", len(export)) + export
        queries = b"".join(struct.pack(">I", len(each)) + each for each in wanted)
        answers = self._option(SET_META_CONTEXT, name + struct.pack(">I", len(wanted)) + queries)
        self._contexts = {body[4:]: body[:4] for kind, body in answers if kind == META_CONTEXT}
        if set(self._contexts) != set(wanted) or len(set(self._contexts.values())) != len(wanted):
            raise NbdFailed("the server does not tell holes from data")
        for kind, body in self._option(GO, name + struct.pack(">H", 0)):
            if kind == INFO_REPLY and len(body) == 12 and body[:2] == struct.pack(">H", INFO_EXPORT):
                return int.from_bytes(body[2:10], "big")
        raise NbdFailed("the server does not say how long the disk is")

    def _option(self, option: int, data: bytes) -> list[tuple[int, bytes]]:
        """What the server answers before its acknowledgement."""
        self._socket.sendall(struct.pack(">QII", OPTION_MAGIC, option, len(data)) + data)
        answers: list[tuple[int, bytes]] = []
        for _ in range(REPLIES_MAX):
            magic, answered, kind, length = _OPTION_REPLY.unpack(self._receive(_OPTION_REPLY.size))
            if magic != OPTION_REPLY_MAGIC or answered != option or length > REPLY_BYTES_MAX:
                raise NbdFailed("the server breaks the protocol")
            body = self._receive(length)
            if kind == ACK:
                return answers
            if kind & 0x80000000:
                raise NbdFailed(f"the server refuses: {_words(body) or hex(kind)}")
            answers.append((kind, body))
        raise NbdFailed("the server breaks the protocol")

    def read_into(self, view: memoryview, offset: int) -> None:
        """Fills ``view`` with the disk's bytes from ``offset`` on; raises NbdFailed."""
        with _failing():
            while view:
                size = min(len(view), READ_BYTES_MAX)
                self._read(view[:size], offset)
                view, offset = view[size:], offset + size

    def _read(self, view: memoryview, offset: int) -> None:
        missing = len(view)
        for kind, length in self._chunks(READ, offset, len(view)):
            if kind not in (OFFSET_DATA, OFFSET_HOLE) or length < 8:
                raise NbdFailed("the server breaks the protocol")
            at = int.from_bytes(self._receive(8), "big") - offset
            size = length - 8 if kind == OFFSET_DATA else int.from_bytes(self._receive(4), "big")
            if not 0 <= at <= at + size <= len(view) or size > missing or (kind == OFFSET_HOLE and length != 12):
                raise NbdFailed("the server sends what was not asked for")
            if kind == OFFSET_DATA:
                self._receive_into(view[at : at + size])
            else:
                view[at : at + size] = bytes(size)
            missing -= size
        if missing:
            raise NbdFailed("the server sends less than was asked for")

    def statuses(self) -> Iterator[Status]:
        """The whole disk in runs, in order; neighbours may be alike."""
        for offset, length, flags in self.runs(CONTEXT):
            yield Status(offset, length, bool(flags & ZERO), bool(flags & HOLE))

    def runs(self, context: bytes) -> Iterator[tuple[int, int, int]]:
        """The whole disk as (offset, length, flags), in order, as a context that was asked for says it."""
        offset, left = 0, self.size_bytes // RUN_BYTES_MIN + 1
        while offset < self.size_bytes:
            span = min(STATUS_BYTES, self.size_bytes - offset)
            with _failing():
                found = self._status(offset, span, self._contexts[context])
            for length, flags in found:
                length, left = min(length, self.size_bytes - offset), left - 1
                if not length or left < 0:
                    raise NbdFailed("the server breaks the protocol")
                yield offset, length, flags
                offset += length

    def _status(self, offset: int, span: int, context: bytes) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        for kind, length in self._chunks(BLOCK_STATUS, offset, span):
            if kind != STATUS_CHUNK or length > REPLY_BYTES_MAX or length < 12 or length % 8 != 4:
                raise NbdFailed("the server breaks the protocol")
            body = self._receive(length)
            if body[:4] == context:
                found += _STATUS.iter_unpack(body[4:])
        if not found:
            raise NbdFailed("the server does not tell holes from data")
        return found

    def _chunks(self, command: int, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """Sends the request; kind and length of each chunk of its answer, whose body the caller receives."""
        self._handle += 1
        self._socket.sendall(_REQUEST.pack(REQUEST_MAGIC, 0, command, self._handle, offset, length))
        for _ in range(CHUNKS_MAX):
            magic, flags, kind, handle, size = _CHUNK.unpack(self._receive(_CHUNK.size))
            if magic != STRUCTURED_MAGIC or handle != self._handle:
                raise NbdFailed("the server breaks the protocol")
            if kind >= ERROR_CHUNK:
                if size > REPLY_BYTES_MAX:
                    raise NbdFailed("the server breaks the protocol")
                body = self._receive(size)
                raise NbdFailed(f"it cannot be read at {offset}: {_words(body[6:]) or 'input/output error'}")
            if kind != NONE:
                yield kind, size
            if flags & DONE:
                return
        raise NbdFailed("the server breaks the protocol")

    def _receive(self, length: int) -> bytes:
        data = bytearray(length)
        self._receive_into(memoryview(data))
        return bytes(data)

    def _receive_into(self, view: memoryview) -> None:
        while view:
            self._wait(self._socket)
            size = self._socket.recv_into(view, len(view))
            if not size:
                raise NbdFailed("the server closed the connection")
            view = view[size:]


class _failing:
    """Turns what the socket raises into NbdFailed."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, TimeoutError):
            raise NbdFailed("the server does not answer in time") from error
        if isinstance(error, OSError):
            raise NbdFailed(f"the connection broke: {error.strerror}") from error


def _words(body: bytes) -> str:
    return "".join(char for char in body.decode(errors="replace") if char.isprintable())[:200]
