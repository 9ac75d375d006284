"""Data on stdout in three forms; progress only on a terminal."""

import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from amiable.cli.output import Progress, say, show_one, show_rows

ROWS: list[dict[str, Any]] = [
    {"ImageId": "ami-1", "Name": "a", "When": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)},
    {"ImageId": "ami-22", "Name": None},
]
COLUMNS = {"image": "ImageId", "name": "Name", "when": "When"}


def test_a_table_lines_up_and_marks_what_is_absent(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows(ROWS, COLUMNS, "table", identifier="ImageId")
    assert capsys.readouterr().out == "IMAGE   NAME  WHEN\nami-1   a     2026-01-02 03:04:05\nami-22  -     -\n"


def test_ids_alone_are_for_scripts_and_json_keeps_the_apis_keys(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows(ROWS, COLUMNS, "id", identifier="ImageId")
    assert capsys.readouterr().out == "ami-1\nami-22\n"
    show_rows(ROWS, COLUMNS, "json", identifier="ImageId")
    assert json.loads(capsys.readouterr().out)[0]["When"] == "2026-01-02T03:04:05+00:00"


def test_one_thing_is_shown_without_its_empty_fields(capsys: pytest.CaptureFixture[str]) -> None:
    show_one({"ImageId": "ami-1", "Tags": [], "Public": False}, "table", identifier="ImageId")
    assert capsys.readouterr().out == "ImageId  ami-1\nPublic   False\n"


def test_progress_is_silent_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("upload", 100) as progress:
        progress.advance(100)
    assert progress.done_bytes == 100 and capsys.readouterr().err == ""


def test_an_empty_list_still_has_its_heading(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows([], COLUMNS, "table", identifier="ImageId")
    assert capsys.readouterr().out == "IMAGE  NAME  WHEN\n"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_no_bar_is_drawn_before_there_is_a_total(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", stream := Terminal())
    with pytest.raises(FileExistsError), Progress("bundle", 0):
        raise FileExistsError
    assert stream.getvalue() == ""
    with Progress("bundle", 0) as progress:
        progress.total_bytes = 100
        progress.advance(100)
    assert "100 B of 100 B (100 %)" in stream.getvalue() and stream.getvalue().endswith("\n")


def test_talk_does_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    say("two\nlines \x1b]0;title\x07of\x1b[2J talk")
    assert capsys.readouterr().err == "two\nlines of talk\n"
