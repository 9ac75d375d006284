"""Amiable's own API over HTTP: ``/amiable/v1``, JSON, signed for the service ``amiable``.

    GET    accounts                            POST  accounts {Name}                                     administrator
    POST   house-session                                                                                 administrator
    GET    access-keys                         POST  access-keys            DELETE access-keys/{id}      the caller's own
    PUT    access-keys/{id}/state {Active}                                                               the caller's own
    PUT    accounts/{id}/partner {Partner}                                                               administrator
    GET    kernels                             POST  kernels {Name, Type, Architecture, Bucket, Key}     POST: administrator, partners
    PUT    kernels/{id}/approval {Approved}                                                              administrator
    GET    products                            POST  products {Name, Currency, HourlyPrice, MonthlyFee}
    GET    products/{code}                     PUT   products/{code}/price          POST products/{code}/resources
    PUT    products/{code}/subscription        DELETE products/{code}/subscription  GET  products/{code}/subscriptions
    GET    subscriptions                       GET   statements/{month}[/seller]    GET  lapses
    GET    channels                            POST  channels {Name, ImageId, Description, Public}
    GET    channels/{name}                     GET   channels/{name}/history        DELETE channels/{name}
    POST   channels/{name}/promote {ImageId}   POST  channels/{name}/rollback       PUT    channels/{name}/visibility {Public}
    GET    images/{id}                         GET   content-digests/{digest}
    GET    why/{id}                            (of an image or a snapshot: its owner, the administrator)
    GET    events?after&since&size&wait        (an account its own lines, the administrator all)
    GET    recycle-bin                         GET   retention-rules                GET    retention-plan
    GET    instances/{id}/hardware             GET   instances/{id}/boots           GET    instances/{id}/console-log?boot
    GET    bundling-certificate                GET   host                   GET    instance-identity
    GET    instances/{id}/ssh-host-keys        (instances/{id}/tunnel: ``server/tunnel.py``; …/console: ``server/serial_console.py``)

What stands in a path is percent-encoded, the slashes of a name too.  Keys are PascalCase; a refusal is ``{"Code", "Message", "Hint"}``.
"""

from typing import Final
from urllib.parse import unquote

import msgspec
from starlette.responses import Response

from amiable.model.errors import InvalidAction, UnauthorizedOperation
from amiable.server import audit, authorize
from amiable.server.amiable import (
    accounts,
    boots,
    channels,
    events,
    host,
    house,
    identity,
    images,
    kernels,
    name_guard,
    organizations,
    products,
    recycle_bin,
    why,
)
from amiable.server.amiable.calls import Answer, Routes
from amiable.server.contracts import Authenticated, in_thread
from amiable.server.limits import AMIABLE_BODY_BYTES_MAX
from amiable.services import Services

PREFIX: Final = "/amiable/v1/"
LASTING: Final = ("accounts", "access-keys", "house-session")
"""Nouns that a session only reads: what it made there would outlive it."""

ROUTES: Final[Routes] = {
    **accounts.ROUTES,
    **kernels.ROUTES,
    **products.ROUTES,
    **recycle_bin.ROUTES,
    **channels.ROUTES,
    **images.ROUTES,
    **boots.ROUTES,
    **host.ROUTES,
    **house.ROUTES,
    **identity.ROUTES,
    **organizations.ROUTES,
    **name_guard.ROUTES,
    **why.ROUTES,
}


async def handle(services: Services, request: Authenticated) -> Response:
    """The answer to one request of Amiable's own API."""
    parts = request.raw_path.removeprefix(PREFIX).split("/") if request.raw_path.startswith(PREFIX) else []
    authorize.check_amiable(request.principal, request.method, request.raw_path)
    noun, rest, tail = (*parts, "", "", "")[:3]
    route = f"{noun}/{{}}/{tail}" if tail else f"{noun}/{{}}" if rest else noun
    if request.method == "GET" and parts == ["events"]:
        return _json(await events.follow(services, request))
    handler = ROUTES.get((request.method, route))
    # With a slash more it would be another word for the same thing, which a policy does not say.
    if handler is None or len(parts) > 3 or "" in parts:
        raise InvalidAction(action=f"{request.method} {request.raw_path}")
    audit.begin(services, request, f"{request.method} {route}", *([unquote(rest)] if rest else []))
    if request.principal.is_session and request.method != "GET" and noun in LASTING:
        raise UnauthorizedOperation(why="The credentials of a session make and change no lasting ones.")
    body = await request.body.read(AMIABLE_BODY_BYTES_MAX)
    audit.tell({name: value for name, value in request.query.multi_items() if not name.startswith("X-Amz-")})
    audit.tell_body(body)
    answer = await in_thread(handler, services, request, unquote(rest), body)
    return _json(answer)


def _json(answer: Answer) -> Response:
    return Response(msgspec.json.encode(answer), 200, {"Content-Type": "application/json"})
