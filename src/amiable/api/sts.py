"""Security tokens: who am I, and credentials for a while."""

from typing import Final

from amiable.api.sessions import begin_session
from amiable.model.errors import InvalidParameterValue, UnauthorizedOperation
from amiable.model.principal import Principal
from amiable.services import Services
from amiable.wire.generated import sts

SESSION_SECONDS: Final = 43_200
"""What GetSessionToken gives where the request does not say: twelve hours."""


def get_caller_identity(
    services: Services, principal: Principal, request: sts.GetCallerIdentityRequest
) -> sts.GetCallerIdentityResponse:
    """The account behind the signature.  Until users come, each key speaks for its account's root: its user id is the account's."""
    return sts.GetCallerIdentityResponse(user_id=principal.account_id, account=principal.account_id, arn=principal.arn)


def get_session_token(
    services: Services, principal: Principal, request: sts.GetSessionTokenRequest
) -> sts.GetSessionTokenResponse:
    """Credentials that do what the caller's key does, until they end or the key does; a session cannot ask for another."""
    if principal.is_session:
        raise UnauthorizedOperation(why="Cannot call GetSessionToken with session credentials")
    for name, value in (("SerialNumber", request.serial_number), ("TokenCode", request.token_code)):
        if value is not None:
            raise InvalidParameterValue(parameter=name, value=value, why="Amiable knows no MFA devices.")
    session = begin_session(
        services,
        principal.access_key_id,
        seconds=request.duration_seconds or SESSION_SECONDS,
        token_size_min=request.minimum_session_token_size or 0,
    )
    return sts.GetSessionTokenResponse(
        credentials=sts.Credentials(
            access_key_id=session.key_id,
            secret_access_key=session.secret,
            session_token=session.token,
            expiration=session.expires_at,
        )
    )
