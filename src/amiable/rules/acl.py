"""What a canned ACL grants, and to whom.

A grant is a grantee and a permission.  The owner always has all of them.  ``aws-exec-read`` and ``ec2-bundle-read`` let the
machine-image service itself read: AWS's canonical user ``za-team``, which fetches manifests and parts of bundles.  Requests
without a signature never come here: they are denied at the edge, whatever the ACL.
"""

from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Final

SERVICE: Final = "service"
"""Who asks, when it is Amiable's own image service (za-team) and no account."""

ZA_TEAM_ID: Final = "6aa5a366c34c1cbe25dc49211496e913e0351eb0e8c37aa3477e40942ec6b97c"
ALL_USERS: Final = "http://acs.amazonaws.com/groups/global/AllUsers"
AUTHENTICATED_USERS: Final = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"


class Permission(StrEnum):
    """On a bucket, READ lists and WRITE puts and deletes; on an object READ gets."""

    READ = "READ"
    WRITE = "WRITE"
    READ_ACP = "READ_ACP"
    WRITE_ACP = "WRITE_ACP"
    FULL_CONTROL = "FULL_CONTROL"


class Grantee(StrEnum):
    """To whom a canned ACL grants, beside the owner."""

    EVERYONE = "everyone"
    AUTHENTICATED = "authenticated"
    BUCKET_OWNER = "bucket-owner"
    SERVICE = "service"


GRANTS: Final[dict[str, tuple[tuple[Grantee, Permission], ...]]] = {
    "private":                   (),
    "public-read":               ((Grantee.EVERYONE, Permission.READ),),
    "public-read-write":         ((Grantee.EVERYONE, Permission.READ), (Grantee.EVERYONE, Permission.WRITE)),
    "authenticated-read":        ((Grantee.AUTHENTICATED, Permission.READ),),
    "aws-exec-read":             ((Grantee.SERVICE, Permission.READ),),
    "ec2-bundle-read":           ((Grantee.SERVICE, Permission.READ),),
    "bucket-owner-read":         ((Grantee.BUCKET_OWNER, Permission.READ),),
    "bucket-owner-full-control": ((Grantee.BUCKET_OWNER, Permission.FULL_CONTROL),),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Holding:
    """Whose a bucket or an object is, and the canned ACL on it."""

    owner_id: str
    acl: str
    bucket_owner_id: str


def may(caller: str, permission: Permission, holding: Holding) -> bool:
    """Whether ``caller`` (an account, or ``SERVICE``) has ``permission``."""
    if caller == holding.owner_id:
        return True
    granted = {given for grantee, given in GRANTS[holding.acl] if _is(grantee, caller, holding)}
    return permission in granted or Permission.FULL_CONTROL in granted


def _is(grantee: Grantee, caller: str, holding: Holding) -> bool:
    match grantee:
        case Grantee.EVERYONE | Grantee.AUTHENTICATED:
            return True
        case Grantee.BUCKET_OWNER:
            return caller == holding.bucket_owner_id
        case Grantee.SERVICE:
            return caller == SERVICE


def canonical_id(account_id: str) -> str:
    """The account's canonical user id: 64 hex digits, the same on every installation."""
    return sha256(b"canonical user of account " + account_id.encode()).hexdigest()
