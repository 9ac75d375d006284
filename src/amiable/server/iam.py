"""IAM over HTTP: the signing certificates of accounts."""

from starlette.responses import Response

from amiable.model.errors import IamRefusal
from amiable.server import operations, sts
from amiable.server.contracts import Authenticated
from amiable.services import Services
from amiable.wire import query


async def handle(services: Services, request: Authenticated) -> Response:
    """The answer to one IAM request; raises refusals.  A session must not outlive itself, so it enrols nothing."""
    if request.principal.is_session:
        raise IamRefusal("AccessDenied", "Cannot call IAM with the credentials of a session.")
    return await sts.answer(services, request, query.IAM, operations.IAM)
