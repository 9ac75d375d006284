"""Whom a request shares an image or a snapshot with: its launch permissions or createVolumePermission as words.

    UserId                     an account's number           images, snapshots
    Group                      only the word ``all``          images, snapshots
    OrganizationArn            the whole ARN                  images
    OrganizationalUnitArn      the whole ARN                  images

Every item is read before anything is changed: one that is wrong refuses the request.  An ARN is compared as it is and resolved to
nothing (docs/decisions/0027): it may name an organization that the owner is not in.  Source: EC2 API, ModifyImageAttribute,
ModifySnapshotAttribute; User Guide, "Share an AMI with organizations and organizational units".
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from amiable.model.errors import (
    InvalidAMIAttributeItemValue,
    InvalidParameterCombination,
    InvalidParameterValue,
    MissingParameter,
    ResourceLimitExceeded,
)
from amiable.model.ids import is_account
from amiable.model.image import EVERYONE
from amiable.model.organization import ORGANIZATION_ARN, UNIT_ARN

SNAPSHOT_CHANGES_MAX: Final = 500
"""Permissions of a snapshot that one call may name."""
CREATE_VOLUME_PERMISSION: Final = "createVolumePermission"


@dataclass(frozen=True, slots=True)
class Permission:
    """One permission as a request spells it: exactly one of them is set."""

    user_id: str | None = None
    group: str | None = None
    organization_arn: str | None = None
    organizational_unit_arn: str | None = None


@dataclass(frozen=True, slots=True)
class Grants:
    """Words that a request adds and takes away."""

    add: frozenset[str] = frozenset()
    remove: frozenset[str] = frozenset()


NO_GRANTS: Final = Grants()


@dataclass(frozen=True, slots=True)
class AskedOfSnapshot:
    """What one ModifySnapshotAttribute request says, in either style."""

    attribute: str | None = None
    operation_type: str | None = None
    add: tuple[Permission, ...] = ()
    remove: tuple[Permission, ...] = ()
    flat: tuple[Permission, ...] = ()


def grantees_of(permissions: Iterable[Permission]) -> frozenset[str]:
    """The words that ``permissions`` say; refuses whatever is no account's number, not ``all`` and no whole ARN."""
    return frozenset(_grantee(permission) for permission in permissions)


def _grantee(permission: Permission) -> str:
    given = [
        (item, value)
        for item, value in (
            ("userId", permission.user_id),
            ("UserGroup", permission.group),
            ("organizationArn", permission.organization_arn),
            ("organizationalUnitArn", permission.organizational_unit_arn),
        )
        if value is not None
    ]
    if len(given) != 1:
        raise InvalidParameterCombination(
            "A launch permission names exactly one of UserId, Group, OrganizationArn, OrganizationalUnitArn."
        )
    ((item, value),) = given
    if not _is_word(item, value):
        raise InvalidAMIAttributeItemValue(value=value, item=item)
    return value


def _is_word(item: str, value: str) -> bool:
    if item == "userId":
        return is_account(value)
    if item == "UserGroup":
        return value == EVERYONE
    pattern = ORGANIZATION_ARN if item == "organizationArn" else UNIT_ARN
    return pattern.fullmatch(value) is not None


def permission_of(word: str) -> Permission:
    """How a word is spelled in an answer."""
    if word == EVERYONE:
        return Permission(group=word)
    if is_account(word):
        return Permission(user_id=word)
    if ORGANIZATION_ARN.fullmatch(word):
        return Permission(organization_arn=word)
    return Permission(organizational_unit_arn=word)


def flat_grants(operation_type: str | None, permissions: Iterable[Permission]) -> Grants:
    """The older style: what is named is added, or all of it taken away."""
    if operation_type is None:
        raise MissingParameter(parameter="operationType")
    named = grantees_of(permissions)
    if not named:
        raise MissingParameter(parameter="userId")
    if operation_type == "add":
        return Grants(add=named)
    if operation_type == "remove":
        return Grants(remove=named)
    raise InvalidParameterValue(
        f"Value ( {operation_type} ) for parameter operationType is invalid. Expecting add or remove."
    )


def structured_grants(add: Iterable[Permission], remove: Iterable[Permission]) -> Grants:
    """The newer style: what stands under Add and under Remove, no word in both."""
    grants = Grants(add=grantees_of(add), remove=grantees_of(remove))
    both = sorted(grants.add & grants.remove)
    if both:
        raise InvalidParameterCombination(f"The same launch permission cannot be added and removed: {', '.join(both)}.")
    return grants


def check_same(structured: Grants, operation_type: str | None, flat: Iterable[Permission]) -> None:
    """Refuses the older style beside the newer one unless it says the same over again, as Packer does."""
    again = grantees_of(flat)
    opposite = {"add": structured.remove, "remove": structured.add}.get(operation_type or "", frozenset())
    if opposite or again not in (frozenset(), structured.add | structured.remove):
        raise InvalidParameterCombination(
            "UserId, UserGroup, OrganizationArn and OperationType say something else than Add and Remove do."
        )


def check_room(present: Sequence[str], grants: Grants, *, grantees_max: int) -> None:
    """Refuses more entities (accounts, organizations, units; not ``all``) on one image than the installation allows."""
    after = ((set(present) - grants.remove) | grants.add) - {EVERYONE}
    if len(after) > grantees_max and grants.add - {EVERYONE, *present}:
        raise ResourceLimitExceeded(
            f"An image can be shared with {grantees_max} entities at most; this would make {len(after)}."
        )


def check_changeable(attribute: str | None) -> None:
    """Refuses to change what of a snapshot cannot be changed: all but createVolumePermission."""
    if attribute not in (None, CREATE_VOLUME_PERMISSION):
        raise InvalidParameterValue(
            parameter="attribute", value=attribute, why=f"Only {CREATE_VOLUME_PERMISSION} can be changed."
        )


def plan_snapshot_grants(asked: AskedOfSnapshot) -> Grants:
    """Whom a request adds to a snapshot's createVolumePermission, or takes from it; never both."""
    check_changeable(asked.attribute)
    count = max(len(asked.add) + len(asked.remove), len(asked.flat))
    if count > SNAPSHOT_CHANGES_MAX:
        raise InvalidParameterValue(
            f"A request may change {SNAPSHOT_CHANGES_MAX} permissions of a snapshot at most; this one names {count}."
        )
    if asked.add and asked.remove:
        raise InvalidParameterCombination(
            "CreateVolumePermission.Add and CreateVolumePermission.Remove cannot be used in one request."
        )
    if asked.add or asked.remove:
        grants = structured_grants(asked.add, asked.remove)
        check_same(grants, asked.operation_type, asked.flat)
        return grants
    if not asked.flat and asked.operation_type is None:
        raise MissingParameter(parameter="createVolumePermission")
    return flat_grants(asked.operation_type, asked.flat)
