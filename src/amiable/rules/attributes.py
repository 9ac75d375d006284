"""What may be asked of and done to an image's attributes.

    read      all of them but blockDeviceMapping
    changed   description, launchPermission, imdsSupport (one way); one in a request
    reset     launchPermission

ModifyImageAttribute comes in two styles, ``LaunchPermission.Add.n.UserId`` and the older ``Attribute`` + ``OperationType`` +
``UserId.n``; both become one :class:`Change`.  The attribute's name may begin with a capital there, as Ansible's amazon.aws
writes it beside the structure of that name.  Validation is all or nothing: nothing becomes public on error.
Source: EC2 API, ModifyImageAttribute; User Guide, "Shared AMIs".
"""

from dataclasses import dataclass, replace
from typing import Final

from amiable.model.errors import (
    InvalidParameterCombination,
    InvalidParameterValue,
    MissingParameter,
    UnsupportedOperation,
)
from amiable.rules.sharing import NO_GRANTS, Grants, Permission, check_same, flat_grants, structured_grants

DESCRIPTION_LENGTH_MAX: Final = 255
IMDS_SUPPORT: Final = "v2.0"
"""All that imdsSupport can be set to; what was set is never taken away."""

ATTRIBUTES: Final = (
    "description",
    "launchPermission",
    "kernel",
    "ramdisk",
    "sriovNetSupport",
    "bootMode",
    "tpmSupport",
    "uefiData",
    "imdsSupport",
    "productCodes",
    "blockDeviceMapping",
    "lastLaunchedTime",
    "deregistrationProtection",
)
"""What EC2 names."""

CHANGEABLE: Final = ("description", "launchPermission", "imdsSupport")
RESETTABLE: Final = ("launchPermission",)


@dataclass(frozen=True, slots=True)
class Asked:
    """What one ModifyImageAttribute request says, in either style."""

    attribute: str | None = None
    operation_type: str | None = None
    add: tuple[Permission, ...] = ()
    remove: tuple[Permission, ...] = ()
    flat: tuple[Permission, ...] = ()
    description: str | None = None
    imds_support: str | None = None
    value: str | None = None
    product_codes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """What a request changes: the description, or whom the image is shared with, or what it says of the metadata service."""

    description: str | None = None
    grants: Grants = NO_GRANTS
    imds_support: str | None = None


def check_attribute(attribute: str) -> None:
    """Refuses an attribute that EC2 does not name."""
    if attribute not in ATTRIBUTES:
        raise InvalidParameterValue(f"Value ( {attribute} ) for parameter attribute is invalid. Unknown attribute.")


def check_resettable(attribute: str) -> None:
    """Refuses to reset what has nothing to go back to: all but launchPermission."""
    check_attribute(attribute)
    if attribute not in RESETTABLE:
        raise InvalidParameterValue(
            f"Value ( {attribute} ) for parameter attribute is invalid. Only launchPermission can be reset."
        )


def plan_change(asked: Asked) -> Change:
    """The one change that the request is about; refuses none, two, or one that is not supported."""
    asked = replace(asked, attribute=_in_lower_case(asked.attribute))
    if asked.product_codes or asked.attribute == "productCodes":
        raise UnsupportedOperation(
            "ProductCodes are not supported by ModifyImageAttribute: an image has the codes of what it was made from."
        )
    (subject,) = _subjects(asked)
    if subject == "description":
        return Change(description=_description(asked))
    if subject == "imdsSupport":
        return Change(imds_support=_imds_support(asked))
    return Change(grants=_grants(asked))


def _in_lower_case(attribute: str | None) -> str | None:
    """The attribute's name with a small first letter, if one of ours is so written."""
    small = attribute[:1].lower() + attribute[1:] if attribute is not None else None
    return small if small in ATTRIBUTES else attribute


def _subjects(asked: Asked) -> set[str]:
    """The one attribute that the request is about, in whatever style."""
    if asked.attribute is not None:
        check_attribute(asked.attribute)
        if asked.attribute not in CHANGEABLE:
            raise InvalidParameterValue(
                f"Value ( {asked.attribute} ) for parameter attribute is invalid. "
                f"Only {', '.join(CHANGEABLE)} can be changed."
            )
    given = {
        "description": asked.description is not None,
        "imdsSupport": asked.imds_support is not None,
        "launchPermission": bool(asked.add or asked.remove or asked.flat) or asked.operation_type is not None,
    }
    found = {name for name, is_given in given.items() if is_given} | ({asked.attribute} if asked.attribute else set())
    if not found:
        raise MissingParameter(parameter="attribute")
    if len(found) > 1:
        raise InvalidParameterCombination(f"Only one attribute can be changed in a request: {' or '.join(CHANGEABLE)}.")
    if asked.value is not None and (asked.attribute is None or asked.attribute == "launchPermission"):
        raise InvalidParameterCombination("Value can be used only when Attribute is description or imdsSupport.")
    return found


def _grants(asked: Asked) -> Grants:
    if not (asked.add or asked.remove):
        return flat_grants(asked.operation_type, asked.flat)
    grants = structured_grants(asked.add, asked.remove)
    check_same(grants, asked.operation_type, asked.flat)
    return grants


def _imds_support(asked: Asked) -> str:
    value = asked.imds_support if asked.imds_support is not None else asked.value
    if value is None:
        raise MissingParameter(parameter="imdsSupport")
    if value != IMDS_SUPPORT:
        raise InvalidParameterValue(
            parameter="imdsSupport", value=value, why=f"It can be set to {IMDS_SUPPORT} only, and never be undone."
        )
    return value


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
