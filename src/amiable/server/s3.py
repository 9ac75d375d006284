"""S3 over HTTP: which operation a request is, and the operations on buckets.

A request is routed by method, by whether it names nothing, a bucket or an object, and by its subresource.  ``ROUTES`` holds all that
Amiable does; every other combination is NotImplemented, as S3 says it, and so is a query parameter that no route takes.
"""

import base64
import binascii
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response

from amiable.api.s3 import buckets, listing, objects, uploads
from amiable.api.s3.listing import Listing, Page
from amiable.database.uploads import UploadSelection
from amiable.model.bucket import KEYS_MAX
from amiable.model.errors import S3Refusal
from amiable.server import audit, authorize, s3_acl, s3_objects, s3_uploads
from amiable.server.contracts import Authenticated, in_thread
from amiable.server.s3_answer import owner_of, xml
from amiable.server.s3_request import Call, check_headers, has_digest, read_call, read_document, read_number
from amiable.services import Services
from amiable.wire import s3 as spell
from amiable.wire.rest_xml import Children, document
from amiable.wire.s3 import Spelling

Handler = Callable[[Services, Call], Awaitable[Response]]
Place = tuple[str, str, str]
"""Method, level (service, bucket, object) and subresource."""

LIST_PARAMETERS: Final = frozenset({"prefix", "delimiter", "max-keys", "encoding-type"})
RESPONSE_PARAMETERS: Final = frozenset(s3_objects.OVERRIDES)


@dataclass(frozen=True, slots=True)
class Route:
    """What answers, the query parameters it takes beside those that every request may have, and what the log calls it."""

    handler: Handler
    parameters: frozenset[str] = frozenset()
    logged_as: str | None = None


async def handle(services: Services, request: Authenticated) -> Response:
    """The answer to one S3 request."""
    call = read_call(request)
    place, route = _route(call)
    if route.logged_as is not None:
        is_copy = call.header("x-amz-copy-source") is not None
        action = COPY if is_copy and route.logged_as == PUT else route.logged_as
        audit.begin(services, request, action, f"{call.bucket}/{call.key}" if call.key else call.bucket)
    check_headers(call)
    authorize.check_s3(call, place)
    expected = call.header("x-amz-expected-bucket-owner")
    if expected is not None and call.bucket:
        await in_thread(buckets.check_owner, services, call.bucket, expected)
    return await route.handler(services, call)


def _route(call: Call) -> tuple[Place, Route]:
    """The one route, and where it stands in the table; raises NotImplemented or MethodNotAllowed."""
    level = "object" if call.key else "bucket" if call.bucket else "service"
    method = call.request.method
    if method not in ("GET", "HEAD", "PUT", "POST", "DELETE"):
        raise S3Refusal(
            "MethodNotAllowed", 405, "The specified method is not allowed against this resource.", Method=method
        )
    named = {name for name in call.query if not name.startswith("x-")}
    for subresource in SUBRESOURCES:
        if subresource in named:
            break
    else:
        subresource = ""
    route = ROUTES.get((method, level, subresource))
    unknown = sorted(named - {subresource} - (route.parameters if route else frozenset()))
    if route is None or unknown:
        what = f"{method} on a {level}" + "".join(
            f" with {name}" for name in ([subresource] if subresource else []) + unknown
        )
        raise S3Refusal(
            "NotImplemented", 501, f"A header or parameter implies functionality that is not implemented: {what}."
        )
    return (method, level, subresource), route


# ── buckets ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _list_buckets(services: Services, call: Call) -> Response:
    principal = call.request.principal
    found = await in_thread(buckets.list_buckets, services, principal)
    return xml(spell.list_buckets(found, owner_of(principal.account_id)))


async def _create_bucket(services: Services, call: Call) -> Response:
    location = spell.read_create_bucket(await read_document(call))
    acl = s3_acl.new_bucket_acl(call)
    await in_thread(buckets.create_bucket, services, call.request.principal, call.bucket, acl=acl, location=location)
    return Response(status_code=200, headers={"Location": f"/{call.bucket}"})


async def _head_bucket(services: Services, call: Call) -> Response:
    found = await in_thread(buckets.head_bucket, services, call.request.principal, call.bucket)
    return Response(status_code=200, headers={"x-amz-bucket-region": found.region, "Content-Type": "application/xml"})


async def _delete_bucket(services: Services, call: Call) -> Response:
    await in_thread(buckets.delete_bucket, services, call.request.principal, call.bucket)
    return Response(status_code=204)


async def _bucket_location(services: Services, call: Call) -> Response:
    return xml(spell.location(await in_thread(buckets.bucket_location, services, call.request.principal, call.bucket)))


