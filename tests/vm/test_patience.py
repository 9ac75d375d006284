"""Who waits for a machine is asked once whether it has the time, and only after a while."""

import socket
import threading

import pytest

from amiable.vm import patience

SECONDS_MAX = 60.0


class Enough(Exception):
    """No time."""


def enough() -> None:
    raise Enough


def test_what_is_ready_is_not_waited_for() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, patience.asking(enough):
        theirs.send(b"x")
        assert patience.ready(ours, SECONDS_MAX, 0.01)
        assert patience.ready(ours.fileno(), 0.0)


def test_who_has_no_time_does_not_wait_longer_than_its_patience() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, patience.asking(enough), pytest.raises(Enough):
        patience.ready(ours, SECONDS_MAX, 0.01)


def test_a_wait_that_is_shorter_than_patience_is_an_answer_of_its_own() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, patience.asking(enough):
        assert not patience.ready(ours, 0.01, SECONDS_MAX)


def test_who_has_the_time_waits_on_and_is_asked_once() -> None:
    asked: list[str] = []
    ours, theirs = socket.socketpair()

    def answer_late() -> None:
        asked.append("asked")
        theirs.send(b"x")

    with ours, theirs, patience.asking(answer_late):
        assert patience.ready(ours, SECONDS_MAX, 0.01)
    assert asked == ["asked"]


def test_a_start_has_all_the_time_and_another_thread_its_own() -> None:
    ours, theirs = socket.socketpair()
    found: list[bool] = []
    with ours, theirs, patience.asking(enough):
        with patience.endless():
            assert not patience.ready(ours, 0.02, 0.01)
        thread = threading.Thread(target=lambda: found.append(patience.ready(ours, 0.02, 0.01)))
        thread.start()
        thread.join(SECONDS_MAX)
    assert found == [False]


def test_who_looks_now_and_then_is_asked_once() -> None:
    asked: list[str] = []
    with patience.asking(lambda: asked.append("asked")):
        long, short = patience.Wait(SECONDS_MAX), patience.Wait(0.0)
        for each in (long, short, long, short):
            each.look()
    assert asked == ["asked"]
