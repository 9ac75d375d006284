"""``amiable launch``: what is said when the wait is over, or ends before."""

from typing import Any

import pytest

from amiable.cli import launch
from amiable.model.errors import LocalRefusal

FIRST, SECOND = "i-0000000000000000a", "i-0000000000000000b"


class Ec2:
    """Tells the state of each instance."""

    def __init__(self, states: dict[str, str]) -> None:
        self.states = states

    def describe_instances(self, InstanceIds: list[str]) -> dict[str, Any]:
        (instance_id,) = InstanceIds
        state = self.states[instance_id]
        if state == "interrupted":
            raise KeyboardInterrupt
        return {"Reservations": [{"Instances": [{"InstanceId": instance_id, "State": {"Name": state}}]}]}


def test_instances_that_all_run_are_told_in_their_order() -> None:
    found = launch.wait_until_all_run(Ec2({FIRST: "running", SECOND: "running"}), [FIRST, SECOND])
    assert [each["InstanceId"] for each in found] == [FIRST, SECOND]


@pytest.mark.parametrize(("state", "ends"), [("interrupted", KeyboardInterrupt), ("terminated", LocalRefusal)])
def test_a_wait_that_ends_before_names_all_that_was_launched(
    state: str, ends: type[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ends):
        launch.wait_until_all_run(Ec2({FIRST: "running", SECOND: state}), [FIRST, SECOND])
    assert f"launched: {FIRST} {SECOND}\n" in capsys.readouterr().err


def test_a_guest_with_a_key_is_logged_into_next_and_another_watched() -> None:
    assert launch.next_words(FIRST, has_key=True) == f"ssh {FIRST} --wait 120"
    assert launch.next_words(FIRST, has_key=False) == f"console {FIRST} --follow"
