"""What the tests of EC2 operations share: completed snapshots, images, buckets."""

from collections.abc import Callable
from typing import Any

import pytest

from amiable.api.ec2.register_image import register_image
from amiable.database import snapshots
from amiable.model import ids
from amiable.model.principal import Principal
from amiable.model.snapshot import Snapshot
from amiable.model.units import BLOCK_BYTES
from amiable.services import Services
from tests.api.ec2.requests import registration

MakeSnapshot = Callable[..., str]
MakeImage = Callable[..., str]


@pytest.fixture
def make_snapshot(services: Services) -> MakeSnapshot:
    """Makes a snapshot of one block; completed unless told."""

    def make(owner: Principal, *, size_gib: int = 1, complete: bool = True, **fields: Any) -> str:
        now = services.now()
        snapshot_id = services.mint(ids.SNAPSHOT)
        snapshot = Snapshot(
            id=snapshot_id,
            account_id=owner.account_id,
            region=owner.region,
            state="pending",
            size_gib=size_gib,
            started_at=now,
            touched_at=now,
            **fields,
        )
        with services.database.write() as c:
            snapshots.insert_snapshot(c, snapshot)
        if complete:
            services.blocks.write(snapshot_id, [(0, b"\x01" * BLOCK_BYTES)])
            services.blocks.complete(snapshot_id)
        return snapshot_id

    return make


@pytest.fixture
def make_image(services: Services, make_snapshot: MakeSnapshot) -> MakeImage:
    """Registers an image of a new snapshot and returns its id."""

    def make(owner: Principal, name: str = "an image", **fields: Any) -> str:
        made = register_image(services, owner, registration(make_snapshot(owner), name, **fields))
        assert made.image_id is not None
        return made.image_id

    return make
