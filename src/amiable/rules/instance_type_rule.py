"""Which instance types may launch an image, where its owner has said so.

    supported   unsupported   a type launches the image
    none        none          always
    none        some          unless it matches one of the unsupported
    some        any           if it matches one of the supported and none of the unsupported

Source: EC2 API, ReplaceImageInstanceTypeSpecification.
"""

import re
from collections.abc import Sequence
from typing import Final

from amiable.model.errors import InvalidParameterCombination, InvalidParameterValue
from amiable.model.instance_type_rule import InstanceTypeRule

PATTERNS_MAX: Final = 100
"""Of each list."""
_PATTERN: Final = re.compile(r"[A-Za-z0-9_.*-]{1,24}")


def plan_rule(supported: Sequence[str], unsupported: Sequence[str]) -> InstanceTypeRule:
    """The rule of the two lists as asked for; refuses what EC2 does not take."""
    for parameter, patterns in (
        ("SupportedInstanceType", supported),
        ("UnsupportedInstanceType", unsupported),
    ):
        if len(patterns) > PATTERNS_MAX:
            raise InvalidParameterValue(
                f"{parameter} may have {PATTERNS_MAX} entries at most; this request has {len(patterns)}."
            )
        for pattern in patterns:
            _check_pattern(parameter, pattern)
    every = [*supported, *unsupported]
    twice = next((pattern for index, pattern in enumerate(every) if pattern in every[:index]), None)
    if twice is not None:
        raise InvalidParameterValue(
            parameter="InstanceTypeSpecification", value=twice, why="Each entry may be named once, in one of the lists."
        )
    return InstanceTypeRule(tuple(supported), tuple(unsupported))


def _check_pattern(parameter: str, pattern: str) -> None:
    if _PATTERN.fullmatch(pattern) is None:
        why = "An entry has 1 to 24 letters, digits and of _ . - and *, which stands for any characters."
        raise InvalidParameterValue(parameter=parameter, value=pattern, why=why)
    if "**" in pattern:
        raise InvalidParameterValue(parameter=parameter, value=pattern, why="Two * may not follow each other.")


def matches(pattern: str, type_name: str) -> bool:
    """Whether the pattern means the type."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), type_name) is not None


def check_type(rule: InstanceTypeRule, type_name: str, *, image_id: str) -> None:
    """Refuses a type that the image's owner does not want it launched on."""
    against = next((pattern for pattern in rule.unsupported if matches(pattern, type_name)), None)
    if against is not None:
        raise InvalidParameterCombination(
            f"The instance type '{type_name}' is not supported by the image {image_id}: its owner excludes '{against}'."
        )
    if rule.supported and not any(matches(pattern, type_name) for pattern in rule.supported):
        raise InvalidParameterCombination(
            f"The instance type '{type_name}' is not supported by the image {image_id}: its owner supports"
            f" {', '.join(rule.supported)}."
        )
