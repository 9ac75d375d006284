"""The tar stream: what GNU tar makes of ours, what we make of any, and what is refused."""

import io
import random
import tarfile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amiable.bundle import sparse_tar
from amiable.bundle.sparse_tar import BLOCK, RECORD, header, read_extents, read_member, stored_bytes, trailer
from amiable.model.errors import BundleRefusal


class Bytes:
    """A stream that comes in pieces of unforeseen sizes."""

    def __init__(self, data: bytes, seed: int = 0) -> None:
        self.file = io.BytesIO(data)
        self.random = random.Random(seed)

    def read_some(self, size: int) -> bytes:
        return self.file.read(self.random.randint(1, size))

    def read_exactly(self, size: int) -> bytes:
        data = self.file.read(size)
        if len(data) < size:
            raise BundleRefusal("tar", "cut short")
        return data


def archive(name: str, image: bytes, extents: list[tuple[int, int]]) -> bytes:
    head = header(name, len(image), extents)
    data = b"".join(image[offset : offset + length] for offset, length in extents)
    return head + data + trailer(len(head), len(data))


def read_back(stream: bytes, size: int, seed: int = 0) -> bytes:
    source, image = Bytes(stream, seed), bytearray(size)
    for offset, piece in read_extents(source, read_member(source, size), 1000):
        image[offset : offset + len(piece)] = piece
    return bytes(image)


@st.composite
def layouts(draw: st.DrawFn) -> tuple[bytes, list[tuple[int, int]]]:
    """An image and extents that cover its data: blocks of 512 but for the last."""
    runs = draw(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5)), max_size=60))
    tail = draw(st.integers(0, 700))
    at, image = 0, b""
    extents: list[tuple[int, int]] = []
    for hole, blocks in runs:
        if hole or not extents:
            extents.append((at + hole * BLOCK, blocks * BLOCK))
        else:
            extents[-1] = (extents[-1][0], extents[-1][1] + blocks * BLOCK)
        image += bytes(hole * BLOCK) + b"\xa5" * (blocks * BLOCK)
        at = len(image)
    if draw(st.booleans()) and extents and tail % BLOCK:
        extents[-1] = (extents[-1][0], extents[-1][1] + tail)
        image += b"\x5a" * tail
    else:
        image += bytes(tail or 1)
    return image, extents


@settings(deadline=None)
@given(layouts(), st.integers(0, 1000))
def test_every_layout_comes_back(layout: tuple[bytes, list[tuple[int, int]]], seed: int) -> None:
    image, extents = layout
    stream = archive("disk.img", image, extents)
    assert len(stream) % RECORD == 0
    assert read_back(stream, len(image), seed) == image


@settings(deadline=None)
@given(layouts())
def test_pythons_tarfile_reads_every_layout(layout: tuple[bytes, list[tuple[int, int]]]) -> None:
    image, extents = layout
    with tarfile.open(fileobj=io.BytesIO(archive("disk.img", image, extents))) as tar:
        (member,) = tar.getmembers()
        extracted = tar.extractfile(member)
        assert extracted is not None
        assert extracted.read() == image
        assert (member.mode, member.uid, member.gid, member.mtime, member.uname) == (0o644, 0, 0, 0, "")


@pytest.mark.parametrize("size", [8 << 30, (8 << 30) - 1, 9 << 30, 1 << 43])
def test_sizes_from_8_gib_on_are_base_256(size: int) -> None:
    extents = [(size - 4096, 4096)]
    head = header("x" * 100, size, extents)
    assert (head[483] == 0x80) == (size >= 8 << 30)
    member = read_member(Bytes(head), size)
    assert (member.name, list(member.offsets), list(member.lengths)) == ("x" * 100, [size - 4096], [4096])
    plain = read_member(Bytes(header("x", size, [(0, size)])), size)
    assert (list(plain.offsets), list(plain.lengths)) == ([0], [size])


def test_a_file_that_is_all_hole_is_one_empty_extent() -> None:
    head = header("hole", 1 << 20, [])
    assert len(head) == BLOCK
    assert tarfile.TarInfo.frombuf(head, "ascii", "strict").type == b"S"
    assert read_back(head + trailer(len(head), 0), 1 << 20) == bytes(1 << 20)


IMAGE = b"\1" * 1024 + bytes(1024) + b"\2" * 512
EXTENTS = [(0, 1024), (2048, 512)]
ARCHIVE = archive("disk.img", IMAGE, EXTENTS)


def resealed(stream: bytes, at: int, new: bytes) -> bytes:
    """``stream`` with ``new`` at ``at`` in its first header, the checksum made right again."""
    block = bytearray(stream[:BLOCK])
    block[at : at + len(new)] = new
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + stream[BLOCK:]


