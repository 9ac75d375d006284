"""From an unknown request to a caller: claim → region → key → body's hash → signature."""

import hashlib
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Final

from starlette.datastructures import Headers
from starlette.types import Scope

from amiable.api.accounts import secret_of
from amiable.database.accounts import find_access_key
from amiable.model.errors import RequestTooLarge, Unauthenticated
from amiable.model.principal import Principal
from amiable.rules import sigv2, sigv4
from amiable.rules.sigv4 import Claim, Signature
from amiable.server import limits
from amiable.server.contracts import Authenticated, Body, Caller, in_thread
from amiable.services import Services

BODY_BYTES_MAX: Final = {
    "ec2": limits.QUERY_BODY_BYTES_MAX,
    "sts": limits.QUERY_BODY_BYTES_MAX,
    "ebs": limits.EBS_BODY_BYTES_MAX,
    "amiable": limits.AMIABLE_BODY_BYTES_MAX,
}
"""What is read before the signature is known to hold; S3's bodies stream, their hash is in a header."""


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
    _check_region(services, claim)
    headers = Headers(raw=[(name.encode("latin-1"), value.encode("latin-1")) for name, value in request.headers])
    limit_bytes = BODY_BYTES_MAX.get(claim.scope.service)
    if limit_bytes is None:
        principal, signature = await in_thread(_verify, services, request, claim, None)
        body = Body(chunks, signature.body_sha256)
    else:
        body = await _read_whole(chunks, headers, limit_bytes)
        principal, signature = await in_thread(_verify, services, request, claim, await body.read(limit_bytes))
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


async def authenticate_websocket(services: Services, request: sigv4.Request, claim: Claim, request_id: str) -> Caller:
    """The caller that opens a WebSocket; a request without a body."""
    _check_region(services, claim)
    principal, signature = await in_thread(_verify, services, request, claim, b"")
    return Caller(principal, request_id, signature)


def _check_region(services: Services, claim: Claim) -> None:
    ours, named = services.settings.region, claim.scope.region
    if named != ours:
        raise Unauthenticated(
            "wrong-scope", f"Credential should be scoped to a valid region: this installation is {ours}, not {named}."
        )


async def _read_whole(chunks: AsyncIterator[bytes], headers: Headers, limit_bytes: int) -> Body:
    """The body, read up to the limit; a length that is over it is refused unread."""
    length = headers.get("content-length", "0")
    if length.isdigit() and int(length) > limit_bytes:
        raise RequestTooLarge(limit_bytes=limit_bytes)
    body = Body(chunks, None)
    await body.read(limit_bytes)
    return body


def _verify(
    services: Services, request: sigv4.Request, claim: Claim, content: bytes | None
) -> tuple[Principal, Signature]:
    """The caller and the signature.  ``content``: the body where it is here, ``None`` where it streams later."""
    with services.database.read() as c:
        key = find_access_key(c, claim.scope.access_key_id)
    if key is None or key.state != "active":
        raise Unauthenticated("unknown-key", "The access key id is not known here, or not active.")
    secret = secret_of(services, key)
    if content is not None:
        signature = _verify_over(request, claim, secret, services.clock(), content)
    elif sigv2.is_of_version_2(claim):
        signature = sigv2.verify(request, claim, secret, services.clock())
    else:
        signature = sigv4.verify(request, claim, secret, services.clock())
    return Principal(key.account_id, key.id, claim.scope.region, key.is_administrator), signature


def _verify_over(request: sigv4.Request, claim: Claim, secret: str, now: datetime, content: bytes) -> Signature:
    """The signature over a body that is here, compared with the hash that the request states, if it does."""
    digest = hashlib.sha256(content).hexdigest()
    signature = sigv4.verify(request, claim.over(digest), secret, now)
    if signature.body_sha256 is not None and signature.body_sha256 != digest:
        raise Unauthenticated("wrong-body", "The request's body does not match the hash that was signed.")
    return signature
