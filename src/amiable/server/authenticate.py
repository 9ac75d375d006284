"""From an unknown request to a caller: claim → region → key, or session → body's hash → signature."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from starlette.datastructures import Headers
from starlette.types import Scope

from amiable.api.accounts import secret_of
from amiable.api.sessions import open_session
from amiable.database.accounts import look_up_access_key
from amiable.model.errors import RequestTooLarge, Unauthenticated
from amiable.model.principal import Principal
from amiable.rules import sigv2, sigv2_form, sigv4
from amiable.rules.sigv4 import Claim, Signature
from amiable.server import limits
from amiable.server.contracts import Authenticated, Body, Caller, in_thread
from amiable.services import Services

BODY_BYTES_MAX: Final = {
    "ec2": limits.QUERY_BODY_BYTES_MAX,
    "sts": limits.QUERY_BODY_BYTES_MAX,
    "iam": limits.QUERY_BODY_BYTES_MAX,
    "bootstrap": limits.QUERY_BODY_BYTES_MAX,
    "ebs": limits.EBS_BODY_BYTES_MAX,
    "rbin": limits.QUERY_BODY_BYTES_MAX,
    "ssm": limits.QUERY_BODY_BYTES_MAX,
    "amiable": limits.AMIABLE_BODY_BYTES_MAX,
}
"""What is read before the signature is known to hold; S3's bodies stream, their hash is in a header."""


GLOBAL_REGION: Final = "us-east-1"
"""Where clients sign for IAM, whatever region they are set to: it has one endpoint."""


def find_claim(services: Services, request: sigv4.Request, service: str) -> Claim | None:
    """The claim in header or query, ``None`` without one; raises Unauthenticated for half a one."""
    if sigv2.has_header(request):
        claim = sigv2.find_claim(request, services.settings.region)
    else:
        claim = sigv4.find_claim(request)
        if claim is None and service == "s3":
            claim = sigv2.find_claim(request, services.settings.region)
    if claim is not None and sigv2.is_of_version_2(claim):
        check_version_2(services)
    return claim


def check_version_2(services: Services) -> None:
    """Refuses signature version 2 where the installation does not take it."""
    if services.settings.signature_v2 != "on":
        text = "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."
        raise Unauthenticated("malformed", text)


def signed_request(scope: Scope) -> sigv4.Request:
    """What ``scope`` says was sent, as text of the bytes on the wire."""
    headers = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]]
    raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
    path = raw_path.partition(b"?")[0].decode("latin-1")
    return sigv4.Request(scope.get("method", "GET"), path, scope["query_string"].decode("latin-1"), headers)


async def authenticate(
    services: Services, request: sigv4.Request, claim: Claim, chunks: AsyncIterator[bytes], request_id: str
) -> Authenticated:
    """The request with its verified caller; raises Unauthenticated, RequestTooLarge or RequestTimeout."""
    check_region(services, claim)
    headers = headers_of(request)
    limit_bytes = BODY_BYTES_MAX.get(claim.scope.service)
    if limit_bytes is None:
        principal, signature = await _verified(services, request, claim, None)
        body = Body(chunks, signature.body_sha256)
    else:
        body = await _read_whole(chunks, headers, limit_bytes)
        principal, signature = await _verified(services, request, claim, await body.read(limit_bytes))
    return Authenticated(
        principal=principal,
        request_id=request_id,
        signature=signature,
        method=request.method,
        raw_path=request.raw_path,
        raw_query=request.raw_query,
        headers=headers,
        body=body,
    )


@dataclass(frozen=True, slots=True)
class SignedForm:
    """A form that carries a claim of version 2 among its parameters, not yet verified."""

    claim: Claim
    pairs: sigv2_form.Pairs
    body: Body


async def read_signed_form(
    services: Services, request: sigv4.Request, chunks: AsyncIterator[bytes]
) -> SignedForm | None:
    """The form in query and body, ``None`` where it carries no claim; raises Unauthenticated for half a one."""
    body = await _read_whole(chunks, headers_of(request), limits.QUERY_BODY_BYTES_MAX)
    content = (await body.read(limits.QUERY_BODY_BYTES_MAX)).decode("latin-1")
    pairs = sigv2_form.pairs_of(request.raw_query, content)
    claim = sigv2_form.find_claim(pairs, services.settings.region)
    return None if claim is None else SignedForm(claim, pairs, body)


