"""Chance in larger draws: asking the system for it hands the interpreter's lock to another thread, and each call needs some."""

import os
import uuid
from threading import Lock
from typing import Final

DRAWN_BYTES: Final = 1024
SHORT_BYTES_MAX: Final = 16
"""What is longer is a secret, not a name: it comes from the system itself, and nothing of it is held."""


class Entropy:
    """``os.urandom``, a kilobyte at a time where little is asked for; no byte is given twice."""

    def __init__(self) -> None:
        self._drawing = Lock()
        self._drawn = b""
        self._at = 0

    def __call__(self, size: int) -> bytes:
        """``size`` random bytes."""
        if size > SHORT_BYTES_MAX:
            return os.urandom(size)
        with self._drawing:
            if self._at + size > len(self._drawn):
                self._drawn, self._at = os.urandom(DRAWN_BYTES), 0
            begin, self._at = self._at, self._at + size
            return self._drawn[begin : self._at]


_REQUESTS: Final = Entropy()


def mint_request_id() -> str:
    """A new UUID of version 4 as text."""
    return str(uuid.UUID(bytes=_REQUESTS(16), version=4))
