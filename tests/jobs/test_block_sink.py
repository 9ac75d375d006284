"""Bytes in rising order become blocks: what is read is what was written, zeros are left out."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from amiable.database import snapshots
from amiable.jobs.block_sink import BATCH_BLOCKS, BlockSink
from amiable.model import ids
from amiable.model.principal import Principal
from amiable.model.snapshot import Snapshot
from amiable.model.units import BLOCK_BYTES
from amiable.services import Services
from tests.support.services import make_account, open_services

DISK_BLOCKS = 6


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Services, Principal]]:
    folder: Path = tmp_path_factory.mktemp("sink")
    with open_services(folder / "data") as services:
        yield services, make_account(services)[1]


def new_snapshot(services: Services, owner: Principal) -> str:
    now = services.now()
    snapshot_id = services.mint(ids.SNAPSHOT)
    made = Snapshot(
        id=snapshot_id,
        account_id=owner.account_id,
        region=owner.region,
        state="pending",
        size_gib=1,
        started_at=now,
        touched_at=now,
    )
    with services.database.write() as c:
        snapshots.insert_snapshot(c, made)
    return snapshot_id


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pieces=st.lists(
        st.tuples(st.integers(0, BLOCK_BYTES), st.integers(1, BLOCK_BYTES + 4096), st.sampled_from([0, 1, 255])),
        max_size=6,
    )
)
def test_the_disk_reads_as_it_was_written(
    opened: tuple[Services, Principal], pieces: list[tuple[int, int, int]]
) -> None:
    services, owner = opened
    disk = bytearray(DISK_BLOCKS * 2 * BLOCK_BYTES)
    snapshot_id = new_snapshot(services, owner)
    sink = BlockSink(services.blocks, snapshot_id, lambda c, following: None)
    at = 0
    for gap, size, value in pieces:
        at += gap
        disk[at : at + size] = bytes([value]) * size
        sink.write(at, bytes([value]) * size)
        at += size
    sink.finish()
    services.blocks.complete(snapshot_id)
    blocks = [bytes(disk[at : at + BLOCK_BYTES]) for at in range(0, len(disk), BLOCK_BYTES)]
    assert {index for index, _ in services.blocks.blocks_of(snapshot_id)} == {
        index for index, block in enumerate(blocks) if any(block)
    }
    for index, block in enumerate(blocks):
        assert (services.blocks.read(snapshot_id, index) or bytes(BLOCK_BYTES)) == block


def test_each_batch_checkpoints_the_first_block_that_is_not_yet_written(opened: tuple[Services, Principal]) -> None:
    services, owner = opened
    snapshot_id = new_snapshot(services, owner)
    saved: list[tuple[int, int]] = []

    def checkpoint(c: Connection, following: int) -> None:
        durable = c.exec_driver_sql('SELECT max("index") FROM pending_block WHERE snapshot_id = ?', (snapshot_id,))
        saved.append((following, durable.scalar_one()))

    sink = BlockSink(services.blocks, snapshot_id, checkpoint)
    for index in range(BATCH_BLOCKS + 2):
        sink.write(index * BLOCK_BYTES, b"\x01" * BLOCK_BYTES)
    sink.finish()
    assert saved == [(BATCH_BLOCKS, BATCH_BLOCKS - 1), (BATCH_BLOCKS + 2, BATCH_BLOCKS + 1)]
