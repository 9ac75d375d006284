"""What the host has."""

import os
from pathlib import Path
from typing import Final

CGROUP_LIMIT: Final = Path("/sys/fs/cgroup/memory.max")
"""A container's own limit, where it sees its control group as the root.  Source: kernel documentation, cgroup v2."""


def memory_bytes(cgroup_limit: Path = CGROUP_LIMIT) -> int:
    """The host's memory, used or not; in a container that may use less, what it may use."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        limit = cgroup_limit.read_text().strip()
    except OSError:
        return physical
    return min(physical, int(limit)) if limit.isdecimal() else physical  # else "max"
