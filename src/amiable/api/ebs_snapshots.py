"""Which snapshots the calls of EBS direct may use, and how they refuse the others.

    write, complete        the owner
    read, begin with       the owner, and accounts that createVolumePermission names; what is only public is not for these calls

Source: EBS direct API reference, GetSnapshotBlock; User Guide, "Read EBS snapshots".
"""

from sqlalchemy import Connection

from amiable.database import sharing, snapshots
from amiable.model import ids
from amiable.model.errors import EbsRefusal
from amiable.model.principal import Principal
from amiable.model.snapshot import COMPLETED, Snapshot


def owned(c: Connection, principal: Principal, snapshot_id: str) -> Snapshot:
    """The caller's own snapshot, in any state."""
    snapshot = _there(c, principal, snapshot_id)
    if snapshot.account_id != principal.account_id:
        raise _unauthorized(snapshot_id)
    return snapshot


def usable(c: Connection, principal: Principal, snapshot_id: str) -> Snapshot:
    """The caller's own snapshot, or one that is shared with its account by number; in any state."""
    snapshot = _there(c, principal, snapshot_id)
    is_own = snapshot.account_id == principal.account_id
    if not is_own and not sharing.is_snapshot_granted(c, snapshot_id, principal.account_id):
        raise _unauthorized(snapshot_id)
    return snapshot


def readable(c: Connection, principal: Principal, snapshot_id: str) -> Snapshot:
    """A usable snapshot that is completed."""
    snapshot = usable(c, principal, snapshot_id)
    if snapshot.state != COMPLETED:
        raise invalid("INVALID_SNAPSHOT_ID", f"The snapshot {snapshot_id} is {snapshot.state}, not completed.")
    return snapshot


def _there(c: Connection, principal: Principal, snapshot_id: str) -> Snapshot:
    if not ids.is_well_formed(ids.SNAPSHOT, snapshot_id):
        raise invalid("INVALID_SNAPSHOT_ID", f"'{snapshot_id}' is not a snapshot id.")
    snapshot = snapshots.get(c, snapshot_id)
    is_gone = snapshot is None or snapshot.is_internal or snapshot.binned_at is not None
    if snapshot is None or is_gone or snapshot.region != principal.region:
        raise not_found(snapshot_id)
    return snapshot


def not_found(snapshot_id: str) -> EbsRefusal:
    """There is no such snapshot."""
    return EbsRefusal(
        "ResourceNotFoundException", "SNAPSHOT_NOT_FOUND", f"The snapshot '{snapshot_id}' does not exist."
    )


def invalid(reason: str, message: str) -> EbsRefusal:
    """A request that cannot be done, by EBS direct's own reasons."""
    return EbsRefusal("ValidationException", reason, message)


def _unauthorized(snapshot_id: str) -> EbsRefusal:
    return EbsRefusal(
        "AccessDeniedException", "UNAUTHORIZED_ACCOUNT", f"The account is not authorized to access {snapshot_id}."
    )
