"""Instance profiles on instances: at launch, and put on, taken off and replaced while they run.

What is put on binds at the instance's next request of its metadata.  Who launches with a profile, or puts one on, needs ``iam:PassRole``.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import Connection

from amiable.api.ec2.instance_ids import find_named
from amiable.api.ec2.tags import parse_filters
from amiable.api.paging import PageBounds, open_page
from amiable.database import profile_associations, roles
from amiable.model import ids
from amiable.model.errors import InvalidParameterCombination, InvalidParameterValue, MissingParameter
from amiable.model.instance import Instance, State
from amiable.model.instance_profile_errors import AssociationNotFound, IncorrectState
from amiable.model.principal import Principal
from amiable.model.role import InstanceProfile, ProfileAssociation
from amiable.rules import filters
from amiable.services import Services
from amiable.services.authorization import check_allowed
from amiable.wire.generated import ec2

PAGE_MIN: Final = 5
ASSOCIATED: Final = "associated"
STATES: Final = (State.RUNNING, State.STOPPED, State.PENDING, State.STOPPING)
FIELDS: Final[Mapping[str, filters.Field[ProfileAssociation]]] = {
    "instance-id": lambda it: (it.instance_id,),
    "state": lambda it: (ASSOCIATED,),
}


def associate_iam_instance_profile(
    services: Services, principal: Principal, request: ec2.AssociateIamInstanceProfileRequest
) -> ec2.AssociateIamInstanceProfileResult:
    """Gives an instance without a profile one."""
    with services.database.write_and_answer() as c:
        profile = find_profile(c, principal, request.iam_instance_profile)
        (instance,) = find_named(c, principal, [request.instance_id], now=services.now())
        if instance.state not in STATES:
            raise IncorrectState(f"The instance '{instance.id}' is not in the 'running' or 'stopped' states.")
        if instance.id in profile_associations.associations_of(c, [instance.id]):
            raise IncorrectState(f"There is an existing association for instance {instance.id}")
        made = associate(c, services, instance, profile)
    return ec2.AssociateIamInstanceProfileResult(iam_instance_profile_association=_said(made, "associating"))


def disassociate_iam_instance_profile(
    services: Services, principal: Principal, request: ec2.DisassociateIamInstanceProfileRequest
) -> ec2.DisassociateIamInstanceProfileResult:
    """Takes the profile off; credentials that the instance read serve until they end."""
    with services.database.write_and_answer() as c:
        found = _find(c, principal, request.association_id)
        profile_associations.delete_association(c, found.id)
    return ec2.DisassociateIamInstanceProfileResult(iam_instance_profile_association=_said(found, "disassociating"))


def replace_iam_instance_profile_association(
    services: Services, principal: Principal, request: ec2.ReplaceIamInstanceProfileAssociationRequest
) -> ec2.ReplaceIamInstanceProfileAssociationResult:
    """Gives the instance another profile at once, under an association of another id."""
    with services.database.write_and_answer() as c:
        old = _find(c, principal, request.association_id)
        profile = find_profile(c, principal, request.iam_instance_profile)
        new = _association(services, principal.account_id, principal.region, old.instance_id, profile=profile)
        profile_associations.replace_profile(c, old.id, new)
    return ec2.ReplaceIamInstanceProfileAssociationResult(iam_instance_profile_association=_said(new, "associating"))


def describe_iam_instance_profile_associations(
    services: Services, principal: Principal, request: ec2.DescribeIamInstanceProfileAssociationsRequest
) -> ec2.DescribeIamInstanceProfileAssociationsResult:
    """The account's associations in the region; every id that is asked for must be there."""
    named = list(dict.fromkeys(request.association_ids or []))
    if named and request.max_results is not None:
        raise InvalidParameterCombination("The parameter AssociationId cannot be used with the parameter MaxResults")
    wanted = filters.predicate(parse_filters(request.filters), FIELDS)
    page = open_page(services, principal, request, PageBounds(size_min=PAGE_MIN))
    with services.database.read() as c:
        found = profile_associations.list_associations(c, principal.account_id, principal.region)
    there = {it.id for it in found}
    for association_id in named:
        if association_id not in there:
            raise AssociationNotFound(association_id=association_id[:100])
    found = [it for it in found if (not named or it.id in named) and wanted(it)]
    shown, token = page.cut(found, lambda it: it.id)
    return ec2.DescribeIamInstanceProfileAssociationsResult(
        iam_instance_profile_associations=[_said(it, ASSOCIATED) for it in shown], next_token=token
    )


