"""Ends what a test process that was killed leaves running: its servers, and the guests and exporters that outlive a server by design.

    test process ──data directories, a line each──▶ pipe ──▶ a process of nobody's ──the pipe's end──▶ what names them is killed

Run as ``python -m tests.support.survivors``, standard library only; it has a session of its own, so what kills a test's group leaves it.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

from tests.support.processes import processes_of

ROOT = Path(__file__).parents[2]
END_SECONDS_MAX = 30


def end_with_us(folder: Path) -> None:
    """Has whatever names ``folder`` end when this process has, however it ends."""
    os.write(_watch(), f"{folder}\n".encode())


@cache
def _watch() -> int:
    """The pipe to the process that watches over this one, started; nobody inherits it, so its end is ours."""
    reading, writing = os.pipe()
    command = [sys.executable, "-S", "-m", "tests.support.survivors"]
    try:
        subprocess.run(command, stdin=reading, cwd=ROOT, start_new_session=True, check=True, timeout=END_SECONDS_MAX)
    finally:
        os.close(reading)
    return writing


def _end(folders: set[Path], before_ticks: int) -> None:
    """Kills what names one of the folders and began before: who comes later is another run's."""
    until = time.monotonic() + END_SECONDS_MAX
    while time.monotonic() < until:
        left = [pid for folder in folders for pid in processes_of(folder) if _began_at(pid) <= before_ticks]
        if not left:
            return
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)


def _began_at(pid: int) -> float:
    """In clock ticks since the host's boot."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (FileNotFoundError, ProcessLookupError):
        return float("inf")


def main() -> None:
    """Watches, with nobody for a parent: a test that looks for children of its own does not find it."""
    if os.fork():
        os._exit(0)
    silent = os.open(os.devnull, os.O_RDWR)
    for descriptor in (1, 2):  # who reads a test's output to its end does not wait for this one
        os.dup2(silent, descriptor)
    folders = {Path(line.rstrip("\n")) for line in sys.stdin}
    now = time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK")
    _end(folders, int(now))


if __name__ == "__main__":
    main()
