"""GetParameter and GetParameters: values by name, by version, by ARN; public ones by everybody."""

from sqlalchemy import Connection

from amiable.api.ssm.values import not_found, told
from amiable.database import parameters
from amiable.model.parameter import Parameter
from amiable.model.parameter_errors import SsmRefusal
from amiable.model.principal import Principal
from amiable.rules import parameters as rules
from amiable.rules.parameters import Named
from amiable.services import Services
from amiable.wire.generated import ssm


def get_parameter(services: Services, principal: Principal, request: ssm.GetParameterRequest) -> ssm.GetParameterResult:
    """One parameter, its newest version or the one that the name selects."""
    named = rules.read_name(request.name, region=principal.region, account_id=principal.account_id)
    with services.database.read() as c:
        found = find(c, principal, named)
    return ssm.GetParameterResult(parameter=told(services, found, named, bool(request.with_decryption)))


def find(c: Connection, principal: Principal, named: Named) -> Parameter:
    """The parameter that ``named`` means; raises ParameterNotFound, ParameterVersionNotFound."""
    here = None
    if not named.is_foreign:
        here = parameters.find_parameter(c, principal.account_id, principal.region, named.candidates)
    if here is None:
        raise not_found(named.candidates[0])
    if named.selector is None:
        return here
    found = None
    if named.version is not None:
        found = parameters.find_parameter(c, principal.account_id, principal.region, [here.name], version=named.version)
    if found is None:
        kind = "label" if named.is_label else "version"
        raise SsmRefusal(
            "ParameterVersionNotFound",
            f"Systems Manager could not find {kind} {named.selector[1:]} of {here.name}. Verify the {kind} and try again.",
        )
    return found


def get_parameters(
    services: Services, principal: Principal, request: ssm.GetParametersRequest
) -> ssm.GetParametersResult:
    """The parameters of these names, each once, and the names that name none."""
    found: list[ssm.Parameter] = []
    unknown: list[str] = []
    with services.database.read() as c:
        for text in dict.fromkeys(request.names):
            try:
                named = rules.read_name(text, region=principal.region, account_id=principal.account_id)
                found.append(told(services, find(c, principal, named), named, bool(request.with_decryption)))
            except SsmRefusal:
                unknown.append(text)
    return ssm.GetParametersResult(parameters=found, invalid_parameters=unknown)
