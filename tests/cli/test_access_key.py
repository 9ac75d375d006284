"""Access keys from the command line, over a real edge: one is made, the old one is ended, and nobody is locked out."""

import json
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from amiable.cli.main import main
from tests.server.edge import Edge


def states(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    capsys.readouterr()
    assert main(["access-key", "list", "--output", "json"]) == 0
    return {row["AccessKeyId"]: row["State"] for row in json.loads(capsys.readouterr().out)}


def made(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    capsys.readouterr()
    assert main(["access-key", "create", "--output", "json"]) == 0
    found: dict[str, str] = json.loads(capsys.readouterr().out)
    return found


def test_a_new_key_takes_the_place_of_the_old_one(
    edge: Edge, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = edge.account.access_key_id
    assert main(["access-key", "create"]) == 0
    said = capsys.readouterr()
    new = dict(line.split() for line in said.out.splitlines())
    assert list(new) == ["AccessKeyId", "SecretAccessKey"] and new["SecretAccessKey"] not in said.err
    assert f"amiable access-key disable {old}" in said.err
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", new["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", new["SecretAccessKey"])
    assert main(["access-key", "disable", old]) == 0
    assert states(capsys) == {old: "inactive", new["AccessKeyId"]: "active"}
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        edge.client("sts").get_caller_identity()
    assert main(["access-key", "enable", old]) == 0
    assert edge.client("sts").get_caller_identity()["Account"] == edge.account.account_id
    assert main(["access-key", "delete", old, "--yes"]) == 0
    assert states(capsys) == {new["AccessKeyId"]: "active"}
    told = json.loads((edge.services.data / "accounts" / edge.account.account_id / "credentials.json").read_text())
    assert {key: told[key] for key in new} == new, "amiable env would tell a key that is gone"


def test_keys_are_deleted_when_it_is_meant_and_all_may_be(edge: Edge, capsys: pytest.CaptureFixture[str]) -> None:
    own, other = edge.account.access_key_id, made(capsys)["AccessKeyId"]
    with pytest.raises(SystemExit):
        main(["access-key", "delete", other])
    assert capsys.readouterr().err == f"would delete {other} (active)\n\nhint: add --yes to do it\n"
    for verb, more in (("delete", ["--yes"]), ("disable", [])):
        assert main(["access-key", verb, other, own, *more]) == 1
        assert capsys.readouterr().err.startswith(f"error: {own} signs this very command\n\nhint: ")
        for wrong in ("AKIANOTTHERE", "", "../accounts", "\udcff"):
            assert main(["access-key", verb, other, wrong, *more]) == 1
            assert capsys.readouterr().err.endswith("\n\nhint: amiable access-key list\n")
    assert states(capsys) == {own: "active", other: "active"}
    assert main(["access-key", "delete"]) == 2


def test_a_key_whose_secret_nobody_could_read_is_taken_back(
    edge: Edge, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path("/dev/full").open("w") as full, monkeypatch.context() as patched:
        patched.setattr("sys.stdout", full)
        assert main(["access-key", "create"]) == 74
        patched.undo()
        with pytest.raises(OSError, match="No space"):
            full.close()
    assert list(states(capsys)) == [edge.account.access_key_id]


def test_more_keys_than_an_account_may_have_are_refused_with_a_way_out(
    edge: Edge, capsys: pytest.CaptureFixture[str]
) -> None:
    while main(["access-key", "create"]) == 0:
        capsys.readouterr()
    assert "amiable access-key list" in capsys.readouterr().err
    assert len(states(capsys)) == 8
