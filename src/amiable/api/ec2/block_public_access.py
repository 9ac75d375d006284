"""The account's guards against public images and public snapshots in a region: enabled, lifted and read.

A change holds from the answer on: here nothing lags, where EC2 takes up to ten minutes (docs/decisions/0028).
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from amiable.api.dry_run import MayBeDry, raise_if_dry_run
from amiable.database import block_public_access as rows
from amiable.model.block_public_access import UNBLOCKED, BlockPublicAccess
from amiable.model.principal import Principal
from amiable.rules.block_public_access import check_snapshot_state
from amiable.services import Services
from amiable.wire.generated import ec2

MANAGED_BY: Final = "account"
"""Amiable has no declarative policies that could manage it instead."""


def enable_image_block_public_access(
    services: Services, principal: Principal, request: ec2.EnableImageBlockPublicAccessRequest
) -> ec2.EnableImageBlockPublicAccessResult:
    """No image becomes public from now on; those that are public stay so."""
    state = request.image_block_public_access_state
    _change(services, principal, request, lambda guard: replace(guard, images=state))
    return ec2.EnableImageBlockPublicAccessResult(image_block_public_access_state=state)


def disable_image_block_public_access(
    services: Services, principal: Principal, request: ec2.DisableImageBlockPublicAccessRequest
) -> ec2.DisableImageBlockPublicAccessResult:
    """Images may become public."""
    _change(services, principal, request, lambda guard: replace(guard, images=UNBLOCKED))
    return ec2.DisableImageBlockPublicAccessResult(image_block_public_access_state=UNBLOCKED)


def get_image_block_public_access_state(
    services: Services, principal: Principal, request: ec2.GetImageBlockPublicAccessStateRequest
) -> ec2.GetImageBlockPublicAccessStateResult:
    """The guard of images, and who manages it."""
    state = _read(services, principal, request).images
    return ec2.GetImageBlockPublicAccessStateResult(image_block_public_access_state=state, managed_by=MANAGED_BY)


def enable_snapshot_block_public_access(
    services: Services, principal: Principal, request: ec2.EnableSnapshotBlockPublicAccessRequest
) -> ec2.EnableSnapshotBlockPublicAccessResult:
    """No snapshot becomes public from now on; ``block-all-sharing`` hides those that are."""
    check_snapshot_state(request.state)
    _change(services, principal, request, lambda guard: replace(guard, snapshots=request.state))
    return ec2.EnableSnapshotBlockPublicAccessResult(state=request.state)


def disable_snapshot_block_public_access(
    services: Services, principal: Principal, request: ec2.DisableSnapshotBlockPublicAccessRequest
) -> ec2.DisableSnapshotBlockPublicAccessResult:
    """Snapshots may become public; those that were hidden are public again."""
    _change(services, principal, request, lambda guard: replace(guard, snapshots=UNBLOCKED))
    return ec2.DisableSnapshotBlockPublicAccessResult(state=UNBLOCKED)


def get_snapshot_block_public_access_state(
    services: Services, principal: Principal, request: ec2.GetSnapshotBlockPublicAccessStateRequest
) -> ec2.GetSnapshotBlockPublicAccessStateResult:
    """The guard of snapshots, and who manages it."""
    state = _read(services, principal, request).snapshots
    return ec2.GetSnapshotBlockPublicAccessStateResult(state=state, managed_by=MANAGED_BY)


def _read(services: Services, principal: Principal, request: MayBeDry) -> BlockPublicAccess:
    raise_if_dry_run(request)
    with services.database.read() as c:
        return rows.find(c, principal.account_id, principal.region)


def _change(
    services: Services,
    principal: Principal,
    request: MayBeDry,
    change: Callable[[BlockPublicAccess], BlockPublicAccess],
) -> None:
    raise_if_dry_run(request)
    with services.database.write() as c:
        before = rows.find(c, principal.account_id, principal.region)
        rows.put(c, principal.account_id, principal.region, change(before))
