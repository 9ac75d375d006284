"""Errors become words, a hint and an exit code; help starts fast because nothing heavy is imported."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from amiable.cli import main as cli
from amiable.model.errors import LocalRefusal
from tests.server.edge import Edge


def run(*words: str) -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "AWS_EC2_METADATA_DISABLED": "true"}
    command = [sys.executable, "-m", "amiable.cli.main", *words]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)


def test_an_unknown_command_is_a_usage_error_with_a_hint() -> None:
    done = run("imagine")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: ") and "\n\nhint: " in done.stderr


def test_what_is_no_utf_8_is_refused_and_a_files_name_is_printed_as_it_is(tmp_path: Path, edge: Edge) -> None:
    environment = {"PATH": "/usr/bin:/bin", "AWS_ENDPOINT_URL": edge.endpoint, "AWS_DEFAULT_REGION": "us-east-1"}
    environment |= {"AWS_ACCESS_KEY_ID": edge.account.access_key_id, "AWS_SECRET_ACCESS_KEY": edge.account.secret}
    command = [sys.executable, "-c", "from amiable.cli.main import run; run()"]
    wrong: tuple[list[str | bytes], ...] = (
        ["image", "show", b"ami-\xff"],
        ["channel", "show", b"\xff"],
        ["product", "create", b"\xff", "--hourly=1"],
    )
    for words in wrong:
        done = subprocess.run([*command, *words], capture_output=True, env=environment, timeout=120, check=False)
        assert (done.returncode, done.stdout) == (2, b"") and done.stderr.startswith(b"error: this is no UTF-8 text: ")
    (tmp_path / "root").mkdir()
    file = os.fsencode(tmp_path) + b"/\xff.img"
    words = ["bundle", "volume", "-v", str(tmp_path / "root"), "-P", "none", "-s", "16", "--image-only", file]
    done = subprocess.run([*command, *words], capture_output=True, env=environment, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, file + b"\n"), done.stderr


def test_a_missing_option_names_it() -> None:
    done = run("account", "create")
    assert done.returncode == 2 and "NAME" in done.stderr.upper()


def test_without_an_endpoint_nothing_is_asked_of_any_cloud() -> None:
    done = run("image", "list")
    assert done.returncode == 2
    assert "AWS_ENDPOINT_URL is not set" in done.stderr and "amiable env" in done.stderr


@pytest.mark.parametrize("noun", ["image", "bundle", "kernel", "instance", "account"])
def test_every_noun_has_help(noun: str) -> None:
    done = run(noun, "--help")
    assert done.returncode == 0 and f"amiable {noun}" in done.stdout


def test_help_tells_defaults_in_a_users_words() -> None:
    told = (
        run("launch", "--help").stdout
        + run("snapshot", "create", "--help").stdout
        + run("instance", "ssh", "--help").stdout
    )
    assert "[default: amiable.tiny]" in told and "[default: 1]" in told and "[default: 0]" in told
    page = (Path(__file__).parents[2] / "docs" / "reference" / "commands.md").read_text()
    for python in ("None", "False", '""', "()"):
        assert f"[default: {python}]" not in told + page


def test_every_parameter_says_what_it_is() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "commands.md").read_text()
    rows = re.findall(
        r"^│ (?:\*)? *(--\S+(?: -\w)?(?: [A-Z]+(?:\.\.\.)?)?|[A-Z]+(?: --\S+(?: -\w)?)?) *(.*?) *│$", page, re.M
    )
    assert len(rows) > 300
    assert {name for name, told in rows if not told or told.startswith("[")} == {
        "--output CHOICE"
    }  # its choices say it


@pytest.mark.parametrize("command", ["serve", "env", "doctor", "launch", "proxy"])
def test_usage_names_the_program(command: str) -> None:
    assert run(command, "--help").stdout.startswith(f"Usage: amiable {command} ")
    page = (Path(__file__).parents[2] / "docs" / "reference" / "commands.md").read_text()
    assert f"\nUsage: amiable {command} " in page and f"\nUsage: {command}" not in page


@contextmanager
def lasting(edge: Edge, first: str, *words: str, prefix: tuple[str, ...] = ()) -> "Iterator[subprocess.Popen[str]]":
    """A command that runs until it is ended, and does by now: it has said a line that begins with ``first``."""
    environment = {"PATH": "/usr/bin:/bin", "AWS_ENDPOINT_URL": edge.endpoint, "AWS_DEFAULT_REGION": "us-east-1"}
    environment |= {"AWS_ACCESS_KEY_ID": edge.account.access_key_id, "AWS_SECRET_ACCESS_KEY": edge.account.secret}
    command = [*prefix, sys.executable, "-m", "amiable.cli.main", *words]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment) as process:
        try:
            assert process.stdout is not None and process.stdout.readline().startswith(first)
            yield process
        finally:
            process.kill()


@contextmanager
def proxy(edge: Edge, *prefix: str) -> "Iterator[subprocess.Popen[str]]":
    with lasting(edge, "127.0.0.1:", "proxy", "--listen", "127.0.0.1:0", prefix=prefix) as process:
        assert process.stderr is not None and process.stderr.readline().startswith("SOCKS5 until Ctrl-C")
        yield process


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (signal.SIGINT, 130, ""),  # how it ends
        (signal.SIGTERM, 143, "error: ended by SIGTERM\n"),
        (signal.SIGHUP, 129, ""),  # ssh ends its tunnel so
    ],
)
def test_a_signal_ends_a_command_in_order_and_tells_its_number(
    edge: Edge, number: signal.Signals, code: int, said: str
) -> None:
    with proxy(edge) as process:
        process.send_signal(number)
        _, words = process.communicate(timeout=120)
    assert (process.returncode, words) == (code, said)


def test_a_log_that_is_followed_ends_by_ctrl_c_without_a_word(edge: Edge) -> None:
    with closing(edge.client("ec2")) as ec2:
        ec2.create_key_pair(KeyName="one")
    with lasting(edge, "20", "events", "--follow") as process:
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=120) == ("", "")
    assert process.returncode == 130


def test_ctrl_c_while_the_program_is_loaded_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "cyclopts.py").write_text("import time\nprint('loading', flush=True)\ntime.sleep(120)\n")
    command, pipe = [sys.executable, "-c", "from amiable.cli.main import run; run()"], subprocess.PIPE
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(tmp_path)}
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment) as process:
        assert process.stdout is not None and process.stdout.readline() == "loading\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == -signal.SIGINT  # to a shell: 130


def test_under_nohup_a_closed_terminal_ends_nothing(edge: Edge) -> None:
    with proxy(edge, "sh", "-c", "trap '' HUP; exec \"$@\"", "-") as process:
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)
    assert process.returncode == 143


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; from amiable.cli.main import main; main(['--help']); print(sorted({'boto3','botocore','sqlalchemy','cryptography','isal'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.endswith("[]\n")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LocalRefusal("no", exit_code=69), 69),
        (KeyboardInterrupt(), 130),
        (FileNotFoundError(2, "No such file or directory", "disk.img"), 74),
        (ZeroDivisionError("ours"), 70),
    ],
)
def test_each_kind_of_error_has_its_exit_code(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_argv: list[str]) -> None:
        raise error

    monkeypatch.setattr(cli, "app", fail)
    assert cli.main(["x"]) == code
    assert capsys.readouterr().err.startswith("error: ")


def test_streams_that_are_closed_are_no_bug(tmp_path: Path) -> None:
    code = "from amiable.cli.main import run; run()"
    script = f'exec "$0" -c "{code}" "$@" '
    for redirect in (">&-", "2>&-", "<&-", "<&- >&- 2>&-"):
        command = ["sh", "-c", script + redirect, sys.executable]
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, timeout=120, check=False)
        assert (done.returncode, done.stderr) == (0, ""), redirect
        done = subprocess.run(
            [*command, "bundle", "show", str(tmp_path / "none")],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 74 and "bug" not in done.stderr, redirect
