"""A test process that is killed takes with it what its servers left running, and nobody else's."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.processes import has_ended, wait_for_end
from tests.support.survivors import ROOT

TEST = """
import os, subprocess, sys, time
from pathlib import Path
from tests.support.survivors import end_with_us
end_with_us(Path(sys.argv[1]))
guest = subprocess.Popen(["sleep", "600"], cwd=sys.argv[1], start_new_session=True)
print(guest.pid, flush=True)
time.sleep(600)
"""


def test_what_a_killed_test_leaves_ends_and_what_is_anothers_does_not(tmp_path: Path) -> None:
    for name in ("data", "data-of-another"):
        (tmp_path / name).mkdir()
    other = subprocess.Popen(["sleep", "600"], cwd=tmp_path / "data-of-another")
    command = [sys.executable, "-c", TEST, str(tmp_path / "data")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True) as test:
        assert test.stdout is not None
        guest = int(test.stdout.readline())
        assert not has_ended(guest)
        os.killpg(test.pid, signal.SIGKILL)
    try:
        wait_for_end(guest)
        assert not has_ended(other.pid)
    finally:
        other.kill()
        other.wait()
