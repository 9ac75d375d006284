"""A server that answers with given bytes and closes: what a client meets of a server that dies half way through an answer."""

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

HALF_XML = b"<?xml version='1.0'?><DescribeRegionsResponse><requestId>"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n"
BROKEN_OFF = {
    "no body": OK + b"Content-Length: 1000\r\n\r\n",
    "half a body": OK + b"Content-Length: 1000\r\n\r\n" + HALF_XML,
    "half a document that the connection ends": OK + b"Connection: close\r\n\r\n" + HALF_XML,
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Ty",
    "half a chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n20\r\n" + HALF_XML[:10],
    "half an error": b"HTTP/1.1 503 Busy\r\nContent-Type: text/xml\r\nContent-Length: 1000\r\n\r\n<Error><Co",
}
"""What breaks off, and what arrives of it."""


def answer(body: bytes, *head: str, content_type: str = "text/xml") -> bytes:
    """A whole answer, which closes its connection."""
    lines = ["HTTP/1.1 200 OK", f"Content-Type: {content_type}", f"Content-Length: {len(body)}", "Connection: close"]
    return "\r\n".join([*lines, *head, "", ""]).encode() + body


class ToyServer:
    """Answers the n-th request with the n-th of ``answers``, the last one for ever."""

    def __init__(self, answers: Sequence[bytes]) -> None:
        self._answers = answers
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        self.asked = 0
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # closed
                return
            with connection, connection.makefile("rb") as reader:
                length = 0
                while (line := reader.readline()) not in (b"\r\n", b""):
                    name, _, value = line.partition(b":")
                    if name.lower() == b"content-length":
                        length = int(value)
                    if name.lower() == b"expect":
                        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                reader.read(length)
                self.asked += 1
                connection.sendall(self._answers[min(self.asked, len(self._answers)) - 1])

    def close(self) -> None:
        """Ends it."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@contextmanager
def toy_server(*answers: bytes) -> Iterator[ToyServer]:
    """A toy server while the block runs."""
    server = ToyServer(answers)
    try:
        yield server
    finally:
        server.close()
