"""A rest-json service over HTTP: one request in, the operation in a worker thread, one answer out."""

from collections.abc import Callable, Mapping
from typing import Any

from starlette.responses import Response

from amiable.model.principal import Principal
from amiable.server import audit, authorize
from amiable.server.contracts import Authenticated, in_thread
from amiable.server.limits import EBS_BODY_BYTES_MAX
from amiable.services import Services
from amiable.wire.rest_json import RestJsonProtocol


async def answer(
    services: Services,
    request: Authenticated,
    protocol: RestJsonProtocol,
    functions: Mapping[str, Callable[[Services, Principal, Any], Any]],
) -> Response:
    """The answer of the service that ``protocol`` and ``functions`` make up; raises refusals."""
    found = protocol.match(request.method, request.raw_path)
    if found is None:
        message = f"{request.method} {request.raw_path} is no operation of {protocol.title} that Amiable implements."
        raise protocol.invalid("", message)
    operation, path = found
    audit.asked_for(operation.name)
    audit.begin(services, request, operation.name)
    if request.headers.get("content-encoding", "identity") != "identity":
        message = f"Content-Encoding {request.headers['content-encoding']} is not accepted."
        raise protocol.invalid("Content-Encoding", message)
    body = await request.body.read(EBS_BODY_BYTES_MAX)
    typed = protocol.read_request(operation, path=path, query=request.raw_query, headers=request.headers, body=body)
    audit.tell(typed)
    authorize.check_rest_json(request.principal, protocol.name, operation.name, typed)
    result = await in_thread(functions[operation.name], services, request.principal, typed)
    status, headers, document = protocol.write_response(operation, result)
    return Response(document, status, headers)
