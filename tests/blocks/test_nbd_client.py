"""The NBD client before the servers that it is for, our own and qemu-nbd, and before a server that lies."""

import socket
import struct
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amiable.blocks import nbd, nbd_client
from amiable.blocks.nbd_client import NbdClient, NbdFailed

MIB = 1 << 20
SIZE = 8 * MIB + 512
SECONDS_MAX = 30


def talking(serve: Callable[[socket.socket], None], use: Callable[[socket.socket], None]) -> None:
    """``serve`` at one end of a connection in a thread, ``use`` at the other."""
    ours, theirs = socket.socketpair()

    def run() -> None:
        with theirs:
            serve(theirs)

    thread = threading.Thread(target=run)
    thread.start()
    with ours:
        ours.settimeout(SECONDS_MAX)
        try:
            use(ours)
        finally:
            ours.shutdown(socket.SHUT_RDWR)
            thread.join(SECONDS_MAX)
    assert not thread.is_alive()


@settings(deadline=None, max_examples=20)
@given(
    runs=st.lists(st.tuples(st.integers(1, 64), st.booleans()), min_size=1, max_size=12),
    reads=st.lists(st.tuples(st.integers(0, SIZE - 1), st.integers(1, MIB)), min_size=1, max_size=5),
)
def test_what_our_server_holds_is_read_and_its_holes_are_known(
    runs: list[tuple[int, bool]], reads: list[tuple[int, int]]
) -> None:
    disk = bytearray(SIZE)
    wanted: list[tuple[int, int]] = []
    at = 0
    for length, is_data in runs:
        length = min(length * 64 * 1024, SIZE - at)
        if is_data and length:
            disk[at : at + length] = bytes([at % 250 + 1]) * length
            wanted.append((at, length))
        at += length

    def extents(offset: int, length: int, _: int) -> list[nbd.Extent]:
        for start, size in wanted:
            if start <= offset < start + size:
                return [nbd.Extent(min(length, start + size - offset), True)]
        ahead = [start for start, _ in wanted if start > offset]
        return [nbd.Extent(min([length, *(start - offset for start in ahead)]), False)]

    export = nbd.Export("disk", SIZE, lambda offset, length: bytes(disk[offset : offset + length]), extents)

    def use(connection: socket.socket) -> None:
        client = NbdClient(connection, "disk")
        assert client.size_bytes == SIZE
        for offset, length in reads:
            view = bytearray(min(length, SIZE - offset))
            client.read_into(memoryview(view), offset)
            assert view == disk[offset : offset + len(view)]
        found = list(client.statuses())
        assert sum(each.length_bytes for each in found) == SIZE
        assert sum(each.length_bytes for each in found if not each.is_zero) == sum(length for _, length in wanted)

    talking(lambda connection: nbd.serve(connection, export), use)


def test_a_disk_that_qemu_nbd_serves_is_read(tmp_path: Path) -> None:
    image = tmp_path / "disk.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(image), "64M"], check=True, timeout=60)
    words = ["qemu-io", "-f", "qcow2", "-c", "write -P 7 1M 1M", str(image)]
    subprocess.run(words, check=True, capture_output=True, timeout=60)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        first = listener.fileno()
        code = (
            "import os,sys; os.dup2(int(sys.argv[1]), 3); os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()));"
            "os.execvp('qemu-nbd', ['qemu-nbd', '-r', '-f', 'qcow2', sys.argv[2]])"
        )
        server = subprocess.Popen(["python3", "-c", code, str(first), str(image)], pass_fds=[first])
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(SECONDS_MAX)
            connection.connect(str(tmp_path / "s"))
            client = NbdClient(connection)
            view = bytearray(3 * MIB)
            client.read_into(memoryview(view), 0)
            assert view == bytes(MIB) + bytes([7]) * MIB + bytes(MIB)
            data = [(each.offset, each.length_bytes) for each in client.statuses() if not each.is_zero]
            assert data == [(MIB, MIB)]
            with pytest.raises(NbdFailed, match="cannot be read at"):
                client.read_into(memoryview(view), 63 * MIB)
        assert server.wait(SECONDS_MAX) == 0
    finally:
        server.kill()
        server.wait(SECONDS_MAX)


def liar(after_handshake: bytes) -> Callable[[socket.socket], None]:
    """A server that shakes hands as it should, answers the first request with these bytes, and closes."""

    def serve(connection: socket.socket) -> None:
        def exact(length: int) -> bytes:
            return connection.recv(length, socket.MSG_WAITALL)

        def reply(option: int, kind: int, body: bytes = b"") -> None:
            connection.sendall(struct.pack(">QIII", nbd.OPTION_REPLY_MAGIC, option, kind, len(body)) + body)

        connection.sendall(b"NBDMAGIC" + struct.pack(">QH", nbd.OPTION_MAGIC, 3))
        exact(4)
        for _ in range(3):
            _, option, length = struct.unpack(">QII", exact(16))
            if length:
                exact(length)
            if option == nbd.SET_META_CONTEXT:
                reply(option, nbd.META_CONTEXT, struct.pack(">I", 1) + nbd.CONTEXT)
            if option == nbd.GO:
                reply(option, nbd.INFO_REPLY, struct.pack(">HQH", nbd.INFO_EXPORT, SIZE, 3))
            reply(option, nbd.ACK)
        exact(28)
        connection.sendall(after_handshake)

    return serve


