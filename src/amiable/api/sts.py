"""Security tokens: who am I."""

from amiable.model.principal import Principal
from amiable.services import Services
from amiable.wire.generated import sts


def get_caller_identity(
    services: Services, principal: Principal, request: sts.GetCallerIdentityRequest
) -> sts.GetCallerIdentityResponse:
    """The account behind the signature.  Until users come, each key speaks for its account's root: its user id is the account's."""
    return sts.GetCallerIdentityResponse(user_id=principal.account_id, account=principal.account_id, arn=principal.arn)
