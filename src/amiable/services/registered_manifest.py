"""Whether the bundle that an image was registered from still says what it said.

The image's own bytes were converted when it was registered and need the bundle no more; but the manifest is what its owner published,
and who changes it or takes it away means the image.  So it is compared at each launch: one row, and one small file that is hashed
(some tens of KiB, well under a millisecond; nothing is remembered that could be wrong).  Who may read the object does not matter here.
"""

import hashlib

from sqlalchemy import Connection

from amiable.bundle.manifest_xml import MANIFEST_BYTES_MAX
from amiable.database import objects
from amiable.model.errors import InvalidManifest, S3Refusal
from amiable.model.image import Image
from amiable.services import Services
from amiable.services.manifests import split_location
from amiable.services.objects import open_file


def check_unchanged(services: Services, c: Connection, image: Image) -> None:
    """Refuses an image whose manifest was changed or removed since it was registered; one that has no manifest passes."""
    if image.manifest_digest is None:
        return
    bucket, key = split_location(image.location)
    found = objects.find_object(c, bucket, key)
    try:
        if found is None:
            raise _gone(image)
        if found.size_bytes <= MANIFEST_BYTES_MAX:
            with open_file(services, found) as file:
                if hashlib.sha256(file.read()).digest() == image.manifest_digest:
                    return
    except S3Refusal:  # deleted this moment
        raise _gone(image) from None
    raise InvalidManifest(
        f"The manifest s3://{image.location} was changed after {image.id} was registered from it.",
        hint="register the changed bundle as a new image, or put the manifest back as it was",
    )


def _gone(image: Image) -> InvalidManifest:
    return InvalidManifest(
        f"The manifest s3://{image.location}, which {image.id} was registered from, is gone.",
        hint="put the manifest back as it was, or register the image anew",
    )
