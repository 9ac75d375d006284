"""Quotas, asked by whatever adds to what they bound."""

from sqlalchemy import Connection

from amiable.database.quota import count_snapshots
from amiable.model.principal import Principal
from amiable.rules.quota import check_snapshot_quota
from amiable.services import Services


def check_snapshot_room(services: Services, c: Connection, principal: Principal, more: int = 1) -> None:
    """Refuses ``more`` snapshots than the account may have in the region; raises SnapshotLimitExceeded."""
    count = count_snapshots(c, principal.account_id, principal.region)
    check_snapshot_quota(count + more - 1, services.settings.snapshots_max)
