"""What launch templates are called, and what a request means by a version: a number, ``$Latest`` or ``$Default``."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from amiable.model.errors import InvalidParameterCombination, InvalidParameterValue, MissingParameter
from amiable.model.ids import LAUNCH_TEMPLATE, is_well_formed
from amiable.model.launch_template import DESCRIPTION_LENGTH_MAX, NAME_LENGTH_MAX, NAME_LENGTH_MIN, LaunchTemplate
from amiable.model.launch_template_errors import (
    LaunchTemplateIdMalformed,
    LaunchTemplateNameMalformed,
)

LATEST: Final = "$Latest"
DEFAULT: Final = "$Default"
_NAME: Final = re.compile(r"[a-zA-Z0-9().\-/_]+")


@dataclass(frozen=True, slots=True)
class Named:
    """Which template a request means: one of the two."""

    id: str | None
    name: str | None


def check_name(name: str) -> str:
    """The name; refuses one that no template may have."""
    if not NAME_LENGTH_MIN <= len(name) <= NAME_LENGTH_MAX or not _NAME.fullmatch(name):
        raise LaunchTemplateNameMalformed(name=name[:NAME_LENGTH_MAX])
    return name


def check_description(description: str | None) -> str | None:
    """The description; refuses one that is too long."""
    if description is not None and len(description) > DESCRIPTION_LENGTH_MAX:
        why = f"It has {DESCRIPTION_LENGTH_MAX} characters at most."
        raise InvalidParameterValue(parameter="VersionDescription", value=description[:40], why=why)
    return description


def named(template_id: str | None, name: str | None) -> Named:
    """The template that is named by its id or its name, not both, not neither."""
    if template_id and name:
        raise InvalidParameterCombination("Only one of LaunchTemplateId and LaunchTemplateName may be specified.")
    if not template_id and not name:
        raise MissingParameter("The request must contain the parameter LaunchTemplateId or LaunchTemplateName.")
    if template_id and not is_well_formed(LAUNCH_TEMPLATE, template_id):
        raise LaunchTemplateIdMalformed(template_id=template_id[:64])
    return Named(template_id or None, name or None)


def number_of(text: str, template: LaunchTemplate, parameter: str = "LaunchTemplateVersion") -> int:
    """The number of the version that ``text`` means; whether there is such a version is not asked here."""
    if text == LATEST:
        return template.latest_version
    if text == DEFAULT:
        return template.default_version
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0):
        raise InvalidParameterValue(parameter=parameter, value=text[:40], why="Give a number, $Latest or $Default.")
    return int(text)


def wanted_numbers(versions: Sequence[str], template: LaunchTemplate) -> list[int]:
    """The numbers that the texts mean, each once, in their order."""
    return list(dict.fromkeys(number_of(each, template) for each in versions))
