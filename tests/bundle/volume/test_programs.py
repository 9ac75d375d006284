"""Programs of the host: what they print, and what is said when they fail, hang or are not there."""

import pytest

from amiable.bundle.volume import programs
from amiable.bundle.volume.programs import run
from amiable.model.errors import LocalRefusal


def test_what_a_program_prints_is_returned() -> None:
    assert run(["cat"], input_text="a\n") == "a\n"
    assert run(["sh", "-c", 'echo "$KEY $LC_ALL"'], environment={"KEY": "x"}) == "x C\n"
    assert run(["printf", r"\377"]) == "\N{REPLACEMENT CHARACTER}"


def test_a_program_that_fails_is_quoted() -> None:
    with pytest.raises(LocalRefusal, match="sh ended with 3: no room") as refused:
        run(["sh", "-c", "echo no room >&2; exit 3"])
    assert refused.value.exit_code == 74


def test_a_program_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "WAIT_SECONDS_MAX", 0.1)
    with pytest.raises(LocalRefusal, match="sleep had not ended") as refused:
        run(["sleep", "600"])
    assert refused.value.exit_code == 124


def test_a_program_that_is_not_there_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "SYSTEM_FOLDERS", ())
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(LocalRefusal, match="mke2fs is not installed") as refused:
        run(["mke2fs"])
    assert (refused.value.exit_code, refused.value.advice) == (69, "sudo apt-get install e2fsprogs")
