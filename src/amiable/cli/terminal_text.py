"""Text from a guest or a server for a person's terminal: what would steer the terminal is taken out.

    ESC [ … , CSI                 colours, the cursor, answers typed into the shell
    ESC ] … BEL or ST, OSC        titles, links, the clipboard
    ESC P X ^ _ … ST              DCS, SOS, PM, APC
    ESC and one more              ESC c clears everything, ESC ( B
    other C0 and C1, DEL          but newline and tab
    marks of direction            which let a line read as what it is not

A sequence that never ends loses its introducer alone: the rest is plain text and is shown.  Source: ECMA-48, sections 5.3 to 5.6.
"""

import codecs
import re
from typing import Final

STRING_CHARS_MAX: Final = 4096
"""Of a string sequence; a longer one counts as one that never ends."""

_CSI: Final = r"(?:\x1b\[|\x9b)[0-?]{0,64}[ -/]{0,8}"
_OSC: Final = rf"(?:\x1b\]|\x9d)[^\x07\n\x1b\x80-\x9f]{{0,{STRING_CHARS_MAX}}}"
_STRING: Final = rf"(?:\x1b[PX^_]|[\x90\x98\x9e\x9f])[^\x1b\x80-\x9f]{{0,{STRING_CHARS_MAX}}}"
_ESCAPE: Final = r"\x1b[ -/]{0,8}"

# A string that ESC ends needs no more: ESC \ is a sequence of its own.
_SEQUENCE: Final = re.compile(rf"{_CSI}[@-~]|{_OSC}(?:[\x07\x9c]|(?=\x1b))|{_STRING}(?:\x9c|(?=\x1b))|{_ESCAPE}[0-~]")
_BEGUN_OR_WHOLE: Final = re.compile(rf"(?P<begun>(?:{_CSI}|{_OSC}|{_STRING}|{_ESCAPE})\Z)|{_SEQUENCE.pattern}")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_INVISIBLE: Final = re.compile(r"[^\S ]|\u2028|\u2029")


def plain(text: str) -> str:
    """``text`` without anything that steers a terminal; newlines and tabs stay."""
    return _CONTROL.sub("", _SEQUENCE.sub("", text))


def one_line(text: str) -> str:
    """:func:`plain` text with every run of white space as one blank."""
    return " ".join(plain(_INVISIBLE.sub(" ", text)).split())


class PlainStream:
    """UTF-8 bytes that come in pieces, as :func:`plain` text: a character or a sequence that a piece cuts waits for its end."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._begun = ""

    def feed(self, data: bytes) -> str:
        """The text that ``data`` completes."""
        text = self._begun + self._decoder.decode(data)
        cut = next((found.start() for found in _BEGUN_OR_WHOLE.finditer(text) if found["begun"]), len(text))
        self._begun = text[cut:]
        return _CONTROL.sub("", _BEGUN_OR_WHOLE.sub("", text))

    def end(self) -> str:
        """What still waited."""
        text = self._begun + self._decoder.decode(b"", final=True)
        self._begun = ""
        return plain(text)
