"""A guest's agent that is a value: a connection to it, and whether the guest's file systems stand still."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

_READY: Final = os.eventfd(1)
"""What an agent has to say can be read as soon as it was asked."""


class Frozen(Protocol):
    """A guest that may be told to write nothing."""

    is_frozen: bool


@dataclass
class AgentLine:
    """Stands for the connection to ``agent.sock``; each question is a step of who asks."""

    guest: Frozen
    step: Callable[[], None]
    _said: bytes = b""

    def __enter__(self) -> "AgentLine":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def fileno(self) -> int:
        return _READY

    def settimeout(self, _: float) -> None:
        return None

    def sendall(self, line: bytes) -> None:
        self.step()
        asked = json.loads(line.lstrip(b"\xff"))
        answer = getattr(self, asked["execute"].replace("-", "_"))(**asked.get("arguments", {}))
        self._said += (b"\xff" if line[:1] == b"\xff" else b"") + json.dumps(answer).encode() + b"\n"

    def recv(self, _: int) -> bytes:
        said, self._said = self._said, b""
        return said

    def guest_sync_delimited(self, id: int) -> dict[str, Any]:
        return {"return": id}

    def guest_fsfreeze_freeze(self) -> dict[str, Any]:
        if self.guest.is_frozen:
            return {"error": {"class": "CommandNotFound", "desc": "the command is not allowed in frozen state"}}
        self.guest.is_frozen = True
        return {"return": 1}

    def guest_fsfreeze_thaw(self) -> dict[str, Any]:
        was, self.guest.is_frozen = self.guest.is_frozen, False
        return {"return": int(was)}
