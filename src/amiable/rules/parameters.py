"""What a parameter may be called and hold, and how a request names one.

    NAME             NAME:VERSION             arn:aws:ssm:REGION:ACCOUNT:parameter/NAME[:VERSION]

Source: Systems Manager API, PutParameter, GetParameter; User Guide, "Requirements and constraints for parameter names".
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from amiable.model.parameter import IMAGE, PUBLIC_PREFIX, TEXT, Parameter, ParameterType, Tier, arn_of
from amiable.model.parameter_errors import SsmRefusal

LEVELS_MAX: Final = 15
ARN_CHARACTERS_MAX: Final = 1011
VALUE_BYTES_MAX: Final = {Tier.STANDARD: 4096, Tier.ADVANCED: 8192}
PARAMETERS_MAX: Final = {Tier.STANDARD: 10_000, Tier.ADVANCED: 100_000}
DATA_TYPES: Final = (TEXT, IMAGE)
TAGS_MAX: Final = 50
VERSION_DIGITS_MAX: Final = 9
NO_VERSION: Final = 0
"""Versions are counted from 1."""
INTELLIGENT: Final = "Intelligent-Tiering"
DEFAULT_KEY: Final = "alias/aws/ssm"

_WORDS = re.compile(r"/?[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*")
_SELECTOR = re.compile(r"(?P<name>[^:]+)(?P<selector>:[^:]+)?")
_ARN = re.compile(
    r"arn:aws:ssm:(?P<region>[a-z0-9-]+):(?P<account>\d{12}|):parameter/(?P<name>[^:]+)(?P<selector>:[^:]+)?"
)
_NOT_A_PATH = (
    "The parameter doesn't meet the parameter name requirements. The parameter name must begin with a forward slash \"/\". It can't be "
    'prefixed with "aws" or "ssm" (case-insensitive). It must use only letters, numbers, or the following symbols: . (period), - '
    "(hyphen), _ (underscore). Special characters are not allowed. All sub-paths, if specified, must use the forward slash symbol "
    '"/". Valid example: /get/parameters2-/by1./path0_.'
)
_MIX = (
    "If formed as a path, it can consist of sub-paths divided by slash symbol; each sub-path can be formed as a mix of letters, "
    "numbers and the following 3 symbols .-_"
)


@dataclass(frozen=True, slots=True)
class Named:
    """What a request's name means: the names to look for, in order, and which version (None: the newest)."""

    candidates: tuple[str, ...]
    selector: str | None
    version: int | None
    is_foreign: bool = False  # an ARN of another account or region: nothing is shared by ARN here

    @property
    def is_label(self) -> bool:
        return self.selector is not None and self.version is None


def check_name(name: str, *, region: str, account_id: str, is_administrator: bool) -> None:
    """Refuses a name that PutParameter may not make."""
    bare = name.lstrip("/").lower()
    if "/" in name and not name.startswith("/") and _WORDS.fullmatch(name):
        raise _invalid("Parameter name must be a fully qualified name.")
    is_published = is_administrator and name.startswith(PUBLIC_PREFIX)
    if bare.startswith(("aws", "ssm")) and not is_published:
        if bare.startswith("aws/"):
            raise SsmRefusal("AccessDeniedException", f"No access to reserved parameter name: {name}.")
        if "/" in bare:
            raise _invalid(f'Parameter name: can\'t be prefixed with "ssm" (case-insensitive). {_MIX}')
        raise _invalid('Parameter name: can\'t be prefixed with "aws" or "ssm" (case-insensitive).')
    if not _WORDS.fullmatch(name):
        raise _invalid(f'Parameter name: can\'t be prefixed with "ssm" (case-insensitive). {_MIX}')
    if len(arn_of(region, account_id, name)) > ARN_CHARACTERS_MAX:
        raise _invalid(f"Parameter name: with its ARN it is longer than {ARN_CHARACTERS_MAX} characters.")
    check_levels(name)


def check_levels(name: str) -> None:
    """Refuses a hierarchy of more than 15 levels."""
    levels = name.strip("/").count("/") + 1
    if levels > LEVELS_MAX:
        raise SsmRefusal(
            "HierarchyLevelLimitExceededException",
            f"A hierarchy can have a maximum of {LEVELS_MAX} levels. {name} has {levels}.",
        )


def check_path(path: str) -> str:
    """The hierarchy that GetParametersByPath asks for, without a last slash (the root: empty)."""
    if path == "/":
        return ""
    shorn = path.removesuffix("/")
    if not (shorn.startswith("/") and _WORDS.fullmatch(shorn)):
        raise _invalid(_NOT_A_PATH)
    check_levels(shorn)
    return shorn


