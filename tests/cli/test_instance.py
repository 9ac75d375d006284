"""Waiting for a guest's SSH daemon: known host keys may be those of the boot before."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

import pytest

from amiable.cli import instance, tunnel
from amiable.cli.main import main
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


def test_a_guest_without_power_is_not_waited_for() -> None:
    with pytest.raises(LocalRefusal, match=r"^i-0123456789abcdef0 is stopped$") as refused:
        instance.refuse_without_power("stopped", "i-0123456789abcdef0")
    assert refused.value.advice == "amiable instance start i-0123456789abcdef0 --wait"
    with pytest.raises(LocalRefusal, match="is terminated") as ended:
        instance.refuse_without_power("terminated", "i-0123456789abcdef0")
    assert not ended.value.advice
    for state in ("pending", "running"):
        instance.refuse_without_power(state, "i-0123456789abcdef0")


@pytest.mark.parametrize("words", ["wget http://169.254.169.254/", "", "i-0123"], ids=["command", "nothing", "short"])
@pytest.mark.parametrize("command", ["show", "ssh", "console", "timeline", "stop", "reboot"])
def test_what_is_no_instance_id_is_refused_before_anything_is_asked(
    command: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["instance", command, words]) != 0
    said = capsys.readouterr()
    assert said.out == "" and f'Invalid id: "{words}" (expecting "i-...")\n\nhint: amiable instance list\n' in said.err


def test_an_instance_begins_with_what_a_person_looks_for() -> None:
    told = {
        "Architecture": "x86_64",
        "InstanceId": "i-1",
        "State": {"Code": 80, "Name": "stopped"},
        "StateReason": {"Code": "Client.X", "Message": "Client.X: why"},
        "Tags": [{"Key": "a", "Value": "b"}, {"Key": "Name", "Value": "web"}],
    }
    shown = instance.flat(told)
    assert list(shown)[:4] == ["InstanceId", "Name", "State", "Reason"]
    assert (shown["Name"], shown["State"], shown["Reason"]) == ("web", "stopped", "Client.X: why")
    assert set(shown) == {*told, "Name", "Reason"}
