"""What may be asked of and done to an image's attributes; sharing above all.

ModifyImageAttribute comes in two styles, ``LaunchPermission.Add.n.UserId`` and the older ``Attribute`` + ``OperationType`` +
``UserId.n``; both become one :class:`Change`.  Validation is all or nothing: nothing becomes public on error.
Source: EC2 API, ModifyImageAttribute; User Guide, "Shared AMIs".
"""

from dataclasses import dataclass
from typing import Final

from amiable.model.errors import (
    InvalidParameterCombination,
    InvalidParameterValue,
    MissingParameter,
    UnsupportedOperation,
)
from amiable.rules.sharing import NO_GRANTS, Grants, Permission, flat_grants, grantees_of

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
    grants: Grants = NO_GRANTS


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
    grants = (
        _disjoint(grantees_of(asked.add), grantees_of(asked.remove))
        if structured
        else flat_grants(asked.operation_type, asked.flat)
    )
    return Change(grants=grants)


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


def _disjoint(add: frozenset[str], remove: frozenset[str]) -> Grants:
    both = sorted(add & remove)
    if both:
        raise InvalidParameterCombination(f"The same launch permission cannot be added and removed: {', '.join(both)}.")
    return Grants(add=add, remove=remove)
