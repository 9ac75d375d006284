"""DeregisterImage, and what the operations on images have in common.

RegisterImage is ``register_image``, DescribeImages ``describe_images``, attributes are ``image_attributes``.
"""

from collections.abc import Iterable
from typing import Final

from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2 import snapshots
from amiable.database import images
from amiable.database import tags as tag_rows
from amiable.model import ids
from amiable.model.errors import Malformed, NotFound, Refusal
from amiable.model.image import Image
from amiable.model.principal import Principal
from amiable.rules import permission
from amiable.rules.deregistration import SUCCESS, return_code
from amiable.rules.policy_resources import Home
from amiable.rules.retirement import check_may_deregister
from amiable.services import Services, recycle_bin
from amiable.services.authorization import check_allowed
from amiable.services.roots import drop_unused_roots
from amiable.services.why import explained
from amiable.wire.generated import ec2

PREFIXES: Final = (ids.AMI, ids.AKI, ids.ARI)


def check_image_id(image_id: str) -> None:
    """Refuses what is not of the form of an image's id; kernels and ramdisks are images."""
    check_image_ids([image_id])


def check_image_ids(image_ids: Iterable[str]) -> None:
    """The same of several: the refusal names the first, and has them all."""
    bad = [each for each in image_ids if not any(ids.is_well_formed(prefix, each) for prefix in PREFIXES)]
    if bad:
        raise Malformed("image", bad[0], ids.AMI, *bad[1:])


def deregister_image(
    services: Services, principal: Principal, request: ec2.DeregisterImageRequest
) -> ec2.DeregisterImageResult:
    """Ends an image: no launch from it any more.  It goes into the Recycle Bin where a rule keeps it.  Instances do not notice.

    Its snapshots stay, unless the request wants them deleted: the answer says what became of each.
    """
    check_image_id(request.image_id)
    with services.database.write() as c:
        image = owned_image(c, principal, request.image_id)
        with explained(services, c, principal, image.id):
            check_may_deregister(image, services.now())
        raise_if_dry_run(request)
        if not recycle_bin.keep_image(services, c, image):
            images.deregister(c, image.id, now=services.now())
            tag_rows.forget(c, image.id)
        drop_unused_roots(services, c)
        results = _delete_snapshots(services, c, principal, image) if request.delete_associated_snapshots else None
        drops_bytes = image.content_file is not None and not images.is_kernel_in_use(c, image.id)
    if image.content_file is not None and drops_bytes:
        (services.data / "kernels" / image.content_file).unlink(missing_ok=True)
    return ec2.DeregisterImageResult(return_=True, delete_snapshot_results=results)


def _delete_snapshots(
    services: Services, c: Connection, principal: Principal, image: Image
) -> list[ec2.DeleteSnapshotReturnCode]:
    named = dict.fromkeys(device.snapshot_id for device in image.devices if device.snapshot_id is not None)
    return [
        ec2.DeleteSnapshotReturnCode(snapshot_id=snapshot_id, return_code=_delete(services, c, principal, snapshot_id))
        for snapshot_id in named
    ]


def _delete(services: Services, c: Connection, principal: Principal, snapshot_id: str) -> str:
    home = Home(principal.account_id, principal.region)
    try:
        check_allowed(principal, "ec2:DeleteSnapshot", (home.ec2("snapshot", snapshot_id),))
        snapshot = snapshots.check_deletable(services, c, principal, snapshot_id)
    except Refusal as refusal:
        return return_code(refusal)
    snapshots.remove(services, c, snapshot)
    return SUCCESS


def owned_image(c: Connection, principal: Principal, image_id: str) -> Image:
    """The caller's own image; refuses what is not there (NotFound), is another's (AuthFailure) or is gone (Unavailable)."""
    image = images.get(c, principal.region, image_id, viewer=principal.account_id)
    if image is None:
        raise NotFound("image", [image_id])
    permission.check_owner(image, principal.account_id)
    permission.check_registered(image)
    return image
