"""``amiable channel``, and images found and launched by what they hold, from the shell to the rows."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from amiable.cli.main import main
from tests.server.edge import Edge
from tests.support.publisher import new_snapshot, publishing_edge, register


@pytest.fixture
def edge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Edge]:
    with publishing_edge(tmp_path) as running:
        running.speak_in(monkeypatch)
        yield running


@pytest.fixture
def images(edge: Edge) -> list[str]:
    """Two images of one content."""
    with closing(edge.client("ec2")) as ec2:
        snapshot_id = new_snapshot(edge)
        return [register(ec2, snapshot_id, f"image {number}") for number in range(2)]


Run = Callable[..., Any]


@pytest.fixture
def run(edge: Edge, capsys: pytest.CaptureFixture[str]) -> Run:
    """What a command prints, its exit code being 0."""

    def one(*words: str) -> str:
        capsys.readouterr()
        code = main(list(words))
        said = capsys.readouterr()
        assert code == 0, said.err
        return said.out

    return one


def test_a_channel_is_moved_and_launched_from_the_shell(
    run: Run, images: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = images
    name = "debian-12/stable"
    assert main(["channel", "create", name, first, "--public"]) == 0
    assert "amiable launch resolve:ssm:/amiable/channel/debian-12/stable" in capsys.readouterr().err
    assert run("channel", "promote", name, second, "--output", "id").strip() == second
    assert main(["channel", "promote", name, first, "--from-version", "1"]) == 1
    said = capsys.readouterr().err
    assert "ChannelMoved" in said and "hint: amiable channel history debian-12/stable" in said
    assert run("channel", "show", name, "--output", "id").strip() == second
    assert run("channel", "rollback", name, "--output", "id").strip() == first
    versions = json.loads(run("channel", "history", name, "--output", "json"))
    assert [(each["Version"], each["ImageId"]) for each in versions] == [(1, first), (2, second), (3, first)]
    listed = run("channel", "list")
    assert listed.splitlines()[0].split() == ["CHANNEL", "IMAGE", "VERSION", "MOVED", "OWNER", "PARAMETER"]
    assert "/aws/service/amiable/" in listed
    instance = run("launch", "resolve:ssm:/amiable/channel/debian-12/stable").strip()
    larger = run("launch", f"resolve:ssm:/amiable/channel/{name}:2", "--root-size", "2").strip()
    assert instance.startswith("i-") and larger.startswith("i-") and instance != larger
    shown = json.loads(run("channel", "share", name, "--remove", "--output", "json"))
    assert (shown["Public"], shown["PublicParameter"]) == (False, None)
    with pytest.raises(SystemExit) as ended:
        main(["channel", "delete", name])
    assert ended.value.code == 1 and "would delete debian-12/stable" in capsys.readouterr().err
    assert run("channel", "delete", name, "--yes").strip() == name
    assert main(["channel", "show", name]) == 1
    assert "There is no channel debian-12/stable." in capsys.readouterr().err


def test_a_bad_name_is_refused_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert main(["channel", "create", "a b", "ami-12345678"]) == 1
    assert "A channel's name has up to 10 words" in capsys.readouterr().err


def test_an_image_is_shown_found_and_launched_by_its_content(
    run: Run, images: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = images
    shown = json.loads(run("image", "show", second, "--output", "json"))
    digest = shown["ContentDigest"]
    assert digest.startswith("sha256:") and shown["EqualTo"] == [first]
    assert run("image", "find", digest, "--output", "id").split() == [first, second]
    assert run("launch", f"resolve:digest:{digest}").strip().startswith("i-")
    assert run("launch", f"resolve:digest:{digest}", "--root-size", "2").strip().startswith("i-")
    assert main(["image", "find", f"sha256:{'0' * 64}"]) == 1
    assert "no image that you may launch has the content" in capsys.readouterr().err
    assert main(["image", "find", "12"]) == 1
    assert "InvalidParameterValue" in capsys.readouterr().err


def test_an_import_says_which_image_the_new_one_equals(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    disk = tmp_path / "disk.img"
    disk.write_bytes((b"\7" * 510 + b"\x55\xaa") * 2048)
    first = run("image", "import", str(disk), "--name", "first").strip()
    capsys.readouterr()
    assert main(["image", "import", str(disk), "--name", "second"]) == 0
    assert f"the content is that of {first}" in capsys.readouterr().err
