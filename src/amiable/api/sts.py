"""Security tokens: who am I, and credentials for a while."""

import re
from typing import Final

from amiable.api.sessions import RoleGrant, begin_role_session, begin_session
from amiable.database import roles
from amiable.model.errors import IamRefusal, InvalidParameterValue, UnauthorizedOperation, UnsupportedOperation
from amiable.model.principal import Principal
from amiable.model.role import CHAINED_SESSION_SECONDS_MAX, SESSION_SECONDS_DEFAULT, Role
from amiable.rules.policy import Asked, Assumer, Verdict, decide_trust, read_policy, read_trust_policy
from amiable.services import Services
from amiable.services.authorization import check_allowed
from amiable.wire.generated import sts

SESSION_SECONDS: Final = 43_200
"""What GetSessionToken gives where the request does not say: twelve hours."""
SESSION_POLICY_CHARACTERS_MAX: Final = 2048
UNSUPPORTED: Final = {
    "policy_arns": "PolicyArns",
    "tags": "Tags",
    "transitive_tag_keys": "TransitiveTagKeys",
    "serial_number": "SerialNumber",
    "token_code": "TokenCode",
    "source_identity": "SourceIdentity",
    "provided_contexts": "ProvidedContexts",
}
"""Of AssumeRole: each would change what the session may do, so none is ignored."""

_ROLE_ARN: Final = re.compile(r"arn:aws:iam::(\d{12}):role(/.{0,510}/|/)([\w+=,.@-]{1,64})", re.ASCII)


def get_caller_identity(
    services: Services, principal: Principal, request: sts.GetCallerIdentityRequest
) -> sts.GetCallerIdentityResponse:
    """Who the signature speaks for: a role's session, or an account's root."""
    return sts.GetCallerIdentityResponse(user_id=principal.user_id, account=principal.account_id, arn=principal.arn)


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


def assume_role(services: Services, principal: Principal, request: sts.AssumeRoleRequest) -> sts.AssumeRoleResponse:
    """Credentials of a role, for whom its trust policy names; the keys of an account are its root's, and may assume roles here."""
    for member, name in UNSUPPORTED.items():
        if getattr(request, member):
            raise UnsupportedOperation(f"The parameter {name} of AssumeRole is not supported by Amiable.")
    role = _trusting_role(services, principal, request)
    seconds = _seconds(principal, role, request.duration_seconds)
    if request.policy is not None:
        if len(request.policy) > SESSION_POLICY_CHARACTERS_MAX:
            raise IamRefusal(
                "ValidationError", f"The session policy is longer than {SESSION_POLICY_CHARACTERS_MAX} characters."
            )
        read_policy(request.policy)
    session = begin_role_session(services, RoleGrant(role, request.role_session_name, seconds, request.policy))
    return sts.AssumeRoleResponse(
        credentials=sts.Credentials(
            access_key_id=session.key_id,
            secret_access_key=session.secret,
            session_token=session.token,
            expiration=session.expires_at,
        ),
        assumed_role_user=sts.AssumedRoleUser(
            assumed_role_id=f"{role.id}:{request.role_session_name}",
            arn=f"arn:aws:sts::{role.account_id}:assumed-role/{role.name}/{request.role_session_name}",
        ),
        packed_policy_size=None
        if request.policy is None
        else len(request.policy) * 100 // SESSION_POLICY_CHARACTERS_MAX,
    )


def _trusting_role(services: Services, principal: Principal, request: sts.AssumeRoleRequest) -> Role:
    """The role, which trusts the caller; one that is not there is refused alike."""
    found = _ROLE_ARN.fullmatch(request.role_arn)
    if found is None:
        raise IamRefusal("ValidationError", f"{request.role_arn[:200]} is invalid")
    check_allowed(principal, "sts:AssumeRole", (request.role_arn,))
    with services.database.read() as c:
        role = roles.find_role(c, found[1], found[3])
    told = {
        "aws:principalaccount": principal.account_id,
        "aws:principalarn": principal.role.role_arn if principal.role is not None else principal.arn,
        "aws:requestedregion": principal.region,
        "sts:rolesessionname": request.role_session_name,
    }
    if request.external_id is not None:
        told["sts:externalid"] = request.external_id
    asked = Asked("sts:AssumeRole", context=told)
    if (
        role is None
        or role.arn != request.role_arn
        or decide_trust(read_trust_policy(role.trust_policy), _words_of(principal), asked) is not Verdict.ALLOWED
    ):
        raise IamRefusal(
            "AccessDenied",
            f"User: {principal.arn} is not authorized to perform: sts:AssumeRole on resource: {request.role_arn}",
            hint="the role's trust policy names whom it trusts: iam get-role shows it",
        )
    return role


def _words_of(principal: Principal) -> Assumer:
    """How trust policies may name the caller."""
    words = {principal.account_id, f"arn:aws:iam::{principal.account_id}:root", principal.arn}
    if principal.role is not None:
        words.add(principal.role.role_arn)
    return Assumer(frozenset(words))


def _seconds(principal: Principal, role: Role, asked: int | None) -> int:
    seconds = asked if asked is not None else min(SESSION_SECONDS_DEFAULT, role.session_seconds_max)
    if principal.role is not None and seconds > CHAINED_SESSION_SECONDS_MAX:
        raise IamRefusal(
            "ValidationError",
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining",
        )
    if seconds > role.session_seconds_max:
        raise IamRefusal(
            "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
        )
    return seconds
