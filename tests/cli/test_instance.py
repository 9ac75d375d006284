"""Waiting for a guest's SSH daemon: known host keys may be those of the boot before."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from amiable.cli import client, instance, tunnel, volume
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


@pytest.mark.parametrize(("seconds", "exit_code"), [(0, 75), (0.01, 124)])
def test_a_daemon_that_never_speaks_is_named_with_why_and_how_to_wait(
    seconds: float, exit_code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialling(monkeypatch, [LocalRefusal("Unavailable: it did not answer in time", exit_code=75)] * 9)
    monkeypatch.setattr(client, "WAIT_PAUSE_SECONDS", 0.02)
    with pytest.raises(LocalRefusal, match="i-0123456789abcdef0: Unavailable: it did not answer in time") as refused:
        instance.wait_for_daemon("i-0123456789abcdef0", seconds)
    assert refused.value.exit_code == exit_code
    assert "--wait 120" in refused.value.advice and "console i-0123456789abcdef0 --follow" in refused.value.advice


def test_a_key_file_that_is_not_there_is_refused_before_the_guest_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(instance, "call", lambda _method, _path: {"State": "running"})
    with pytest.raises(LocalRefusal, match=f"no key file {tmp_path}/key"):
        instance.ssh("i-0123456789abcdef0", identity=tmp_path / "key")


def test_what_is_no_ssh_daemon_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    dialling(monkeypatch, [b"HTTP/1.1 400 Bad Request\r\n"])
    with pytest.raises(LocalRefusal, match="what answers on port 22 is none"):
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


@pytest.mark.parametrize("seconds", ["nan", "inf", "-1", "1e400", "soon"])
def test_a_wait_that_has_no_end_is_refused(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["instance", "ssh", "i-0123456789abcdef0", "--wait", seconds]) == 2
    assert "--wait" in capsys.readouterr().err


def test_a_guest_that_does_not_listen_is_told_with_what_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Deaf:
        def describe_instances(self, **_: object) -> dict[str, object]:
            return {"Reservations": [{"Instances": [{"InstanceId": "i-1", "State": {"Name": "stopping"}}]}]}

    monkeypatch.setattr(instance, "STATE_SECONDS_MAX", 0.0)
    monkeypatch.setattr(client, "WAIT_PAUSE_SECONDS", 0.02)
    with pytest.raises(LocalRefusal) as refused:
        instance.finish(Deaf(), [{"InstanceId": "i-1"}], "stopped")
    assert refused.value.exit_code == 124 and refused.value.advice.endswith("amiable instance stop i-1 --force")


def test_a_guest_that_holds_on_to_a_volume_is_told_with_what_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Held:
        def describe_volumes(self, **_: object) -> dict[str, object]:
            held = {"InstanceId": "i-1", "Device": "/dev/sdf", "State": "detaching"}
            return {"Volumes": [{"VolumeId": "vol-1", "State": "in-use", "Attachments": [held]}]}

    monkeypatch.setattr(volume, "STATE_SECONDS_MAX", 0.0)
    monkeypatch.setattr(client, "WAIT_PAUSE_SECONDS", 0.02)
    with pytest.raises(LocalRefusal) as refused:
        volume._wait(Held(), "vol-1", None)
    assert refused.value.exit_code == 124 and refused.value.advice.endswith("amiable volume detach vol-1 --force")
