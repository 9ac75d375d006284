"""What DeregisterImage answers for each of an image's snapshots that it was to delete too.

    success               deleted
    skipped               another image needs it
    missing-permissions   it is not the caller's to delete, or its role may not DeleteSnapshot
    client-error          something else keeps it: a volume, a lock; or it is not there any more
    internal-error        a fault of the server's

The image is deregistered in any case.  Source: EC2 API, DeleteSnapshotReturnCode.

And whether who asks for the image by its id is told that there is none, or nothing at all: EC2 leaves it out of the answer for days,
and as long as an instance refers to it (boto/botocore#2194, getmoto/moto#5050).
"""

from datetime import datetime, timedelta
from typing import Final

from amiable.model import ids
from amiable.model.errors import AuthFailure, InvalidSnapshotInUse, Refusal, UnauthorizedOperation
from amiable.model.image import Image

SUCCESS: Final = "success"
_SERVER_FAULT: Final = 500
LEFT_OUT: Final = timedelta(days=3)
"""How long DescribeImages leaves its owner's image out without a word; tools that wait for the end of an image look for that."""


def return_code(refusal: Refusal) -> str:
    """The code of a snapshot whose deletion was refused."""
    if isinstance(refusal, InvalidSnapshotInUse):
        is_needed_by_image = any(ids.is_well_formed(ids.AMI, user) for user in refusal.facts["users"].split(", "))
        return "skipped" if is_needed_by_image else "client-error"
    if isinstance(refusal, AuthFailure | UnauthorizedOperation):
        return "missing-permissions"
    return "internal-error" if refusal.status >= _SERVER_FAULT else "client-error"


def is_left_out(image: Image, viewer: str, now: datetime, *, has_instance: bool) -> bool:
    """Whether ``viewer``, who names the image to DescribeImages, still has an instance of it, or deregistered it not long ago."""
    if image.deregistered_at is None:
        return False
    return has_instance or (image.account_id == viewer and now < image.deregistered_at + LEFT_OUT)
