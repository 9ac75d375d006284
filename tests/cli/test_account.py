"""A new account's secrets are printed only where a program asked for all of it; what is pasted is quoted."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from amiable.cli.main import main
from tests.server.edge import Edge, running_edge
from tests.support.services import make_account, open_services


@pytest.fixture
def edge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Edge]:
    """An edge whose data directory has a blank in its name; the environment speaks for its administrator."""
    with open_services(tmp_path / "my data") as services:
        account, _ = make_account(services, "administrator", administrator=True)
        with running_edge(services, account) as running:
            running.speak_in(monkeypatch)
            yield running


def test_a_table_shows_who_it_is_and_where_the_secrets_lie(edge: Edge, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["account", "create", "guests"]) == 0
    said = capsys.readouterr()
    shown = dict(line.split(None, 1) for line in said.out.splitlines())
    assert list(shown) == ["AccountId", "Name", "AccessKeyId", "CredentialsFile"] and shown["Name"] == "guests"
    secrets = json.loads(Path(shown["CredentialsFile"]).read_text())["SecretAccessKey"]
    assert secrets not in said.out + said.err
    assert f"amiable env --data {shlex.quote(str(edge.services.data))} --account {shown['AccountId']}" in said.err


def test_json_has_everything_and_id_the_id_alone(edge: Edge, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["account", "create", "a", "--output", "json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert {"SecretAccessKey", "PrivateKey", "Certificate"} <= set(made)
    assert main(["account", "create", "b", "--output", "id"]) == 0
    said = capsys.readouterr()
    assert len(said.out.strip()) == 12 and said.out.strip().isdigit() and said.err == ""


def test_a_start_command_for_a_directory_with_a_blank_is_quoted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "no server"
    assert main(["env", "--data", str(data)]) == 69
    assert f"amiable serve --data {shlex.quote(str(data))}" in capsys.readouterr().err
