"""The NBD server: what QEMU and the NBD tools need to read a disk, and nothing else.

    client ── fixed newstyle handshake: LIST, INFO, GO, EXPORT_NAME, STRUCTURED_REPLY, META_CONTEXT base:allocation, ABORT
           ── transmission: READ, BLOCK_STATUS, DISC; WRITE, TRIM, WRITE_ZEROES answer EPERM, all else EINVAL

One connection is one thread of blocking Python (measured as fast as nbdkit's C plugin).  The export is read-only and never
changes, so any number of connections may read it at once.  Every length that a client sends is bounded before it is believed.
Source: NetworkBlockDevice/nbd, doc/proto.md.
"""

import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from amiable.model.units import KIB, MIB

READ_BYTES_MAX: Final = 32 * MIB
OPTION_BYTES_MAX: Final = 64 * KIB
OPTIONS_MAX: Final = 64
EXTENTS_MAX: Final = 2048
WRITE_SKIP_BYTES_MAX: Final = 32 * MIB
"""A refused write's payload is read and dropped, up to this; behind a longer one the connection ends."""

OPTION_MAGIC: Final = 0x49484156454F5054
OPTION_REPLY_MAGIC: Final = 0x3E889045565A9
REQUEST_MAGIC: Final = 0x25609513
SIMPLE_MAGIC: Final = 0x67446698
STRUCTURED_MAGIC: Final = 0x668E33EF

FIXED_NEWSTYLE, NO_ZEROES = 1, 2
HAS_FLAGS, READ_ONLY, SEND_DF, CAN_MULTI_CONN = 1, 2, 128, 256
FLAGS: Final = HAS_FLAGS | READ_ONLY | SEND_DF | CAN_MULTI_CONN

EXPORT_NAME, ABORT, LIST, INFO, GO, STRUCTURED_REPLY, LIST_META_CONTEXT, SET_META_CONTEXT = 1, 2, 3, 6, 7, 8, 9, 10
ACK, SERVER, INFO_REPLY, META_CONTEXT = 1, 2, 3, 4
UNSUPPORTED, INVALID, UNKNOWN, TOO_BIG = 0x80000001, 0x80000003, 0x80000006, 0x80000009
INFO_EXPORT, INFO_BLOCK_SIZE = 0, 3

READ, WRITE, DISC, FLUSH, TRIM, CACHE, WRITE_ZEROES, BLOCK_STATUS = range(8)
REQUEST_ONE: Final = 8
DONE: Final = 1
NONE, OFFSET_DATA, OFFSET_HOLE, STATUS_CHUNK, ERROR_CHUNK = 0, 1, 2, 5, 32769
EPERM, EIO, EINVAL, EOVERFLOW = 1, 5, 22, 75
HOLE_AND_ZERO: Final = 3
CONTEXT: Final = b"base:allocation"
CONTEXT_ID: Final = 1

_OPTION = struct.Struct(">QII")
_OPTION_REPLY = struct.Struct(">QIII")
_REQUEST = struct.Struct(">IHHQQI")
_SIMPLE = struct.Struct(">IIQ")
_CHUNK = struct.Struct(">IHHQI")


class Gone(Exception):
    """The client has closed the connection, or broke the protocol so that nothing after it can be understood."""


@dataclass(frozen=True, slots=True)
class Extent:
    """A run of the disk: its length, and whether it has data (else it is a hole of zeros)."""

    length_bytes: int
    is_data: bool


@dataclass(frozen=True, slots=True)
class Export:
    """A disk to serve.  ``read(offset, length)`` gives exactly that many bytes, or raises OSError; so ``extents`` in order,
    covering at most the length asked for and at least one byte."""

    name: str
    size_bytes: int
    read: Callable[[int, int], bytes]
    extents: Callable[[int, int, int], Sequence[Extent]]


def serve(connection: socket.socket, export: Export) -> None:
    """Speaks NBD until the client leaves; returns in any case, the caller closes."""
    connection_ = _Connection(connection, export)
    try:
        if connection_.negotiate():
            connection_.transmit()
    except (Gone, OSError):
        return


