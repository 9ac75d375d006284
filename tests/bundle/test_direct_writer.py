"""Images are written whole, with their holes, whether past the page cache or through it."""

import errno
import fcntl
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amiable.bundle.direct_writer import BLOCK_BYTES, BUFFER_BYTES, DirectWriter
from tests.bundle.conftest import allocated_bytes

GAPS = st.sampled_from([0, 0, 0, 1, 511, 512, 4095, 4096, 4097, 3 * BLOCK_BYTES, BUFFER_BYTES, 5_000_000])
LENGTHS = st.sampled_from([1, 512, 4095, 4096, 4097, BUFFER_BYTES - 512, BUFFER_BYTES, 2 * BUFFER_BYTES + 7])


def written(path: Path, runs: list[tuple[int, bytes]], size: int, *, is_direct: bool) -> bytes:
    with path.open("w+b", buffering=0) as file:
        writer = DirectWriter(file.fileno(), is_direct=is_direct)
        for offset, data in runs:
            writer.write(offset, data)
        writer.finish(size)
    return path.read_bytes()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.tuples(GAPS, LENGTHS), max_size=6),
    tail=st.sampled_from([0, 1, 512, 5000, 9_000_000]),
    is_direct=st.booleans(),
)
def test_every_run_lands_where_it_belongs(
    tmp_path: Path, steps: list[tuple[int, int]], tail: int, is_direct: bool
) -> None:
    runs: list[tuple[int, bytes]] = []
    at = 0
    for gap, length in steps:
        runs.append((at + gap, os.urandom(length)))
        at += gap + length
    image = bytearray(at + tail)
    blocks = set()
    for offset, data in runs:
        image[offset : offset + len(data)] = data
        blocks |= set(range(offset // BLOCK_BYTES, (offset + len(data) - 1) // BLOCK_BYTES + 1))
    path = tmp_path / "image"
    path.unlink(missing_ok=True)
    assert written(path, runs, len(image), is_direct=is_direct) == image
    assert allocated_bytes(path) <= (len(blocks) + 2) * BLOCK_BYTES


@pytest.mark.parametrize("is_direct", [True, False])
def test_runs_in_one_block_share_it(tmp_path: Path, is_direct: bool) -> None:
    runs = [(1, b"a"), (512, b"b"), (4095, b"c"), (4096, b"d"), (8192 + 5, b"e")]
    image = written(tmp_path / "image", runs, 8200, is_direct=is_direct)
    assert [image[offset : offset + 1] for offset, _ in runs] == [data for _, data in runs]
    assert image.count(0) == 8200 - len(runs)


def test_a_write_that_failed_is_told(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(b"")
    with (tmp_path / "image").open("rb") as read_only:
        writer = DirectWriter(read_only.fileno())
        with pytest.raises(OSError, match="Bad file descriptor"):
            writer.write(0, bytes(BUFFER_BYTES))


def test_a_file_system_that_refuses_direct_writes_gets_all_of_them_through_its_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pwrite = os.pwrite
    refused = []

    def refuse_direct(descriptor: int, data: memoryview, offset: int) -> int:
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT:
            refused.append(offset)
            raise OSError(errno.EINVAL, "no such writes here")
        return pwrite(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", refuse_direct)
    data = os.urandom(6 * BUFFER_BYTES)
    assert written(tmp_path / "image", [(0, data)], len(data), is_direct=True) == data
    assert refused == [0]
