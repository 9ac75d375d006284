"""S3's access control lists over HTTP: canned names, grant headers, documents."""

import re
from typing import Final

from starlette.responses import Response

from amiable.api.s3 import buckets, objects
from amiable.model.bucket import Bucket, Object
from amiable.model.errors import S3Refusal
from amiable.rules.acl import (
    ALL_USERS,
    AUTHENTICATED_USERS,
    GRANTS,
    ZA_TEAM_ID,
    Given,
    Grantee,
    Holding,
    Permission,
    Written,
    canned_of,
    canonical_id,
)
from amiable.server.contracts import in_thread
from amiable.server.s3_answer import owner_of, xml
from amiable.server.s3_request import GRANT_HEADERS, Call, read_document
from amiable.services import Services
from amiable.wire import s3 as spell

DEFAULT: Final = "private"
GRANTEES_MAX: Final = 100
_GRANTEE: Final = re.compile(r'\s*(id|uri|emailAddress)\s*=\s*(?:"([^"]*)"|([^",\s]+))\s*', re.IGNORECASE)


async def bucket_acl(services: Services, call: Call) -> Response:
    """GetBucketAcl."""
    found = await in_thread(buckets.bucket_acl, services, call.request.principal, call.bucket)
    return xml(_document(found, None))


async def put_bucket_acl(services: Services, call: Call) -> Response:
    """PutBucketAcl."""
    acl = await _asked(call)
    await in_thread(buckets.put_bucket_acl, services, call.request.principal, call.bucket, acl)
    return Response(status_code=200)


async def object_acl(services: Services, call: Call) -> Response:
    """GetObjectAcl."""
    holder, found = await in_thread(objects.object_acl, services, call.request.principal, call.bucket, call.key)
    return xml(_document(holder, found))


async def put_object_acl(services: Services, call: Call) -> Response:
    """PutObjectAcl."""
    acl = await _asked(call)
    await in_thread(objects.put_object_acl, services, call.request.principal, call.bucket, call.key, acl)
    return Response(status_code=200)


def acl_of(services: Services, call: Call) -> str:
    """The canned ACL of what is to be made in the call's bucket: named, or granted in headers; runs in a thread."""
    written = _read_headers(call)
    if isinstance(written, str):
        return written
    return buckets.acl_for_new(services, call.request.principal, call.bucket, written)


async def read_acl(services: Services, call: Call) -> str:
    """As :func:`acl_of`, in the event loop."""
    written = _read_headers(call)
    return written if isinstance(written, str) else await in_thread(acl_of, services, call)


def new_bucket_acl(call: Call) -> str:
    """The canned ACL of a bucket that is to be made: its owner is who asks."""
    written, owner = _read_headers(call), call.request.principal.account_id
    return written if isinstance(written, str) else canned_of(written, owner_id=owner, bucket_owner_id=owner)


async def _asked(call: Call) -> str | Written:
    """What the call wants to be set: one of a canned name, headers and a document."""
    body = (await read_document(call)).strip()
    has_headers = any(call.header(name) is not None for name in ("x-amz-acl", *GRANT_HEADERS))
    if body and has_headers:
        raise S3Refusal("UnexpectedContent", 400, "This request does not support content")
    if has_headers:
        return _read_headers(call)
    if not body:
        text = "Your request was missing a required header: x-amz-acl, x-amz-grant-*, or a body"
        raise S3Refusal("MissingSecurityHeader", 400, text, MissingHeaderName="x-amz-acl")
    owner, grants = spell.read_access_control_policy(body)
    return Written(owner, tuple(Given(kind, who, Permission(permission)) for kind, who, permission in grants))


def _read_headers(call: Call) -> str | Written:
    """The canned name, ``private`` without one; or the grants of headers.  Both is a refusal."""
    named = call.header("x-amz-acl")
    sent = {name: call.headers.getlist(name) for name in GRANT_HEADERS}
    if not any(sent.values()):
        return named or DEFAULT
    if named is not None:
        text = "Specifying both Canned ACLs and Header Grants is not allowed"
        raise S3Refusal("InvalidRequest", 400, text)
    given = [
        one
        for name, values in sent.items()
        for value in values
        for one in _read_grants(name, value, GRANT_HEADERS[name])
    ]
    return Written(None, tuple(given))


def _read_grants(name: str, value: str, permission: str) -> list[Given]:
    """The grantees of one ``x-amz-grant-*``: ``id="…", uri="…"``."""
    given: list[Given] = []
    position = 0
    kinds = {"id": "id", "uri": "uri", "emailaddress": "emailAddress"}
    while position < len(value):
        found = _GRANTEE.match(value, position)
        at_end = found is not None and (found.end() == len(value) or value[found.end()] == ",")
        if found is None or not at_end or len(given) >= GRANTEES_MAX:
            raise S3Refusal(
                "InvalidArgument", 400, "Argument format not recognized", ArgumentName=name, ArgumentValue=value
            )
        given.append(Given(kinds[found[1].lower()], found[2] or found[3] or "", Permission(permission)))
        position = found.end() + 1
    return given


def _document(bucket: Bucket, found: Object | None) -> bytes:
    holding = Holding(
        found.account_id if found else bucket.account_id, found.acl if found else bucket.acl, bucket.account_id
    )
    who = {
        Grantee.EVERYONE: ("Group", ALL_USERS),
        Grantee.AUTHENTICATED: ("Group", AUTHENTICATED_USERS),
        Grantee.BUCKET_OWNER: ("CanonicalUser", canonical_id(holding.bucket_owner_id)),
        Grantee.SERVICE: ("CanonicalUser", ZA_TEAM_ID),
    }
    grants = [("CanonicalUser", canonical_id(holding.owner_id), "FULL_CONTROL")]
    grants += [(*who[grantee], permission.value) for grantee, permission in GRANTS[holding.acl]]
    return spell.access_control_policy(owner_of(holding.owner_id), grants)
