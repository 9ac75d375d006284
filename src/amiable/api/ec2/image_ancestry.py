"""GetImageAncestry."""

from typing import Final

from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.images import check_image_id
from amiable.database import images, lineage
from amiable.database.lineage import Ancestor
from amiable.model.errors import InvalidAMIIDUnavailable, NotFound
from amiable.model.image import ImageState
from amiable.model.principal import Principal
from amiable.rules import permission
from amiable.services import Services
from amiable.services.allowed_images import check_allowed
from amiable.wire.generated import ec2

GONE: Final = (ImageState.BINNED, ImageState.DEREGISTERED)


def get_image_ancestry(
    services: Services, principal: Principal, request: ec2.GetImageAncestryRequest
) -> ec2.GetImageAncestryResult:
    """The image and what it was made of, in turn, as far as CreateImage, CopyImage and restores recorded it."""
    check_image_id(request.image_id)
    with services.database.read() as c:
        _check_visible(services, c, principal, request.image_id)
        raise_if_dry_run(request)
        chain = lineage.ancestry(c, principal.region, request.image_id)
    return ec2.GetImageAncestryResult(image_ancestry_entries=[_entry(each) for each in chain])


def _check_visible(services: Services, c: Connection, principal: Principal, image_id: str) -> None:
    """Refuses an image that the caller does not see; of its own that is gone it says that."""
    image = images.get(c, principal.region, image_id, viewer=principal.account_id)
    if image is None or not permission.may_see(image, principal.account_id):
        raise NotFound("image", [image_id])
    if image.state in GONE:
        raise InvalidAMIIDUnavailable(image_id=image_id)
    check_allowed(services, c, principal, image)


def _entry(it: Ancestor) -> ec2.ImageAncestryEntry:
    return ec2.ImageAncestryEntry(
        image_id=it.image_id,
        creation_date=it.created_at,
        image_owner_alias=it.owner_alias,
        source_image_id=it.source_image_id,
        source_image_region=it.source_image_region,
    )
