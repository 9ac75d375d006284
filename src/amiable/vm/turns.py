"""One at a time for each name, and names do not wait for each other.  Who has waited for long asks its patience."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakValueDictionary

from amiable.vm import patience


class Turns:
    """Locks by name; a name is forgotten with the last who has or awaits its turn.  Thread-safe."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Does the block when nobody else does one of this name."""
        with self._guard:
            lock = self._locks.get(name)
            if lock is None:
                lock = self._locks[name] = threading.Lock()
        if not lock.acquire(timeout=patience.PATIENCE_SECONDS):
            patience.ran_out()
            lock.acquire()
        try:
            yield
        finally:
            lock.release()
