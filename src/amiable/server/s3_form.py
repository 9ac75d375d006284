"""S3's upload by form: a policy, signed by whoever lets others upload, stands in for a signed request.

euca-upload-bundle with an upload policy, and BundleInstance, upload that way; so do browsers.  The fields come first and are judged
whole (signature, policy, bucket's ACL) before the first byte of the file is stored.
"""

import hmac
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import anyio
from starlette.datastructures import Headers
from starlette.responses import Response

from amiable.api.s3 import objects
from amiable.api.s3.objects import Put
from amiable.model.bucket import Object
from amiable.model.errors import RequestTimeout, S3Refusal, Unauthenticated
from amiable.model.principal import Principal
from amiable.rules import post_policy, sigv4
from amiable.rules.conditions import Conditions
from amiable.rules.post_policy import Policy
from amiable.rules.sigv4 import UNSIGNED_PAYLOAD, Claim, Scope, Signature
from amiable.server import audit, limits
from amiable.server.authenticate import check_region, check_version_2, credential, headers_of
from amiable.server.authorize import check_s3_object
from amiable.server.contracts import Authenticated, Body
from amiable.server.s3_acl import acl_of
from amiable.server.s3_answer import transfer, xml
from amiable.server.s3_request import (
    Call,
    address_of,
    as_header,
    blocking,
    check_headers,
    read_form_file,
    read_object_headers,
)
from amiable.services import Services
from amiable.wire import s3 as spell
from amiable.wire.rest_xml import document
from amiable.wire.upload_form import UploadForm

MEDIA_TYPE: Final = "multipart/form-data"
FILE_NAME: Final = "${filename}"
NOT_HEADERS: Final = frozenset(
    (
        *("key", "acl", "policy", "signature", "awsaccesskeyid", "bucket", "success_action_status"),
        *("x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature"),
    )
)
REDIRECTS: Final = ("success_action_redirect", "redirect")


async def handle(services: Services, signed: sigv4.Request, chunks: AsyncIterator[bytes], request_id: str) -> Response:
    """The answer to one upload by form."""
    bucket, key = address_of(signed.raw_path, next(iter(signed.values("host")), ""))
    if not bucket or key or signed.raw_query:
        raise S3Refusal("MethodNotAllowed", 405, "A form is posted to a bucket's own address.", Method="POST")
    body, form = Body(chunks, None), UploadForm(signed.values("content-type")[0])
    await _read_fields(form, body)
    return await transfer(_upload, services, signed, Posted(bucket, body, form), request_id)


@dataclass(frozen=True, slots=True)
class Posted:
    """A form whose fields are read; the body brings the rest of its file."""

    bucket: str
    body: Body
    form: UploadForm


async def _read_fields(form: UploadForm, body: Body) -> None:
    """Reads up to the file, in the event loop: nobody holds a thread who has shown no signature yet."""
    try:
        with anyio.fail_after(limits.FORM_SECONDS_MAX):
            async with aclosing(body.stream()) as stream:
                async for chunk in stream:
                    form.feed(chunk)
                    if form.has_file:
                        return
    except TimeoutError:
        raise RequestTimeout(wait_seconds=limits.FORM_SECONDS_MAX) from None
    form.check_file()


def _upload(services: Services, signed: sigv4.Request, posted: Posted, request_id: str) -> Response:
    bucket, fields = posted.bucket, posted.form.fields
    principal, signature = _authenticate(services, fields)
    policy = post_policy.read_policy(fields["policy"])
    post_policy.check(policy, {**fields, "bucket": bucket}, services.clock())
    request = Authenticated(
        principal=principal,
        request_id=request_id,
        signature=signature,
        method=signed.method,
        raw_path=signed.raw_path,
        raw_query=signed.raw_query,
        headers=headers_of(signed),
        body=posted.body,
    )
    call = _call(request, bucket, fields, posted.form.file_name)
    audit.asked_by(request.principal)
    audit.begin(services, request, "PutObject", f"{bucket}/{call.key}")
    check_s3_object(principal, "PutObject", f"{bucket}/{call.key}")
    check_headers(call)
    put = Put(bucket, call.key, read_object_headers(call), acl_of(services, call), Conditions())
    file = posted.form.file(blocking(posted.body))
    stored = objects.put_object(services, principal, put, read_form_file(call, _bounded(file, policy)))
    return _answer(fields, stored, signed)


