"""Protections keep an owner's calls from stopping and ending instances, a zone at a time."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.model.errors import OperationNotPermitted
from amiable.model.instance import Instance, State
from amiable.rules.protection import check_stop, split_by_protection
from tests.rules.instances import AN_INSTANCE

LIVE = st.sampled_from([State.PENDING, State.RUNNING, State.STOPPING, State.STOPPED])
INSTANCES = st.builds(
    lambda number, zone, state, is_kept, is_held: replace(
        AN_INSTANCE,
        id=f"i-{number:017x}",
        zone=zone,
        state=state,
        disable_api_termination=is_kept,
        disable_api_stop=is_held,
    ),
    st.integers(0, 1 << 60),
    st.sampled_from(["a", "b", "c"]),
    LIVE,
    st.booleans(),
    st.booleans(),
)


@given(st.lists(INSTANCES, max_size=8))
def test_a_zone_goes_whole_or_not_at_all(named: list[Instance]) -> None:
    free, refusal = split_by_protection(named)
    kept = [each for each in named if each not in free]
    assert not {each.zone for each in free} & {each.zone for each in kept}
    assert all(not each.disable_api_termination and not each.disable_api_stop for each in free)
    assert {each.zone for each in kept} == {
        each.zone for each in named if each.disable_api_termination or each.disable_api_stop
    }
    assert (refusal is None) == (not kept)


def test_the_refusal_names_the_instance_and_the_attribute_that_keeps_it() -> None:
    kept = replace(AN_INSTANCE, disable_api_termination=True)
    _, refusal = split_by_protection([replace(AN_INSTANCE, id="i-other"), kept])
    assert refusal is not None and refusal.code == "OperationNotPermitted"
    assert refusal.message == (
        f"The instance '{kept.id}' may not be terminated. "
        "Modify its 'disableApiTermination' instance attribute and try again."
    )
    _, refusal = split_by_protection([replace(AN_INSTANCE, disable_api_stop=True)])
    assert refusal is not None and "'disableApiStop'" in refusal.message


@pytest.mark.parametrize("state", [State.SHUTTING_DOWN, State.TERMINATED])
def test_what_has_ended_is_protected_from_nothing_more(state: State) -> None:
    ended = replace(AN_INSTANCE, state=state, disable_api_termination=True)
    assert split_by_protection([ended]) == ([ended], None)


def test_a_running_instance_is_kept_from_being_stopped_and_a_stopped_one_stays_so() -> None:
    held = replace(AN_INSTANCE, disable_api_stop=True)
    with pytest.raises(
        OperationNotPermitted, match=r"may not be stopped\. Modify its 'disableApiStop' instance attribute"
    ):
        check_stop([AN_INSTANCE, held])
    check_stop([AN_INSTANCE, replace(held, state=State.STOPPED), replace(AN_INSTANCE, disable_api_termination=True)])
