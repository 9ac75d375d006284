"""Key pairs from the command line, over a real edge."""

import json
import subprocess
from pathlib import Path

import pytest

from amiable.cli.main import main
from tests.server.edge import Edge


def names(capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert main(["key-pair", "list", "--output", "id"]) == 0
    return capsys.readouterr().out.split()


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
@pytest.mark.usefixtures("edge")
def test_a_private_key_is_written_once_for_its_owner_alone_and_fits(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "me.pem"
    assert main(["key-pair", "create", "me", str(file), "--type", kind]) == 0
    said = capsys.readouterr()
    assert said.out == "me\n" and "PRIVATE KEY" not in said.err and f"-i {file}" in said.err
    assert file.stat().st_mode & 0o777 == 0o600
    derived = subprocess.run(["ssh-keygen", "-y", "-f", file], capture_output=True, text=True, timeout=30, check=True)
    public = tmp_path / "me.pub"
    public.write_text(derived.stdout)
    assert main(["key-pair", "import", "again", str(public)]) == 0
    capsys.readouterr()
    assert main(["key-pair", "list", "--output", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["KeyName"], row["KeyType"]) for row in rows] == [("again", kind), ("me", kind)]


def test_a_file_that_is_there_or_cannot_be_is_refused_before_a_key_is_made(
    edge: Edge, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "me.pem"
    file.write_text("mine")
    for path in (file, tmp_path / "absent" / "me.pem"):
        assert main(["key-pair", "create", "me", str(path)]) == 74
        assert f"error: {path}: " in capsys.readouterr().err
    assert file.read_text() == "mine" and names(capsys) == []


def test_a_name_that_is_taken_leaves_no_file(edge: Edge, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["key-pair", "create", "me", str(tmp_path / "first.pem")]) == 0
    assert main(["key-pair", "create", "me", str(tmp_path / "second.pem")]) == 1
    assert "InvalidKeyPair.Duplicate" in capsys.readouterr().err
    assert not (tmp_path / "second.pem").exists() and names(capsys) == ["me"]


def test_key_pairs_are_deleted_when_it_is_meant_and_all_are_there(
    edge: Edge, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        assert main(["key-pair", "create", name, str(tmp_path / name)]) == 0
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["key-pair", "delete", "a", "b"])
    assert capsys.readouterr().err == "would delete a\nwould delete b\n\nhint: add --yes to do it\n"
    assert main(["key-pair", "delete", "a", "none", "--yes"]) == 1
    assert "InvalidKeyPair.NotFound" in capsys.readouterr().err
    assert names(capsys) == ["a", "b"]
    assert main(["key-pair", "delete", "b", "a", "--yes"]) == 0
    assert capsys.readouterr().out == "b\na\n"
    assert names(capsys) == []
