"""One port for every protocol: who asks, which service, one answer.

    request ─▶ claim in header or query? ─no─▶ claim in a form? ─no─▶ landing page, /health, cert-ec2.pem; all else is refused
                    │ yes: the credential scope          │ yes: Version, or that it is an upload to a bucket,
                    ▼      names the service             ▼      names the service
               authenticate ─▶ ec2 · sts · iam · ebs · rbin · s3 · ssm · amiable · bootstrap ─▶ answer

A refusal on the way is worded by ``refusals`` for the service at hand.

One UUID4 a request stands in the body, the header and the log (``request_log``).
"""

import logging
import re
import time
from collections.abc import Awaitable, Callable
from typing import Final

import anyio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from amiable.model.errors import Refusal, RequestTooLarge, Unauthenticated, UnauthorizedOperation, UnsupportedOperation
from amiable.rules import sigv2, sigv4
from amiable.server import amiable, audit, bootstrap, ebs, ec2, iam, limits, rbin, refusals, s3, s3_form, ssm, sts
from amiable.server.authenticate import (
    authenticate,
    authenticate_form,
    authenticate_websocket,
    find_claim,
    read_signed_form,
    signed_request,
)
from amiable.server.authorize import AUTHORIZING, check_amiable
from amiable.server.contracts import Authenticated
from amiable.server.forms import FORM_TYPE
from amiable.server.landing import landing_page
from amiable.server.request_log import Exchange, log_answer, log_departure
from amiable.server.serial_console import serial_console
from amiable.server.tunnel import tunnel
from amiable.services import Services
from amiable.services.audit import Watch
from amiable.services.entropy import mint_request_id

log = logging.getLogger("amiable.server")

Handle = Callable[[Services, Authenticated], Awaitable[Response]]

HANDLERS: Final[dict[str, Handle]] = {
    "ec2": ec2.handle,
    "sts": sts.handle,
    "iam": iam.handle,
    "ebs": ebs.handle,
    "rbin": rbin.handle,
    "s3": s3.handle,
    "ssm": ssm.handle,
    "amiable": amiable.handle,
    "bootstrap": bootstrap.handle,
}
QUERY_SERVICES: Final = ("ec2", "sts", "iam")
"""What an unsigned-looking form at ``/`` may be for: version 2 signs in the form itself."""
HINT_HEADER: Final = "x-amiable-hint"
"""Where a refusal says what to do: AWS's own documents have no field for it, and stay as they are."""
CERTIFICATE_PATH: Final = "/amiable/cert-ec2.pem"
WEBSOCKETS: Final = re.compile(r"/amiable/v1/instances/[^/]+/(tunnel|console)")


