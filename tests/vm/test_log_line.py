"""The line that every process of ours writes into its log."""

import logging
import subprocess
import sys
import time
from pathlib import Path

import pytest

from amiable.server.log_format import LogFormat
from amiable.vm import fabric
from amiable.vm.log_line import FRAMES_MAX, MARGIN, failure_lines, log_line, set_in
from amiable.vm.network import NetworkFailed
from amiable.vm.process import SOURCE_ROOT, environment_of

SPOOF = "odd\r\n2026-03-01 12:00:00,000 INFO amiable.server: ec2 POST / \x1b[2J\x85\u2028\x00 end"


@pytest.mark.parametrize("at", [0.0, 1_772_366_400.0, 1_772_366_400.1239, 1_793_000_000.9996])
def test_it_is_the_line_of_the_servers_log(at: float) -> None:
    record = logging.LogRecord("amiable.exporter", logging.WARNING, "", 0, SPOOF, (), None)
    record.created, record.msecs = at, int(at % 1 * 1000)
    assert log_line("WARNING", "amiable.exporter", SPOOF, at) == LogFormat().format(record)


def test_its_time_is_that_of_the_servers_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "from amiable.vm.log_line import log_line; print(log_line('INFO', 'n', 'm', 0.0))"
    for zone in ("UTC0", "ODD-5:30"):
        monkeypatch.setenv("TZ", zone)
        told = subprocess.run(
            [sys.executable, "-c", code], env=environment_of(SOURCE_ROOT), capture_output=True, text=True, check=True
        )
        assert told.stdout == {"UTC0": "1970-01-01 00:00", "ODD-5:30": "1970-01-01 05:30"}[zone] + ":00,000 INFO n: m\n"


def test_what_is_set_in_begins_no_line_at_the_margin() -> None:
    lines = set_in(f"a\n\n{SPOOF}").split("\n")
    assert lines[:3] == [f"{MARGIN}a", "", f"{MARGIN}odd?"] and lines[3].startswith(f"{MARGIN}2026-")
    assert all(line.isprintable() for line in lines)


def test_a_failure_tells_the_last_calls_that_led_to_it() -> None:
    def fall(depth: int) -> None:
        if depth == 0:
            raise ValueError(SPOOF)
        fall(depth - 1)

    with pytest.raises(ValueError, match="odd") as failed:
        fall(2 * FRAMES_MAX)
    first, *rest, last = failure_lines("amiable.fabric_agent", failed.value, time.time()).split("\n")
    assert " ERROR amiable.fabric_agent: ended by ValueError: odd??2026-" in first and last == ""
    assert len(rest) == FRAMES_MAX and all(line.startswith(f"{MARGIN}{__file__}:") for line in rest)
    assert rest[-1].endswith(" in fall")


def test_an_agent_that_cannot_start_says_so_to_its_starter_and_in_its_log_which_is_kept_and_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fabric, "LOG_BYTES_MAX", 300)
    with fabric.open_fabric(tmp_path, "vpc-1", make=True) as folder, (tmp_path / "none").open("w") as none:
        for _ in range(3):
            with pytest.raises(
                NetworkFailed, match=r"the network agent: cannot make or enter .*setns: Invalid argument"
            ):
                fabric._start_agent(folder, folder.descriptor, [none.fileno()])
    for name in ("log", "log.1"):
        first, *rest = (tmp_path / "networks" / "vpc-1" / name).read_text().splitlines()
        assert first.endswith(" ERROR amiable.fabric_agent: ended by OSError: [Errno 22] setns: Invalid argument")
        assert rest and all(line.startswith(MARGIN) for line in rest)


def test_descriptors_above_those_that_select_takes_are_waited_for(tmp_path: Path) -> None:
    code = """
import fcntl, os, resource
from amiable.vm import launcher
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
launcher.raise_descriptor_limit()
reading, writing = os.pipe()
high = fcntl.fcntl(reading, fcntl.F_DUPFD, 1500)
assert not launcher.is_readable(high, 0)
os.write(writing, b"x")
assert launcher.is_readable(high, 5)
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(hard, launcher.DESCRIPTORS_MAX))
"""
    told = subprocess.run([sys.executable, "-c", code], cwd=SOURCE_ROOT, capture_output=True, text=True, check=False)
    assert (told.stdout, told.stderr) == ("True\n", "")


def test_what_fails_after_the_word_that_all_stands_is_told_to_nothing_that_was_opened_since(tmp_path: Path) -> None:
    code = """
import os, sys
from amiable.vm import launcher
reading, writing = os.pipe()
for high in (reading, writing):
    os.dup2(high, high + 100)
    os.close(high)
os.dup2(writing + 100, launcher.READY)
os.close(writing + 100)
os.dup2(os.open("/dev/null", os.O_RDWR), 1)
launcher.say_ready()
others = [os.open(sys.argv[1], os.O_RDWR | os.O_CREAT) for _ in range(8)]
launcher.say_failure(OSError("late"))
sys.stderr.write(str([os.read(reading + 100, 100), os.read(reading + 100, 100)]))
"""
    command = [sys.executable, "-c", code, str(tmp_path / "other")]
    told = subprocess.run(command, cwd=SOURCE_ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert told.stderr == "[b'ready\\n', b'']"
    assert (tmp_path / "other").read_text() == ""
