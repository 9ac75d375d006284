"""What is in the Recycle Bin: listed for its owner, and brought back.

Its rules are the service ``rbin``.  A thing whose time is over is not listed and not restored, whether it was swept or not.
"""

from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.images import check_image_id, check_image_ids
from amiable.api.ec2.snapshots import NO_VOLUME, check_snapshot_id
from amiable.api.paging import PageBounds, open_page
from amiable.database import block_public_access, images, recycle_bin, sharing
from amiable.model import ids
from amiable.model.block_public_access import UNBLOCKED
from amiable.model.errors import InvalidAMINameDuplicate, InvalidParameterCombination, NotFound
from amiable.model.image import EVERYONE
from amiable.model.principal import Principal
from amiable.model.recycle_bin import BinnedImage
from amiable.model.snapshot import Snapshot
from amiable.rules import recycle_bin as rules
from amiable.rules.identifiers import check_form
from amiable.services import Services
from amiable.wire.generated import ec2

SNAPSHOTS_PAGE_MIN = 5


def list_images_in_recycle_bin(
    services: Services, principal: Principal, request: ec2.ListImagesInRecycleBinRequest
) -> ec2.ListImagesInRecycleBinResult:
    """The caller's images in the bin."""
    check_image_ids(request.image_ids or [])
    rules.check_count(request.image_ids)
    if request.image_ids and request.max_results is not None:
        raise InvalidParameterCombination("The parameter ImageId cannot be used with the parameter MaxResults")
    page = open_page(services, principal, request)
    raise_if_dry_run(request)
    owner = (principal.account_id, principal.region)
    with services.database.read() as c:
        found = recycle_bin.list_images(c, *owner, now=services.now(), ids=request.image_ids or None)
    there = {image.id for image in found}
    missing = [image_id for image_id in dict.fromkeys(request.image_ids or []) if image_id not in there]
    if missing:
        raise NotFound("image", missing)
    shown, token = page.cut(found, lambda image: image.id)
    return ec2.ListImagesInRecycleBinResult(
        images=[
            ec2.ImageRecycleBinInfo(
                image_id=image.id,
                name=image.name,
                description=image.description,
                recycle_bin_enter_time=image.entered_at,
                recycle_bin_exit_time=image.exit_at,
            )
            for image in shown
        ],
        next_token=token,
    )


def restore_image_from_recycle_bin(
    services: Services, principal: Principal, request: ec2.RestoreImageFromRecycleBinRequest
) -> ec2.RestoreImageFromRecycleBinResult:
    """Brings an image back as it was, shared with whom it was; but it does not become public where the account blocks that."""
    check_image_id(request.image_id)
    with services.database.write_and_answer() as c:
        image = _find_image(c, services, principal, request.image_id)
        needed = recycle_bin.snapshots_of(c, image.id)
        rules.check_snapshots(image.id, needed, recycle_bin.which_are_there(c, needed, services.now()))
        holder = images.find_name(c, principal.account_id, principal.region, image.name)
        if holder is not None:
            raise InvalidAMINameDuplicate(name=image.name, image_id=holder)
        raise_if_dry_run(request)
        if block_public_access.find(c, principal.account_id, principal.region).images != UNBLOCKED:
            images.change_grants(c, image.id, add=(), remove=(EVERYONE,))
        recycle_bin.take_image(c, image.id)
    return ec2.RestoreImageFromRecycleBinResult(return_=True)


def _find_image(c: Connection, services: Services, principal: Principal, image_id: str) -> BinnedImage:
    owner = (principal.account_id, principal.region)
    found = recycle_bin.list_images(c, *owner, now=services.now(), ids=[image_id])
    if not found:
        raise NotFound("image", [image_id])
    return found[0]


def list_snapshots_in_recycle_bin(
    services: Services, principal: Principal, request: ec2.ListSnapshotsInRecycleBinRequest
) -> ec2.ListSnapshotsInRecycleBinResult:
    """The caller's snapshots in the bin."""
    check_form("snapshot", ids.SNAPSHOT, request.snapshot_ids)
    if request.snapshot_ids and request.max_results is not None:
        raise InvalidParameterCombination("The parameter SnapshotId cannot be used with the parameter MaxResults")
    page = open_page(services, principal, request, PageBounds(size_min=SNAPSHOTS_PAGE_MIN))
    raise_if_dry_run(request)
    owner = (principal.account_id, principal.region)
    with services.database.read() as c:
        found = recycle_bin.list_snapshots(c, *owner, now=services.now(), ids=request.snapshot_ids or None)
    there = {snapshot.id for snapshot in found}
    missing = [snapshot_id for snapshot_id in request.snapshot_ids or [] if snapshot_id not in there]
    if missing:
        raise NotFound("snapshot", missing[:1], *missing[1:])
    shown, token = page.cut(found, lambda snapshot: snapshot.id)
    return ec2.ListSnapshotsInRecycleBinResult(
        snapshots=[
            ec2.SnapshotRecycleBinInfo(
                snapshot_id=snapshot.id,
                recycle_bin_enter_time=snapshot.binned_at,
                recycle_bin_exit_time=snapshot.bin_exit_at,
                description=snapshot.description,
                volume_id=snapshot.volume_id or NO_VOLUME,
            )
            for snapshot in shown
        ],
        next_token=token,
    )


def restore_snapshot_from_recycle_bin(
    services: Services, principal: Principal, request: ec2.RestoreSnapshotFromRecycleBinRequest
) -> ec2.RestoreSnapshotFromRecycleBinResult:
    """Brings a snapshot back, shared with whom it was; but it does not become public where the account blocks that."""
    check_snapshot_id(request.snapshot_id)
    with services.database.write_and_answer() as c:
        owner = (principal.account_id, principal.region)
        found = recycle_bin.list_snapshots(c, *owner, now=services.now(), ids=[request.snapshot_id])
        if not found:
            raise NotFound("snapshot", [request.snapshot_id])
        raise_if_dry_run(request)
        if block_public_access.find(c, *owner).snapshots != UNBLOCKED:
            sharing.change_snapshot_grants(c, request.snapshot_id, add=(), remove=(EVERYONE,))
        recycle_bin.take_snapshot(c, request.snapshot_id)
    return _restored(found[0])


def _restored(snapshot: Snapshot) -> ec2.RestoreSnapshotFromRecycleBinResult:
    return ec2.RestoreSnapshotFromRecycleBinResult(
        snapshot_id=snapshot.id,
        description=snapshot.description,
        encrypted=False,
        owner_id=snapshot.account_id,
        progress=f"{snapshot.progress_percent}%",
        start_time=snapshot.started_at,
        state=snapshot.state,
        volume_id=snapshot.volume_id or NO_VOLUME,
        volume_size=snapshot.size_gib,
    )
