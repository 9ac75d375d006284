"""The NBD server before the clients that it is for: libnbd's and QEMU's tools, and a client that lies."""

import json
import random
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amiable.blocks import nbd
from amiable.blocks.cache import VolumeBlocks
from amiable.blocks.store import BlockStore
from amiable.model.block_map import ZERO_BLOCK
from amiable.model.units import BLOCK_BYTES, GIB

SECONDS_MAX = 120
SIZE = 1 * GIB + 4096


@contextmanager
def listening(path: Path, export: nbd.Export) -> Iterator[str]:
    """Serves the export on a UNIX socket; gives its NBD URI."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    threads: list[threading.Thread] = []

    def serve(connection: socket.socket) -> None:
        with connection:
            nbd.serve(connection, export)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=serve, args=(connection,)))
            threads[-1].start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield f"nbd+unix:///{export.name}?socket={path}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in [acceptor, *threads]:
            thread.join(SECONDS_MAX)
            assert not thread.is_alive()


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A sparse disk image of just over 1 GiB with data in odd places."""
    path = tmp_path / "raw.img"
    chance = random.Random(7)
    with path.open("wb") as file:
        file.truncate(SIZE)
        for index in (0, 1, 5, 1000, 1001, 2046, 2047):
            file.seek(index * BLOCK_BYTES)
            file.write(chance.randbytes(BLOCK_BYTES) if index % 2 else b"text " * 1000)
    return path


@pytest.fixture
def uri(raw: Path, store: BlockStore, new_snapshot: Callable[..., str], tmp_path: Path) -> Iterator[str]:
    """The image through the store, an export's map and the cache, served."""
    snapshot = new_snapshot("snap-1", size_gib=1)
    with raw.open("rb") as file:
        for index in range(2048):
            plain = file.read(BLOCK_BYTES)
            if plain != ZERO_BLOCK or index == 1500:
                store.write(snapshot, [(index, plain)])
    store.complete(snapshot)
    store.export_map(snapshot, tmp_path / "vol-1.map")
    blocks = VolumeBlocks(tmp_path / "vol-1.map", tmp_path / "packs", tmp_path / "vol-1.cache", SIZE, slots=3)
    with listening(tmp_path / "s", nbd.Export("vol-1", SIZE, blocks.read, blocks.extents)) as address:
        yield address
    blocks.close()


def run(*command: str) -> str:
    """What a tool prints; it must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_nbdinfo_finds_a_read_only_export_with_its_allocation(uri: str) -> None:
    (export,) = json.loads(run("nbdinfo", "--json", "--list", uri))["exports"]
    assert (export["export-name"], export["export-size"], export["is_read_only"]) == ("vol-1", SIZE, True)
    assert (export["contexts"], export["can_multi_conn"]) == (["base:allocation"], True)
    extents = json.loads(run("nbdinfo", "--json", "--map", uri))
    data = [(e["offset"] // BLOCK_BYTES, e["length"] // BLOCK_BYTES) for e in extents if e["type"] == 0]
    assert data == [(0, 2), (5, 1), (1000, 2), (2046, 2)]
    assert all(extent["type"] == 3 for extent in extents if extent["offset"] // BLOCK_BYTES not in (0, 5, 1000, 2046))
    assert sum(extent["length"] for extent in extents) == SIZE


def test_nbdcopy_copies_every_byte(uri: str, raw: Path, tmp_path: Path) -> None:
    run("nbdcopy", "--connections=4", uri, str(tmp_path / "copy.img"))
    run("cmp", str(raw), str(tmp_path / "copy.img"))
    assert (tmp_path / "copy.img").stat().st_blocks * 512 < 16 * BLOCK_BYTES


def test_qemu_compares_it_equal_and_may_not_write(uri: str, raw: Path) -> None:
    assert "identical" in run("qemu-img", "compare", "-f", "raw", "-F", "raw", str(raw), uri)
    with raw.open("r+b") as file:
        file.seek(1001 * BLOCK_BYTES + 77)
        file.write(b"!")
    done = subprocess.run(
        ["qemu-img", "compare", "-f", "raw", "-F", "raw", str(raw), uri],
        capture_output=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 1 and b"offset %d!" % (1001 * BLOCK_BYTES) in done.stdout
    written = subprocess.run(
        ["qemu-io", "-f", "raw", "-c", "write 0 512", uri],
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert written.returncode == 1 and "Permission denied" in written.stderr


def test_qemu_io_reads_across_blocks_and_up_to_the_end(uri: str, raw: Path) -> None:
    with raw.open("rb") as file:
        file.seek(5 * BLOCK_BYTES - 3)
        expected = file.read(4)
    assert len(set(expected)) > 1
    command = [f"read -P 0 {SIZE - 4096} 4096", f"read -v {5 * BLOCK_BYTES} 4"]
    said = run("qemu-io", "-r", "-f", "raw", *[word for one in command for word in ("-c", one)], uri)
    assert "Pattern verification failed" not in said and "4096/4096 bytes" in said
    with raw.open("rb") as file:
        file.seek(5 * BLOCK_BYTES)
        assert file.read(4).hex(" ") in said


# ── a client that lies ──────────────────────────────────────────────────────────────────────────────────────────────────


def pattern(offset: int, length: int) -> bytes:
    """A disk whose bytes tell where they lie."""
    return bytes((offset + at) * 7 % 251 for at in range(length))


SMALL = nbd.Export("x", 100_000, pattern, lambda offset, length, count: [nbd.Extent(length, True)])


@contextmanager
def talking() -> Iterator[socket.socket]:
    """A client end of a connection; the server's end must end when the client leaves."""
    client, server = socket.socketpair()
    client.settimeout(SECONDS_MAX)

    def serve() -> None:
        with server:
            nbd.serve(server, SMALL)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        assert client.recv(18, socket.MSG_WAITALL)[:16] == b"NBDMAGICIHAVEOPT"
        client.sendall(struct.pack(">I", 3))
        yield client
    finally:
        client.close()
        thread.join(SECONDS_MAX)
        assert not thread.is_alive()


