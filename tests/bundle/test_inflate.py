"""Inflation gives what gzip gives, for every way to write gzip, and refuses what gzip refuses."""

import gzip
import os
import random
import re
import struct
import subprocess
import time
import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amiable.bundle import inflate as inflation
from amiable.bundle.inflate import JOINS_MAX, MARK, PIECE_BYTES, SEGMENT_BYTES_MAX, inflate
from amiable.model.errors import BundleRefusal
from amiable.model.units import KIB, MIB

HEADER = bytes.fromhex("1f8b08000000000000ff")


def pieces_of(stream: bytes, size: int = MIB) -> Iterator[bytes]:
    return (stream[at : at + size] for at in range(0, len(stream), size))


def plain(stream: bytes, size: int = MIB) -> bytes:
    pieces = list(inflate(pieces_of(stream, size)))
    assert all(0 < len(piece) <= PIECE_BYTES for piece in pieces)
    return b"".join(pieces)


def text(size: int, seed: int = 1) -> bytes:
    """Compressible bytes that refer far back."""
    chance = random.Random(seed)
    words = [chance.randbytes(chance.randrange(3, 40)) for _ in range(500)]
    out = bytearray()
    while len(out) < size:
        out += chance.choice(words)
    return bytes(out[:size])


def chunked(data: bytes, chunk: int, level: int = 6) -> bytes:
    """One member of chunks deflated on their own."""
    out = bytearray(HEADER)
    for at in range(0, len(data), chunk):
        deflater = zlib.compressobj(level, zlib.DEFLATED, -15)
        out += deflater.compress(data[at : at + chunk]) + deflater.flush(zlib.Z_FULL_FLUSH)
    return bytes(out) + b"\x03\0" + struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)


def alone_bytes(stream: bytes) -> int:
    """How much of ``stream`` is inflated on all cores."""
    source = inflation._Source(pieces_of(stream))
    inflation._read_header(source)
    return sum(len(piece) for pieces, _ in inflation._alone(source) for piece in pieces)


@pytest.mark.parametrize("chunk", [3000, 64 * KIB, MIB, 3 * MIB])
def test_chunks_that_stand_alone_are_inflated_alone(chunk: int) -> None:
    data = text(5 * MIB + 77)
    stream = chunked(data, chunk)
    assert alone_bytes(stream) >= len(data) - len(data) % chunk
    for size in (1000, 77_777, len(stream)):
        assert plain(stream, size) == data


def test_marks_are_found_wherever_the_stream_is_cut_into_pieces() -> None:
    data = text(40 * KIB)
    stream = chunked(data, 3000)
    for size in range(511, 540):
        source = inflation._Source(pieces_of(stream, size))
        inflation._read_header(source)
        assert b"".join(piece for pieces, _ in inflation._alone(source) for piece in pieces) == data


def test_chunks_whose_sizes_are_known_are_not_searched_for(monkeypatch: pytest.MonkeyPatch) -> None:
    data = text(200 * KIB)
    stream = chunked(data, 9000)
    ends = [found.end() for found in re.finditer(re.escape(inflation.MARK), stream)]
    sizes = [end - start for start, end in pairwise([len(HEADER), *ends])]
    with monkeypatch.context() as patch:
        patch.setattr(inflation._Source, "_search_segment", lambda _: None)
        for size in (700, 5000, len(stream)):
            assert b"".join(inflate(pieces_of(stream, size), sizes)) == data
            source = inflation._Source(pieces_of(stream, size), sizes)
            inflation._read_header(source)
            assert sum(len(piece) for pieces, _ in inflation._alone(source) for piece in pieces) == len(data)
    lies = [[1], [0, 7], [1 << 40], [sizes[0] + 1], [sum(sizes)], [*sizes[:3], 600], [*sizes, 10], sizes[1:]]
    for lie in lies:
        for size in (700, len(stream)):
            assert b"".join(inflate(pieces_of(stream, size), lie)) == data


@pytest.mark.parametrize("command", [["gzip", "-6"], ["gzip", "-1"], ["pigz", "-6"], ["pigz", "-i"], ["pigz", "-0"]])
def test_what_the_common_programs_write_is_read(command: list[str]) -> None:
    data = text(3 * MIB) + os.urandom(MIB) + bytes(9 * MIB) + text(MIB, 2)
    stream = subprocess.run([*command, "-c"], input=data, capture_output=True, check=True).stdout
    assert plain(stream) == data


def test_chunks_that_refer_back_are_inflated_in_order_with_what_they_refer_to() -> None:
    data = text(2 * MIB)
    deflater = zlib.compressobj(6, zlib.DEFLATED, -15)
    out = bytearray(HEADER)
    for at in range(0, len(data), 100_000):
        out += deflater.compress(data[at : at + 100_000]) + deflater.flush(zlib.Z_SYNC_FLUSH)
    stream = bytes(out) + deflater.flush() + struct.pack("<II", zlib.crc32(data), len(data))
    assert alone_bytes(stream) == 100_000
    assert plain(stream) == data


def test_a_mark_that_is_data_joins_its_neighbours() -> None:
    """Stored blocks hold the marks as they stand."""
    noise = os.urandom(700)
    data = b"".join(noise + MARK + os.urandom(600) for _ in range(30))
    tail = text(MIB)
    stream = chunked(data + tail, len(data), level=0)
    assert stream.count(MARK) > 30
    assert alone_bytes(stream) >= len(data)
    assert plain(stream) == data + tail


