"""What DeregisterImage answers for each of an image's snapshots that it was to delete too.

    success               deleted
    skipped               another image needs it
    missing-permissions   it is not the caller's to delete
    client-error          something else keeps it: a volume, a lock; or it is not there any more
    internal-error        a fault of the server's

The image is deregistered in any case.  Source: EC2 API, DeleteSnapshotReturnCode.
"""

from typing import Final

from amiable.model import ids
from amiable.model.errors import AuthFailure, InvalidSnapshotInUse, Refusal, UnauthorizedOperation

SUCCESS: Final = "success"
_SERVER_FAULT: Final = 500


def return_code(refusal: Refusal) -> str:
    """The code of a snapshot whose deletion was refused."""
    if isinstance(refusal, InvalidSnapshotInUse):
        is_needed_by_image = any(ids.is_well_formed(ids.AMI, user) for user in refusal.facts["users"].split(", "))
        return "skipped" if is_needed_by_image else "client-error"
    if isinstance(refusal, AuthFailure | UnauthorizedOperation):
        return "missing-permissions"
    return "internal-error" if refusal.status >= _SERVER_FAULT else "client-error"
