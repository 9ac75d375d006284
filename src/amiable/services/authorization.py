"""Whether a role's session may do what it asks; who speaks for an account may do all that the account may.

The edge asks before each operation (``server/authorize``); an operation asks again for what it does beside its own action (PassRole).
"""

from collections.abc import Iterable, Mapping

from amiable.model.errors import IamRefusal, Refusal, S3Refusal, UnauthorizedOperation
from amiable.model.principal import Principal, RoleSession
from amiable.rules.policy import Asked, Verdict, decide

IAM_SERVICES = ("iam", "sts")


def check_allowed(
    principal: Principal, action: str, resources: Iterable[str] = ("*",), *, context: Mapping[str, str] | None = None
) -> None:
    """Refuses what the role's policies, or the session's own, do not allow on any one of ``resources``; the service's word for it."""
    role = principal.role
    if role is None:
        return
    told = {
        "aws:principalaccount": principal.account_id,
        "aws:principalarn": role.role_arn,
        "aws:requestedregion": principal.region,
        **(context or {}),
    }
    for resource in resources:
        why = _refused(role, Asked(action, resource, told))
        if why is not None:
            raise _refusal(action.partition(":")[0], f"{principal.arn}", f"{action} on resource: {resource} {why}")


def _refused(role: RoleSession, asked: Asked) -> str | None:
    """Why ``asked`` is refused, or None."""
    kinds = [("identity-based policy", role.policies)]
    if role.session_policy is not None:
        kinds.append(("session policy", (role.session_policy,)))
    verdicts = [(kind, decide(policies, asked)) for kind, policies in kinds]
    for kind, verdict in verdicts:
        if verdict is Verdict.DENIED:
            return f"with an explicit deny in {'an' if kind[0] == 'i' else 'a'} {kind}"
    for kind, verdict in verdicts:
        if verdict is Verdict.NOT_ALLOWED:
            return f"because no {kind} allows the {asked.action} action"
    return None


def _refusal(service: str, who: str, what: str) -> Refusal:
    message = f"User: {who} is not authorized to perform: {what}"
    if service == "s3":
        return S3Refusal("AccessDenied", 403, message)
    if service in IAM_SERVICES:
        return IamRefusal("AccessDenied", message)
    return UnauthorizedOperation(why=message)
