"""IAM: roles and their policies.

A role's policies are its own; managed policies, boundaries and users are not there, and what asks for one is refused.  A change binds
at once, for sessions that run too: each request reads the role's policies.
"""

from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import Connection

from amiable.api import iam_pages
from amiable.database import roles
from amiable.model import ids
from amiable.model.errors import IamRefusal, UnsupportedOperation
from amiable.model.principal import Principal
from amiable.model.role import (
    ROLE_POLICIES_CHARACTERS_MAX,
    ROLE_POLICIES_LENGTH_MAX,
    ROLE_PREFIX,
    ROLES_MAX,
    SESSION_SECONDS_DEFAULT,
    TAGS_MAX,
    TRUST_POLICY_CHARACTERS_MAX,
    Role,
    Tags,
)
from amiable.rules.policy import read_policy, read_trust_policy
from amiable.services import Services
from amiable.wire.generated import iam

UNSUPPORTED: Final = ("permissions_boundary", "max_signin_session_duration")


def create_role(services: Services, principal: Principal, request: iam.CreateRoleRequest) -> iam.CreateRoleResponse:
    """Makes a role that may do nothing yet."""
    for name in UNSUPPORTED:
        if getattr(request, name) is not None:
            raise UnsupportedOperation(f"The parameter {name} of a role is not supported by Amiable.")
    read_trust_policy(request.assume_role_policy_document)
    _check_trust_size(request.assume_role_policy_document)
    role = Role(
        id=ids.mint_iam(ROLE_PREFIX, services.entropy(ids.IAM_ENTROPY_BYTES)),
        account_id=principal.account_id,
        name=request.role_name,
        path=request.path or "/",
        description=request.description,
        trust_policy=request.assume_role_policy_document,
        session_seconds_max=request.max_session_duration or SESSION_SECONDS_DEFAULT,
        tags=read_tags(request.tags),
        created_at=services.now(),
    )
    with services.database.write_and_answer() as c:
        if roles.find_role(c, principal.account_id, role.name) is not None:
            raise IamRefusal("EntityAlreadyExists", f"Role with name {role.name} already exists.")
        if roles.count_roles(c, principal.account_id) >= ROLES_MAX:
            raise IamRefusal("LimitExceeded", f"Cannot exceed quota for RolesPerAccount: {ROLES_MAX}")
        roles.insert_role(c, role)
    return iam.CreateRoleResponse(role=role_said(role))


def get_role(services: Services, principal: Principal, request: iam.GetRoleRequest) -> iam.GetRoleResponse:
    """One role."""
    with services.database.read() as c:
        return iam.GetRoleResponse(role=role_said(find(c, principal, request.role_name)))


def list_roles(services: Services, principal: Principal, request: iam.ListRolesRequest) -> iam.ListRolesResponse:
    """The account's roles, by name."""
    with services.database.read() as c:
        found = roles.list_roles(c, principal.account_id)
    below = [role for role in found if role.path.startswith(request.path_prefix or "/")]
    shown, is_truncated, marker = iam_pages.cut(request, below, lambda role: role.name)
    return iam.ListRolesResponse(roles=[role_said(role) for role in shown], is_truncated=is_truncated, marker=marker)


def delete_role(services: Services, principal: Principal, request: iam.DeleteRoleRequest) -> None:
    """Deletes a role; its sessions end."""
    with services.database.write_and_answer() as c:
        role = find(c, principal, request.role_name)
        if roles.policies_of(c, role.id):
            raise IamRefusal("DeleteConflict", "Cannot delete entity, must delete policies first.")
        if roles.list_profiles(c, principal.account_id, role_id=role.id):
            raise IamRefusal("DeleteConflict", "Cannot delete entity, must remove roles from instance profile first.")
        roles.delete_role(c, role.id)


def update_assume_role_policy(
    services: Services, principal: Principal, request: iam.UpdateAssumeRolePolicyRequest
) -> None:
    """Replaces who may assume the role; sessions that run go on."""
    read_trust_policy(request.policy_document)
    _check_trust_size(request.policy_document)
    with services.database.write_and_answer() as c:
        roles.set_trust_policy(c, find(c, principal, request.role_name).id, request.policy_document)


