"""What steers a terminal never comes through, in one piece or in many."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.cli.terminal_text import STRING_CHARS_MAX, PlainStream, one_line, plain

STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
PIECES = st.lists(
    st.sampled_from(
        [
            "\x1b",
            "[",
            "]",
            "P",
            "\\",
            "\x07",
            "\x9b",
            "\x9c",
            "\x9d",
            "\x90",
            "31",
            ";",
            "m",
            "c",
            "(B",
            "\n",
            "\r\n",
            "\t",
        ]
        + ["text", "é", "\u202e", "0;title", "\x1b]52;c;AAAA\x07", "\x1b[31m", "\x1b(B"]
    )
    | st.text(max_size=3),
    max_size=30,
).map("".join)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x9b2Jx", "x"),
        ("a\x1b]0;title\x07b\x1b]52;c;AAAA\x1b\\c", "abc"),
        ("a\x1bP1$r0m\x1b\\b\x1b_apc\x1b\\c\x1b^pm\x9cd", "abcd"),
        ("\x1bcwiped? \x1b(Bno", "wiped? no"),
        ("one\r\ntwo\ttabs\x07\x08", "one\ntwo\ttabs"),
        ("never ends \x1b]0;title", "never ends 0;title"),
        ("gnp.\u202eexe", "gnp.exe"),
        ("ümläut ☃", "ümläut ☃"),
    ],
)
def test_sequences_go_and_text_stays(text: str, shown: str) -> None:
    assert plain(text) == shown


@given(PIECES)
def test_nothing_that_steers_comes_through(text: str) -> None:
    assert not STEERING.search(plain(text))
    assert plain(plain(text)) == plain(text)
    line = one_line(text)
    assert not STEERING.search(line) and line == " ".join(line.split())


@given(PIECES, st.lists(st.integers(0, 200), max_size=5))
def test_a_stream_in_pieces_says_what_the_whole_says(text: str, cuts: list[int]) -> None:
    data = text.encode("utf-8", "surrogatepass")
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    stream = PlainStream()
    said = [stream.feed(data[start:end]) for start, end in itertools.pairwise(places)]
    assert "".join(said) + stream.end() == plain(data.decode("utf-8", "replace"))


def test_a_long_string_that_never_ends_hides_nothing_for_good() -> None:
    stream = PlainStream()
    said = stream.feed(b"\x1bP" + b"x" * (STRING_CHARS_MAX + 1))
    assert said == "x" * (STRING_CHARS_MAX + 1)


def test_many_lines_become_one() -> None:
    assert one_line(" first\n\x1b[31m second\r\n\tthird\u2028fourth ") == "first second third fourth"
