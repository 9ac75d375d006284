"""The Recycle Bin's service over HTTP."""

from starlette.responses import Response

from amiable.api.rbin import OPERATIONS
from amiable.server.contracts import Authenticated
from amiable.server.rest_json import answer
from amiable.services import Services
from amiable.wire import rest_json


async def handle(services: Services, request: Authenticated) -> Response:
    """The answer to a verified request; raises RbinRefusal and whatever else the operation refuses with."""
    return await answer(services, request, rest_json.RBIN, OPERATIONS)
