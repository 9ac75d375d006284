"""STS over HTTP."""

from starlette.responses import Response

from amiable.model.errors import NotImplementedAction
from amiable.server import limits, operations
from amiable.server.contracts import Authenticated, in_thread
from amiable.server.forms import read_form
from amiable.services import Services
from amiable.wire import query
from amiable.wire.ec2_query import take_frame


async def handle(services: Services, request: Authenticated) -> Response:
    """The answer to one STS request; raises refusals."""
    root = await read_form(request, limits.QUERY_BODY_BYTES_MAX)
    action, _ = take_frame(root, query.VERSIONS)
    operation = query.operation_of(action)
    function = operations.STS.get(action)
    if function is None:
        raise NotImplementedAction(action=action)
    result = await in_thread(function, services, request.principal, query.read_request(operation, root))
    body = query.write_response(operation, result, request_id=request.request_id)
    return Response(body, headers={"Content-Type": query.CONTENT_TYPE})