def check_value(value: str, tier: Tier) -> None:
    """Refuses an empty value, a nested reference, and one that is too long for the tier."""
    if not value:
        raise _invalid(
            "1 validation error detected: Value '' at 'value' failed to satisfy constraint: Member must have length greater than "
            "or equal to 1."
        )
    if "{{" in value and "}}" in value:
        raise _invalid('Parameter value can\'t nest another parameter. Do not use "{{}}" in the value.')
    if len(value.encode()) > VALUE_BYTES_MAX[tier]:
        more = "" if tier is Tier.ADVANCED else " To create a larger parameter value, use the advanced-parameter tier."
        raise _invalid(
            f"{tier} tier parameters support a maximum parameter value of {VALUE_BYTES_MAX[tier]} characters.{more}"
        )


def choose_tier(asked: str | None, value: str, before: Parameter | None) -> Tier:
    """The tier: the one asked for, else the one it has; Intelligent-Tiering takes Advanced where the value needs it."""
    is_advanced = before is not None and before.tier is Tier.ADVANCED
    if asked == Tier.STANDARD and is_advanced:
        raise _invalid(
            "This parameter uses the advanced-parameter tier. You can't downgrade a parameter from the advanced-parameter tier to "
            "the standard-parameter tier. If necessary, you can delete the advanced parameter and recreate it as a standard parameter."
        )
    if asked == Tier.ADVANCED or is_advanced:
        return Tier.ADVANCED
    needs = asked == INTELLIGENT and len(value.encode()) > VALUE_BYTES_MAX[Tier.STANDARD]
    return Tier.ADVANCED if needs else Tier.STANDARD


def choose_type(asked: str | None, before: Parameter | None) -> ParameterType:
    """The type: given when a parameter is made, and never changed."""
    if before is None:
        if asked is None:
            raise _invalid("A parameter type is required when you create a parameter.")
        return ParameterType(asked)
    if asked is not None and asked != before.type:
        raise SsmRefusal(
            "HierarchyTypeMismatchException",
            f"Parameter Store doesn't support changing a parameter type in a hierarchy: {before.name} is a {before.type}. You must "
            "create a new, unique parameter.",
        )
    return before.type


def choose_data_type(asked: str | None, type_: ParameterType, before: Parameter | None) -> str:
    """The data type: the one asked for, else the one it has, else text; only a String names an image."""
    chosen = asked or (before.data_type if before else TEXT)
    if chosen not in DATA_TYPES or (chosen == IMAGE and type_ is not ParameterType.STRING):
        raise _invalid(
            f"The following data type is not supported: {chosen} (Data type names are all lowercase. For a {type_}: "
            f"{', '.join(each for each in DATA_TYPES if each == TEXT or type_ is ParameterType.STRING)}.)"
        )
    return chosen


def check_tags(tags: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The tags of a request by key; refuses a key that comes twice, AWS's own keys, and more than a parameter may have."""
    found = dict(tags)
    if len(found) != len(tags):
        raise _invalid("Tags: a key may come once only.")
    for key in found:
        if key.lower().startswith("aws:"):
            raise _invalid(f"Tags: a key may not begin with aws: ({key}).")
    if len(found) > TAGS_MAX:
        raise SsmRefusal("TooManyTagsError", f"A parameter may have {TAGS_MAX} tags.")
    return found


def read_name(text: str, *, region: str, account_id: str) -> Named:
    """What GetParameter's Name stands for; spaces around it do not count.  Raises ValidationException where it stands for nothing."""
    text = text.strip(" ")
    arn = _ARN.fullmatch(text)
    found = arn or _SELECTOR.fullmatch(text)
    if found is None or not _WORDS.fullmatch(found["name"]):
        raise _invalid(_NOT_A_PATH)
    selector = found["selector"]
    version = _version(selector[1:]) if selector else None
    if arn is None:
        return Named((text if selector is None else found["name"],), selector, version)
    rest = arn["name"]
    names = (f"/{rest}",) if "/" in rest else (rest, f"/{rest}")
    is_ours = arn["region"] == region and (
        arn["account"] == account_id or (not arn["account"] and names[0].startswith(PUBLIC_PREFIX))
    )
    return Named(names, selector, version, is_foreign=not is_ours)


def _version(text: str) -> int | None:
    """The version that a selector names, None where it is a label; a number longer than a version's names one that never was."""
    if not (text.isascii() and text.isdigit()):
        return None
    return int(text) if len(text) <= VERSION_DIGITS_MAX else NO_VERSION


def is_below(name: str, path: str, *, recursive: bool) -> bool:
    """Whether ``name`` lies below the hierarchy ``path`` (no last slash), at any depth or just below; a bare word lies in the root."""
    prefix, whole = f"{path}/", name if name.startswith("/") else f"/{name}"
    return whole.startswith(prefix) and (recursive or "/" not in whole[len(prefix) :])


def _invalid(message: str) -> SsmRefusal:
    return SsmRefusal("ValidationException", message)
