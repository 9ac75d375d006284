"""How the server's log is written: one line a record (``vm/log_line``), and below it, set in, the traceback where there is one."""

import logging
from typing import Any, Final

from amiable.vm.log_line import one_line, set_in

FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class LogFormat(logging.Formatter):
    """Inherited because logging takes a formatter as an object with these methods."""

    def __init__(self) -> None:
        super().__init__(FORMAT)

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The record's line, ``?`` in place of each control character."""
        return one_line(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:
        """The traceback, every line of it set in."""
        return set_in(super().formatException(ei))
