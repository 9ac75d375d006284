"""A guest's own agent (``qemu-guest-agent``), asked to hold its file systems still for the moment of an image.

    port open? ─▶ sync ─▶ freeze ═ the moment ═ thaw

A guest without an agent has not opened the port, which QEMU tells: nothing waits for it.  Nothing is asked of an agent that does not
answer a sync, so that no freeze lies in the port for a later one to obey; whatever becomes of a freeze, a thaw follows it in the same
connection.  The agent is the guest's: what it answers is bounded in time and length, and decides nothing but the label of its own image.

Source: QEMU's qga/qapi-schema.json.
"""

import contextlib
import json
import logging
import secrets
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from amiable.rules.qemu_command import AGENT, AGENT_SOCKET
from amiable.vm import machine, patience
from amiable.vm.directory import Directory, peer_pid
from amiable.vm.process import Process

log = logging.getLogger("amiable.guest_agent")

SYNC_SECONDS_MAX: Final = 2.0
FREEZE_SECONDS_MAX: Final = 20.0
"""A guest writes out first what it holds in memory."""
THAW_SECONDS_MAX: Final = 10.0
MONITOR_SECONDS_MAX: Final = 10.0
ANSWER_BYTES_MAX: Final = 65_536
"""Of all that an agent says to one question."""
SYNC_BYTE: Final = b"\xff"
"""Ends whatever was said before, on both sides."""


class AgentFailed(Exception):
    """The agent refused, or did not answer as it should."""


@dataclass(slots=True)
class Freeze:
    """``has_held``: the file systems stood still from before the block until after it; known once it has ended."""

    has_held: bool = False


@contextlib.contextmanager
def frozen(directory: Directory, qemu: Process) -> Iterator[Freeze]:
    """Does the block while the guest's file systems stand still, where its agent can do that; else all the same.

    Raises MachineFailed where QEMU does not answer.
    """
    freeze = Freeze()
    with contextlib.ExitStack() as closing:
        agent = _open_agent(directory, qemu, closing)
        if agent is None:
            yield freeze
            return
        is_frozen = False
        try:
            is_frozen = _tell(directory, agent, "freeze", FREEZE_SECONDS_MAX)
            yield freeze
        finally:
            is_thawed = _tell(directory, agent, "thaw", THAW_SECONDS_MAX)  # also after a freeze without an answer
            freeze.has_held = is_frozen and is_thawed


def thaw(directory: Directory, qemu: Process) -> None:
    """Lets a guest's file systems go on that a server which was killed left standing still, where its agent answers."""
    with contextlib.ExitStack() as closing:
        agent = _open_agent(directory, qemu, closing)
        if agent is not None:
            _tell(directory, agent, "thaw", THAW_SECONDS_MAX)


def _open_agent(directory: Directory, qemu: Process, closing: contextlib.ExitStack) -> "_Agent | None":
    """The agent once it has answered; None where there is none, or it does not."""
    if not _is_there(directory, qemu):
        return None
    try:
        agent = _Agent(closing.enter_context(_connection(directory, qemu)))
        agent.sync()
    except (AgentFailed, OSError) as error:
        log.info("%s: its agent is not asked: %s", directory.path.name, error)
        return None
    return agent


def _is_there(directory: Directory, qemu: Process) -> bool:
    """Whether the guest runs and a program of it has opened the port."""
    with machine.monitor(directory, qemu, wait_seconds=MONITOR_SECONDS_MAX) as qmp:
        if qmp.execute("query-status")["status"] != "running":
            return False
        return any(each["label"] == AGENT and each["frontend-open"] for each in qmp.execute("query-chardev"))


def _connection(directory: Directory, qemu: Process) -> socket.socket:
    connection = directory.connect(AGENT_SOCKET, wait_seconds=SYNC_SECONDS_MAX)
    if peer_pid(connection) != qemu.pid:
        connection.close()
        raise AgentFailed(f"{AGENT_SOCKET} is not QEMU's")
    return connection


def _tell(directory: Directory, agent: "_Agent", what: str, wait_seconds: float) -> bool:
    """Whether the agent did it to at least one file system."""
    try:
        count = agent.ask(f"guest-fsfreeze-{what}", wait_seconds=wait_seconds)
    except (AgentFailed, OSError) as error:
        log.warning("%s: its agent does not %s: %s", directory.path.name, what, error)
        return False
    log.info("%s: its agent: %s, %.20r file systems", directory.path.name, what, count)
    return isinstance(count, int) and count > 0


class _Agent:
    """Questions and answers over one connection, each a line of JSON."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._said = b""

    def sync(self) -> None:
        """Finds the answers' beginning, whatever was said before.  Raises AgentFailed, OSError."""
        number = secrets.randbelow(1 << 31)
        answer = self.ask("guest-sync-delimited", wait_seconds=SYNC_SECONDS_MAX, id=number)
        if answer != number:
            raise AgentFailed("it answers something else")

    def ask(self, command: str, *, wait_seconds: float, **arguments: int) -> object:
        """What the command returns.  Raises AgentFailed, OSError."""
        deadline = time.monotonic() + wait_seconds
        question = json.dumps({"execute": command, "arguments": arguments} if arguments else {"execute": command})
        self._connection.settimeout(wait_seconds)
        self._connection.sendall((SYNC_BYTE if arguments else b"") + question.encode() + b"\n")
        answer = self._answer(deadline, after=SYNC_BYTE if arguments else b"")
        if "return" not in answer:
            raise AgentFailed(f"{answer.get('error', 'no answer')!r:.200}")
        return answer["return"]

    def _answer(self, deadline: float, *, after: bytes) -> dict[str, object]:
        """The next line, or the next after a byte that begins it."""
        count = 0
        while True:
            _, found, begun = self._said.rpartition(after) if after else (b"", b"", self._said)
            if (found or not after) and b"\n" in begun:
                break
            left = deadline - time.monotonic()
            if left <= 0 or not patience.ready(self._connection, left):
                raise AgentFailed("it does not answer in time")
            came = self._connection.recv(ANSWER_BYTES_MAX)
            count += len(came)
            if not came or count > ANSWER_BYTES_MAX:
                raise AgentFailed("it answers without end" if came else "its port was closed")
            self._said += came
        line, _, self._said = begun.partition(b"\n")
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError):
            raise AgentFailed("it answers no JSON") from None
        if not isinstance(answer, dict):
            raise AgentFailed("it answers no object")
        return answer
