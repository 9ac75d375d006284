"""Which resources a call is to look at: defaults, options, and what is refused."""

import pytest

from amiable.model.errors import InvalidParameterCombination, InvalidParameterValue, MissingParameter
from amiable.model.instance import State
from amiable.model.usage_report import INSTANCE, LAUNCH_TEMPLATE, PARAMETER
from amiable.rules.reference_type import OPTION_OF, Named, check_type, read_depth, wanted_types


def test_all_types_come_with_their_defaults() -> None:
    found = wanted_types([], include_all=True)
    assert set(found) == set(OPTION_OF)
    assert found[INSTANCE].states == frozenset(State) and found[LAUNCH_TEMPLATE].version_depth == 10


def test_options_of_a_named_type_override_the_defaults_of_all() -> None:
    named = [Named(LAUNCH_TEMPLATE, [("version-depth", ["7"])]), Named(INSTANCE, [("state-name", ["running"])])]
    found = wanted_types(named, include_all=True)
    assert set(found) == set(OPTION_OF)
    assert found[LAUNCH_TEMPLATE].version_depth == 7 and found[INSTANCE].states == {State.RUNNING}
    assert set(wanted_types(named, include_all=False)) == {LAUNCH_TEMPLATE, INSTANCE}


def test_neither_is_refused() -> None:
    with pytest.raises(InvalidParameterCombination, match="Either IncludeAllResourceTypes or ResourceTypes"):
        wanted_types([], include_all=False)


def test_a_type_given_twice_is_refused() -> None:
    with pytest.raises(InvalidParameterCombination, match="given twice"):
        wanted_types([Named(PARAMETER), Named(PARAMETER)], include_all=False)


def test_an_option_of_another_type_is_refused() -> None:
    with pytest.raises(InvalidParameterCombination, match="The option state-name is not valid"):
        wanted_types([Named(PARAMETER, [("state-name", ["running"])])], include_all=False)


@pytest.mark.parametrize("values", [[], ["0"], ["10001"], ["1", "2"], ["-1"], ["1.5"], ["١"], ["9" * 50]])
def test_a_depth_is_one_number_from_1_to_10000(values: list[str]) -> None:
    with pytest.raises(InvalidParameterValue):
        read_depth(values)
    assert (read_depth(["1"]), read_depth(["10000"])) == (1, 10_000)


def test_a_type_must_be_there_and_known() -> None:
    with pytest.raises(MissingParameter, match=r"ResourceType.3.ResourceType"):
        check_type(None, 3, OPTION_OF)
    with pytest.raises(InvalidParameterValue, match="Valid values are ec2:Instance"):
        check_type("ec2:Volume", 1, OPTION_OF)
