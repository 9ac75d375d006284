"""The account's own parameters, and what is told of one: a SecureString's value lies sealed by the installation's key."""

import base64

from sqlalchemy import Connection

from amiable.database import parameters
from amiable.model.parameter import Parameter, ParameterType
from amiable.model.parameter_errors import SsmRefusal
from amiable.model.principal import Principal
from amiable.rules.parameters import Named
from amiable.services import Services
from amiable.wire.generated import ssm


def own_parameter(c: Connection, principal: Principal, name: str) -> Parameter | None:
    """The account's own parameter of this name, the newest version."""
    found = parameters.find_parameter(c, principal.account_id, principal.region, [name])
    return found if found is not None and found.account_id == principal.account_id else None


def channels_own(found: Parameter) -> SsmRefusal:
    """The refusal to change what a channel shows."""
    return SsmRefusal(
        "AccessDeniedException",
        f"{found.name} shows the channel {found.channel}: it moves with it. Use amiable channel promote, rollback or delete.",
    )


def not_found(name: str) -> SsmRefusal:
    """ParameterNotFound."""
    return SsmRefusal("ParameterNotFound", f"Parameter {name} not found.")


def _purpose(account_id: str, region: str, name: str) -> str:
    return f"parameter:{account_id}:{region}:{name}"


def seal(services: Services, principal: Principal, name: str, value: str) -> str:
    """``value`` as it is kept: bound to its name, in base64."""
    purpose = _purpose(principal.account_id, principal.region, name)
    return base64.b64encode(services.installation.seal(purpose, value.encode(), services.entropy(12))).decode()


def open_value(services: Services, found: Parameter, is_opened: bool) -> str:
    """The value; of a SecureString its sealed form unless it is to be opened."""
    if found.type is not ParameterType.SECURE_STRING or not is_opened:
        return found.value
    purpose = _purpose(found.account_id, found.region, found.name)
    return services.installation.unseal(purpose, base64.b64decode(found.value)).decode()


def told(services: Services, found: Parameter, named: Named | None, is_opened: bool) -> ssm.Parameter:
    """The parameter as GetParameter tells it; ``named`` is how it was asked for."""
    return ssm.Parameter(
        name=found.name,
        type=found.type.value,
        value=open_value(services, found, is_opened),
        version=found.version,
        selector=named.selector if named else None,
        last_modified_date=found.modified_at,
        arn=found.arn,
        data_type=found.data_type,
    )