# ── what a launch uses too ──────────────────────────────────────────────────────────────────────────────────────────────


def profile_of_launch(
    c: Connection, principal: Principal, named: ec2.IamInstanceProfileSpecification | None
) -> InstanceProfile | None:
    """The profile that a launch names; an empty name names none, as Packer's does."""
    if named is None or not (named.arn or named.name):
        return None
    return find_profile(c, principal, named)


def find_profile(c: Connection, principal: Principal, named: ec2.IamInstanceProfileSpecification) -> InstanceProfile:
    """The caller's profile by name or ARN, with its role; the caller may pass it."""
    if named.arn is not None and named.name is not None:
        raise InvalidParameterCombination(
            "The parameter 'iamInstanceProfile.name' may not be used in combination with 'iamInstanceProfile.arn'"
        )
    if named.arn is None and named.name is None:
        raise MissingParameter(parameter="IamInstanceProfile.Name")
    name = named.name if named.name is not None else (named.arn or "").rpartition("/")[2]
    found = roles.find_profile(c, principal.account_id, name)
    if found is None or (named.arn is not None and found.arn != named.arn):
        kind, value, word = ("arn", named.arn, "ARN") if named.name is None else ("name", named.name, "name")
        raise InvalidParameterValue(
            parameter=f"iamInstanceProfile.{kind}",
            value=(value or "")[:200],
            why=f"Invalid IAM Instance Profile {word}",
        )
    if found.role is None:
        raise InvalidParameterValue(f'IAM Instance Profile "{found.arn}" has no associated IAM Roles')
    check_allowed(principal, "iam:PassRole", (found.role.arn,))
    return found


def associate(c: Connection, services: Services, instance: Instance, profile: InstanceProfile) -> ProfileAssociation:
    """Records that the instance has the profile."""
    made = _association(services, instance.account_id, instance.region, instance.id, profile=profile)
    profile_associations.insert_association(c, made)
    return made


def profiles_said(c: Connection, instance_ids: Sequence[str]) -> dict[str, ec2.IamInstanceProfile]:
    """Instance id → its profile as EC2 tells it, of those that have one."""
    found = profile_associations.associations_of(c, instance_ids)
    return {key: ec2.IamInstanceProfile(arn=it.profile_arn, id=it.profile_id) for key, it in found.items()}


def _association(
    services: Services, account_id: str, region: str, instance_id: str, *, profile: InstanceProfile
) -> ProfileAssociation:
    return ProfileAssociation(
        id=services.mint(ids.INSTANCE_PROFILE_ASSOCIATION),
        account_id=account_id,
        region=region,
        instance_id=instance_id,
        profile_id=profile.id,
        profile_arn=profile.arn,
        created_at=services.now(),
    )


def _find(c: Connection, principal: Principal, association_id: str) -> ProfileAssociation:
    for found in profile_associations.list_associations(c, principal.account_id, principal.region):
        if found.id == association_id:
            return found
    raise AssociationNotFound(association_id=association_id[:100])


def _said(it: ProfileAssociation, state: str) -> ec2.IamInstanceProfileAssociation:
    return ec2.IamInstanceProfileAssociation(
        association_id=it.id,
        instance_id=it.instance_id,
        iam_instance_profile=ec2.IamInstanceProfile(arn=it.profile_arn, id=it.profile_id),
        state=state,
        timestamp=it.created_at,
    )
