"""What a message quotes ends no line of the log and begins none."""

import logging
import sys

import pytest

from amiable.server.log_format import LogFormat

SPOOF = "odd\r\n2026-03-01 12:00:00,000 INFO amiable.server: ec2 POST / \x1b[2J\x85\u2028\x00 end"


def written(message: str, *arguments: object, error: bool = False) -> str:
    record = logging.LogRecord("amiable", logging.INFO, "", 0, message, arguments, sys.exc_info() if error else None)
    return LogFormat().format(record)


@pytest.mark.parametrize("quoted", [("said %s", SPOOF), (SPOOF,)], ids=["argument", "message"])
def test_a_message_is_one_line_whatever_it_quotes(quoted: tuple[str, ...]) -> None:
    line = written(*quoted)
    assert line.isprintable() and len(line.splitlines()) == 1
    assert "odd??2026-03-01" in line and line.endswith("/ ?[2J??? end")


def test_other_words_stay_as_they_are() -> None:
    assert written("%s: “so” → 5 µs …", "vol-1").endswith("INFO amiable: vol-1: “so” → 5 µs …")


def test_a_traceback_stands_below_its_line_set_in() -> None:
    try:
        raise ValueError(SPOOF)
    except ValueError:
        first, *rest = written("request 1 failed", error=True).split("\n")
    assert first.endswith("INFO amiable: request 1 failed")
    assert "Traceback (most recent call last):" in rest[0] and any("ValueError: odd?" in line for line in rest)
    assert all(line.startswith("  ") or not line for line in rest)
    assert all(line.isprintable() for line in rest)
