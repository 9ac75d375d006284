"""DeleteParameter and DeleteParameters: the account's own, with their history."""

from amiable.api.ssm.values import channels_own, not_found, own_parameter
from amiable.database import parameters
from amiable.model.principal import Principal
from amiable.services import Services
from amiable.wire.generated import ssm


def delete_parameter(
    services: Services, principal: Principal, request: ssm.DeleteParameterRequest
) -> ssm.DeleteParameterResult:
    """Deletes one of the account's parameters with its history."""
    name = request.name.strip(" ")
    with services.database.write_and_answer() as c:
        found = own_parameter(c, principal, name)
        if found is None:
            raise not_found(name)
        if found.channel is not None:
            raise channels_own(found)
        parameters.delete_parameter(c, principal.account_id, principal.region, name)
    return ssm.DeleteParameterResult()


def delete_parameters(
    services: Services, principal: Principal, request: ssm.DeleteParametersRequest
) -> ssm.DeleteParametersResult:
    """Deletes those of the names that are the account's parameters, and tells which were not; a channel's stays, and is told too."""
    deleted: list[str] = []
    with services.database.write() as c:
        for name in dict.fromkeys(request.names):
            found = own_parameter(c, principal, name)
            if found is not None and found.channel is None:
                parameters.delete_parameter(c, principal.account_id, principal.region, name)
                deleted.append(name)
    unknown = [name for name in dict.fromkeys(request.names) if name not in deleted]
    return ssm.DeleteParametersResult(deleted_parameters=deleted, invalid_parameters=unknown)
