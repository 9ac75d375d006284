"""EC2 over HTTP: form → typed request → operation in a thread → XML."""

from typing import Final

from starlette.responses import Response

from amiable.model.errors import DryRunOperation, NotImplementedAction
from amiable.server import limits, operations
from amiable.server.contracts import Authenticated, in_thread
from amiable.server.forms import read_form
from amiable.services import Services
from amiable.wire import ec2_query

READS: Final = ("Describe", "Get")
"""How an action begins that changes nothing: only there may the edge itself answer a dry run, after the fact."""


async def handle(services: Services, request: Authenticated) -> Response:
    """The answer to one EC2 request; raises refusals."""
    root = await read_form(request, limits.QUERY_BODY_BYTES_MAX)
    action, version = ec2_query.take_frame(root)
    operation = ec2_query.operation_of(action)
    function = operations.EC2.get(action)
    if function is None:
        raise NotImplementedAction(action=action)
    typed = ec2_query.read_request(operation, root)
    result = await in_thread(function, services, request.principal, typed)
    if getattr(typed, "dry_run", None):
        assert action.startswith(READS), f"{action} ignored DryRun"
        raise DryRunOperation()
    body = ec2_query.write_response(operation, result, request_id=request.request_id, version=version)
    return Response(body, headers={"Content-Type": ec2_query.CONTENT_TYPE})
