"""The metadata service: HTTP on connections that came in through an instance's own network namespace, which is its identity.

    PUT /latest/api/token     a sealed value: instance and expiry, so tokens outlive a restart of the server
    GET or HEAD anything else ``rules/imds``, for a token of this instance; without one only where the instance allows version 1

Rules and statuses: EC2 user guide, "Use the Instance Metadata Service".  A guest is hostile: requests, connections and time are bounded.
"""

import base64
import logging
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from functools import partial
from typing import Final

from cryptography.exceptions import InvalidTag
from sqlalchemy.exc import OperationalError

from amiable.database import instances
from amiable.model.instance import Instance
from amiable.rules import imds
from amiable.server.imds_facts import read_facts
from amiable.services import Services
from amiable.services.identity_signer import sign_document

log = logging.getLogger("amiable.imds")

HEAD_BYTES_MAX: Final = 8192
BODY_BYTES_MAX: Final = 4096
LENGTH_DIGITS_MAX: Final = 10
REQUEST_SECONDS_MAX: Final = 10.0
IDLE_SECONDS_MAX: Final = 5.0
CONNECTIONS_MAX: Final = 16
"""At once, an instance; more wait in the kernel's queue."""
REQUESTS_MAX: Final = 200
"""On one connection."""
REQUESTS_AT_ONCE_MAX: Final = 400
REQUESTS_PER_SECOND_MAX: Final = 100
"""An instance; beyond, 503: the clients of EC2 try again."""

TOKEN_PATH: Final = "/latest/api/token"
TOKEN_HEADER: Final = "x-aws-ec2-metadata-token"
TTL_HEADER: Final = "x-aws-ec2-metadata-token-ttl-seconds"
TTL_SECONDS_MAX: Final = 21600

PAGE: Final = (
    '<?xml version="1.0" encoding="iso-8859-1"?>\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"\n'
    '\t"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">\n'
    '<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">\n <head>\n  <title>{status} - {word}</title>\n </head>\n'
    " <body>\n  <h1>{status} - {word}</h1>\n </body>\n</html>\n"
)
WORDS: Final = {
    200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    413: "Content Too Large", 503: "Service Unavailable",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """One request's head; header names in lower case."""

    method: str
    path: str
    version: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """A response before it is spelled."""

    status: int
    body: bytes
    kind: str = "text/plain"
    headers: tuple[tuple[str, str], ...] = ()
    hop_limit: int | None = None  # how far the answer may go; absent: as far as any


class Rate:
    """How many requests an instance may still make: so many at once, and so many a second."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._lock = threading.Lock()
        self._clock = clock
        self._left: float = REQUESTS_AT_ONCE_MAX
        self._at = clock()

    def takes(self) -> bool:
        """Whether one more is answered."""
        with self._lock:
            now = self._clock()
            self._left = min(REQUESTS_AT_ONCE_MAX, self._left + (now - self._at) * REQUESTS_PER_SECOND_MAX)
            self._at = now
            if self._left < 1:
                return False
            self._left -= 1
            return True


class Malformed(Exception):
    """What was sent is not a request that is answered; the status."""


class MetadataService:
    """Answers for every instance of this host; one thread a connection.  ``clock`` tells seconds, and never goes back."""

    def __init__(self, services: Services, clock: Callable[[], float] = time.monotonic) -> None:
        self._services = services
        self._clock = clock
        self._places: dict[str, threading.BoundedSemaphore] = {}
        self._rates: dict[str, Rate] = {}

    def take(self, instance_id: str, listener: socket.socket) -> bool:
        """Accepts one waiting connection and serves it in a thread of its own.

        False where the instance has enough of them, or the host nothing left for one more.
        """
        place = self._places.setdefault(instance_id, threading.BoundedSemaphore(CONNECTIONS_MAX))
        if not place.acquire(blocking=False):
            return False
        try:
            connection, _address = listener.accept()
        except OSError as error:
            place.release()
            return isinstance(error, BlockingIOError)  # it has gone away
        args = (instance_id, connection, place.release)
        try:
            threading.Thread(target=self._serve, args=args, name=f"imds-{instance_id}", daemon=True).start()
        except RuntimeError:
            connection.close()
            place.release()
            return False
        return True

    def forget(self, instance_id: str) -> None:
        """The instance's machine is gone."""
        self._places.pop(instance_id, None)
        self._rates.pop(instance_id, None)

    def rate_of(self, instance_id: str) -> "Rate":
        """How many requests the instance may still make."""
        return self._rates.setdefault(instance_id, Rate(self._clock))

    def _serve(self, instance_id: str, connection: socket.socket, done: Callable[[], None]) -> None:
        try:
            with connection:
                self.serve(instance_id, connection)
        except OSError:
            pass  # the guest went away
        except Exception:  # the outermost loop of metadata
            log.exception("metadata of %s", instance_id)
        finally:
            done()

    def serve(self, instance_id: str, connection: socket.socket) -> None:
        """Answers requests on one connection until it ends, idles or misbehaves."""
        rest = b""
        rate = self.rate_of(instance_id)
        for _ in range(REQUESTS_MAX):
            try:
                request, rest = read_request(connection, rest)
            except Malformed as error:
                send(connection, _page(int(str(error))), keep=False)
                return
            if request is None:
                return
            answer = self.answer(instance_id, request) if rate.takes() else _page(503)
            if answer.hop_limit is not None:
                _limit_hops(connection, answer.hop_limit)
            keep = _keeps(request)
            send(connection, answer, keep=keep, with_body=request.method != "HEAD")
            log.debug("%s %s %s %d", instance_id, request.method, request.path, answer.status)
            if not keep:
                return

    def answer(self, instance_id: str, request: Request) -> Answer:
        """What one request gets."""
        services = self._services
        with services.database.read() as c:
            instance = instances.get_instance(c, instance_id)
        if instance is None or instance.metadata.http_endpoint != "enabled":
            return _page(403)
        if instance.reached_metadata_at is None:
            self._keep_first(instance_id)
        path = request.path.partition("?")[0]
        if request.method == "PUT":
            return self._token(instance, path, request)
        if request.method not in ("GET", "HEAD"):
            return _page(405)
        token = request.headers.get(TOKEN_HEADER)
        if token is None and instance.metadata.http_tokens == "required":
            return _page(401)
        if token is not None and not self.is_valid(instance, token):
            return _page(401)
        found = imds.answer(read_facts(services, instance), path, sign=partial(sign_document, services))
        if found is None:
            return _page(404)
        return Answer(200, found.body, "application/octet-stream" if found.is_binary else "text/plain")

    def _keep_first(self, instance_id: str) -> None:
        """Keeps when the first request came; where a full disk does not take that, the next one counts, and each is answered."""
        try:
            with self._services.database.write() as c:
                instances.set_reached_metadata(c, instance_id, self._services.now())
        except OperationalError as error:
            log.debug("%s: its first request cannot be kept yet: %s", instance_id, error.orig)

    def _token(self, instance: Instance, path: str, request: Request) -> Answer:
        if "x-forwarded-for" in request.headers or path != TOKEN_PATH:
            return _page(403)
        text = request.headers.get(TTL_HEADER, "")
        if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= TTL_SECONDS_MAX):
            return _page(400)
        services = self._services
        expiry = int(services.now().timestamp()) + int(text)
        sealed = services.installation.seal(_purpose(instance), struct.pack(">Q", expiry), services.entropy(12))
        told = (("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", text),)
        hop_limit = instance.metadata.http_hop_limit
        return Answer(200, base64.urlsafe_b64encode(sealed), headers=told, hop_limit=hop_limit)

    def is_valid(self, instance: Instance, token: str) -> bool:
        """Whether the token is this instance's and has not expired."""
        try:
            plain = self._services.installation.unseal(
                _purpose(instance), base64.b64decode(token, altchars=b"-_", validate=True)
            )
        except (ValueError, InvalidTag):
            return False
        return int(struct.unpack(">Q", plain)[0]) > self._services.now().timestamp()