def ask(client: socket.socket, option: int, data: bytes = b"") -> list[tuple[int, bytes]]:
    """Replies to one option, to the last."""
    client.sendall(b"IHAVEOPT" + struct.pack(">II", option, len(data)) + data)
    replies: list[tuple[int, bytes]] = []
    while not replies or replies[-1][0] in (nbd.SERVER, nbd.INFO_REPLY, nbd.META_CONTEXT):
        magic, of, kind, length = struct.unpack(">QIII", client.recv(20, socket.MSG_WAITALL))
        assert (magic, of) == (nbd.OPTION_REPLY_MAGIC, option)
        replies.append((kind, client.recv(length, socket.MSG_WAITALL) if length else b""))
    return replies


def request(client: socket.socket, command: int, offset: int, length: int, body: bytes = b"") -> int:
    """The error of one request that is refused, by simple replies."""
    client.sendall(struct.pack(">IHHQQI", nbd.REQUEST_MAGIC, 0, command, 9, offset, length) + body)
    magic, error, handle = struct.unpack(">IIQ", client.recv(16, socket.MSG_WAITALL))
    assert (magic, handle) == (nbd.SIMPLE_MAGIC, 9)
    return int(error)


NAME = struct.pack(">I", 1) + b"x"


def test_options_with_lengths_that_lie_are_refused_and_the_handshake_goes_on() -> None:
    with talking() as client:
        for option, data in [
            (nbd.GO, b""),
            (nbd.GO, struct.pack(">I", 1 << 31) + b"x"),
            (nbd.GO, NAME + struct.pack(">H", 5)),
            (nbd.LIST, b"x"),
            (nbd.STRUCTURED_REPLY, b"x"),
            (nbd.SET_META_CONTEXT, NAME + struct.pack(">I", 1)),
        ]:
            assert ask(client, option, data)[-1][0] == nbd.INVALID
        assert ask(client, 5)[-1][0] == nbd.UNSUPPORTED
        assert ask(client, nbd.GO, struct.pack(">I", 1) + b"y" + bytes(2))[-1][0] == nbd.UNKNOWN
        assert ask(client, nbd.STRUCTURED_REPLY)[-1][0] == nbd.ACK
        assert ask(client, nbd.SET_META_CONTEXT, NAME + struct.pack(">I", 1 << 30))[-1][0] == nbd.INVALID
        assert [kind for kind, _ in ask(client, nbd.LIST_META_CONTEXT, NAME + struct.pack(">I", 0))] == [
            nbd.META_CONTEXT,
            nbd.ACK,
        ]
        assert [kind for kind, _ in ask(client, nbd.GO, NAME + bytes(2))] == [nbd.INFO_REPLY, nbd.INFO_REPLY, nbd.ACK]


def test_an_option_that_is_too_long_or_endless_ends_the_connection() -> None:
    with talking() as client:
        client.sendall(b"IHAVEOPT" + struct.pack(">II", nbd.GO, 1 << 20))
        assert client.recv(1) == b""
    with talking() as client:
        for _ in range(nbd.OPTIONS_MAX):
            ask(client, nbd.LIST)
        assert client.recv(1) == b""


def test_every_way_to_write_is_refused_and_reading_goes_on() -> None:
    with talking() as client:
        ask(client, nbd.GO, NAME + bytes(2))
        assert request(client, nbd.WRITE, 0, 3000, bytes(3000)) == nbd.EPERM
        assert request(client, nbd.TRIM, 0, 3000) == nbd.EPERM
        assert request(client, nbd.WRITE_ZEROES, 0, 3000) == nbd.EPERM
        assert request(client, nbd.FLUSH, 0, 0) == nbd.EINVAL
        assert request(client, nbd.BLOCK_STATUS, 0, 3000) == nbd.EINVAL  # no meta context was set
        assert request(client, nbd.READ, 99_999, 2) == nbd.EINVAL
        assert request(client, nbd.READ, (1 << 64) - 1, 2) == nbd.EINVAL
        assert request(client, nbd.READ, 0, 0) == nbd.EINVAL
        assert request(client, nbd.READ, 0, (32 << 20) + 1) == nbd.EOVERFLOW
        assert request(client, nbd.READ, 99_990, 10) == 0
        assert client.recv(10, socket.MSG_WAITALL) == pattern(99_990, 10)
        client.sendall(struct.pack(">IHHQQI", nbd.REQUEST_MAGIC, 0, nbd.WRITE, 9, 0, (1 << 32) - 1))
        assert client.recv(1) == b""


def test_the_oldest_way_in_works_for_the_right_name_only() -> None:
    for name, length in ((b"x", 10), (b"y", 0)):
        with talking() as client:
            client.sendall(b"IHAVEOPT" + struct.pack(">II", nbd.EXPORT_NAME, 1) + name)
            assert len(client.recv(10, socket.MSG_WAITALL)) == length


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=80), max_size=12))
def test_noise_never_hangs_the_server(chunks: list[bytes]) -> None:
    client, server = socket.socketpair()
    thread = threading.Thread(target=nbd.serve, args=(server, SMALL))
    thread.start()
    for chunk in chunks:
        try:
            client.sendall(chunk)
        except OSError:
            break
    client.close()
    thread.join(SECONDS_MAX)
    server.close()
    assert not thread.is_alive()