# ── listings ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _list_v2(services: Services, call: Call) -> Response:
    if call.query["list-type"] != "2":
        raise S3Refusal("InvalidArgument", 400, "Invalid List Type specified in Query", ArgumentName="list-type")
    spelling, limit = _spelling(call), read_number(call, "max-keys", KEYS_MAX, KEYS_MAX)
    token = call.query.get("continuation-token")
    wanted = Listing(
        bucket=call.bucket,
        prefix=call.query.get("prefix", ""),
        delimiter=call.query.get("delimiter", ""),
        after="" if token is not None else call.query.get("start-after", ""),
        first="" if token is None else _read_token(token),
        limit=limit,
    )
    page = await _page(services, call, wanted)
    fetches_owner = call.query.get("fetch-owner", "").lower() == "true"
    said: Children = [("Name", call.bucket), ("Prefix", spelling.key(wanted.prefix))]
    said += [("StartAfter", spelling.optional(call.query.get("start-after"))), ("ContinuationToken", token)]
    said += [("NextContinuationToken", _write_token(page.next_first)), ("KeyCount", page.count)]
    said += _listing_tail(wanted, page, spelling)
    said += spell.contents(
        page.objects, spelling, (lambda found: owner_of(found.account_id)) if fetches_owner else None
    )
    return xml(document("ListBucketResult", said + spell.common_prefixes(page.prefixes, spelling)))


async def _list_v1(services: Services, call: Call) -> Response:
    spelling, limit = _spelling(call), read_number(call, "max-keys", KEYS_MAX, KEYS_MAX)
    marker = call.query.get("marker", "")
    wanted = Listing(
        call.bucket, call.query.get("prefix", ""), call.query.get("delimiter", ""), after=marker, limit=limit
    )
    page = await _page(services, call, wanted)
    following = page.last if page.next_first is not None and wanted.delimiter else None
    said: Children = [("Name", call.bucket), ("Prefix", spelling.key(wanted.prefix)), ("Marker", spelling.key(marker))]
    said += [("NextMarker", spelling.optional(following)), *_listing_tail(wanted, page, spelling)]
    said += spell.contents(page.objects, spelling, lambda found: owner_of(found.account_id))
    return xml(document("ListBucketResult", said + spell.common_prefixes(page.prefixes, spelling)))


async def _page(services: Services, call: Call, wanted: Listing) -> Page:
    page = await in_thread(listing.list_objects, services, call.request.principal, wanted)
    return page if wanted.limit else Page([], [], "", None)


def _listing_tail(wanted: Listing, page: Page, spelling: Spelling) -> Children:
    said: Children = [("MaxKeys", wanted.limit), ("Delimiter", spelling.optional(wanted.delimiter))]
    return [*said, ("IsTruncated", page.next_first is not None), ("EncodingType", spelling.name)]


def _spelling(call: Call) -> Spelling:
    encoding = call.query.get("encoding-type")
    if encoding not in (None, "url"):
        raise S3Refusal(
            "InvalidArgument", 400, "Invalid Encoding Method specified in Request", ArgumentName="encoding-type"
        )
    return Spelling(encoding == "url")


def _write_token(first: str | None) -> str | None:
    """Where the next page begins, opaque.  It grants nothing, so it need not be sealed."""
    return None if first is None else base64.urlsafe_b64encode(first.encode()).decode()


def _read_token(token: str) -> str:
    try:
        if not token:
            raise ValueError
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        text = "The continuation token provided is incorrect"
        raise S3Refusal("InvalidArgument", 400, text, ArgumentName="continuation-token") from None


async def _list_uploads(services: Services, call: Call) -> Response:
    spelling, limit = _spelling(call), read_number(call, "max-uploads", KEYS_MAX, KEYS_MAX)
    prefix, after_key = call.query.get("prefix", ""), call.query.get("key-marker", "")
    after_id = call.query.get("upload-id-marker", "")
    wanted = UploadSelection(call.bucket, prefix, after_key, after_id)
    found, is_truncated = await in_thread(uploads.list_uploads, services, call.request.principal, wanted, limit=limit)
    said: Children = [("Bucket", call.bucket), ("KeyMarker", spelling.key(after_key)), ("UploadIdMarker", after_id)]
    if is_truncated and found:
        said += [("NextKeyMarker", spelling.key(found[-1].key)), ("NextUploadIdMarker", found[-1].id)]
    said += [("Prefix", spelling.key(prefix)), ("MaxUploads", limit), ("IsTruncated", is_truncated and bool(found))]
    said.append(("EncodingType", spelling.name))
    for upload in found:
        owner = owner_of(upload.account_id)
        row: Children = [
            ("Key", spelling.key(upload.key)),
            ("UploadId", upload.id),
            ("Initiator", owner),
            ("Owner", owner),
        ]
        row += [("StorageClass", "STANDARD"), ("Initiated", spell.instant(upload.created_at))]
        said.append(("Upload", [*row, ("ChecksumAlgorithm", upload.checksum_algorithm)]))
    return xml(document("ListMultipartUploadsResult", said))


