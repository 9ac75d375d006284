"""Processes that tests look at by their ids."""

import time
from pathlib import Path

END_SECONDS_MAX = 30


def has_ended(process_id: int) -> bool:
    """Whether the process is gone, or is only waited for by its parent."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(") ")[2][:1] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_for_end(process_id: int) -> None:
    """Waits for a process that was killed: the signal is only the beginning of its end."""
    deadline = time.monotonic() + END_SECONDS_MAX
    while not has_ended(process_id):
        assert time.monotonic() < deadline, f"process {process_id} goes on"
        time.sleep(0.01)
