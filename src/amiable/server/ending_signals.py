"""What asks the server to end: SIGTERM, Ctrl-C, and SIGHUP where it is not ignored (nohup).

Until the server is ready, the start is undone as one that is refused, and the process ends by the signal; afterwards it ends in good
order (``main.run_http``).
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

ENDING_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class EndedEarly(BaseException):
    """One of ``ENDING_SIGNALS`` came before the server was ready."""


def take_signals(handler: Callable[[int, FrameType | None], None]) -> None:
    """Has ``handler`` called in the main thread for each of ``ENDING_SIGNALS``."""
    for number in ENDING_SIGNALS:
        if number is not signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """The first signal raises EndedEarly in the block, and when that has been left, whatever it raises by then, ends the process.

    Those that come behind it do not interrupt what undoes the start.
    """
    came: list[int] = []

    def end(number: int, _frame: FrameType | None) -> None:
        if not came:
            came.append(number)
            raise EndedEarly

    take_signals(end)
    try:
        yield
    finally:
        if came:
            signal.signal(came[0], signal.SIG_DFL)
            os.kill(os.getpid(), came[0])


@contextmanager
def signals_held() -> Iterator[None]:
    """A signal that comes during the block is handled at its end: what is made in it, and what undoes that, are not torn apart."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
