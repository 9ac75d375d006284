"""A log's line, as the server, the exporter and the network agents write it: fixed places, one line a record.

    2026-03-01 12:00:00,000 INFO amiable.exporter: vol-0123 block 7
    local time              │    name              message
                            level

What a message quotes ends no line, begins none at the margin and steers no terminal.  Standard library only, and of that what ``json``
loads anyway: a network agent is to start quickly.
"""

import re
import time

MARGIN = "  "
FRAMES_MAX = 20

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CONTROL_BUT_LINE_END = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_LINE = re.compile(r"^(?=.)", re.MULTILINE)


def log_line(level: str, name: str, message: str, at: float) -> str:
    """The line without its end; ``at`` in seconds since 1970."""
    seconds, milliseconds = divmod(int(at * 1000), 1000)
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
    return one_line(f"{stamp},{milliseconds:03d} {level} {name}: {message}")


def one_line(text: str) -> str:
    """The text, ``?`` in place of each control character and line end."""
    return text if text.isprintable() else _CONTROL.sub("?", text)


def set_in(text: str) -> str:
    """The text's lines, each set in from the margin, without control characters."""
    return _LINE.sub(MARGIN, _CONTROL_BUT_LINE_END.sub("?", text))


def failure_lines(name: str, failure: BaseException, at: float) -> str:
    """What a process ended by, and the last calls that led there, one a line; for who has not loaded ``traceback``."""
    lines = [log_line("ERROR", name, f"ended by {type(failure).__name__}: {failure}", at)]
    trace, frames = failure.__traceback__, []
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(f"{MARGIN}{code.co_filename}:{trace.tb_lineno} in {code.co_name}")
        trace = trace.tb_next
    return "\n".join((*lines, *frames[-FRAMES_MAX:], ""))
