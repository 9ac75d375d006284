"""Launch permissions: what of ModifyImageAttribute is about them, and CancelImageLaunchPermission."""

from dataclasses import replace

from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.images import check_image_id
from amiable.database import accounts, block_public_access, images, sharing
from amiable.database.product_codes import codes_of_all
from amiable.model.errors import InvalidAMIAttributeItemValue, NotFound
from amiable.model.ids import is_account
from amiable.model.image import EVERYONE, Image, ImageType
from amiable.model.principal import Principal
from amiable.model.product import ProductCode, united
from amiable.rules import permission
from amiable.rules.block_public_access import check_image_publish
from amiable.rules.quota import check_public_quota
from amiable.rules.retirement import check_may_share
from amiable.rules.sharing import Grants, check_room, permission_of
from amiable.services import Services
from amiable.wire.generated import ec2


def check_grants(services: Services, c: Connection, image: Image, grants: Grants) -> None:
    """Refuses what the image may not be shared with; nothing of it has been changed yet.  ``image`` must be its owner's view."""
    present = images.grantees(c, image.id)
    if grants.add:
        check_may_share(image)
    check_room(present, grants, grantees_max=services.settings.image_grantees_max)
    check_accounts(c, grants)
    if EVERYONE in grants.add and EVERYONE not in present:
        permission.check_publish(replace(image, product_codes=united(image.product_codes, _codes_below(c, image))))
        check_image_publish(block_public_access.find(c, image.account_id, image.region))
        if image.image_type is ImageType.MACHINE:
            count = sharing.count_public_images(c, image.account_id, image.region)
            check_public_quota(count, services.settings.images_public_max)


def _codes_below(c: Connection, image: Image) -> tuple[ProductCode, ...]:
    """What the image's snapshots carry: one may have come by a code after the image was registered."""
    return codes_of_all(c, [device.snapshot_id for device in image.devices if device.snapshot_id is not None])


def check_accounts(c: Connection, grants: Grants) -> None:
    """Refuses to share with an account that is not here; an ARN is not looked up, and what is not here may be taken away."""
    missing = accounts.missing_accounts(c, sorted(word for word in grants.add if is_account(word)))
    if missing:
        raise InvalidAMIAttributeItemValue(value=missing[0], item="userId")


def launch_permission(word: str) -> ec2.LaunchPermission:
    """One item of ``launchPermission``."""
    spelled = permission_of(word)
    return ec2.LaunchPermission(
        user_id=spelled.user_id,
        group=spelled.group,
        organization_arn=spelled.organization_arn,
        organizational_unit_arn=spelled.organizational_unit_arn,
    )


def cancel_image_launch_permission(
    services: Services, principal: Principal, request: ec2.CancelImageLaunchPermissionRequest
) -> ec2.CancelImageLaunchPermissionResult:
    """Gives back the permission that names the caller's own account; what it has as one of many stays."""
    check_image_id(request.image_id)
    with services.database.write_and_answer() as c:
        image = images.get(c, principal.region, request.image_id, viewer=principal.account_id)
        if image is None:
            raise NotFound("image", [request.image_id])
        permission.check_registered(image)
        permission.check_cancel(image, principal.account_id)
        raise_if_dry_run(request)
        images.change_grants(c, image.id, add=(), remove=(principal.account_id,))
    return ec2.CancelImageLaunchPermissionResult(return_=True)
