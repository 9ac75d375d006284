"""What EC2 has no field for of an image: ``/amiable/v1/images/{id}``, ``/amiable/v1/content-digests/{digest}``."""

from typing import Final

from amiable.api import image_digests
from amiable.rules.image_digest import write_digest
from amiable.server.amiable.calls import Answer, Routes
from amiable.server.contracts import Authenticated
from amiable.services import Services


def _show(services: Services, request: Authenticated, image_id: str, _body: bytes) -> Answer:
    found = image_digests.content_of(services, request.principal, image_id)
    return {
        "ImageId": found.image.id,
        "ContentDigest": None if found.digest is None else write_digest(found.digest),
        "EqualTo": list(found.equal_to),
    }


def _find(services: Services, request: Authenticated, digest: str, _body: bytes) -> Answer:
    found = image_digests.find_content(services, request.principal, digest)
    return {
        "ContentDigest": digest,
        "Images": [{"ImageId": each.id, "Name": each.name, "OwnerId": each.account_id} for each in found],
    }


ROUTES: Final[Routes] = {
    ("GET",    "images/{}"): _show,
    ("GET",    "content-digests/{}"): _find,
}  # fmt: skip
