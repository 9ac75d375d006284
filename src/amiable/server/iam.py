"""IAM over HTTP: the signing certificates of accounts, roles and instance profiles."""

from starlette.responses import Response

from amiable.model.errors import IamRefusal
from amiable.server import operations, sts
from amiable.server.contracts import Authenticated
from amiable.services import Services
from amiable.wire import query


async def handle(services: Services, request: Authenticated) -> Response:
    """The answer to one IAM request; raises refusals.  A session of an account's key has no part in IAM; a role's has what it is allowed."""
    if request.principal.is_session and request.principal.role is None:
        raise IamRefusal("AccessDenied", "Cannot call IAM with the credentials of a session.")
    return await sts.answer(services, request, query.IAM, operations.IAM)