def read_request(connection: socket.socket, rest: bytes) -> tuple[Request | None, bytes]:
    """The next request and the bytes after it; None at the connection's end.  Raises Malformed."""
    head, rest = _read_head(connection, rest)
    if not head:
        return None, b""
    try:
        first, *lines = head.decode("ascii").split("\r\n")
        method, path, version = first.split(" ")
        headers = {
            name.strip().lower(): value.strip()
            for name, colon, value in (line.partition(":") for line in lines)
            if colon
        }
    except ValueError:
        raise Malformed(400) from None
    if not version.startswith("HTTP/1.") or not path.startswith("/") or "transfer-encoding" in headers:
        raise Malformed(400)
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        raise Malformed(400)
    if len(length) > LENGTH_DIGITS_MAX or int(length) > BODY_BYTES_MAX:
        raise Malformed(413)
    deadline = time.monotonic() + REQUEST_SECONDS_MAX
    while len(rest) < int(length):
        if time.monotonic() > deadline:
            raise Malformed(400)
        chunk = connection.recv(BODY_BYTES_MAX)
        if not chunk:
            return None, b""
        rest += chunk
    return Request(method, path, version, headers), rest[int(length) :]


def _read_head(connection: socket.socket, data: bytes) -> tuple[bytes, bytes]:
    connection.settimeout(REQUEST_SECONDS_MAX if data else IDLE_SECONDS_MAX)
    deadline = time.monotonic() + REQUEST_SECONDS_MAX
    while b"\r\n\r\n" not in data:
        if len(data) > HEAD_BYTES_MAX or time.monotonic() > deadline:
            raise Malformed(400)
        try:
            chunk = connection.recv(HEAD_BYTES_MAX)
        except TimeoutError:
            return b"", b""
        if not chunk:
            return b"", b""
        data += chunk
    head, _, rest = data.partition(b"\r\n\r\n")
    if len(head) > HEAD_BYTES_MAX:
        raise Malformed(400)
    return head, rest


def send(connection: socket.socket, answer: Answer, *, keep: bool, with_body: bool = True) -> None:
    """Writes the response."""
    lines = [
        f"HTTP/1.1 {answer.status} {WORDS[answer.status]}",
        f"Content-Type: {answer.kind}",
        f"Content-Length: {len(answer.body)}",
        f"Date: {formatdate(usegmt=True)}",
        "Server: EC2ws",
        "Connection: " + ("keep-alive" if keep else "close"),
        *(f"{name}: {value}" for name, value in answer.headers),
    ]
    connection.settimeout(REQUEST_SECONDS_MAX)
    connection.sendall("\r\n".join(lines).encode("ascii") + b"\r\n\r\n" + (answer.body if with_body else b""))


def _limit_hops(connection: socket.socket, hop_limit: int) -> None:
    """How many routers less one what is sent from now on may pass.

    It stays so for the connection: a segment that was lost is sent again, and would go as far as the socket then says.
    """
    if connection.family == socket.AF_INET:  # a guest without a namespace speaks through a UNIX socket
        connection.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hop_limit)


def _keeps(request: Request) -> bool:
    wish = request.headers.get("connection", "").lower()
    return wish == "keep-alive" if request.version == "HTTP/1.0" else wish != "close"


def _page(status: int) -> Answer:
    return Answer(status, PAGE.format(status=status, word=WORDS[status]).encode(), "text/html")


def _purpose(instance: Instance) -> str:
    return f"metadata-token {instance.id} {instance.began_at.isoformat()}"
