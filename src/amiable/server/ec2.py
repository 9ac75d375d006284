"""EC2 over HTTP: form → typed request → operation in a thread, or on the loop where it is short → XML."""

from typing import Final

from starlette.responses import Response

from amiable.model.errors import DryRunOperation, NotImplementedAction
from amiable.server import audit, authorize, limits, operations
from amiable.server.contracts import Authenticated, in_thread, on_loop
from amiable.server.forms import read_form
from amiable.services import Services
from amiable.wire import ec2_query
from amiable.wire.parameters import Node
from amiable.wire.scalars import BOOLEANS

READS: Final = ("Describe", "Get")
"""How an action begins that changes nothing: only there may the edge itself answer a dry run, after the fact."""


async def handle(services: Services, request: Authenticated) -> Response:
    """The answer to one EC2 request; raises refusals."""
    root = await read_form(request, limits.QUERY_BODY_BYTES_MAX)
    action, version = ec2_query.take_frame(root)
    audit.asked_for(action)
    operation = ec2_query.operation_of(action)
    function = operations.EC2.get(action)
    if function is None:
        raise NotImplementedAction(action=action)
    if not _is_dry(root):
        audit.begin(services, request, action)
    typed = ec2_query.read_request(operation, root)
    audit.tell(typed)
    authorize.check_ec2(request.principal, action, typed)
    if operations.is_short(action, typed):
        result = await on_loop(services.database, function, services, request.principal, typed)
    else:
        result = await in_thread(function, services, request.principal, typed)
    if getattr(typed, "dry_run", None):
        assert action.startswith(READS), f"{action} ignored DryRun"
        raise DryRunOperation()
    body = ec2_query.write_response(operation, result, request_id=request.request_id, version=version)
    return Response(body, headers={"Content-Type": ec2_query.CONTENT_TYPE})


def _is_dry(root: Node) -> bool:
    """Whether a request that may not even be readable asks for a dry run, which changes nothing: the log has no line of it."""
    dry = root.children.get("DryRun")
    return dry is not None and BOOLEANS.get((dry.value or "").lower(), False)
