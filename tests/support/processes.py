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


def processes_of(data: Path) -> dict[int, str]:
    """Every process whose command line or directory names ``data``: pid → command line."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            place = str((entry / "cwd").readlink())
        except OSError:
            continue
        if words and (f"{data} " in f"{words} " or f"{data}/" in words or f"{place}/".startswith(f"{data}/")):
            found[int(entry.name)] = words
    return found
