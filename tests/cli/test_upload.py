"""When an upload fails, its own error is told, and what became of the snapshot."""

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError

from amiable.cli import upload
from amiable.cli.main import main
from amiable.services import Services
from tests.server.edge import Edge, running_edge
from tests.support.services import make_account


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    file = tmp_path / "disk.img"
    file.write_bytes(b"data".ljust(512) * 2048)
    return file


def speak_for(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    edge.speak_in(monkeypatch)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")


def test_a_server_that_dies_during_an_upload_is_what_is_told(
    services: Services, disk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    account, _ = make_account(services, "owner")
    running = running_edge(services, account)
    speak_for(running.__enter__(), monkeypatch)

    def die(*_: Any) -> None:
        running.__exit__(None, None, None)
        raise ConnectionClosedError(endpoint_url="http://the-first-error/")

    monkeypatch.setattr(upload, "put_blocks", die)
    assert main(["image", "import", str(disk), "--name", "dies"]) == 69
    said = capsys.readouterr().err
    first, _, rest = said.partition("\n")
    assert first.startswith("snap-") and first.endswith(" stays pending; it expires by itself")
    assert rest.startswith("error: ") and "the-first-error" in rest and "amiable serve" in rest


def test_a_refused_upload_leaves_no_snapshot(
    services: Services, disk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    account, _ = make_account(services, "owner")

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with running_edge(services, account) as edge:
        speak_for(edge, monkeypatch)
        monkeypatch.setattr(upload, "put_blocks", interrupt)
        assert main(["image", "import", str(disk), "--name", "stopped"]) == 130
        assert edge.client("ec2").describe_snapshots(OwnerIds=["self"])["Snapshots"] == []
    assert capsys.readouterr().err == "error: interrupted\n"


def test_an_image_that_cannot_be_registered_leaves_no_snapshot(
    services: Services, disk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    account, _ = make_account(services, "owner")
    with running_edge(services, account) as edge:
        speak_for(edge, monkeypatch)
        assert main(["image", "import", str(disk), "--name", "odd", "--kernel", "aki-0123456789abcdef0"]) == 1
        assert edge.client("ec2").describe_snapshots(OwnerIds=["self"])["Snapshots"] == []
    assert "KernelId" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("start", "note", "following"),
    [
        (b"code".ljust(510, b".") + b"\x55\xaa", False, "launch ami-"),
        (bytes(512), True, "image deregister ami-"),
    ],
    ids=["boot sector", "zeros"],
)
def test_what_comes_next_is_a_launch_only_of_what_may_start(
    start: bytes, note: bool, following: str, services: Services, disk: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    disk.write_bytes(start.ljust(1 << 20, b"\0"))
    account, _ = make_account(services, "owner")
    with running_edge(services, account) as edge:
        speak_for(edge, monkeypatch)
        assert main(["image", "import", str(disk), "--name", "ways"]) == 0
    said = capsys.readouterr().err
    assert ("note: as it is registered it will not start." in said) == note
    assert f"\nnext: amiable {following}" in said
