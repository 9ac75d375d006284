"""How the server's log is written: one line a record, and below it, set in, the traceback where there is one.

Messages quote what requests, guests and other programs say.  None of it ends a line, begins one at the margin or steers a terminal.
"""

import logging
import re
from textwrap import indent
from typing import Any, Final

FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
MARGIN: Final = "  "

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CONTROL_BUT_LINE_END = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")


class LogFormat(logging.Formatter):
    """Inherited because logging takes a formatter as an object with these methods."""

    def __init__(self) -> None:
        super().__init__(FORMAT)

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The record's line, ``?`` in place of each control character."""
        line = super().formatMessage(record)
        return line if line.isprintable() else _CONTROL.sub("?", line)

    def formatException(self, ei: Any) -> str:
        """The traceback, every line of it set in."""
        return indent(_CONTROL_BUT_LINE_END.sub("?", super().formatException(ei)), MARGIN)
