"""Allowed images at work: where one image is named, as ``database/image_selection`` is where images are listed."""

from collections.abc import Sequence

from sqlalchemy import Connection

from amiable.database import allowed_images
from amiable.model.allowed_images import AllowedImagesState
from amiable.model.errors import NotFound
from amiable.model.image import Image
from amiable.model.principal import Principal
from amiable.rules.allowed_images import is_hidden
from amiable.services import Services


def check_allowed(services: Services, c: Connection, principal: Principal, image: Image) -> None:
    """Raises NotFound where the caller's settings in the image's region hide it: to EC2's callers it is not there."""
    settings = allowed_images.find(c, principal.account_id, image.region)
    if is_hidden(settings, image, principal.account_id, services.now()):
        raise NotFound("image", [image.id])


def hidden_images(services: Services, c: Connection, principal: Principal, image_ids: Sequence[str]) -> set[str]:
    """Those of ``image_ids`` that the caller's settings hide."""
    settings = allowed_images.find(c, principal.account_id, principal.region)
    if settings.state is not AllowedImagesState.ENABLED:
        return set()
    return allowed_images.not_allowed(c, settings, principal.account_id, image_ids, now=services.now())
