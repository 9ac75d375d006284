"""boto3 clients of one session: each session reads the services' models anew, which costs more than most tests' calls."""

import threading
from typing import Any, Final

import boto3

_SESSION: Final[Any] = boto3.session.Session()
_LOCK: Final = threading.Lock()
"""Clients may be used by any thread; their making is not safe."""


def make_client(service: str, **options: Any) -> Any:
    """A client of its own connections and event handlers."""
    with _LOCK:
        return _SESSION.client(service, **options)
