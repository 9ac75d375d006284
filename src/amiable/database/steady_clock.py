"""The host's steady clock: it is never set, stands while the host sleeps, and begins anew with each boot.

Source: clock_gettime(2), CLOCK_MONOTONIC; random(4), boot_id.
"""

import time
from functools import lru_cache
from pathlib import Path
from typing import Final

from amiable.model.metering import SteadyInstant

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


def read_steady() -> SteadyInstant:
    """The reading now."""
    return SteadyInstant(_boot(), time.monotonic_ns() // 1_000_000)


@lru_cache(maxsize=1)
def _boot() -> str:
    return BOOT_ID.read_text().strip()
