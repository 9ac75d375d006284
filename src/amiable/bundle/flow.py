"""Work that runs ahead of its reader: an iterator in a thread of its own, behind a queue of a few items."""

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from typing import Final, TypeVar

T = TypeVar("T")

_END: Final = object()
_POLL_SECONDS: Final = 0.1


def ahead(
    source: Iterable[T], depth: int, *, stop_source: Callable[[], object] | None = None
) -> Generator[T, None, None]:
    """The items of ``source``, made by a thread at most ``depth`` items ahead.

    What ``source`` raises is raised here.  When the reader stops early, or is interrupted while it waits here, ``stop_source`` is
    called, which makes a source that waits raise, and the thread ends before this generator is closed.
    """
    items: queue.Queue[tuple[object, BaseException | None]] = queue.Queue(depth)
    stop = threading.Event()

    def put(item: object, error: BaseException | None = None) -> bool:
        while not stop.is_set():
            try:
                items.put((item, error), timeout=_POLL_SECONDS)
                return True
            except queue.Full:
                continue
        return False

    def run() -> None:
        try:
            for item in source:
                if not put(item):
                    return
            put(_END)
        except BaseException as error:  # noqa: BLE001 - handed to the reader, who raises it
            put(_END, error)

    thread = threading.Thread(target=run, name="bundle-ahead", daemon=True)
    thread.start()
    is_over = False
    try:
        while True:
            try:
                # Again and again: a signal that comes just before a wait begins is seen only when it ends.
                item, error = items.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                continue
            if error is not None:
                raise error
            if item is _END:
                is_over = True
                return
            yield item  # type: ignore[misc]  # what is not the end came of ``source``
    finally:
        stop.set()
        if stop_source is not None and not is_over:
            stop_source()
        thread.join()