def _authenticate(services: Services, fields: Mapping[str, str]) -> tuple[Principal, Signature]:
    """Who signed the policy, by either version; raises Unauthenticated, and AccessDenied for a form without a policy."""
    if "policy" not in fields:
        raise Unauthenticated("missing", "Access Denied: the form carries no policy.")
    token = fields.get("x-amz-security-token")
    if "x-amz-algorithm" in fields:
        return _authenticate_v4(services, fields, token)
    check_version_2(services)
    key_id, claimed = _field(fields, "AWSAccessKeyId"), _field(fields, "Signature")
    now = services.clock()
    scope = Scope(key_id, now.strftime("%Y%m%d"), services.settings.region, "s3")
    principal, secret = credential(services, scope, token)
    if not hmac.compare_digest(post_policy.signature_v2(secret, fields["policy"]).encode(), claimed.encode()):
        raise Unauthenticated(
            "wrong-signature", "The policy's signature we calculated does not match the one provided."
        )
    return principal, Signature(Claim(scope, (), claimed, now, None, UNSIGNED_PAYLOAD), b"")


def _authenticate_v4(services: Services, fields: Mapping[str, str], token: str | None) -> tuple[Principal, Signature]:
    if fields["x-amz-algorithm"] != sigv4.ALGORITHM:
        raise Unauthenticated("malformed", f"The signature's algorithm is not {sigv4.ALGORITHM}.")
    claimed, date = _field(fields, "x-amz-signature"), _field(fields, "x-amz-date")
    claim = sigv4.claim_of_policy(_field(fields, "x-amz-credential"), date, claimed)
    check_region(services, claim)
    principal, secret = credential(services, claim.scope, token)
    key = sigv4.signing_key(secret, claim.scope)
    if not hmac.compare_digest(post_policy.signature_v4(key, fields["policy"]).encode(), claimed.encode()):
        raise Unauthenticated(
            "wrong-signature", "The policy's signature we calculated does not match the one provided."
        )
    return principal, Signature(claim, key)


def _field(fields: Mapping[str, str], name: str) -> str:
    value = fields.get(name.lower())
    if value is None:
        text = f"Bucket POST must contain a field named '{name}'.  If it is specified, please check the order of the fields."
        raise S3Refusal("InvalidArgument", 400, text, ArgumentName=name)
    return value


def _call(request: Authenticated, bucket: str, fields: Mapping[str, str], file_name: str) -> Call:
    """The form as the request that its fields stand for."""
    for name in REDIRECTS:
        if name in fields:
            raise S3Refusal("NotImplemented", 501, f"The field {name} is not implemented by Amiable.")
    raw = [
        as_header(name, value)
        for name, value in fields.items()
        if name not in NOT_HEADERS and not name.startswith("x-ignore-")
    ]
    if "acl" in fields:
        raw.append(as_header("x-amz-acl", fields["acl"]))
    key = _field(fields, "key").replace(FILE_NAME, file_name)
    return Call(request, bucket, key, {}, Headers(raw=raw))


def _bounded(chunks: Iterator[bytes], policy: Policy) -> Iterator[bytes]:
    """The file, which the policy may bound on both sides."""
    size_bytes = 0
    for chunk in chunks:
        size_bytes += len(chunk)
        if policy.size_bytes_max is not None and size_bytes > policy.size_bytes_max:
            policy.check_size(size_bytes)
        yield chunk
    policy.check_size(size_bytes)


def _answer(fields: Mapping[str, str], stored: Object, signed: sigv4.Request) -> Response:
    """204; 200 or 201 where the form asks for that."""
    headers = {"ETag": spell.quoted(stored.etag), "Location": f"/{stored.bucket}/{quote(stored.key)}"}
    status = fields.get("success_action_status")
    if status == "201":
        said = [("Location", headers["Location"]), ("Bucket", stored.bucket), ("Key", stored.key)]
        answer = xml(document("PostResponse", [*said, ("ETag", headers["ETag"])], namespace=None))
        answer.status_code = 201
        answer.headers.update(headers)
        return answer
    return Response(status_code=200 if status == "200" else 204, headers=headers)
