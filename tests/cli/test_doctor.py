"""The doctor's word on the server: nothing named is a note, a refusal or a wrong address is broken."""

import os
from pathlib import Path

import pytest

from amiable.cli.doctor import server
from amiable.services import Services
from tests.server.edge import running_edge
from tests.support.services import make_account


@pytest.fixture(autouse=True)
def nothing_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def test_without_an_endpoint_or_a_key_there_is_nothing_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = server()
    assert (found.verdict, found.words) == ("note", "no access key was found")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    (found,) = server()
    assert found.verdict == "note" and "AWS_ENDPOINT_URL" in found.words
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    (found,) = server()
    assert found.verdict == "broken" and "secret" in found.words.lower()


def test_a_refused_key_is_broken_and_says_what_to_do(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    account, _ = make_account(services, "owner", administrator=True)
    with running_edge(services, account) as edge:
        monkeypatch.setenv("AWS_ENDPOINT_URL", edge.endpoint)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAFOREIGN000000000")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        (found,) = server()
        assert found.verdict == "broken" and "AuthFailure" in found.words
        assert "not of this server" in found.hint and "amiable env" in found.hint
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", account.access_key_id)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", account.secret)
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-3")
        (found,) = server()
        assert found.verdict == "broken" and found.hint.startswith("export AWS_REGION=us-east-1")


@pytest.mark.parametrize("endpoint", ["nonsense", "http://127.0.0.1:9"])
def test_an_address_where_nothing_answers_is_broken(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    (found,) = server()
    assert found.verdict == "broken" and found.hint
