"""IAM: instance profiles, each with one role at most."""

from sqlalchemy import Connection

from amiable.api import iam_pages
from amiable.api.iam_roles import find as find_role
from amiable.api.iam_roles import read_tags, role_said, tags_said
from amiable.database import roles
from amiable.model import ids
from amiable.model.errors import IamRefusal
from amiable.model.principal import Principal
from amiable.model.role import PROFILE_PREFIX, PROFILES_MAX, InstanceProfile
from amiable.services import Services
from amiable.services.authorization import check_allowed
from amiable.wire.generated import iam


def create_instance_profile(
    services: Services, principal: Principal, request: iam.CreateInstanceProfileRequest
) -> iam.CreateInstanceProfileResponse:
    """Makes an instance profile without a role."""
    profile = InstanceProfile(
        id=ids.mint_iam(PROFILE_PREFIX, services.entropy(ids.IAM_ENTROPY_BYTES)),
        account_id=principal.account_id,
        name=request.instance_profile_name,
        path=request.path or "/",
        role=None,
        tags=read_tags(request.tags),
        created_at=services.now(),
    )
    with services.database.write_and_answer() as c:
        if roles.find_profile(c, principal.account_id, profile.name) is not None:
            raise IamRefusal("EntityAlreadyExists", f"Instance Profile {profile.name} already exists.")
        if roles.count_profiles(c, principal.account_id) >= PROFILES_MAX:
            raise IamRefusal("LimitExceeded", f"Cannot exceed quota for InstanceProfilesPerAccount: {PROFILES_MAX}")
        roles.insert_profile(c, profile)
    return iam.CreateInstanceProfileResponse(instance_profile=_said(profile))


def get_instance_profile(
    services: Services, principal: Principal, request: iam.GetInstanceProfileRequest
) -> iam.GetInstanceProfileResponse:
    """One instance profile with its role."""
    with services.database.read() as c:
        return iam.GetInstanceProfileResponse(
            instance_profile=_said(_find(c, principal, request.instance_profile_name))
        )


def list_instance_profiles(
    services: Services, principal: Principal, request: iam.ListInstanceProfilesRequest
) -> iam.ListInstanceProfilesResponse:
    """The account's instance profiles, by name."""
    with services.database.read() as c:
        found = roles.list_profiles(c, principal.account_id)
    below = [profile for profile in found if profile.path.startswith(request.path_prefix or "/")]
    shown, is_truncated, marker = iam_pages.cut(request, below, lambda profile: profile.name)
    return iam.ListInstanceProfilesResponse(
        instance_profiles=[_said(profile) for profile in shown], is_truncated=is_truncated, marker=marker
    )


def list_instance_profiles_for_role(
    services: Services, principal: Principal, request: iam.ListInstanceProfilesForRoleRequest
) -> iam.ListInstanceProfilesForRoleResponse:
    """Those that hold the role."""
    with services.database.read() as c:
        role = find_role(c, principal, request.role_name)
        found = roles.list_profiles(c, principal.account_id, role_id=role.id)
    shown, is_truncated, marker = iam_pages.cut(request, found, lambda profile: profile.name)
    return iam.ListInstanceProfilesForRoleResponse(
        instance_profiles=[_said(profile) for profile in shown], is_truncated=is_truncated, marker=marker
    )


def delete_instance_profile(
    services: Services, principal: Principal, request: iam.DeleteInstanceProfileRequest
) -> None:
    """Deletes an instance profile without a role; instances that have it stay."""
    with services.database.write_and_answer() as c:
        profile = _find(c, principal, request.instance_profile_name)
        if profile.role is not None:
            raise IamRefusal("DeleteConflict", "Cannot delete entity, must remove roles from instance profile first.")
        roles.delete_profile(c, profile.id)


def add_role_to_instance_profile(
    services: Services, principal: Principal, request: iam.AddRoleToInstanceProfileRequest
) -> None:
    """Puts the role into the profile; who may do so may pass the role to instances."""
    with services.database.write_and_answer() as c:
        profile = _find(c, principal, request.instance_profile_name)
        role = find_role(c, principal, request.role_name)
        check_allowed(principal, "iam:PassRole", (role.arn,))
        if profile.role is not None:
            raise IamRefusal("LimitExceeded", "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1")
        roles.set_profile_role(c, profile.id, role.id)


def remove_role_from_instance_profile(
    services: Services, principal: Principal, request: iam.RemoveRoleFromInstanceProfileRequest
) -> None:
    """Takes the role out; instances with the profile are shown no credentials any more."""
    with services.database.write_and_answer() as c:
        profile = _find(c, principal, request.instance_profile_name)
        role = find_role(c, principal, request.role_name)
        if profile.role is None or profile.role.id != role.id:
            raise IamRefusal("NoSuchEntity", f"Role {role.name} in Instance Profile {profile.name} cannot be found.")
        roles.set_profile_role(c, profile.id, None)


def _find(c: Connection, principal: Principal, name: str) -> InstanceProfile:
    found = roles.find_profile(c, principal.account_id, name)
    if found is None:
        raise IamRefusal("NoSuchEntity", f"Instance Profile {name} cannot be found.")
    return found


def _said(profile: InstanceProfile) -> iam.InstanceProfile:
    return iam.InstanceProfile(
        path=profile.path,
        instance_profile_name=profile.name,
        instance_profile_id=profile.id,
        arn=profile.arn,
        create_date=profile.created_at,
        roles=[] if profile.role is None else [role_said(profile.role)],
        tags=tags_said(profile.tags),
    )