def chunk(kind: int, body: bytes, *, length: int | None = None, handle: int = 1, flags: int = nbd.DONE) -> bytes:
    size = len(body) if length is None else length
    return struct.pack(">IHHQI", nbd.STRUCTURED_MAGIC, flags, kind, handle, size) + body


LIES = {
    "nothing": b"",
    "another magic": b"x" * 20,
    "another's answer": chunk(nbd.OFFSET_DATA, struct.pack(">Q", 4096) + bytes(4096), handle=9),
    "an offset before what was asked": chunk(nbd.OFFSET_DATA, struct.pack(">Q", 0) + bytes(4096)),
    "more than was asked": chunk(nbd.OFFSET_DATA, struct.pack(">Q", 4096) + bytes(4097)),
    "less than was asked": chunk(nbd.OFFSET_DATA, struct.pack(">Q", 4096) + bytes(4095)),
    "the same twice": chunk(nbd.OFFSET_DATA, struct.pack(">Q", 4096) + bytes(4096), flags=0)
    + chunk(nbd.OFFSET_DATA, struct.pack(">Q", 4096) + bytes(4096)),
    "a chunk too short for its offset": chunk(nbd.OFFSET_DATA, b"1234"),
    "an endless hole": chunk(nbd.OFFSET_HOLE, struct.pack(">QI", 4096, 0xFFFFFFFF)),
    "an endless error": chunk(nbd.ERROR_CHUNK, b"", length=0xFFFFFFFF),
    "an error": chunk(nbd.ERROR_CHUNK, struct.pack(">IH", 5, 4) + b"\x1b[2J"),
    "block status": chunk(nbd.STATUS_CHUNK, struct.pack(">III", 1, 4096, 0)),
    "only empty chunks": chunk(nbd.NONE, b""),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=list(LIES))
def test_a_server_that_lies_about_a_read_is_not_believed(lie: bytes) -> None:
    def use(connection: socket.socket) -> None:
        client = NbdClient(connection)
        with pytest.raises(NbdFailed) as failed:
            client.read_into(memoryview(bytearray(4096)), 4096)
        assert str(failed.value).isprintable()

    talking(liar(lie), use)


STATUS_LIES = {
    "runs without length": chunk(nbd.STATUS_CHUNK, struct.pack(">III", 1, 0, 0)),
    "runs of a byte": chunk(
        nbd.STATUS_CHUNK, struct.pack(">I", 1) + struct.pack(">II", 1, 3) * (SIZE // nbd_client.RUN_BYTES_MIN + 2)
    ),
    "no runs": chunk(nbd.STATUS_CHUNK, struct.pack(">I", 1)),
    "half a run": chunk(nbd.STATUS_CHUNK, struct.pack(">IIH", 1, 4096, 0)),
    "another context": chunk(nbd.STATUS_CHUNK, struct.pack(">III", 2, 4096, 0)),
    "data": chunk(nbd.OFFSET_DATA, struct.pack(">Q", 0) + bytes(16)),
}


@pytest.mark.parametrize("lie", STATUS_LIES.values(), ids=list(STATUS_LIES))
def test_a_server_that_lies_about_its_holes_is_not_believed(lie: bytes) -> None:
    def use(connection: socket.socket) -> None:
        with pytest.raises(NbdFailed):
            list(NbdClient(connection).statuses())

    talking(liar(lie), use)


def test_runs_beyond_the_end_are_cut() -> None:
    lie = chunk(nbd.STATUS_CHUNK, struct.pack(">IIIII", 1, 4096, 3, 0xFFFFFFFF, 1))

    def use(connection: socket.socket) -> None:
        found = list(NbdClient(connection).statuses())
        assert [(each.offset, each.length_bytes, each.is_zero, each.is_hole) for each in found] == [
            (0, 4096, True, True),
            (4096, SIZE - 4096, False, True),
        ]

    talking(liar(lie), use)


@pytest.mark.parametrize("greeting", [b"", b"HTTP/1.1 200 OK\r\n\r\n", b"NBDMAGIC" + bytes(10)])
def test_what_is_no_nbd_server_is_refused(greeting: bytes) -> None:
    def use(connection: socket.socket) -> None:
        with pytest.raises(NbdFailed):
            NbdClient(connection)

    talking(lambda connection: connection.sendall(greeting), use)


def test_a_server_without_the_export_says_so() -> None:
    export = nbd.Export("disk", SIZE, lambda _, length: bytes(length), lambda _, length, __: [nbd.Extent(length, True)])

    def use(connection: socket.socket) -> None:
        with pytest.raises(NbdFailed, match="no such export"):
            NbdClient(connection, "another")

    talking(lambda connection: nbd.serve(connection, export), use)


def test_a_server_that_says_nothing_is_not_waited_for_without_end() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(0.05)
        with pytest.raises(NbdFailed, match="does not answer in time"):
            NbdClient(ours)


assert nbd_client.READ_BYTES_MAX <= nbd.READ_BYTES_MAX
