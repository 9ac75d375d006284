"""What DeregisterImage answers for each of an image's snapshots that it was to delete too.

    success               deleted
    skipped               another image needs it
    missing-permissions   it is not the caller's to delete, or its role may not DeleteSnapshot
    client-error          something else keeps it: a volume, a lock; or it is not there any more
    internal-error        a fault of the server's

The image is deregistered in any case.  Source: EC2 API, DeleteSnapshotReturnCode.

And whether its owner, who asks for the image by its id, is told that there is none, or nothing at all (boto/botocore#2194).
"""

from datetime import datetime, timedelta
from typing import Final

from amiable.model import ids
from amiable.model.errors import AuthFailure, InvalidSnapshotInUse, Refusal, UnauthorizedOperation
from amiable.model.image import Image

SUCCESS: Final = "success"
_SERVER_FAULT: Final = 500
LEFT_OUT: Final = timedelta(hours=1)
"""How long DescribeImages leaves an image out without a word; tools that wait for the end of an image look for that."""


def return_code(refusal: Refusal) -> str:
    """The code of a snapshot whose deletion was refused."""
    if isinstance(refusal, InvalidSnapshotInUse):
        is_needed_by_image = any(ids.is_well_formed(ids.AMI, user) for user in refusal.facts["users"].split(", "))
        return "skipped" if is_needed_by_image else "client-error"
    if isinstance(refusal, AuthFailure | UnauthorizedOperation):
        return "missing-permissions"
    return "internal-error" if refusal.status >= _SERVER_FAULT else "client-error"


def is_left_out(image: Image, viewer: str, now: datetime) -> bool:
    """Whether ``viewer``, who names the image to DescribeImages, is its owner and deregistered it just now."""
    return image.account_id == viewer and image.deregistered_at is not None and now < image.deregistered_at + LEFT_OUT
