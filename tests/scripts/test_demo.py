"""The demo's end by Ctrl-C: a line and what is left running, no traceback."""

import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from scripts import demo, demo_stage


def interrupt(_acts: object) -> int:
    raise KeyboardInterrupt


@pytest.mark.parametrize("is_there", [True, False], ids=["begun", "not begun"])
def test_who_interrupts_the_demo_is_told_what_goes_on(
    is_there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["demo", "start"])
    monkeypatch.setattr(demo_stage, "alone", nullcontext)
    monkeypatch.setattr(demo_stage, "FOLDER", tmp_path if is_there else tmp_path / "none")
    monkeypatch.setattr(demo, "play", interrupt)
    assert demo.main() == 130
    said = capsys.readouterr().err
    assert said.startswith("\ninterrupted\n") and ("make demo-stop" in said) == is_there