def test_more_marks_in_data_than_are_joined_end_the_guessing_only() -> None:
    data = b"".join(os.urandom(600) + MARK for _ in range(JOINS_MAX + 1))
    stream = chunked(data + text(MIB), len(data), level=0)
    assert alone_bytes(stream) == 0
    assert plain(stream) == data + text(MIB)


@settings(max_examples=30, deadline=None)
@given(
    parts=st.lists(
        st.tuples(
            st.sampled_from(["noise", "zeros", "text", "marks"]), st.integers(0, 300_000), st.sampled_from([0, 1, 6, 9])
        ),
        max_size=6,
    ),
    flushes=st.lists(st.sampled_from([zlib.Z_FULL_FLUSH, zlib.Z_SYNC_FLUSH, zlib.Z_NO_FLUSH]), min_size=6, max_size=6),
    members=st.integers(1, 3),
    size=st.sampled_from([1, 997, MIB]),
)
def test_every_stream_comes_out_as_it_went_in(
    parts: list[tuple[str, int, int]], flushes: list[int], members: int, size: int
) -> None:
    makers: dict[str, Callable[[int], bytes]] = {
        "noise": os.urandom,
        "zeros": bytes,
        "text": text,
        "marks": lambda length: MARK * (length // 4),
    }
    data, out = b"", b""
    for _ in range(members):
        deflater = zlib.compressobj(parts[0][2] if parts else 6, zlib.DEFLATED, 31)
        for (kind, length, _), flush in zip(parts, flushes, strict=False):
            piece = makers[kind](length if size > 1 else length % 5000)
            data += piece
            out += deflater.compress(piece) + (deflater.flush(flush) if flush != zlib.Z_NO_FLUSH else b"")
        out += deflater.flush()
    assert plain(out, size) == data


def test_a_header_with_everything_in_it_is_read() -> None:
    body = zlib.compressobj(6, zlib.DEFLATED, -15)
    deflated = body.compress(b"data") + body.flush()
    end = struct.pack("<II", zlib.crc32(b"data"), 4)
    header = bytes.fromhex("1f8b081e00000000ff03") + b"\x05\0extra" + b"name\0" + b"comment\0"
    check = struct.pack("<H", zlib.crc32(header) & 0xFFFF)
    assert plain(header + check + deflated + end) == b"data"
    for size in (1, 3):
        assert plain(header + check + deflated + end, size) == b"data"
    bad = bytes([check[0] ^ 1]) + check[1:]
    with pytest.raises(BundleRefusal, match="header's checksum"):
        plain(header + bad + deflated + end)


@pytest.mark.parametrize("count", [1, 2, 3, 50])
def test_gzip_in_many_members_is_read_whole(count: int) -> None:
    data = os.urandom(100_000)
    cut = len(data) // count + 1
    stream = b"".join(gzip.compress(data[at : at + cut]) for at in range(0, len(data), cut))
    for size in (1, 7, 1000, len(stream)):
        assert plain(stream, size) == data
    for bad in (stream + b"\0", stream + b"\x1f", stream + b"\x1f\x8b", stream[:-1], stream[:-9], b""):
        with pytest.raises(BundleRefusal) as refused:
            list(inflate(iter([bad])))
        assert refused.value.stage == "gzip"


@pytest.mark.parametrize("chunk", [50_000, 10 * MIB])
def test_a_damaged_stream_is_refused_wherever_it_is_damaged(chunk: int) -> None:
    data = text(400_000)
    stream = chunked(data, chunk)
    chance = random.Random(5)
    for place in [10, len(stream) - 1, len(stream) - 8, *(chance.randrange(10, len(stream)) for _ in range(60))]:
        damaged = bytearray(stream)
        damaged[place] ^= 1 << chance.randrange(8)
        with pytest.raises(BundleRefusal) as refused:
            plain(bytes(damaged))
        assert refused.value.stage == "gzip"
    for end in (0, 1, 9, 10, 11, len(stream) // 2, len(stream) - 8, len(stream) - 1):
        with pytest.raises(BundleRefusal):
            plain(stream[:end])


def test_a_bomb_is_handed_over_in_small_pieces_and_no_faster_than_it_is_taken() -> None:
    """128 MiB of zeros in one block; only what is asked for is made."""
    big = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(big.compress(bytes(16 * MIB)) for _ in range(8)) + big.flush()
    flow = inflate(iter([bomb]))
    for _ in range(3):
        assert len(next(flow)) <= PIECE_BYTES
    flow.close()


def test_marks_and_members_without_number_cost_what_their_length_allows() -> None:
    """Neither guesses nor searches may be repeated for every few bytes."""
    marks = HEADER + b"\0\0\0\xff\xff" * 200_000 + b"\x03\0" + bytes(8)
    members = gzip.compress(b"x", mtime=0) * 150_000
    joins = HEADER + (b"\0\x57\2\xa8\xfd" + bytes(595) + MARK) * 20_000 + b"\x03\0" + bytes(8)
    for stream, size in ((marks, 0), (members, 150_000), (joins, None)):
        start = time.process_time()
        if size is None:
            with pytest.raises(BundleRefusal, match="CRC-32"):
                plain(stream)
        else:
            assert len(plain(stream, len(stream))) == size
        assert time.process_time() - start < 20


def test_a_stream_that_ends_is_not_waited_for() -> None:
    far = chunked(os.urandom(SEGMENT_BYTES_MAX + MIB), 4 * MIB)
    assert len(plain(far)) == SEGMENT_BYTES_MAX + MIB