@pytest.mark.parametrize(
    ("at", "new", "why"),
    [
        (156, b"1", "type '1'"),
        (156, b"x", "type 'x'"),
        (0, b"/disk.img", "not a plain file name"),
        (0, b"..\0", "not a plain file name"),
        (0, b"\0", "not a plain file name"),
        (386, b"00000000001\x0000000000000\0", "overlaps|stores"),
        (410, b"00000001777\0", "header says|multiple of 512|overlaps"),
        (398, b"00000001777\0", "not the last is no multiple of 512"),
        (398, b"77777777777\0", "lies beyond"),
        (398, b"\x80" + b"\xff" * 11, "lies beyond"),
        (386, b"-0000000001\0", "offset in a header is not a number"),
        (124, b"00000000000\0", "header says 0"),
        (124, b"\xff" * 12, "size in a header is not a number"),
        (483, b"00000006000\0", "the manifest declares 2560"),
    ],
)
def test_a_hostile_header_is_refused(at: int, new: bytes, why: str) -> None:
    with pytest.raises(BundleRefusal, match=why) as refused:
        read_back(resealed(ARCHIVE, at, new), len(IMAGE))
    assert refused.value.stage == "tar"


@settings(deadline=None)
@given(st.integers(0, BLOCK - 1), st.binary(min_size=1, max_size=40), st.booleans())
def test_any_header_is_read_or_refused_and_nothing_else(at: int, new: bytes, plain: bool) -> None:
    stream = archive("disk.img", IMAGE, [(0, len(IMAGE))] if plain else EXTENTS)
    try:
        read_back(resealed(stream, at, new[: BLOCK - at]), len(IMAGE))
    except BundleRefusal as refusal:
        assert refusal.stage == "tar"


@pytest.mark.parametrize("extended", [(BLOCK + 504, 2 * BLOCK), (482, BLOCK)])
def test_a_sparse_map_that_goes_on_without_extents_is_refused(extended: tuple[int, int]) -> None:
    """Packed a thousandfold, blocks without extents would cost time that no declared size bounds."""
    at, end = extended
    image = (b"\1" * BLOCK + bytes(BLOCK)) * (5 if at > BLOCK else 3)
    stream = bytearray(archive("disk.img", image, [(start, BLOCK) for start in range(0, len(image), 2 * BLOCK)]))
    stream[at] = 1
    going_on = (bytes(504) + b"\1" + bytes(7)) * 100
    whole = resealed(bytes(stream[:end]) + going_on + bytes(stream[end:]), 0, b"disk.img")
    with pytest.raises(BundleRefusal, match="map goes on behind its end"):
        read_back(whole, len(image))


def test_a_plain_member_of_a_size_beyond_64_bits_is_refused() -> None:
    stream = archive("disk.img", IMAGE, [(0, len(IMAGE))])
    with pytest.raises(BundleRefusal, match="the manifest declares"):
        read_back(resealed(stream, 124, b"\x80" + b"\xff" * 11), len(IMAGE))


def test_a_header_with_a_wrong_checksum_is_refused() -> None:
    with pytest.raises(BundleRefusal, match="checksum"):
        read_back(b"e" + ARCHIVE[1:], len(IMAGE))


def test_a_long_name_is_read_from_its_record() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        info = tarfile.TarInfo("n" * 150)
        info.size = len(IMAGE)
        tar.addfile(info, io.BytesIO(IMAGE))
    assert read_member(Bytes(buffer.getvalue()), len(IMAGE)).name == "n" * 150
    assert read_back(buffer.getvalue(), len(IMAGE)) == IMAGE


def test_a_long_name_without_end_is_refused() -> None:
    record = resealed(ARCHIVE, 124, b"77777777777\0")
    with pytest.raises(BundleRefusal, match="a name has"):
        read_back(resealed(record, 156, b"L"), len(IMAGE))


@pytest.mark.parametrize("cut", [100, BLOCK, BLOCK + 700, BLOCK + 1536, BLOCK + 1536 + 1000])
def test_a_stream_cut_anywhere_is_refused(cut: int) -> None:
    with pytest.raises(BundleRefusal):
        read_back(ARCHIVE[:cut], len(IMAGE))


@pytest.mark.parametrize("behind", [b"x", bytes(RECORD) + b"x", ARCHIVE, bytes(sparse_tar.TRAILER_BYTES_MAX + 1)])
def test_what_stands_behind_the_image_is_refused(behind: bytes) -> None:
    with pytest.raises(BundleRefusal):
        read_back(ARCHIVE + behind, len(IMAGE))


def test_more_extents_than_the_bound_are_refused_before_memory_is_gone(monkeypatch: Any) -> None:
    monkeypatch.setattr(sparse_tar, "EXTENTS_MAX", 50)
    image = (b"\1" * BLOCK + bytes(BLOCK)) * 60
    extents = [(index * 2 * BLOCK, BLOCK) for index in range(60)]
    assert stored_bytes(extents) == 60 * BLOCK
    with pytest.raises(BundleRefusal, match="more than 50 extents"):
        read_back(archive("disk.img", image, extents), len(image))
