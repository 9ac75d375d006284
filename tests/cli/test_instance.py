"""Waiting for a guest's SSH daemon: known host keys may be those of the boot before."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

import pytest

from amiable.cli import instance, tunnel
from amiable.model.errors import LocalRefusal


class Answer:
    """A tunnel that says one thing."""

    def __init__(self, said: bytes) -> None:
        self.said = said

    def receive(self) -> bytes:
        return self.said


def dialling(monkeypatch: pytest.MonkeyPatch, answers: list[bytes | Exception]) -> Iterator[bytes | Exception]:
    left = iter(answers)

    def dial(_instance: str, port: int) -> AbstractContextManager[Answer]:
        assert port == 22
        answer = next(left)
        if isinstance(answer, Exception):
            raise answer
        return nullcontext(Answer(answer))

    monkeypatch.setattr(tunnel, "dial", dial)
    return left


def test_a_daemon_that_is_not_up_yet_is_asked_again_until_it_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    not_yet = LocalRefusal("not yet", exit_code=75)
    left = dialling(monkeypatch, [not_yet, b"", ConnectionResetError(), b"SSH-2.0-dropbear\r\n", b"never asked"])
    instance.wait_for_daemon("i-0123456789abcdef0", 60)
    assert list(left) == [b"never asked"]


def test_a_refusal_that_no_waiting_mends_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    dialling(monkeypatch, [LocalRefusal("no such instance")])
    with pytest.raises(LocalRefusal, match="no such instance"):
        instance.wait_for_daemon("i-0123456789abcdef0", 60)


def test_after_the_wait_ssh_itself_tells_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    dialling(monkeypatch, [b""])
    instance.wait_for_daemon("i-0123456789abcdef0", 0)
