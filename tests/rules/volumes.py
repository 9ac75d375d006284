"""A volume as a value, for tests that change it."""

from datetime import UTC, datetime
from typing import Final

from amiable.model.volume import Volume, VolumeState

VOLUME: Final = Volume(
    id="vol-0123456789abcdef0",
    account_id="123456789012",
    region="us-east-1",
    zone="us-east-1a",
    state=VolumeState.AVAILABLE,
    snapshot_id=None,
    size_gib=8,
    size_bytes=8 << 30,
    volume_type="gp2",
    is_instance_store=False,
    instance_id=None,
    device_name=None,
    delete_on_termination=False,
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
    attached_at=None,
)
