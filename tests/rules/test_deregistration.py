"""What became of the snapshots of a deregistered image."""

import pytest

from amiable.model.errors import (
    AuthFailure,
    IncorrectState,
    InternalError,
    InvalidSnapshotInUse,
    NotFound,
    Refusal,
    UnauthorizedOperation,
)
from amiable.rules.deregistration import return_code

SNAPSHOT = "snap-0123456789abcdef0"


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        (InvalidSnapshotInUse(snapshot_id=SNAPSHOT, users="ami-0123456789abcdef0"), "skipped"),
        (InvalidSnapshotInUse(snapshot_id=SNAPSHOT, users="ami-12345678, vol-12345678"), "skipped"),
        (InvalidSnapshotInUse(snapshot_id=SNAPSHOT, users="vol-0123456789abcdef0"), "client-error"),
        (AuthFailure(what=SNAPSHOT), "missing-permissions"),
        (UnauthorizedOperation(why="No."), "missing-permissions"),
        (NotFound("snapshot", [SNAPSHOT]), "client-error"),
        (IncorrectState("It is locked."), "client-error"),
        (InternalError(), "internal-error"),
    ],
)
def test_each_refusal_has_its_return_code(refusal: Refusal, code: str) -> None:
    assert return_code(refusal) == code
