"""EBS direct over HTTP: one request in, the operation in a worker thread, one answer out."""

from starlette.responses import Response

from amiable.api.ebs import OPERATIONS
from amiable.model.errors import EbsRefusal
from amiable.server.contracts import Authenticated, in_thread
from amiable.server.limits import EBS_BODY_BYTES_MAX
from amiable.services import Services
from amiable.wire import rest_json


async def handle(services: Services, request: Authenticated) -> Response:
    """The answer to a verified request; raises EbsRefusal and whatever else the operation refuses with."""
    found = rest_json.match(request.method, request.raw_path)
    if found is None:
        message = f"{request.method} {request.raw_path} is no operation of EBS direct that Amiable implements."
        raise EbsRefusal("ValidationException", "INVALID_PARAMETER_VALUE", message)
    operation, path = found
    if request.headers.get("content-encoding", "identity") != "identity":
        message = f"Content-Encoding {request.headers['content-encoding']} is not accepted."
        raise EbsRefusal("ValidationException", "INVALID_CONTENT_ENCODING", message)
    body = await request.body.read(EBS_BODY_BYTES_MAX)
    typed = rest_json.read_request(operation, path, request.raw_query, request.headers, body)
    result = await in_thread(OPERATIONS[operation.name], services, request.principal, typed)
    status, headers, answer = rest_json.write_response(operation, result)
    return Response(answer, status, headers)