def put_role_policy(services: Services, principal: Principal, request: iam.PutRolePolicyRequest) -> None:
    """Puts a policy into the role, over one of the same name."""
    read_policy(request.policy_document)
    with services.database.write_and_answer() as c:
        role = find(c, principal, request.role_name)
        after = {**roles.policies_of(c, role.id), request.policy_name: request.policy_document}
        texts = after.values()
        for size, most in (
            (sum(len("".join(text.split())) for text in texts), ROLE_POLICIES_CHARACTERS_MAX),
            (sum(map(len, texts)), ROLE_POLICIES_LENGTH_MAX),
        ):
            if size > most:
                raise IamRefusal("LimitExceeded", f"Maximum policy size of {most} bytes exceeded for role {role.name}")
        roles.put_policy(c, role.id, request.policy_name, request.policy_document)


def get_role_policy(
    services: Services, principal: Principal, request: iam.GetRolePolicyRequest
) -> iam.GetRolePolicyResponse:
    """One policy of a role; the document is percent-encoded, as IAM gives it."""
    with services.database.read() as c:
        role = find(c, principal, request.role_name)
        document = roles.policies_of(c, role.id).get(request.policy_name)
    if document is None:
        raise _no_such_policy(request.policy_name)
    return iam.GetRolePolicyResponse(
        role_name=role.name, policy_name=request.policy_name, policy_document=quote(document, safe="")
    )


def list_role_policies(
    services: Services, principal: Principal, request: iam.ListRolePoliciesRequest
) -> iam.ListRolePoliciesResponse:
    """The names of a role's policies."""
    with services.database.read() as c:
        names = sorted(roles.policies_of(c, find(c, principal, request.role_name).id), key=str.lower)
    shown, is_truncated, marker = iam_pages.cut(request, names, lambda name: name)
    return iam.ListRolePoliciesResponse(policy_names=shown, is_truncated=is_truncated, marker=marker)


def delete_role_policy(services: Services, principal: Principal, request: iam.DeleteRolePolicyRequest) -> None:
    """Takes a policy out of the role."""
    with services.database.write_and_answer() as c:
        if not roles.delete_policy(c, find(c, principal, request.role_name).id, request.policy_name):
            raise _no_such_policy(request.policy_name)


def list_attached_role_policies(
    services: Services, principal: Principal, request: iam.ListAttachedRolePoliciesRequest
) -> iam.ListAttachedRolePoliciesResponse:
    """None: there are no managed policies, and nothing attaches one."""
    with services.database.read() as c:
        find(c, principal, request.role_name)
    return iam.ListAttachedRolePoliciesResponse(attached_policies=[], is_truncated=False)


# ── what profiles use too ───────────────────────────────────────────────────────────────────────────────────────────────


def find(c: Connection, principal: Principal, name: str) -> Role:
    """The caller's role of this name; raises NoSuchEntity."""
    found = roles.find_role(c, principal.account_id, name)
    if found is None:
        raise IamRefusal("NoSuchEntity", f"The role with name {name} cannot be found.")
    return found


def role_said(role: Role) -> iam.Role:
    """A role as IAM tells it."""
    return iam.Role(
        path=role.path,
        role_name=role.name,
        role_id=role.id,
        arn=role.arn,
        create_date=role.created_at,
        assume_role_policy_document=quote(role.trust_policy, safe=""),
        description=role.description,
        max_session_duration=role.session_seconds_max,
        tags=tags_said(role.tags),
    )


def tags_said(tags: Tags) -> list[iam.Tag] | None:
    """Tags as IAM tells them; None without any."""
    return [iam.Tag(key=key, value=value) for key, value in tags] or None


def read_tags(tags: list[Any] | None) -> Tags:
    """A request's tags; refuses a key that stands twice, and too many."""
    read = tuple((tag.key, tag.value) for tag in tags or [])
    if len({key.lower() for key, _ in read}) < len(read):
        raise IamRefusal("InvalidInput", "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
    if len(read) > TAGS_MAX:
        raise IamRefusal("LimitExceeded", f"Cannot exceed quota for TagsPerResource: {TAGS_MAX}")
    return read


def _check_trust_size(document: str) -> None:
    if len("".join(document.split())) > TRUST_POLICY_CHARACTERS_MAX:
        raise IamRefusal("LimitExceeded", f"Cannot exceed quota for ACLSizePerRole: {TRUST_POLICY_CHARACTERS_MAX}")


def _no_such_policy(name: str) -> IamRefusal:
    return IamRefusal("NoSuchEntity", f"The role policy with name {name} cannot be found.")
