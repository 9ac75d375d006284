"""Which instance types may launch an image."""

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.model.errors import InvalidParameterCombination, InvalidParameterValue
from amiable.model.instance_type import INSTANCE_TYPES
from amiable.model.instance_type_rule import InstanceTypeRule
from amiable.rules.instance_type_rule import PATTERNS_MAX, check_type, matches, plan_rule

PATTERNS = st.from_regex(r"[a-z0-9.*-]{1,24}", fullmatch=True).filter(lambda pattern: "**" not in pattern)
TYPES = st.sampled_from(sorted(INSTANCE_TYPES))


def allowed(rule: InstanceTypeRule, type_name: str) -> bool:
    try:
        check_type(rule, type_name, image_id="ami-12345678")
    except InvalidParameterCombination:
        return False
    return True


@given(pattern=PATTERNS, type_name=TYPES)
def test_a_star_stands_for_any_characters_as_in_a_shell(pattern: str, type_name: str) -> None:
    assert matches(pattern, type_name) == fnmatchcase(type_name, pattern)


def test_all_else_stands_for_itself() -> None:
    assert matches("t3.micro", "t3.micro") and not matches("t3.micro", "t3xmicro")
    assert matches("t3.*", "t3.micro") and not matches("t3.*", "t3a.micro") and not matches("t3", "t3.micro")
    assert matches("*", "m5.large") and matches("*.large", "m5.large") and not matches("*.large", "m5.xlarge2")


@given(supported=st.lists(PATTERNS, max_size=3), unsupported=st.lists(PATTERNS, max_size=3), type_name=TYPES)
def test_supported_must_match_and_unsupported_must_not(
    supported: list[str], unsupported: list[str], type_name: str
) -> None:
    rule = InstanceTypeRule(tuple(supported), tuple(unsupported))
    wanted = not supported or any(fnmatchcase(type_name, pattern) for pattern in supported)
    against = any(fnmatchcase(type_name, pattern) for pattern in unsupported)
    assert allowed(rule, type_name) == (wanted and not against)


def test_a_plan_keeps_the_lists_as_they_are() -> None:
    assert plan_rule(["t3.*", "m5.large"], ["*.nano"]) == InstanceTypeRule(("t3.*", "m5.large"), ("*.nano",))
    assert plan_rule([], []) == InstanceTypeRule()


@pytest.mark.parametrize("pattern", ["", "x" * 25, "t3 micro", "t3.?", "[ab]", "**", "t3.**", "é"])
def test_a_pattern_of_the_wrong_form_is_refused(pattern: str) -> None:
    for supported, unsupported in ((pattern,), ()), ((), (pattern,)):
        with pytest.raises(InvalidParameterValue):
            plan_rule(supported, unsupported)


def test_a_list_has_an_end_and_names_each_once() -> None:
    many = [f"m{number}.*" for number in range(PATTERNS_MAX)]
    plan_rule(many, [f"c{number}.*" for number in range(PATTERNS_MAX)])
    for lists in ((["z.*", *many], []), ([], ["z.*", *many]), (["a"], ["a"]), (["a", "a"], [])):
        with pytest.raises(InvalidParameterValue):
            plan_rule(*lists)
