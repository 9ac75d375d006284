"""The console is printed once, however it slides, and following it ends with the instance."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.cli.console import MARK_BYTES, unseen
from amiable.database import instances
from amiable.rules.lifecycle import Event
from amiable.services import Services
from tests.server.edge import Edge, running_edge
from tests.server.fake_machine import running_instance
from tests.support.services import make_account

STREAM = b"".join(b"[%6d] a line of the kernel\r\n" % number for number in range(3000))
KEPT_BYTES = 64 * 1024
SECONDS_MAX = 120
COLOURED = b"\x1b[31mred\x1b[0m \x1b]0;owned\x07\xff\r\nlogin: "


@given(st.lists(st.integers(0, len(STREAM)), min_size=1, max_size=8).map(sorted))
def test_every_byte_of_a_growing_console_is_printed_once(looks: list[int]) -> None:
    shown, printed, before = b"", 0, 0
    for end in looks:
        text = STREAM[max(0, end - KEPT_BYTES) : end]
        new = unseen(shown, text)
        if end - before <= KEPT_BYTES - MARK_BYTES:
            assert new == STREAM[before:end]
        else:
            assert STREAM[before:end].endswith(new) or new == text  # more came than the server keeps
        printed, shown, before = printed + len(new), text, end


def test_lines_that_repeat_do_not_lose_the_place() -> None:
    shown = (b"tick\n" * 20_000)[:KEPT_BYTES]
    assert unseen(shown, shown[5:] + b"tick\nend\n") == b"tick\nend\n"


def test_a_console_that_began_anew_is_printed_whole() -> None:
    assert unseen(b"old " * 3000, b"new boot") == b"new boot"
    assert unseen(b"", b"first") == b"first"


@pytest.fixture
def edge(services: Services) -> Iterator[tuple[Edge, str]]:
    account, principal = make_account(services, "owner")
    instance_id = running_instance(services, principal)
    (services.data / "instances" / instance_id / "console.log").write_bytes(COLOURED)
    with running_edge(services, account) as running:
        yield running, instance_id


def command(edge: Edge, *words: str) -> tuple[list[str], dict[str, str]]:
    environment = {
        "PATH": os.environ["PATH"],
        "AWS_ENDPOINT_URL": edge.endpoint,
        "AWS_ACCESS_KEY_ID": edge.account.access_key_id,
        "AWS_SECRET_ACCESS_KEY": edge.account.secret,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    return [sys.executable, "-m", "amiable.cli.main", "instance", "console", *words], environment


def on_a_terminal(edge: Edge, *words: str) -> bytes:
    """What the command writes to a terminal."""
    argv, environment = command(edge, *words)
    ours, theirs = pty.openpty()
    with subprocess.Popen(argv, stdout=theirs, stderr=subprocess.PIPE, env=environment) as process:
        os.close(theirs)
        said = b""
        try:
            while data := os.read(ours, 4096):
                said += data
        except OSError:  # the terminal's other end has closed
            pass
        finally:
            os.close(ours)
        assert process.wait(SECONDS_MAX) == 0
    return said


def test_a_pipe_gets_the_guests_very_bytes(edge: tuple[Edge, str]) -> None:
    argv, environment = command(edge[0], edge[1])
    done = subprocess.run(argv, capture_output=True, env=environment, timeout=SECONDS_MAX, check=True)
    assert done.stdout == COLOURED


def test_a_terminal_is_not_steered_unless_asked(edge: tuple[Edge, str]) -> None:
    assert on_a_terminal(*edge) == "red \ufffd\r\nlogin: ".encode()  # the terminal itself writes \r\n for \n
    assert b"\x1b]0;owned\x07\xff" in on_a_terminal(*edge, "--raw")


def test_following_ends_when_the_instance_is_terminated(edge: tuple[Edge, str], tmp_path: Path) -> None:
    running, instance_id = edge
    argv, environment = command(running, instance_id, "--follow")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None and process.stderr is not None
        first = process.stdout.read(len(COLOURED))
        with (running.services.data / "instances" / instance_id / "console.log").open("ab") as log:
            log.write(b"bye\n")
        then = process.stdout.read(4)
        with running.services.database.write() as c:
            for event in (Event.TERMINATE_ASKED, Event.TERMINATED):
                instances.set_state(c, instance_id, event, now=running.services.now())
        rest, words = process.communicate(timeout=SECONDS_MAX)
    assert (first, then, rest, process.returncode) == (COLOURED, b"bye\n", b"", 0)
    assert words.decode() == f"{instance_id} is terminated\n"


def test_following_ends_by_ctrl_c_without_a_word(edge: tuple[Edge, str]) -> None:
    argv, environment = command(*edge, "--follow")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.read(len(COLOURED)) == COLOURED
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=SECONDS_MAX) == (b"", b"")
    assert process.returncode == 130


def test_following_what_was_never_there_is_refused(edge: tuple[Edge, str]) -> None:
    argv, environment = command(edge[0], "i-0123456789abcdef0", "--follow")
    done = subprocess.run(argv, capture_output=True, env=environment, timeout=SECONDS_MAX, check=False)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(b"error: InvalidInstanceID.NotFound: ") and b"is terminated" not in done.stderr
