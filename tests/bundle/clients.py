"""S3 clients that misbehave, around a real one."""

import threading
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError, ConnectionClosedError, IncompleteReadError

from amiable.bundle.transfer import Patience


def lost() -> Exception:
    """A connection that broke off."""
    return ConnectionClosedError(endpoint_url="http://example.invalid")


def answered(status: int, code: str = "Error") -> Exception:
    """An answer that is an error."""
    return ClientError(
        {
            "Error": {"Code": code, "Message": "told"},
            "ResponseMetadata": {
                "RequestId": "", "HostId": "", "HTTPStatusCode": status, "HTTPHeaders": {}, "RetryAttempts": 0,
            },
        },
        "PutObject",
    )  # fmt: skip


class Failing:
    """Calls of ``operation`` numbered from ``first`` (0) fail, ``count`` of them; all others reach ``client``.  Counts calls."""

    def __init__(
        self, client: Any, operation: str, *, first: int = 0, count: int = 1, error: Callable[[], Exception] = lost
    ) -> None:
        self.client = client
        self.calls: list[tuple[str, str]] = []
        self._operation = operation
        self._span = range(first, first + count)
        self._error = error
        self._seen = 0
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.client, name)
        return self._watched(name, found) if callable(found) else found

    def _watched(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(**request: Any) -> Any:
            with self._lock:
                self.calls.append((name, request.get("Key", "")))
                number = self._seen
                self._seen += name == self._operation
            if name == self._operation and number in self._span:
                raise self._error()
            return method(**request)

        return call

    def keys_of(self, name: str) -> list[str]:
        """The keys that the operation was called for, in order."""
        return [key for called, key in self.calls if called == name]


def impatient(pauses: list[float] | None = None, **changes: Any) -> Patience:
    """Patience that notes its pauses instead of sleeping."""
    return Patience(sleep=(pauses if pauses is not None else []).append, chance=lambda: 1.0, **changes)


class BreakingOff:
    """A client whose first ``count`` downloaded bodies break off after ``size_bytes``; everything else reaches ``client``."""

    def __init__(self, client: Any, *, count: int, size_bytes: int) -> None:
        self.client = client
        self.left = count
        self._size_bytes = size_bytes

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def get_object(self, **request: Any) -> Any:
        """The object, or the beginning of it and an error."""
        answer = self.client.get_object(**request)
        if self.left:
            self.left -= 1
            answer["Body"] = _Broken(answer["Body"], self._size_bytes)
        return answer


class _Broken:
    def __init__(self, body: Any, size_bytes: int) -> None:
        self._body = body
        self._left = size_bytes

    def __enter__(self) -> "_Broken":
        return self

    def __exit__(self, *_: object) -> None:
        self._body.close()

    def read(self, size: int) -> bytes:
        if not self._left:
            raise IncompleteReadError(actual_bytes=0, expected_bytes=1)
        piece: bytes = self._body.read(min(size, self._left))
        self._left -= len(piece)
        return piece
