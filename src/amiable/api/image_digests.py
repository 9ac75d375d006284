"""Content digests of images: shown, searched, and made up for where an earlier version left none."""

from dataclasses import dataclass
from typing import Final

from amiable.database import image_digests, images, jobs
from amiable.database.image_digests import Seeker
from amiable.model import ids
from amiable.model.errors import InvalidParameterValue, Malformed, NotFound
from amiable.model.image import Image
from amiable.model.principal import Principal
from amiable.rules.image_digest import read_digest
from amiable.rules.permission import may_see
from amiable.services import Services
from amiable.services.allowed_images import check_allowed
from amiable.services.content_digests import digest_of, is_any_missing

EQUAL_MAX: Final = 100
"""How many images of one content are told."""
JOB: Final = "content-digests"


@dataclass(frozen=True, slots=True)
class Content:
    """An image's digest (None: not known, its conversion has not ended) and the other images of that content."""

    image: Image
    digest: bytes | None
    equal_to: tuple[str, ...]


def content_of(services: Services, principal: Principal, image_id: str) -> Content:
    """What an image that the caller may see holds, and which other images, that the caller may launch, hold the same."""
    if not any(ids.is_well_formed(prefix, image_id) for prefix in (ids.AMI, ids.AKI, ids.ARI)):
        raise Malformed("image", image_id, ids.AMI)
    with services.database.read() as c:
        image = images.get(c, principal.region, image_id, viewer=principal.account_id)
        if image is None or image.deregistered_at is not None or not may_see(image, principal.account_id):
            raise NotFound("image", [image_id])
        check_allowed(services, c, principal, image)
        digest = image.content_digest or digest_of(c, image, data=services.data)
        equal: list[str] = []
        if digest is not None:
            equal = image_digests.equal_images(c, digest, _seeker(services, principal), limit=EQUAL_MAX + 1)
    return Content(image, digest, tuple(each for each in equal if each != image_id)[:EQUAL_MAX])


def find_content(services: Services, principal: Principal, text: str) -> list[Image]:
    """The images of a digest that the caller may launch, in the order in which a launch chooses: its own, free ones, old ones."""
    digest = read_digest(text)
    if digest is None:
        raise InvalidParameterValue(
            parameter="ContentDigest", value=text, why="Expecting sha256: and 64 hexadecimal digits."
        )
    with services.database.read() as c:
        found = image_digests.equal_images(c, digest, _seeker(services, principal), limit=EQUAL_MAX)
        seen = [images.get(c, principal.region, image_id, viewer=principal.account_id) for image_id in found]
    return [image for image in seen if image is not None]


def _seeker(services: Services, principal: Principal) -> Seeker:
    return Seeker(principal.account_id, principal.region, services.now())


def settle_digests(services: Services) -> None:
    """Asks for the job that makes missing digests, where one is missing.  At a start."""
    with services.database.write() as c:
        if is_any_missing(c):
            jobs.enqueue(c, jobs.NewJob(JOB, JOB, {}), now=services.now())
