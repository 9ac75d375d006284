"""What a canned ACL grants, and to whom.

A grant is a grantee and a permission.  The owner always has all of them.  Grants that are written out, in headers or as a document, are
kept where they are those of a canned ACL, and refused where they are not: what is kept is what is shown.  ``aws-exec-read`` and ``ec2-bundle-read`` let the
machine-image service itself read: AWS's canonical user ``za-team``, which fetches manifests and parts of bundles.  Requests
without a signature never come here: they are denied at the edge, whatever the ACL.
"""

from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Final

from amiable.model.errors import S3Refusal

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


GROUPS: Final = {
    ALL_USERS: Grantee.EVERYONE,
    AUTHENTICATED_USERS: Grantee.AUTHENTICATED,
    "http://acs.amazonaws.com/groups/s3/zateam": Grantee.SERVICE,
    "http://acs.amazonaws.com/groups/s3/ec2-bundle": Grantee.SERVICE,
}
"""Groups by their URI; the last two are Eucalyptus's, for who reads bundles there."""


@dataclass(frozen=True, slots=True)
class Given:
    """One grant as it was written: ``kind`` is how it names its grantee, ``id``, ``uri`` or ``emailAddress``."""

    kind: str
    grantee: str
    permission: Permission


@dataclass(frozen=True, slots=True)
class Written:
    """Grants written out, and the canonical id that the document names as the owner."""

    owner: str | None
    grants: tuple[Given, ...]


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


def canned_of(written: Written, *, owner_id: str, bucket_owner_id: str) -> str:
    """The canned ACL that grants just this, beside what the owner has anyway; raises NotImplemented where none does."""
    if written.owner is not None and written.owner != canonical_id(owner_id):
        raise S3Refusal("AccessDenied", 403, "Access Denied: the owner in the document is not the owner.")
    holding, grants = Holding(owner_id, "private", bucket_owner_id), written.grants
    asked = {(_grantee(given, holding), given.permission) for given in grants}
    full = {grantee for grantee, permission in asked if permission is Permission.FULL_CONTROL}
    meant = {(g, p) for g, p in asked if g is not None and (g not in full or p is Permission.FULL_CONTROL)}
    for name, granted in GRANTS.items():
        if meant == set(granted):
            return name
    words = ", ".join(sorted(f"{permission} to {grantee}" for grantee, permission in meant))
    raise S3Refusal(
        "NotImplemented", 501, f"Amiable keeps only the grants of canned ACLs ({', '.join(GRANTS)}), not: {words}."
    )


def _grantee(given: Given, holding: Holding) -> Grantee | None:
    """Whom the grant is for, ``None`` for the owner; refuses whom Amiable grants nothing apart."""
    if given.kind == "emailAddress":
        text = "The e-mail address you provided does not match any account on record."
        raise S3Refusal("UnresolvableGrantByEmailAddress", 400, text, EmailAddress=given.grantee)
    if given.kind == "uri":
        group = GROUPS.get(given.grantee)
        if group is None:
            raise S3Refusal("InvalidArgument", 400, "Invalid group uri", ArgumentValue=given.grantee)
        return group
    if given.grantee == canonical_id(holding.owner_id):
        return None
    if given.grantee == ZA_TEAM_ID:
        return Grantee.SERVICE
    if given.grantee == canonical_id(holding.bucket_owner_id):
        return Grantee.BUCKET_OWNER
    text = f"Amiable grants nothing to single accounts but the bucket's owner and za-team ({ZA_TEAM_ID})."
    raise S3Refusal("NotImplemented", 501, text, ArgumentValue=given.grantee)


def canonical_id(account_id: str) -> str:
    """The account's canonical user id: 64 hex digits, the same on every installation."""
    return sha256(b"canonical user of account " + account_id.encode()).hexdigest()