class _Connection:
    def __init__(self, connection: socket.socket, export: Export) -> None:
        self._socket = connection
        self._export = export
        self._structured = False
        self._allocation = False

    # ── handshake ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def negotiate(self) -> bool:
        """The handshake; whether transmission begins."""
        self._socket.sendall(b"NBDMAGIC" + struct.pack(">QH", OPTION_MAGIC, FIXED_NEWSTYLE | NO_ZEROES))
        (client_flags,) = struct.unpack(">I", self._receive(4))
        if client_flags & ~(FIXED_NEWSTYLE | NO_ZEROES):
            raise Gone
        for _ in range(OPTIONS_MAX):
            magic, option, length = _OPTION.unpack(self._receive(_OPTION.size))
            if magic != OPTION_MAGIC or length > OPTION_BYTES_MAX:
                raise Gone
            data = self._receive(length)
            if option == EXPORT_NAME:
                self._begin_by_name(data, zeroes=not client_flags & NO_ZEROES)
                return True
            if option == ABORT:
                self._reply(option, ACK)
                return False
            if self._answer(option, data):
                return True
        raise Gone

    def _answer(self, option: int, data: bytes) -> bool:
        """Answers one option; whether it begins transmission."""
        if option == LIST:
            self._list(data)
        elif option in (INFO, GO):
            return self._info(option, data)
        elif option == STRUCTURED_REPLY:
            self._structured = not data
            self._reply(option, INVALID if data else ACK)
        elif option in (LIST_META_CONTEXT, SET_META_CONTEXT):
            self._meta_context(option, data)
        else:
            self._reply(option, UNSUPPORTED)
        return False

    def _begin_by_name(self, name: bytes, *, zeroes: bool) -> None:
        if not self._is_ours(name):
            raise Gone  # this oldest of options has no way to say no
        self._socket.sendall(struct.pack(">QH", self._export.size_bytes, FLAGS) + bytes(124 if zeroes else 0))

    def _list(self, data: bytes) -> None:
        if data:
            self._reply(LIST, INVALID)
            return
        name = self._export.name.encode()
        self._reply(LIST, SERVER, struct.pack(">I", len(name)) + name)
        self._reply(LIST, ACK)

    def _info(self, option: int, data: bytes) -> bool:
        name = _named(data)
        if name is None or len(data) < 6 + len(name):
            self._reply(option, INVALID)
            return False
        (count,) = struct.unpack_from(">H", data, 4 + len(name))
        if len(data) != 6 + len(name) + 2 * count:
            self._reply(option, INVALID)
            return False
        if not self._is_ours(name):
            self._reply(option, UNKNOWN, b"no such export")
            return False
        self._reply(option, INFO_REPLY, struct.pack(">HQH", INFO_EXPORT, self._export.size_bytes, FLAGS))
        self._reply(option, INFO_REPLY, struct.pack(">HIII", INFO_BLOCK_SIZE, 1, 4096, READ_BYTES_MAX))
        self._reply(option, ACK)
        return option == GO

    def _meta_context(self, option: int, data: bytes) -> None:
        name = _named(data)
        queries = None if name is None else _queries(data[4 + len(name) :])
        if name is None or queries is None or not self._structured:
            self._reply(option, INVALID)
            return
        if not self._is_ours(name):
            self._reply(option, UNKNOWN, b"no such export")
            return
        everything = option == LIST_META_CONTEXT and (not queries or b"base:" in queries)
        offered = everything or CONTEXT in queries
        if option == SET_META_CONTEXT:
            self._allocation = offered
        if offered:
            self._reply(
                option, META_CONTEXT, struct.pack(">I", CONTEXT_ID if option == SET_META_CONTEXT else 0) + CONTEXT
            )
        self._reply(option, ACK)

    def _is_ours(self, name: bytes) -> bool:
        return name in (b"", self._export.name.encode())

    def _reply(self, option: int, kind: int, data: bytes = b"") -> None:
        self._socket.sendall(_OPTION_REPLY.pack(OPTION_REPLY_MAGIC, option, kind, len(data)) + data)

    # ── transmission ────────────────────────────────────────────────────────────────────────────────────────────────────

    def transmit(self) -> None:
        """Answers requests until the client disconnects."""
        while True:
            magic, flags, command, handle, offset, length = _REQUEST.unpack(self._receive(_REQUEST.size))
            if magic != REQUEST_MAGIC:
                raise Gone
            if command == DISC:
                return
            if command == READ:
                self._read(handle, offset, length)
            elif command == BLOCK_STATUS:
                self._block_status(handle, offset, length, one=bool(flags & REQUEST_ONE))
            elif command == WRITE:
                self._skip(length)
                self._fail(handle, EPERM)
            else:
                self._fail(handle, EPERM if command in (TRIM, WRITE_ZEROES) else EINVAL)

    def _read(self, handle: int, offset: int, length: int) -> None:
        if length > READ_BYTES_MAX:
            self._fail(handle, EOVERFLOW)
            return
        if length == 0 or offset + length > self._export.size_bytes:
            self._fail(handle, EINVAL)
            return
        if self._structured and self._is_hole(offset, length):
            body = struct.pack(">QI", offset, length)
            self._socket.sendall(_CHUNK.pack(STRUCTURED_MAGIC, DONE, OFFSET_HOLE, handle, len(body)) + body)
            return
        try:
            data = self._export.read(offset, length)
        except OSError:
            self._fail(handle, EIO)
            return
        assert len(data) == length
        if self._structured:
            head = _CHUNK.pack(STRUCTURED_MAGIC, DONE, OFFSET_DATA, handle, 8 + length) + struct.pack(">Q", offset)
        else:
            head = _SIMPLE.pack(SIMPLE_MAGIC, 0, handle)
        self._send(head, data)

    def _is_hole(self, offset: int, length: int) -> bool:
        first = self._export.extents(offset, length, 1)[0]
        return not first.is_data and first.length_bytes >= length

    def _block_status(self, handle: int, offset: int, length: int, *, one: bool) -> None:
        if not self._allocation or length == 0 or offset + length > self._export.size_bytes:
            self._fail(handle, EINVAL)
            return
        extents = self._export.extents(offset, length, 1 if one else EXTENTS_MAX)
        body = struct.pack(">I", CONTEXT_ID) + b"".join(
            struct.pack(">II", extent.length_bytes, 0 if extent.is_data else HOLE_AND_ZERO) for extent in extents
        )
        self._socket.sendall(_CHUNK.pack(STRUCTURED_MAGIC, DONE, STATUS_CHUNK, handle, len(body)) + body)

    def _fail(self, handle: int, error: int) -> None:
        if self._structured:
            body = struct.pack(">IH", error, 0)
            self._socket.sendall(_CHUNK.pack(STRUCTURED_MAGIC, DONE, ERROR_CHUNK, handle, len(body)) + body)
        else:
            self._socket.sendall(_SIMPLE.pack(SIMPLE_MAGIC, error, handle))

    def _send(self, head: bytes, data: bytes) -> None:
        sent = self._socket.sendmsg([head, data])
        if sent < len(head):
            self._socket.sendall(head[sent:])
            sent = len(head)
        if sent < len(head) + len(data):
            self._socket.sendall(memoryview(data)[sent - len(head) :])

    def _skip(self, length: int) -> None:
        if length > WRITE_SKIP_BYTES_MAX:
            raise Gone
        while length:
            length -= len(self._receive(min(length, 256 * KIB)))

    def _receive(self, length: int) -> bytes:
        data = self._socket.recv(length, socket.MSG_WAITALL) if length else b""
        if len(data) == length:
            return data
        parts = [data]
        missing = length - len(data)
        while missing:
            more = self._socket.recv(missing) if parts[-1] else b""
            if not more:
                raise Gone
            parts.append(more)
            missing -= len(more)
        return b"".join(parts)


def _named(data: bytes) -> bytes | None:
    """The export's name at the head of an option; None where the lengths disagree."""
    if len(data) < 4:
        return None
    (length,) = struct.unpack_from(">I", data)
    return data[4 : 4 + length] if len(data) >= 4 + length else None


def _queries(data: bytes) -> list[bytes] | None:
    """The meta context queries; None where the lengths disagree."""
    if len(data) < 4:
        return None
    (count,) = struct.unpack_from(">I", data)
    found: list[bytes] = []
    at = 4
    while at < len(data) and len(found) < count:
        query = _named(data[at:])
        if query is None:
            return None
        found.append(query)
        at += 4 + len(query)
    return found if at == len(data) and len(found) == count else None