async def _delete_objects(services: Services, call: Call) -> Response:
    if not has_digest(call):
        text = "Missing required header for this request: Content-MD5 OR x-amz-checksum-*"
        raise S3Refusal("InvalidRequest", 400, text)
    wanted = spell.read_delete(await read_document(call))
    for key in wanted.keys:
        authorize.check_s3_object(call.request.principal, "DeleteObject", f"{call.bucket}/{key}")
    done = await in_thread(objects.delete_objects, services, call.request.principal, call.bucket, wanted.keys)
    return xml(spell.deleted([(one.key, one.refusal) for one in done], is_quiet=wanted.is_quiet))


# ── the table ───────────────────────────────────────────────────────────────────────────────────────────────────────────

SUBRESOURCES: Final = (
    *("uploadId", "uploads", "acl", "location", "delete", "list-type"),
    *(
        "policy",
        "policyStatus",
        "lifecycle",
        "versioning",
        "versions",
        "tagging",
        "cors",
        "website",
        "notification",
        "logging",
    ),
    *(
        "replication",
        "encryption",
        "object-lock",
        "publicAccessBlock",
        "ownershipControls",
        "accelerate",
        "requestPayment",
    ),
    *(
        "inventory",
        "analytics",
        "metrics",
        "intelligent-tiering",
        "torrent",
        "restore",
        "select",
        "legal-hold",
        "retention",
    ),
    *("attributes", "session", "metadataTable", "append", "renameObject"),
)
"""Query parameters that name another operation, whether Amiable does it or not."""

PUT: Final = "PutObject"
COPY: Final = "CopyObject"

ROUTES: Final[dict[Place, Route]] = {
    ("GET",    "service", ""):          Route(_list_buckets),
    ("PUT",    "bucket",  ""):          Route(_create_bucket, logged_as="CreateBucket"),
    ("HEAD",   "bucket",  ""):          Route(_head_bucket),
    ("DELETE", "bucket",  ""):          Route(_delete_bucket, logged_as="DeleteBucket"),
    ("GET",    "bucket",  ""):          Route(_list_v1, LIST_PARAMETERS | {"marker"}),
    ("GET",    "bucket",  "list-type"): Route(_list_v2, LIST_PARAMETERS | {"continuation-token", "start-after", "fetch-owner"}),
    ("GET",    "bucket",  "location"):  Route(_bucket_location),
    ("GET",    "bucket",  "acl"):       Route(s3_acl.bucket_acl),
    ("PUT",    "bucket",  "acl"):       Route(s3_acl.put_bucket_acl, logged_as="PutBucketAcl"),
    ("GET",    "bucket",  "uploads"):   Route(
        _list_uploads, frozenset({"prefix", "max-uploads", "key-marker", "upload-id-marker", "encoding-type"})
    ),
    ("POST",   "bucket",  "delete"):    Route(_delete_objects, logged_as="DeleteObjects"),
    ("PUT",    "object",  ""):          Route(s3_objects.put, logged_as=PUT),
    ("GET",    "object",  ""):          Route(s3_objects.get, RESPONSE_PARAMETERS),
    ("HEAD",   "object",  ""):          Route(s3_objects.head, RESPONSE_PARAMETERS),
    ("DELETE", "object",  ""):          Route(s3_objects.delete, logged_as="DeleteObject"),
    ("GET",    "object",  "acl"):       Route(s3_acl.object_acl),
    ("PUT",    "object",  "acl"):       Route(s3_acl.put_object_acl, logged_as="PutObjectAcl"),
    ("POST",   "object",  "uploads"):   Route(s3_uploads.create),
    ("PUT",    "object",  "uploadId"):  Route(s3_uploads.put_part, frozenset({"partNumber"})),
    ("POST",   "object",  "uploadId"):  Route(s3_uploads.complete, logged_as="CompleteMultipartUpload"),
    ("DELETE", "object",  "uploadId"):  Route(s3_uploads.abort),
    ("GET",    "object",  "uploadId"):  Route(s3_uploads.parts, frozenset({"max-parts", "part-number-marker", "encoding-type"})),
}  # fmt: skip
