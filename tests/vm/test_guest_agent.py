"""A guest's agent, asked to hold its file systems still: one that does, and those that are slow, broken or hostile."""

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from amiable.rules.qemu_command import AGENT_SOCKET
from amiable.vm import guest_agent
from amiable.vm.directory import Directory
from amiable.vm.process import Process, identity_of

SECONDS_MAX = 10.0
WAIT_SECONDS_MAX = 60.0
"""For what will be answered."""
SHORT_SECONDS = 0.3
"""For what will not."""
Answer = Callable[[str, dict[str, Any]], bytes | None]


def told(value: object) -> bytes:
    return json.dumps({"return": value}).encode() + b"\n"


def good(command: str, arguments: dict[str, Any]) -> bytes:
    """What ``qemu-guest-agent`` answers; before a sync it may still say what nobody waited for."""
    if command == "guest-sync-delimited":
        return told("an answer of before") + b"\xff" + told(arguments["id"])
    return told(2)


@dataclass
class Guest:
    """A listener in the place of QEMU's two sockets."""

    directory: Directory
    answer: Answer = good
    status: str = "running"
    is_open: bool = True
    asked: list[str] = field(default_factory=list)

    def monitor(self, connection: socket.socket) -> None:
        connection.sendall(b'{"QMP": {}}\n')
        answers: dict[str, Any] = {
            "qmp_capabilities": {},
            "query-status": {"status": self.status},
            "query-chardev": [
                {"label": "serial", "frontend-open": True},
                {"label": "agent", "frontend-open": self.is_open},
            ],
        }
        for line in connection.makefile("rb"):
            connection.sendall(told(answers[json.loads(line)["execute"]]))

    def agent(self, connection: socket.socket) -> None:
        for line in connection.makefile("rb"):
            question = json.loads(line.removeprefix(b"\xff"))
            self.asked.append(question["execute"])
            said = self.answer(question["execute"], question.get("arguments", {}))
            if said is None:
                return
            connection.sendall(said)


@contextlib.contextmanager
def listening(directory: Directory, name: str, serve: Callable[[socket.socket], None]) -> Iterator[None]:
    """Serves one connection after the other."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"/proc/self/fd/{directory.descriptor}/{name}")
        listener.listen(8)

        def run() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, contextlib.suppress(OSError):
                        serve(connection)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(SECONDS_MAX)
    assert not thread.is_alive()


@pytest.fixture
def guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Guest]:
    for name in ("SYNC_SECONDS_MAX", "FREEZE_SECONDS_MAX", "THAW_SECONDS_MAX"):
        monkeypatch.setattr(guest_agent, name, WAIT_SECONDS_MAX)
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        made = Guest(Directory(tmp_path, descriptor, None))
        with listening(made.directory, "qmp.sock", made.monitor), listening(made.directory, AGENT_SOCKET, made.agent):
            yield made
    finally:
        os.close(descriptor)


@pytest.fixture
def qemu() -> Process:
    return identity_of(os.getpid())


def test_an_agent_holds_its_file_systems_still_from_before_the_moment_until_after_it(
    guest: Guest, qemu: Process
) -> None:
    with guest_agent.frozen(guest.directory, qemu) as freeze:
        assert guest.asked == ["guest-sync-delimited", "guest-fsfreeze-freeze"] and not freeze.has_held
    assert guest.asked[2:] == ["guest-fsfreeze-thaw"] and freeze.has_held


def test_a_moment_that_fails_thaws_the_guest_all_the_same(guest: Guest, qemu: Process) -> None:
    with pytest.raises(ZeroDivisionError), guest_agent.frozen(guest.directory, qemu):
        raise ZeroDivisionError
    assert guest.asked[-1] == "guest-fsfreeze-thaw"


@pytest.mark.parametrize(("status", "is_open"), [("running", False), ("shutdown", True), ("paused", True)])
def test_a_guest_without_an_agent_or_that_stands_still_is_asked_nothing(
    guest: Guest, qemu: Process, status: str, is_open: bool
) -> None:
    guest.status, guest.is_open = status, is_open
    with guest_agent.frozen(guest.directory, qemu) as freeze:
        pass
    assert not guest.asked and not freeze.has_held


def test_a_machine_of_before_there_was_a_port_is_not_frozen(guest: Guest, qemu: Process) -> None:
    guest.directory.unlink(AGENT_SOCKET)
    with guest_agent.frozen(guest.directory, qemu) as freeze:
        pass
    assert not freeze.has_held


def test_a_socket_that_is_not_qemus_is_told_nothing(guest: Guest) -> None:
    with guest_agent._connection(guest.directory, identity_of(os.getpid())):
        pass
    with pytest.raises(guest_agent.AgentFailed, match=r"agent\.sock is not QEMU's"):
        guest_agent._connection(guest.directory, identity_of(os.getppid()))


HOSTILE: dict[str, Answer] = {
    "says nothing": lambda _command, _arguments: b"",
    "hangs up": lambda _command, _arguments: None,
    "floods": lambda _command, _arguments: b"x" * 1_000_000,
    "floods lines": lambda _command, _arguments: b"{}\n" * 100_000,
    "nests": lambda _command, _arguments: b"\xff" + b"[" * 60_000 + b"\n",
    "no object": lambda _command, _arguments: b"\xff[]\n",
    "no text": lambda _command, _arguments: b"\xff\xff\x00\n",
    "long number": lambda _command, _arguments: b'\xff{"return": ' + b"9" * 60_000 + b"}\n",
    "another number": lambda _command, _arguments: b"\xff" + told(-1),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_an_agent_that_does_not_answer_a_sync_is_asked_for_no_freeze_and_holds_up_little(
    guest: Guest, qemu: Process, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guest_agent, "SYNC_SECONDS_MAX", SHORT_SECONDS)
    guest.answer = HOSTILE[name]
    began = time.monotonic()
    with guest_agent.frozen(guest.directory, qemu) as freeze:
        pass
    assert not freeze.has_held and set(guest.asked) <= {"guest-sync-delimited"}
    assert time.monotonic() - began < SECONDS_MAX


@pytest.mark.parametrize("which", ["freeze", "thaw"])
@pytest.mark.parametrize(
    "said",
    [b"", b'{"error": {"desc": "not allowed"}}\n', told(0), told("two"), told({}), b"x" * 1_000_000, b"[" * 60_000 + b"\n"],
    ids=["silent", "refuses", "none", "word", "object", "flood", "nested"],
)  # fmt: skip
def test_what_was_not_held_whole_is_not_called_frozen_and_is_thawed(
    guest: Guest, qemu: Process, which: str, said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guest_agent, f"{which.upper()}_SECONDS_MAX", SHORT_SECONDS)
    guest.answer = lambda command, arguments: said if command.endswith(which) else good(command, arguments)
    with guest_agent.frozen(guest.directory, qemu) as freeze:
        pass
    assert not freeze.has_held
    deadline = time.monotonic() + SECONDS_MAX
    while "guest-fsfreeze-thaw" not in guest.asked and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    assert "guest-fsfreeze-thaw" in guest.asked or b"x" in said, "a flood may end the connection before"
