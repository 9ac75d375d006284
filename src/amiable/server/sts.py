"""STS and IAM over HTTP: the plain query protocol."""

from collections.abc import Mapping

from starlette.responses import Response

from amiable.model.errors import NotImplementedAction
from amiable.server import audit, authorize, limits, operations
from amiable.server.contracts import Authenticated, in_thread
from amiable.server.forms import read_form
from amiable.services import Services
from amiable.wire import query
from amiable.wire.ec2_query import take_frame
from amiable.wire.query import QueryProtocol


async def handle(services: Services, request: Authenticated) -> Response:
    """The answer to one STS request; raises refusals."""
    return await answer(services, request, query.STS, operations.STS)


async def answer(
    services: Services,
    request: Authenticated,
    protocol: QueryProtocol,
    functions: Mapping[str, operations.Operation],
) -> Response:
    """The answer of the service that ``protocol`` and ``functions`` make up."""
    root = await read_form(request, limits.QUERY_BODY_BYTES_MAX)
    action, _ = take_frame(root, protocol.versions)
    audit.asked_for(action)
    operation = protocol.operation_of(action)
    function = functions.get(action)
    if function is None:
        raise NotImplementedAction(action=action)
    audit.begin(services, request, action)
    typed = protocol.read_request(operation, root)
    audit.tell(typed)
    await in_thread(authorize.check_query, services, request.principal, protocol.name, action, typed)
    result = await in_thread(function, services, request.principal, typed)
    body = protocol.write_response(operation, result, request_id=request.request_id)
    return Response(body, headers={"Content-Type": query.CONTENT_TYPE})
