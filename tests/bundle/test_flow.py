"""Work that runs ahead: order, errors and early ends."""

import signal
import threading
from collections.abc import Generator, Iterator
from contextlib import closing

import pytest

from amiable.bundle.flow import ahead


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "bundle-ahead"]


def test_items_come_in_order_and_the_thread_ends() -> None:
    assert list(ahead(range(1000), 3)) == list(range(1000))
    assert threads() == []


def test_what_the_source_raises_is_raised_after_the_items_before_it() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise KeyError("why")

    items = ahead(source(), 3)
    assert next(items) == 1
    with pytest.raises(KeyError, match="why"):
        next(items)
    assert threads() == []


def test_a_reader_that_stops_early_ends_the_thread_and_frees_the_source() -> None:
    ended = threading.Event()

    def source() -> Generator[int, None, None]:
        try:
            while True:
                yield 0
        finally:
            ended.set()

    running = source()
    with closing(ahead(running, 2)) as items:
        assert next(items) == 0
    running.close()  # a source that its thread still runs would refuse
    assert ended.is_set()
    assert threads() == []


def test_the_source_is_at_most_depth_items_ahead() -> None:
    made: list[int] = []

    def source() -> Iterator[int]:
        for item in range(100):
            made.append(item)
            yield item

    with closing(ahead(source(), 4)) as items:
        next(items)
        assert len(made) <= 4 + 3


@pytest.mark.parametrize("is_interrupted", [True, False])
def test_a_source_that_waits_is_stopped_when_its_reader_goes(is_interrupted: bool) -> None:
    stopped, waits = threading.Event(), threading.Event()

    def source() -> Iterator[int]:
        yield 1
        if is_interrupted:
            assert waits.wait(30)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)
        assert stopped.wait(30), "stopped"

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with closing(ahead(source(), 1, stop_source=stopped.set)) as items:
            assert next(items) == 1
            if is_interrupted:
                with pytest.raises(KeyboardInterrupt):
                    waits.set()
                    next(items)
        assert stopped.is_set()
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_source_that_ended_is_not_stopped() -> None:
    stopped = threading.Event()
    assert list(ahead(range(5), 2, stop_source=stopped.set)) == list(range(5))
    assert not stopped.is_set()
