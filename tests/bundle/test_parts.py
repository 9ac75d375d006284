"""Parts: cut at 10 MiB, never empty, trusted only after their digest."""

import hashlib
import io
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes

from amiable.bundle.parts import (
    SPOOL_BYTES,
    HandedOn,
    PartCutter,
    PartFiles,
    folder_opener,
    open_checked,
    part_count_max,
    part_digits,
    read_parts,
)
from amiable.model.errors import BundleRefusal, LocalRefusal
from amiable.model.manifest import Manifest, Part, WrappedKey
from amiable.model.units import PART_BYTES


def manifest(parts: tuple[Part, ...], bundled_size_bytes: int) -> Manifest:
    nothing = WrappedKey(None, None)
    return Manifest("n", "123456789012", "0" * 40, 1, bundled_size_bytes, nothing, nothing, parts)


def part(index: int, data: bytes) -> Part:
    return Part(index, f"n.part.{index:02d}", hashlib.sha1(data).hexdigest())


def cipher() -> tuple[CipherContext, CipherContext]:
    """Encryption and decryption under the same key."""
    made = Cipher(algorithms.AES(bytes(16)), modes.CBC(bytes(16)))
    return made.encryptor(), made.decryptor()


@pytest.mark.parametrize("sizes", [[16], [PART_BYTES], [PART_BYTES + 16], [7, PART_BYTES, PART_BYTES - 7], [1] * 48])
def test_parts_are_cut_at_exactly_10_mib_and_none_is_empty(tmp_path: Path, sizes: list[int]) -> None:
    encryptor, decryptor = cipher()
    with HandedOn(PartFiles(tmp_path).write, workers=1, waiting_max=1) as sink:
        cutter = PartCutter(sink, "n", digits=2, encryptor=encryptor)
        data = os.urandom(sum(sizes))
        at = 0
        for size in sizes:
            cutter.write(data[at : at + size])
            at += size
        parts = cutter.finish()
        sink.finish()
    files = [(tmp_path / part.filename).read_bytes() for part in parts]
    assert decryptor.update(b"".join(files)) == data
    assert [len(file) for file in files[:-1]] == [PART_BYTES] * (len(files) - 1)
    assert 0 < len(files[-1]) <= PART_BYTES
    assert [part.sha1 for part in parts] == [hashlib.sha1(file).hexdigest() for file in files]
    assert b"".join(read_parts(manifest(parts, len(data)), folder_opener(tmp_path))) == b"".join(files)


def test_what_was_written_can_be_discarded(tmp_path: Path) -> None:
    files = PartFiles(tmp_path)
    files.write(part(0, b"x"), memoryview(b"x"))
    files.write(part(1, b"y"), memoryview(b"y"))
    files.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_refused_and_stays(tmp_path: Path) -> None:
    (tmp_path / "n.part.00").write_bytes(b"mine")
    files = PartFiles(tmp_path)
    with pytest.raises(LocalRefusal, match="exists already"):
        files.write(part(0, b"x"), memoryview(b"x"))
    files.discard()
    assert (tmp_path / "n.part.00").read_bytes() == b"mine"


@pytest.mark.parametrize(("workers", "waiting_max"), [(1, 1), (1, 3), (3, 3)])
def test_no_more_parts_are_on_their_way_than_may_be(workers: int, waiting_max: int) -> None:
    made, consumed, most = 0, [], 0

    def consume(part: Part, body: memoryview) -> None:
        consumed.append((part.index, bytes(body)))

    with HandedOn(consume, workers=workers, waiting_max=waiting_max) as sink:
        for index in range(40):
            sink.put(part(index, b"x"), memoryview(b"%d" % index))
            made += 1
            most = max(most, made - len(consumed))
        sink.finish()
    assert most <= waiting_max
    assert sorted(consumed) == [(index, b"%d" % index) for index in range(40)]


def test_an_error_of_the_consumer_ends_the_producer() -> None:
    def consume(part: Part, body: memoryview) -> None:
        if part.index == 3:
            raise LocalRefusal("the bucket is gone")

    put = 0
    with pytest.raises(LocalRefusal, match="the bucket is gone"), HandedOn(consume, workers=1, waiting_max=2) as sink:
        for index in range(1000):
            sink.put(part(index, b"x"), memoryview(b"x"))
            put += 1
    assert put <= 6


