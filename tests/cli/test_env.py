"""What ``amiable env`` prints is right in whatever folder the shell goes to next, and for the commands of the server's own host."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from amiable.cli.main import main

ACCOUNT = "123456789012"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data directory of a server that runs, or seems to."""
    home = tmp_path / "my data" / "accounts" / ACCOUNT
    home.mkdir(parents=True)
    facts = {"AccountId": ACCOUNT, "AccessKeyId": "AKIA", "SecretAccessKey": "a+b", "Administrator": True}
    (home / "credentials.json").write_text(json.dumps(facts))
    server = {"endpoint": "http://127.0.0.1:9", "pid": os.getpid(), "region": "us-east-1"}
    (tmp_path / "my data" / "server.json").write_text(json.dumps(server))
    return tmp_path / "my data"


def after_eval(lines: str) -> dict[str, str]:
    """The environment of a shell that took the lines."""
    done = subprocess.run(["sh", "-c", f"{lines}\nenv -0"], capture_output=True, text=True, timeout=60, check=True)
    return dict(line.split("=", 1) for line in done.stdout.split("\0") if line)


def test_paths_hold_in_every_folder(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(data.parent)
    assert main(["env", "--data", data.name]) == 0
    found = after_eval(capsys.readouterr().out)
    assert found["EC2_CERT"] == str(data / "accounts" / ACCOUNT / "signing.pem")
    assert found["EC2_PRIVATE_KEY"] == str(data / "accounts" / ACCOUNT / "signing.key")


def test_doctor_and_kernel_find_the_same_data_directory(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["env", "--data", str(data)]) == 0
    monkeypatch.setenv("AMIABLE_DATA", after_eval(capsys.readouterr().out)["AMIABLE_DATA"])
    from amiable.cli.kernel_build import folder_of

    assert folder_of(None) == data / "appliance"


def test_an_account_that_is_empty_is_not_the_administrator(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["env", "--data", str(data), "--account", ""]) == 2
    said = capsys.readouterr()
    assert said.out == "" and "hint: amiable account list" in said.err


def test_a_configuration_file_that_is_no_text_is_a_usage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for content in (b"\xfd", b"a = "):
        (tmp_path / "amiable.toml").write_bytes(content)
        monkeypatch.setenv("AMIABLE_CONFIG", str(tmp_path / "amiable.toml"))
        assert main(["env"]) == 2
        assert "amiable.toml is not TOML" in capsys.readouterr().err
