"""What the bin keeps, and its end there: in the service, and by the supervisor's sweep."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from amiable.api import ebs as ebs_api
from amiable.database import images, retention, schema, snapshots
from amiable.database import recycle_bin as rows
from amiable.database import tags as tag_rows
from amiable.model.image import ImageState
from amiable.model.principal import Principal
from amiable.model.retention import SNAPSHOT, RetentionRule
from amiable.model.snapshot import Snapshot
from amiable.model.units import BLOCK_BYTES
from amiable.server import supervise
from amiable.server.supervise import Supervisor
from amiable.services import Services, recycle_bin
from amiable.wire.generated import ebs
from tests.api.ec2.launching import make_image

BLOCK = b"\x05" * BLOCK_BYTES


def make_snapshot(services: Services, principal: Principal, *, is_completed: bool = True) -> Snapshot:
    made = ebs_api.start_snapshot(services, principal, ebs.StartSnapshotRequest(volume_size=1)).snapshot_id
    assert made is not None
    services.blocks.write(made, [(0, BLOCK)])
    if is_completed:
        done = ebs.CompleteSnapshotRequest(snapshot_id=made, changed_blocks_count=1)
        ebs_api.complete_snapshot(services, principal, done)
    with services.database.read() as c:
        found = snapshots.get(c, made)
    assert found is not None
    return found


@pytest.fixture
def rule(services: Services, principal: Principal) -> RetentionRule:
    owner = (principal.account_id, principal.region)
    made = RetentionRule("0" * 11, *owner, SNAPSHOT, None, retention_days=1, created_at=services.now())
    with services.database.write() as c:
        retention.insert_rule(c, made)
    return made


@pytest.mark.usefixtures("rule")
def test_a_snapshot_that_is_not_complete_has_nothing_to_bring_back(services: Services, principal: Principal) -> None:
    pending = make_snapshot(services, principal, is_completed=False)
    with services.database.write() as c:
        assert not recycle_bin.keep_snapshot(services, c, pending)


@pytest.mark.usefixtures("rule")
def test_a_binned_snapshot_keeps_its_blocks_until_the_sweep_after_its_time(
    services: Services, principal: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = make_snapshot(services, principal)
    tagged = tag_rows.TaggedResource(principal.account_id, principal.region, snapshot.id, "snapshot")
    with services.database.write() as c:
        tag_rows.put(c, tagged, {"a": "b"})
        assert recycle_bin.keep_snapshot(services, c, snapshot)
        assert snapshots.get(c, snapshot.id) is None
    monkeypatch.setattr(supervise, "SWEEP_SECONDS", 0)
    supervisor = Supervisor(services)
    try:
        supervisor.look()
        assert services.blocks.read(snapshot.id, 0) == BLOCK
        free = services.blocks.reclaimable_bytes()
        with services.database.write() as c:  # its time comes
            now = services.now()
            rows.take_snapshot(c, snapshot.id)
            rows.put_snapshot(c, snapshot.id, now=now - timedelta(days=1), exit_at=now)
        supervisor.look()
    finally:
        supervisor.stop()
    with services.database.read() as c:
        assert rows.which_are_there(c, [snapshot.id], now - timedelta(days=2)) == {}
        assert tag_rows.tags_of(c, principal.account_id, [snapshot.id]) == {}
    assert services.blocks.read(snapshot.id, 0) is None
    assert services.blocks.reclaimable_bytes() > free


def test_an_image_that_left_the_bin_for_good_is_not_found_by_any_later_sweep(
    services: Services, principal: Principal
) -> None:
    image = make_image(services, principal)
    now = services.now()
    with services.database.write() as c:
        rows.put_image(c, image.id, now=now - timedelta(days=1), exit_at=now)
    assert recycle_bin.end_what_is_over(services) == 1
    assert recycle_bin.end_what_is_over(services) == 0
    with services.database.read() as c:
        left = c.execute(select(schema.image).where(schema.image.c.bin_exit_at.is_not(None))).all()
        ended = images.get(c, image.region, image.id, viewer=principal.account_id)
    assert left == [] and ended is not None and ended.state is ImageState.DEREGISTERED
    assert ended.deregistered_at == now - timedelta(days=1)  # and not a second time