def test_the_last_parts_error_comes_out_when_the_sink_is_finished() -> None:
    def consume(part: Part, body: memoryview) -> None:
        raise LocalRefusal("the bucket is gone")

    with HandedOn(consume, workers=1, waiting_max=2) as sink:
        sink.put(part(0, b"x"), memoryview(b"x"))
        with pytest.raises(LocalRefusal, match="the bucket is gone"):
            sink.finish()


def test_an_error_of_the_producer_drops_what_waits() -> None:
    begun, dropped = threading.Event(), threading.Semaphore(0)
    consumed: list[int] = []

    def consume(part: Part, body: memoryview) -> None:
        consumed.append(part.index)
        begun.set()
        for _ in range(2):
            assert dropped.acquire(timeout=60)

    with pytest.raises(KeyboardInterrupt), HandedOn(consume, workers=1, waiting_max=3) as sink:
        for index in range(3):
            sink.put(part(index, b"x"), memoryview(b"x"))
        assert begun.wait(60)
        for future in sink._under_way:
            future.add_done_callback(lambda ended: dropped.release() if ended.cancelled() else None)
        raise KeyboardInterrupt
    assert consumed == [0]


@pytest.mark.parametrize(
    ("stream_bytes", "digits"), [(10240, 2), (99 * PART_BYTES, 2), (101 * PART_BYTES, 3), (10 << 30, 4)]
)
def test_numbers_are_wide_enough_before_the_count_is_known(stream_bytes: int, digits: int) -> None:
    assert part_digits(part_count_max(stream_bytes)) == digits
    assert part_count_max(stream_bytes) * PART_BYTES > stream_bytes


def test_a_part_is_not_handed_on_before_its_digest_fits() -> None:
    good, bad = b"good" * 100, b"bad!" * 100
    parts = (part(0, good), part(1, good))
    stream = read_parts(manifest(parts, 800), lambda name: io.BytesIO(good if name == "n.part.00" else bad))
    assert next(stream) == good
    with pytest.raises(BundleRefusal, match=r"n\.part\.01 \(400 bytes\) is damaged") as refused:
        next(stream)
    assert refused.value.stage == "parts"


def test_parts_larger_than_memory_allows_are_checked_first_too() -> None:
    data = os.urandom(1 << 20) * (SPOOL_BYTES // (1 << 20) + 3)
    parts = (part(0, data),)
    assert b"".join(read_parts(manifest(parts, len(data)), lambda _: io.BytesIO(data))) == data


class Endless(io.BytesIO):
    """A part without end, as a hostile store might serve it."""

    given = 0

    def read(self, size: int | None = -1) -> bytes:
        assert size is not None and size > 0, "nobody may ask for all of it"
        self.given += size
        return bytes(size)


def test_no_more_is_read_than_bundled_size_says() -> None:
    endless = Endless()

    def opener(_: str) -> BinaryIO:
        return endless

    with pytest.raises(BundleRefusal, match="longer than the manifest's bundled_size"):
        list(read_parts(manifest((part(0, b"x"),), 1 << 22), opener))
    assert endless.given <= (1 << 22) + (1 << 20)


def test_parts_that_hold_less_than_bundled_size_are_refused() -> None:
    def stream() -> Iterator[bytes]:
        return read_parts(manifest((part(0, b"x" * 16),), 32), lambda _: io.BytesIO(b"x" * 16))

    with pytest.raises(BundleRefusal, match="16 bytes less"):
        list(stream())


def test_neither_link_nor_missing_part_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/hostname")
    opener = folder_opener(tmp_path)
    with pytest.raises(BundleRefusal, match="Part link cannot be read"):
        opener("link")
    with pytest.raises(BundleRefusal, match=r"n\.part\.00 is missing"), open_checked(part(0, b"x"), opener):
        pass


def test_an_empty_part_as_euca2ools_writes_it_is_read() -> None:
    files = {"n.part.00": b"x" * 32, "n.part.01": b""}
    parts = tuple(part(index, data) for index, data in enumerate(files.values()))
    assert b"".join(read_parts(manifest(parts, 32), lambda name: io.BytesIO(files[name]))) == b"x" * 32
