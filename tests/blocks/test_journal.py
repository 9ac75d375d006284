"""Group commit: the order of write, sync, rows and answer; what failures and power cuts leave."""

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, select

from amiable.blocks import journal
from amiable.blocks.files import Files
from amiable.blocks.store import BlockStore
from amiable.database.connect import Database
from amiable.database.schema import block, pack
from amiable.model.errors import StorageFull
from amiable.model.units import BLOCK_BYTES

NewSnapshot = Callable[..., str]


class PowerCut(Files):
    """Real files that note every step, fail when told to, and know what a power cut would leave of them."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.paths: dict[int, Path] = {}
        self.durable: dict[Path, bytes] = {}
        self.named: set[Path] = set()
        self.fail_at: dict[str, OSError] = {}
        self.gate: Callable[[], None] = lambda: None

    def create(self, path: Path) -> int:
        descriptor = super().create(path)
        self.paths[descriptor] = path
        self.steps.append("create")
        self.durable[path] = b""
        return descriptor

    def open(self, path: Path) -> int:
        descriptor = super().open(path)
        self.paths[descriptor] = path
        return descriptor

    def write(self, descriptor: int, body: bytes, offset: int) -> None:
        error = self.fail_at.pop("write", None)
        if error is not None:
            super().write(descriptor, body[: len(body) // 2], offset)
            raise error
        super().write(descriptor, body, offset)
        self.steps.append("write")

    def sync(self, descriptor: int) -> None:
        self.gate()
        error = self.fail_at.pop("sync", None)
        if error is not None:
            raise error
        super().sync(descriptor)
        self.durable[self.paths[descriptor]] = self.paths[descriptor].read_bytes()
        self.steps.append("sync")

    def sync_folder(self, folder: Path) -> None:
        super().sync_folder(folder)
        self.named.update(folder.iterdir())
        self.steps.append("sync_folder")

    def cut_power(self, folder: Path) -> None:
        """Leaves of each file what was synced, and of names those that were synced; the rest is gone, or noise."""
        for path in list(folder.iterdir()):
            if path not in self.named:
                path.unlink()
            else:
                path.write_bytes(self.durable.get(path, b"") + os.urandom(1000))


@pytest.fixture
def files() -> PowerCut:
    return PowerCut()


@pytest.fixture
def shimmed(tmp_path: Path, database: Database, files: PowerCut) -> BlockStore:
    """A store on recorded files; the tests close it, or cut its power."""

    @event.listens_for(database.engine, "commit")
    def committed(connection: Any) -> None:
        files.steps.append("commit")

    return BlockStore.open(database, tmp_path / "packs", compression="none", files=files)


def noise() -> bytes:
    return os.urandom(BLOCK_BYTES)


def test_bytes_are_synced_before_the_rows_are_committed_before_the_answer(
    shimmed: BlockStore, files: PowerCut, new_snapshot: NewSnapshot
) -> None:
    snapshot = new_snapshot("snap-1")
    files.steps.clear()
    shimmed.write(snapshot, [(0, noise()), (1, noise())])
    files.steps.append("answer")
    shimmed.write(snapshot, [(2, noise())])
    # the new pack's row (commit) is there before its file
    first = ["commit", "create", "sync_folder", "write", "write", "sync", "commit", "answer"]
    assert files.steps == [*first, "write", "sync", "commit"]
    shimmed.close()


def test_what_was_acknowledged_survives_a_power_cut(
    shimmed: BlockStore, database: Database, files: PowerCut, new_snapshot: NewSnapshot, tmp_path: Path
) -> None:
    snapshot = new_snapshot("snap-1")
    plains = [noise() for _ in range(140)]
    for start in range(0, 140, 7):
        shimmed.write(snapshot, [(index, plains[index]) for index in range(start, start + 7)])
    files.cut_power(tmp_path / "packs")
    again = BlockStore.open(database, tmp_path / "packs")
    assert [again.read(snapshot, index) for index in range(140)] == plains
    again.close()


def test_without_the_sync_a_power_cut_would_lose_it(
    shimmed: BlockStore,
    database: Database,
    files: PowerCut,
    new_snapshot: NewSnapshot,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The shim itself: it does drop what was not synced."""
    snapshot = new_snapshot("snap-1")
    monkeypatch.setattr(files, "sync", lambda descriptor: None)
    shimmed.write(snapshot, [(0, noise())])
    files.cut_power(tmp_path / "packs")
    with pytest.raises(Exception, match="acknowledged"):
        BlockStore.open(database, tmp_path / "packs")