def build_app(services: Services) -> ASGIApp:
    """The ASGI application over ``services``."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await _serve_http(services, scope, receive, send)
        elif scope["type"] == "websocket":
            await _serve_websocket(services, scope, receive, send)

    return app


async def _serve_http(services: Services, scope: Scope, receive: Receive, send: Send) -> None:
    exchange, reading, code = _begin(scope), Reading(receive), ""
    signed, request_id = exchange.signed, exchange.request_id
    with audit.watching((scope.get("client") or ("",))[0]) as watch:
        try:
            response = await _respond(services, exchange, Request(scope, reading))
            await _end(services, watch, None)
        except ClientDisconnect:
            log_departure(exchange, action=watch.action, account_id=watch.account_id)
            return
        except Exception as error:  # noqa: BLE001 - the outermost loop of requests
            refusal = refusals.named(error, request_id)
            code, _ = refusals.told(exchange.service, refusal)
            response = _refuse(services, exchange, refusal)
            await _end(services, watch, refusal)
    response.headers["x-amz-request-id" if exchange.service == "s3" else "x-amzn-RequestId"] = request_id
    status = response.status_code
    log_answer(exchange, action=watch.action, account_id=watch.account_id, status=status, code=code)
    if not await reading.finish(signed):
        response.headers["Connection"] = "close"
    await response(scope, receive, send)


def _begin(scope: Scope) -> Exchange:
    signed = signed_request(scope)
    return Exchange(signed, mint_request_id(), service_of(signed), time.monotonic())


async def _end(services: Services, watch: Watch, refusal: Refusal | None) -> None:
    """Has the log say what came of a mutating call; where it cannot be written, the change has its line already."""
    try:
        code, status = (None, 200) if refusal is None else (refusal.code, refusal.status)
        await audit.end(services, watch, code, status)
    except Exception as error:  # the outermost loop of requests
        is_full = refusals.is_disk_full(error)
        log.error("the log has no line of a call that changed nothing: %s", error, exc_info=None if is_full else error)


class Reading:
    """The request's body as it is received, so that an answer that does not need all of it leaves the connection in order."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._has_begun = False
        self._has_ended = False

    async def __call__(self) -> Message:
        """The next message."""
        message = await self._receive()
        self._has_begun = True
        self._has_ended = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    async def finish(self, signed: sigv4.Request) -> bool:
        """Reads on to the body's end, within limits; whether the end was reached, and the connection may be used again.

        A client that waits for ``100 Continue`` and gets a refusal sends no body at all: what it sends next is another request.
        """
        has_body = any(length != "0" for length in signed.values("content-length")) or bool(
            signed.values("transfer-encoding")
        )
        if not has_body or self._has_ended:
            return True
        if not self._has_begun and any(value.lower() == "100-continue" for value in signed.values("expect")):
            return False
        size_bytes = 0
        with anyio.move_on_after(limits.REST_SECONDS_MAX):
            while not self._has_ended and size_bytes < limits.REST_BYTES_MAX:
                size_bytes += len((await self()).get("body", b""))
        return self._has_ended


def service_of(signed: sigv4.Request) -> str:
    """The service that the request names in its credential scope; without one, whose clients send such a request."""
    named = sigv4.named_service(signed)
    if named:
        return named
    if sigv2.has_header(signed):
        return "s3"
    if signed.raw_path == "/":
        if next(iter(signed.values("x-amz-target")), "").startswith("AmazonSSM."):
            return "ssm"
        if "Version=2010-05-08" in signed.raw_query:
            return "iam"
        return "sts" if "Version=2011-06-15" in signed.raw_query else "ec2"
    if signed.raw_path.startswith("/amiable/"):
        return "amiable"
    return "ebs" if signed.raw_path.startswith("/snapshots/") or signed.raw_path == "/snapshots" else "s3"


async def _respond(services: Services, exchange: Exchange, http: Request) -> Response:
    signed = exchange.signed
    _check_headers(signed)
    claim = find_claim(services, signed, exchange.service)
    if claim is None:
        return await _respond_to_form(services, exchange, http) or _unsigned(services, signed)
    exchange.service = claim.scope.service  # what was signed: a header of version 2 is S3's whatever the query says
    handle = HANDLERS.get(exchange.service)
    if handle is None:
        raise UnsupportedOperation(
            f"The service {exchange.service} is not spoken here; these are: {', '.join(sorted(HANDLERS))}."
        )
    request = await authenticate(services, signed, claim, http.stream(), exchange.request_id)
    audit.asked_by(request.principal)
    _check_role(request, exchange.service)
    return await handle(services, request)


async def _respond_to_form(services: Services, exchange: Exchange, http: Request) -> Response | None:
    """The answer to a form that carries its signature among its fields; ``None`` where it carries none."""
    signed = exchange.signed
    media_type = next(iter(signed.values("content-type")), FORM_TYPE).partition(";")[0].strip().lower()
    if exchange.service == "s3" and signed.method == "POST" and media_type == s3_form.MEDIA_TYPE:
        return await s3_form.handle(services, signed, http.stream(), exchange.request_id)
    if exchange.service not in QUERY_SERVICES or signed.raw_path != "/" or media_type != FORM_TYPE:
        return None
    form = await read_signed_form(services, signed, http.stream())
    if form is None:
        return None
    exchange.service = form.claim.scope.service
    request = await authenticate_form(services, signed, form, exchange.request_id)
    audit.asked_by(request.principal)
    _check_role(request, exchange.service)
    return await HANDLERS[exchange.service](services, request)


