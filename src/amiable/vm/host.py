"""What the host has."""

import os


def memory_bytes() -> int:
    """The host's memory, used or not."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
