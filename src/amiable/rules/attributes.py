"""What may be asked of and done to an image's attributes; sharing above all.

ModifyImageAttribute comes in two styles, ``LaunchPermission.Add.n.UserId`` and the older ``Attribute`` + ``OperationType`` +
``UserId.n``; both become one :class:`Change`.  Validation is all or nothing: nothing becomes public on error.
Source: EC2 API, ModifyImageAttribute; User Guide, "Shared AMIs".
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
    UnsupportedOperation,
)
from amiable.model.ids import is_account
from amiable.model.image import EVERYONE

GRANTEES_MAX: Final = 1000
DESCRIPTION_LENGTH_MAX: Final = 255

ATTRIBUTES: Final[dict[str, bool]] = {
    "description": True,
    "launchPermission": True,
    "kernel": True,
    "ramdisk": True,
    "sriovNetSupport": True,
    "bootMode": True,
    "tpmSupport": True,
    "imdsSupport": True,
    "productCodes": True,
    "blockDeviceMapping": False,
    "uefiData": False,
    "lastLaunchedTime": False,
    "deregistrationProtection": False,
}
"""Each attribute that EC2 names, and whether Amiable keeps it."""

CHANGEABLE: Final = ("description", "launchPermission")


@dataclass(frozen=True, slots=True)
class Permission:
    """One launch permission as a request spells it: exactly one of them is set."""

    user_id: str | None = None
    group: str | None = None
    organization_arn: str | None = None
    organizational_unit_arn: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What one ModifyImageAttribute request says about sharing, in either style."""

    attribute: str | None = None
    operation_type: str | None = None
    add: tuple[Permission, ...] = ()
    remove: tuple[Permission, ...] = ()
    flat: tuple[Permission, ...] = ()
    description: str | None = None
    value: str | None = None
    other: str | None = None  # an attribute that was given and cannot be changed here


@dataclass(frozen=True, slots=True)
class Change:
    """What a request changes: the description, or whom the image is shared with."""

    description: str | None = None
    add: frozenset[str] = frozenset()
    remove: frozenset[str] = frozenset()


def check_attribute(attribute: str) -> None:
    """Refuses an attribute that EC2 does not name, and honestly one that it names and Amiable does not keep."""
    if attribute not in ATTRIBUTES:
        raise InvalidParameterValue(f"Value ( {attribute} ) for parameter attribute is invalid. Unknown attribute.")
    if not ATTRIBUTES[attribute]:
        raise UnsupportedOperation(f"The image attribute '{attribute}' is not implemented by Amiable.")


def plan_change(asked: Asked) -> Change:
    """The one change that the request is about; refuses none, two, or one that is not supported."""
    if asked.attribute is not None:
        check_attribute(asked.attribute)
    if asked.other is not None or (asked.attribute is not None and asked.attribute not in CHANGEABLE):
        raise UnsupportedOperation(
            f"Changing the image attribute '{asked.other or asked.attribute}' is not implemented by Amiable."
        )
    structured = bool(asked.add or asked.remove)
    about_sharing = (
        structured or bool(asked.flat) or asked.operation_type is not None or asked.attribute == "launchPermission"
    )
    about_text = asked.description is not None or asked.attribute == "description"
    if about_sharing and about_text:
        raise InvalidParameterCombination(
            "Only one attribute can be changed in a request: description or launchPermission."
        )
    if about_text:
        return Change(description=_description(asked))
    if not about_sharing:
        raise MissingParameter(parameter="attribute")
    if structured and asked.flat:
        raise InvalidParameterCombination(
            "LaunchPermission cannot be used together with UserId, UserGroup or OrganizationArn."
        )
    return _structured(asked) if structured else _flat(asked)


def _description(asked: Asked) -> str:
    text = asked.description if asked.description is not None else asked.value
    if text is None:
        raise MissingParameter(parameter="description")
    check_description(text)
    return text


def check_description(text: str | None) -> None:
    """Refuses a description that is too long."""
    if text is not None and len(text) > DESCRIPTION_LENGTH_MAX:
        raise InvalidParameterValue(
            f"Value for parameter description is invalid. It has {len(text)} characters, {DESCRIPTION_LENGTH_MAX} at most."
        )


def _structured(asked: Asked) -> Change:
    return _disjoint(grantees_of(asked.add), grantees_of(asked.remove))


def _flat(asked: Asked) -> Change:
    if asked.operation_type is None:
        raise MissingParameter(parameter="operationType")
    if not asked.flat:
        raise MissingParameter(parameter="userId")
    named = grantees_of(asked.flat)
    if asked.operation_type == "add":
        return Change(add=named)
    if asked.operation_type == "remove":
        return Change(remove=named)
    raise InvalidParameterValue(
        f"Value ( {asked.operation_type} ) for parameter operationType is invalid. Expecting add or remove."
    )


def _disjoint(add: frozenset[str], remove: frozenset[str]) -> Change:
    both = sorted(add & remove)
    if both:
        raise InvalidParameterCombination(f"The same launch permission cannot be added and removed: {', '.join(both)}.")
    return Change(add=add, remove=remove)


def grantees_of(permissions: Iterable[Permission]) -> frozenset[str]:
    """Account numbers and ``all``; refuses whatever else is named."""
    return frozenset(_grantee(permission) for permission in permissions)


def _grantee(permission: Permission) -> str:
    given = [
        value
        for value in (
            permission.user_id,
            permission.group,
            permission.organization_arn,
            permission.organizational_unit_arn,
        )
        if value is not None
    ]
    if len(given) != 1:
        raise InvalidParameterCombination(
            "A launch permission names exactly one of UserId, Group, OrganizationArn, OrganizationalUnitArn."
        )
    if permission.user_id is not None:
        if not is_account(permission.user_id):
            raise InvalidAMIAttributeItemValue(value=permission.user_id, item="userId")
        return permission.user_id
    if permission.group is not None:
        if permission.group != EVERYONE:
            raise InvalidAMIAttributeItemValue(value=permission.group, item="userGroup")
        return EVERYONE
    raise UnsupportedOperation("Sharing with organizations and organizational units is not implemented by Amiable.")


def check_room(present: Sequence[str], change: Change) -> None:
    """Refuses more accounts on one image than EC2 allows."""
    after = (set(present) - change.remove) | change.add
    if len(after) > GRANTEES_MAX:
        raise ResourceLimitExceeded(
            f"An image can be shared with {GRANTEES_MAX} entities at most; this would make {len(after)}."
        )
