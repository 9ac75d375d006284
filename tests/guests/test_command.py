"""The command line of the builders: a failure is one line and an exit code."""

import sys
from pathlib import Path

import pytest

from amiable.vm.appliance.programs import BuildFailure
from guests import command


@pytest.mark.parametrize(
    ("failure", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
        (PermissionError(13, "Permission denied", "/out/vmlinuz"), 74, "error: /out/vmlinuz: Permission denied\n"),
        (BuildFailure("no kernel", hint="apt-get update"), 1, "error: no kernel\n\nhint: apt-get update\n"),
    ],
    ids=["Ctrl-C", "no permission", "no kernel"],
)
def test_what_ends_a_build_is_told_in_a_line(
    failure: BaseException, code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def build(_folder: Path, _cache: Path) -> bool:
        raise failure

    monkeypatch.setattr(sys, "argv", ["tiny", "out"])
    assert command.main("guests.tiny", build) == code
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", said)
