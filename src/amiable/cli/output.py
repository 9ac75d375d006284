"""What a command prints: data on stdout, talk on stderr, progress only on a terminal."""

import json
import os
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from amiable.cli.readable import cell, lines
from amiable.cli.terminal_text import plain
from amiable.model.units import human_bytes

Output = Literal["table", "json", "id"]

PROGRESS_PAUSE_SECONDS = 0.2


def say(words: str) -> None:
    """One line of talk; nothing in it steers the terminal."""
    sys.stderr.write(plain(words) + "\n")


def show_rows(rows: Sequence[dict[str, Any]], columns: dict[str, str], output: Output, *, identifier: str) -> None:
    """Prints ``rows``: a table of ``columns`` (heading → key), the rows as JSON with the API's keys, or the ids alone."""
    if output == "json":
        print(json.dumps(list(rows), indent=2, default=_text))
    elif output == "id":
        for row in rows:
            print(row[identifier])
    else:
        table = [[cell(row.get(key), key) for key in columns.values()] for row in rows]
        widths = [max(len(cell) for cell in column) for column in zip(list(columns), *table, strict=True)]
        heading = "  ".join(name.upper().ljust(width) for name, width in zip(columns, widths, strict=True)).rstrip()
        print(_bold(heading))
        for cells in table:
            print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())


def show_one(row: dict[str, Any], output: Output, *, identifier: str) -> None:
    """Prints one thing: key and value a line (a list: one line an element), JSON, or its id."""
    if output == "json":
        print(json.dumps(row, indent=2, default=_text))
    elif output == "id":
        print(row[identifier])
    else:
        width = max(len(key) for key in row)
        for key, value in row.items():
            if value not in (None, "", [], {}):
                for place, line in enumerate(lines(key, value)):
                    print(f"{(key if place == 0 else '').ljust(width)}  {line}".rstrip())


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _bold(words: str) -> str:
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb":
        return f"\x1b[1m{words}\x1b[0m"
    return words


class Progress:
    """Bytes done, rate and time to go, on stderr, only on a terminal and once there is a total.  Use as a context manager."""

    def __init__(self, what: str, total_bytes: int) -> None:
        self.what = what
        self.total_bytes = total_bytes
        self.done_bytes = 0
        self._start = time.monotonic()
        self._shown = 0.0
        self._live = sys.stderr.isatty()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self._live and self.total_bytes > 0:
            self._draw()
            sys.stderr.write("\n")

    def advance(self, size_bytes: int) -> None:
        """``size_bytes`` more are done."""
        self.done_bytes += size_bytes
        if self._live and self.total_bytes > 0 and time.monotonic() - self._shown > PROGRESS_PAUSE_SECONDS:
            self._draw()

    def _draw(self) -> None:
        self._shown = time.monotonic()
        seconds = max(1e-3, self._shown - self._start)
        rate = self.done_bytes / seconds
        left = (self.total_bytes - self.done_bytes) / rate if rate else 0
        share = 100 * self.done_bytes // max(1, self.total_bytes)
        text = f"{self.what}: {human_bytes(self.done_bytes)} of {human_bytes(self.total_bytes)} ({share} %), {human_bytes(int(rate))}/s, {left:.0f} s to go"
        sys.stderr.write("\r\x1b[K" + text)
        sys.stderr.flush()
