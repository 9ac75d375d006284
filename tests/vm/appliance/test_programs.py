"""Programs that are missing, fail or do not end."""

import pytest

from amiable.vm.appliance import programs
from amiable.vm.appliance.programs import BuildFailure, run


def test_what_a_program_said_last_is_in_the_failure() -> None:
    with pytest.raises(BuildFailure, match="sh ended with 3: no space"):
        run(["sh", "-c", "echo no space >&2; exit 3"])


def test_a_program_that_is_missing_comes_with_its_package() -> None:
    with pytest.raises(BuildFailure, match="no-such-program is not installed") as failure:
        run(["no-such-program"])
    assert failure.value.hint == "apt-get install no-such-program"


def test_a_program_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "WAIT_SECONDS_MAX", 0.2)
    with pytest.raises(BuildFailure, match="did not end"):
        run(["sleep", "60"])
