"""DescribeSnapshotAttribute, ModifySnapshotAttribute, ResetSnapshotAttribute: who may make volumes of a snapshot."""

from collections.abc import Sequence

from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.image_sharing import check_accounts
from amiable.api.ec2.product_codes import product_codes
from amiable.api.ec2.snapshots import check_snapshot_id, owned_snapshot
from amiable.database import block_public_access, sharing
from amiable.database.product_codes import codes_of
from amiable.model.image import EVERYONE
from amiable.model.principal import Principal
from amiable.model.snapshot import Snapshot
from amiable.rules.block_public_access import check_snapshot_publish
from amiable.rules.product import check_publish
from amiable.rules.sharing import (
    CREATE_VOLUME_PERMISSION,
    AskedOfSnapshot,
    Grants,
    Permission,
    check_changeable,
    permission_of,
    plan_snapshot_grants,
)
from amiable.services import Services
from amiable.wire.generated import ec2


def describe_snapshot_attribute(
    services: Services, principal: Principal, request: ec2.DescribeSnapshotAttributeRequest
) -> ec2.DescribeSnapshotAttributeResult:
    """One attribute, for the owner; a permission that a guard hides is told all the same."""
    check_snapshot_id(request.snapshot_id)
    with services.database.read() as c:
        snapshot = owned_snapshot(c, principal, request.snapshot_id)
        words = sharing.snapshot_grantees(c, snapshot.id)
        codes = codes_of(c, snapshot.id)
    raise_if_dry_run(request)
    if request.attribute == CREATE_VOLUME_PERMISSION:
        permissions = [_permission(word) for word in words]
        return ec2.DescribeSnapshotAttributeResult(snapshot_id=snapshot.id, create_volume_permissions=permissions)
    return ec2.DescribeSnapshotAttributeResult(snapshot_id=snapshot.id, product_codes=product_codes(codes))


def _permission(word: str) -> ec2.CreateVolumePermission:
    spelled = permission_of(word)
    return ec2.CreateVolumePermission(user_id=spelled.user_id, group=spelled.group)


def modify_snapshot_attribute(
    services: Services, principal: Principal, request: ec2.ModifySnapshotAttributeRequest
) -> None:
    """Changes with whom the snapshot is shared: all that the request names, or, refused, nothing."""
    check_snapshot_id(request.snapshot_id)
    grants = plan_snapshot_grants(_asked(request))
    with services.database.write_and_answer() as c:
        snapshot = owned_snapshot(c, principal, request.snapshot_id)
        check_accounts(c, grants)
        _check_publish(c, snapshot, grants)
        raise_if_dry_run(request)
        sharing.change_snapshot_grants(c, snapshot.id, add=grants.add, remove=grants.remove)


def _check_publish(c: Connection, snapshot: Snapshot, grants: Grants) -> None:
    if EVERYONE not in grants.add or EVERYONE in sharing.snapshot_grantees(c, snapshot.id):
        return
    check_publish(f"The snapshot {snapshot.id}", codes_of(c, snapshot.id))
    check_snapshot_publish(block_public_access.find(c, snapshot.account_id, snapshot.region))


def _asked(request: ec2.ModifySnapshotAttributeRequest) -> AskedOfSnapshot:
    structured = request.create_volume_permission
    return AskedOfSnapshot(
        attribute=request.attribute,
        operation_type=request.operation_type,
        add=_permissions(structured.add if structured else None),
        remove=_permissions(structured.remove if structured else None),
        flat=(
            *(Permission(user_id=user) for user in request.user_ids or []),
            *(Permission(group=group) for group in request.group_names or []),
        ),
    )


def _permissions(items: Sequence[ec2.CreateVolumePermission] | None) -> tuple[Permission, ...]:
    return tuple(Permission(user_id=item.user_id, group=item.group) for item in items or [])


def reset_snapshot_attribute(
    services: Services, principal: Principal, request: ec2.ResetSnapshotAttributeRequest
) -> None:
    """Makes the snapshot its owner's alone again."""
    check_snapshot_id(request.snapshot_id)
    check_changeable(request.attribute)
    with services.database.write_and_answer() as c:
        snapshot = owned_snapshot(c, principal, request.snapshot_id)
        raise_if_dry_run(request)
        sharing.change_snapshot_grants(c, snapshot.id, add=(), remove=sharing.snapshot_grantees(c, snapshot.id))
