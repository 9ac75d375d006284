"""Object files: durable before they have a name, gone only when no row needs them."""

import hashlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.blocks.objects import ORPHAN_AGE, ObjectFiles, read_chunks
from amiable.database import buckets, objects
from amiable.database.connect import Database
from amiable.database.schema import account, metadata
from amiable.model.bucket import Bucket, Object, ObjectHeaders

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def files(tmp_path: Path) -> ObjectFiles:
    return ObjectFiles(tmp_path / "objects")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(f"sqlite:///{tmp_path}/facts.db")
    metadata.create_all(opened.engine)
    yield opened
    opened.close()


def put_row(database: Database, file: str) -> None:
    with database.write() as c:
        c.execute(account.insert().values(id="111122223333", name="x", is_administrator=False, created_at=NOW))
        buckets.insert_bucket(c, Bucket("bucket", "111122223333", "us-east-1", "private", NOW))
        objects.put_object(
            c, Object("bucket", "key", file, "111122223333", 3, "etag", ObjectHeaders(), None, "private", NOW)
        )


@given(chunks=st.lists(st.binary(max_size=200), max_size=8))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes]) -> None:
    files = ObjectFiles(tmp_path_factory.mktemp("o"))
    written = files.write(chunks, now=NOW)
    with files.read(written.id) as file:
        body = file.read()
    assert body == b"".join(chunks)
    assert (written.size_bytes, written.md5) == (len(body), hashlib.md5(body).digest())


def test_a_file_gets_its_name_after_its_bytes_are_durable(files: ObjectFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    real_sync, real_fsync, real_rename = os.fdatasync, os.fsync, Path.rename

    def fdatasync(descriptor: int) -> None:
        events.append(f"fdatasync {os.fstat(descriptor).st_size}")
        real_sync(descriptor)

    def fsync(descriptor: int) -> None:
        events.append("fsync " + Path(f"/proc/self/fd/{descriptor}").readlink().name)
        real_fsync(descriptor)

    def rename(path: Path, target: Path) -> Path:
        events.append(f"rename {path.suffix}")
        return real_rename(path, target)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "rename", rename)
    written = files.write([b"abc", b"defg"], now=NOW)
    assert events == ["fdatasync 7", "rename .new", "fsync objects"]
    events.clear()
    files.join([written.id, written.id], now=NOW)
    assert events == ["fdatasync 14", "rename .new", "fsync objects"]
    events.clear()
    files.link(written.id, now=NOW)
    assert events == ["fsync objects"]


def test_a_stream_that_fails_leaves_nothing(files: ObjectFiles) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"abc"
        raise ConnectionError

    with pytest.raises(ConnectionError):
        files.write(chunks(), now=NOW)
    assert list(files.folder.iterdir()) == []


def test_joined_files_read_as_one(files: ObjectFiles) -> None:
    parts = [files.write([body], now=NOW).id for body in (b"abc", b"", b"defg" * 100_000)]
    with files.read(files.join(parts, now=NOW)) as file:
        assert file.read() == b"abc" + b"defg" * 100_000


def test_files_are_joined_where_the_kernel_copies_no_ranges(
    files: ObjectFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    parts = [files.write([body], now=NOW).id for body in (b"abc", b"defg" * 1000)]
    with files.read(files.join(parts, now=NOW)) as file:
        assert file.read() == b"abc" + b"defg" * 1000


def test_a_join_that_lacks_a_part_leaves_nothing_new(files: ObjectFiles) -> None:
    part = files.write([b"abc"], now=NOW).id
    with pytest.raises(FileNotFoundError):
        files.join([part, "0" * 26], now=NOW)
    assert [path.name for path in files.folder.iterdir()] == [part]


def test_a_link_outlives_what_it_was_made_from(files: ObjectFiles) -> None:
    first = files.write([b"abc"], now=NOW).id
    second = files.link(first, now=NOW)
    files.delete([first])
    with files.read(second) as file:
        assert file.read() == b"abc"
    with pytest.raises(FileNotFoundError):
        files.read(first)


def test_a_reader_keeps_what_is_deleted_under_it(files: ObjectFiles) -> None:
    written = files.write([b"abc"], now=NOW)
    with files.read(written.id) as file:
        files.delete([written.id])
        assert file.read() == b"abc"


def test_only_old_files_that_no_row_names_are_collected(files: ObjectFiles, database: Database) -> None:
    named, orphan = (files.write([b"abc"], now=NOW).id for _ in range(2))
    (files.folder / (orphan[:-1] + "0.new")).write_bytes(b"half")
    (files.folder / "README").write_bytes(b"not ours")
    put_row(database, named)
    now = datetime.now(UTC)
    assert files.collect(database, now=now) == 0
    assert files.collect(database, now=now + ORPHAN_AGE + timedelta(minutes=1)) == 7
    assert {path.name for path in files.folder.iterdir()} == {named, "README"}


def test_a_range_ends_where_the_file_does(files: ObjectFiles) -> None:
    with files.read(files.write([b"abcdef"], now=NOW).id) as file:
        file.seek(2)
        assert b"".join(read_chunks(file, 3)) == b"cde"
        assert b"".join(read_chunks(file, 3)) == b"f"