@pytest.mark.parametrize("step", ["write", "sync"])
def test_after_a_failed_write_or_sync_the_store_goes_on_in_another_pack(
    shimmed: BlockStore, database: Database, files: PowerCut, new_snapshot: NewSnapshot, tmp_path: Path, step: str
) -> None:
    snapshot = new_snapshot("snap-1")
    first, lost, last = noise(), noise(), noise()
    shimmed.write(snapshot, [(0, first)])
    files.fail_at[step] = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(StorageFull, match="disk of the server's data directory is full") as caught:
        shimmed.write(snapshot, [(1, lost)])
    assert "make space" in caught.value.advice
    assert [index for index, _ in shimmed.blocks_of(snapshot)] == [0]
    shimmed.write(snapshot, [(2, last)])
    assert (shimmed.read(snapshot, 0), shimmed.read(snapshot, 1), shimmed.read(snapshot, 2)) == (first, None, last)
    with database.read() as c:
        packs = c.execute(select(pack).order_by(pack.c.created_at, pack.c.id)).all()
        assert len({row.pack for row in c.execute(select(block))}) == 2
    assert sorted(row.state for row in packs) == ["closed", "open"]
    assert all((tmp_path / "packs" / row.id).stat().st_size == row.size_bytes for row in packs)
    shimmed.close()


def test_a_commit_that_failed_and_happened_all_the_same_names_bytes_that_are_there(
    shimmed: BlockStore,
    database: Database,
    new_snapshot: NewSnapshot,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    snapshot = new_snapshot("snap-1")
    plain = noise()

    real = shimmed._journal._commit_rows

    def commit_and_fail(*arguments: Any) -> None:
        real(*arguments)
        raise OSError(errno.EIO, "the commit's answer was lost")

    with monkeypatch.context() as patched, pytest.raises(OSError, match="lost"):
        patched.setattr(shimmed._journal, "_commit_rows", commit_and_fail)
        shimmed.write(snapshot, [(0, plain)])
    shimmed.write(snapshot, [(1, noise())])
    shimmed.close()
    again = BlockStore.open(database, tmp_path / "packs")
    assert again.read(snapshot, 0) == plain
    again.close()


def test_another_error_of_the_disk_is_not_called_a_full_disk(
    shimmed: BlockStore, files: PowerCut, new_snapshot: NewSnapshot
) -> None:
    snapshot = new_snapshot("snap-1")
    files.fail_at["sync"] = OSError(errno.EIO, "Input/output error")
    with pytest.raises(OSError, match="Input/output"):
        shimmed.write(snapshot, [(0, noise())])
    shimmed.close()


def test_callers_that_wait_share_one_sync(shimmed: BlockStore, files: PowerCut, new_snapshot: NewSnapshot) -> None:
    snapshot = new_snapshot("snap-1")
    gate, entered = threading.Event(), threading.Event()

    def wait() -> None:
        entered.set()
        assert gate.wait(60)

    files.gate = wait
    threads = [threading.Thread(target=shimmed.write, args=(snapshot, [(number, noise())])) for number in range(9)]
    threads[0].start()
    assert entered.wait(60)
    for thread in threads[1:]:
        thread.start()
    queue = shimmed._journal._queue
    for _ in range(6000):
        if len(queue) == 8:
            break
        threading.Event().wait(0.01)
    assert len(queue) == 8
    gate.set()
    for thread in threads:
        thread.join(60)
    assert files.steps.count("sync") == 2
    assert len(shimmed.blocks_of(snapshot)) == 9
    shimmed.close()


def test_a_group_is_bounded(
    shimmed: BlockStore, files: PowerCut, new_snapshot: NewSnapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "GROUP_BLOCKS_MAX", 4)
    snapshot = new_snapshot("snap-1", size_gib=1)
    gate, entered = threading.Event(), threading.Event()

    def wait() -> None:
        entered.set()
        assert gate.wait(60)

    files.gate = wait
    threads = [
        threading.Thread(target=shimmed.write, args=(snapshot, [(number * 10 + at, noise()) for at in range(3)]))
        for number in range(4)
    ]
    threads[0].start()
    assert entered.wait(60)
    for thread in threads[1:]:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join(60)
    assert files.steps.count("sync") == 4
    assert len(shimmed.blocks_of(snapshot)) == 12
    shimmed.close()