async def authenticate_form(
    services: Services, request: sigv4.Request, form: SignedForm, request_id: str
) -> Authenticated:
    """The form with its verified caller; raises Unauthenticated."""
    check_version_2(services)

    def verify() -> tuple[Principal, Signature]:
        token = sigv2_form.security_token(form.pairs)
        principal, secret = credential(services, form.claim.scope, token)
        return principal, sigv2_form.verify(request, form.pairs, form.claim, secret, services.clock())

    principal, signature = await in_thread(verify)
    return Authenticated(
        principal=principal,
        request_id=request_id,
        signature=signature,
        method=request.method,
        raw_path=request.raw_path,
        raw_query=request.raw_query,
        headers=headers_of(request),
        body=form.body,
    )


def headers_of(request: sigv4.Request) -> Headers:
    """The headers as handlers read them."""
    return Headers(raw=[(name.encode("latin-1"), value.encode("latin-1")) for name, value in request.headers])


async def authenticate_websocket(services: Services, request: sigv4.Request, claim: Claim, request_id: str) -> Caller:
    """The caller that opens a WebSocket; a request without a body."""
    check_region(services, claim)
    principal, signature = await in_thread(_verify, services, request, claim, b"")
    return Caller(principal, request_id, signature)


def check_region(services: Services, claim: Claim) -> None:
    """IAM is everywhere, and who asks for the bundling certificate may know no region yet; every other service is in its regions."""
    ours, named, service = services.settings.regions, claim.scope.region, claim.scope.service
    if named in ours or service == "bootstrap" or (service == "iam" and named == GLOBAL_REGION):
        return
    raise Unauthenticated(
        "wrong-scope",
        f"Credential should be scoped to a valid region: this installation is {', '.join(ours)}, not {named}.",
    )


async def _read_whole(chunks: AsyncIterator[bytes], headers: Headers, limit_bytes: int) -> Body:
    """The body, read up to the limit; a length that is over it is refused unread."""
    length = headers.get("content-length", "0")
    if length.isdigit() and int(length) > limit_bytes:
        raise RequestTooLarge(limit_bytes=limit_bytes)
    body = Body(chunks, None)
    await body.read(limit_bytes)
    return body


async def _verified(
    services: Services, request: sigv4.Request, claim: Claim, content: bytes | None
) -> tuple[Principal, Signature]:
    """The caller and the signature: at once where that takes less than the way to a thread and back."""
    is_short = content is None or len(content) <= limits.HASHED_AT_ONCE_BYTES_MAX
    if is_short and services.database.looks_at_once and sigv4.security_token(request) is None:
        return _verify(services, request, claim, content)
    return await in_thread(_verify, services, request, claim, content)


def _verify(
    services: Services, request: sigv4.Request, claim: Claim, content: bytes | None
) -> tuple[Principal, Signature]:
    """The caller and the signature.  ``content``: the body where it is here, ``None`` where it streams later."""
    principal, secret = credential(services, claim.scope, sigv4.security_token(request))
    if content is not None:
        signature = _verify_over(request, claim, secret, services.clock(), content)
    elif sigv2.is_of_version_2(claim):
        signature = sigv2.verify(request, claim, secret, services.clock())
    else:
        signature = sigv4.verify(request, claim, secret, services.clock())
    return principal, signature


def credential(services: Services, scope: sigv4.Scope, token: str | None) -> tuple[Principal, str]:
    """Whom the key, or the session that ``token`` carries, speaks for, and its secret; raises Unauthenticated.

    The caller is in the region that its signature is scoped to; for a service that is everywhere, in the first one.
    """
    key_id = scope.access_key_id
    region = scope.region if scope.region in services.settings.regions else services.settings.region
    if token is not None:
        session = open_session(services, token, key_id)
        return Principal(session.account_id, key_id, region, session.is_administrator, session.role), session.secret
    found = look_up_access_key(services.database, key_id)
    if found is None or found.state != "active":
        raise Unauthenticated("unknown-key", "The access key id is not known here, or not active.")
    return Principal(found.account_id, found.id, region, found.is_administrator), secret_of(services, found)


def _verify_over(request: sigv4.Request, claim: Claim, secret: str, now: datetime, content: bytes) -> Signature:
    """The signature over a body that is here, compared with the hash that the request states, if it does."""
    digest = hashlib.sha256(content).hexdigest()
    signature = sigv4.verify(request, claim.over(digest), secret, now)
    if signature.body_sha256 is not None and signature.body_sha256 != digest:
        raise Unauthenticated("wrong-body", "The request's body does not match the hash that was signed.")
    return signature
