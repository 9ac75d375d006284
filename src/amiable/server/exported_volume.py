"""One volume that the exporter serves: its listener, the connections to it, the blocks behind them."""

import contextlib
import os
import socket
import threading
import time
from pathlib import Path
from typing import Final

from amiable.blocks import nbd
from amiable.blocks.cache import VolumeBlocks
from amiable.blocks.unix_socket import bind, peer_uid, unlink
from amiable.model.units import MIB
from amiable.server.export_requests import Add
from amiable.server.exporter_log import Log

CONNECTIONS_MAX: Final = 16
DRAIN_SECONDS_MAX: Final = 10
SEND_BUFFER_BYTES: Final = 2 * MIB
PAUSE_SECONDS: Final = 0.5
"""After a connection that could not be taken, as where no descriptor is left: it waits in the kernel's queue."""


def begins(thread: threading.Thread) -> bool:
    """Starts the thread; False where the host has none left."""
    try:
        thread.start()
    except RuntimeError:
        return False
    return True


class Exported:
    """One volume that is served: its listener and the connections to it."""

    def __init__(self, what: Add, data: Path, log: Log) -> None:
        self.what = what
        self._log = log
        blocks = VolumeBlocks(
            Path(what.map),
            data / "packs",
            data / "exports" / f"{what.volume}.cache",
            what.size_bytes,
            fetched=lambda index: log.write(f"{what.volume} block {index}"),
        )
        self.blocks = blocks
        self._export = nbd.Export(what.volume, blocks.size_bytes, self._read, blocks.extents)
        self._lock = threading.Lock()
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._ended = False
        self._is_left = False  # it has ended, and its blocks are still open
        try:
            self._listener = bind(Path(what.socket), mode=0o666)
        except BaseException:
            blocks.close()
            raise
        threading.Thread(target=self._accept, daemon=True, name=f"accept {what.volume}").start()

    def close(self) -> None:
        """Ends listener and connections, and removes socket and cache; what a read that does not end holds goes with it."""
        with self._lock:
            self._ended = True
            connections = dict(self._connections)
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        deadline = time.monotonic() + DRAIN_SECONDS_MAX
        for thread in connections.values():
            thread.join(max(0.0, deadline - time.monotonic()))
        unlink(Path(self.what.socket))
        with self._lock:
            self._is_left = True
        self._close_unread()

    def _close_unread(self) -> None:
        """Lets the blocks go, once, where the export has ended and nobody reads any more."""
        with self._lock:
            if not self._is_left or self._connections:
                return
            self._is_left = False
        self.blocks.close()

    def _read(self, offset: int, length: int) -> bytes:
        try:
            return self.blocks.read(offset, length)
        except OSError as error:
            self._log.write(f"{self.what.volume} read of {length} at {offset} failed: {error}", level="ERROR")
            raise

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError as error:
                if self._ended:
                    return
                self._log.write(f"{self.what.volume} takes no connection now: {error}", level="ERROR")
                time.sleep(PAUSE_SECONDS)
                continue
            if not self._welcomes(connection):
                uid = peer_uid(connection)
                self._log.write(f"{self.what.volume} refused a connection of uid {uid}", level="WARNING")
                connection.close()

    def _welcomes(self, connection: socket.socket) -> bool:
        """Whether it is served, in a thread of its own."""
        name = f"nbd {self.what.volume}"
        thread = threading.Thread(target=self._serve, args=(connection,), daemon=True, name=name)
        with self._lock:
            has_place = not self._ended and len(self._connections) < CONNECTIONS_MAX
            if not has_place or peer_uid(connection) not in (self.what.uid, os.geteuid(), 0) or not begins(thread):
                return False
            self._connections[connection] = thread  # its end waits for the lock
            return True

    def _serve(self, connection: socket.socket) -> None:
        try:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            nbd.serve(connection, self._export)
        finally:
            with self._lock:
                self._connections.pop(connection, None)
            connection.close()
            self._close_unread()