def _check_role(request: Authenticated, service: str) -> None:
    """A role's session gets no further where nothing asks what the role may do."""
    if request.principal.role is not None and service not in AUTHORIZING:
        raise UnauthorizedOperation(why=f"A role's session may not use {service}.")


def _check_headers(signed: sigv4.Request) -> None:
    size_bytes = sum(len(name) + len(value) + 4 for name, value in signed.headers)
    if size_bytes + len(signed.raw_path) + len(signed.raw_query) > limits.HEADERS_BYTES_MAX:
        raise RequestTooLarge(f"The request's headers are larger than {limits.HEADERS_BYTES_MAX} bytes.")


def _unsigned(services: Services, signed: sigv4.Request) -> Response:
    """The landing page, the health check and the public bundling certificate; nothing else answers without a signature."""
    if signed.method in ("GET", "HEAD"):
        if signed.raw_path == CERTIFICATE_PATH:
            return Response(services.installation.bundling_pem, headers={"Content-Type": "application/x-pem-file"})
        if signed.raw_path == "/health":
            return JSONResponse({"status": "ok"})
        if signed.raw_path == "/" and "Action=" not in signed.raw_query:
            return landing_page(services.settings.regions, next(iter(signed.values("host")), ""))
    raise Unauthenticated("missing", "The request carries no signature.")


def _refuse(services: Services, exchange: Exchange, refusal: Refusal) -> Response:
    response = refusals.answer(
        exchange.service,
        refusal,
        request_id=exchange.request_id,
        resource=exchange.signed.raw_path,
        region=services.settings.region,
    )
    if refusal.advice:
        text = " | ".join(refusal.advice.splitlines())[: limits.HINT_CHARACTERS_MAX]
        response.headers[HINT_HEADER] = text.encode("ascii", "replace").decode()
    return response


async def _serve_websocket(services: Services, scope: Scope, receive: Receive, send: Send) -> None:
    """A tunnel or a serial console, for a verified caller; anything else is refused before the WebSocket is accepted."""
    exchange, account_id = _begin(scope), ""
    websocket = WebSocket(scope, receive, send)
    signed, request_id = exchange.signed, exchange.request_id
    exchange.service = "amiable"
    try:
        _check_headers(signed)
        claim = sigv4.find_claim(signed)
        if claim is None:
            raise Unauthenticated("missing", "The request carries no signature.")
        found = WEBSOCKETS.fullmatch(websocket.url.path)
        if claim.scope.service != "amiable" or found is None:
            raise UnsupportedOperation("No WebSocket is served there.")
        caller = await authenticate_websocket(services, signed, claim, request_id)
        account_id = caller.principal.account_id
        check_amiable(caller.principal, "GET", signed.raw_path)
        await (tunnel if found[1] == "tunnel" else serial_console)(services, websocket, caller)
    except WebSocketDisconnect:
        log_departure(exchange, action="", account_id=account_id)
    except Exception as error:  # noqa: BLE001 - the outermost loop of WebSockets
        refusal = refusals.named(error, request_id)
        code, _ = refusals.told(exchange.service, refusal)
        response = _refuse(services, exchange, refusal)
        log_answer(exchange, action="", account_id=account_id, status=response.status_code, code=code)
        if websocket.application_state is WebSocketState.CONNECTING:
            response.headers["x-amzn-RequestId"] = request_id
            await websocket.send_denial_response(response)
        elif websocket.application_state is WebSocketState.CONNECTED:
            await websocket.close(1011)
