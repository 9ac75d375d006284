"""A monitor whose other end a guest has taken over: no call outlasts its time, whatever is said or left unread there."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from amiable.vm.qmp import Qmp, QmpGone

WAIT_SECONDS = 0.3
SECONDS_MAX = 60
GREETING = b'{"QMP": {}}\n'


@contextlib.contextmanager
def monitor(talk: Callable[[socket.socket], object], *, ahead: bytes = b"") -> Iterator[Qmp]:
    """A client of a monitor that greets, answers the first command, says ``ahead`` in one piece with it, and then does ``talk``."""
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with theirs, contextlib.suppress(OSError):
            theirs.sendall(GREETING)
            theirs.recv(4096)
            theirs.sendall(b'{"return": {}}\n' + ahead)
            talk(theirs)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield Qmp(ours, wait_seconds=SECONDS_MAX)
    finally:
        ours.close()
        thread.join(SECONDS_MAX)
        assert not thread.is_alive()


def test_events_without_end_are_no_answer() -> None:
    ahead = b'{"event": "RESET"}\n' * 9 + b'{"return": {"status": "running"}}\n'
    with monitor(lambda theirs: theirs.recv(4096), ahead=ahead) as qmp:
        with pytest.raises(TimeoutError, match="but told of events"):
            qmp.execute("query-status", wait_seconds=-1)  # it is over when the first event is read


def test_who_answers_without_reading_holds_up_nobody() -> None:
    def answer(theirs: socket.socket) -> None:
        while True:
            theirs.sendall(b'{"return": {}}\n')

    began = time.monotonic()
    with monitor(answer) as qmp, pytest.raises(QmpGone, match="timed out"):
        qmp._socket.settimeout(WAIT_SECONDS)
        while time.monotonic() - began < SECONDS_MAX:
            qmp.execute("query-status")


def test_an_answer_among_events_is_found_and_the_events_are_kept() -> None:
    def talk(theirs: socket.socket) -> None:
        theirs.recv(4096)
        theirs.sendall(b'{"event": "STOP"}\n{"return": {"status": "paused"}}\n{"event": "RESUME"}\n')

    with monitor(talk) as qmp:
        assert qmp.status() == "paused"
        assert [each["event"] for each in qmp.all_events(2)] == ["STOP", "RESUME"]
