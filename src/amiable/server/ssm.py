"""Systems Manager over HTTP: the JSON 1.1 protocol."""

from typing import Final

from starlette.responses import Response

from amiable.model.errors import InvalidAction, NotImplementedAction
from amiable.server import audit, authorize, limits, operations
from amiable.server.contracts import Authenticated, in_thread
from amiable.services import Services
from amiable.wire.json_rpc import CONTENT_TYPE, SSM

TARGET: Final = "x-amz-target"


async def handle(services: Services, request: Authenticated) -> Response:
    """The answer to one request of Systems Manager; raises refusals."""
    if request.method != "POST" or request.raw_path != "/":
        raise InvalidAction(action=f"{request.method} {request.raw_path}")
    target = request.headers.get(TARGET, "")
    audit.asked_for(target.removeprefix(SSM.target))
    action = SSM.action_of(target)
    function = operations.SSM.get(action)
    if function is None:
        raise NotImplementedAction(action=action)
    operation = SSM.service.operations[action]
    audit.begin(services, request, action)
    typed = SSM.read_request(operation, await request.body.read(limits.QUERY_BODY_BYTES_MAX))
    audit.tell(typed)
    authorize.check_ssm(request.principal, action, typed)
    result = await in_thread(function, services, request.principal, typed)
    return Response(SSM.write_response(operation, result), headers={"Content-Type": CONTENT_TYPE})
