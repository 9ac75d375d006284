"""Space on the file system of the data directory: what a guest that found none for its write waits for, and how that is said.

A reserve is taken beforehand and given up when a full disk would not even let the reason be written.
"""

import contextlib
import logging
import os
import shutil
from pathlib import Path
from typing import Final

from sqlalchemy.exc import OperationalError

from amiable.database import instances
from amiable.model.errors import StorageFull
from amiable.model.instance import Reason
from amiable.model.units import MIB
from amiable.rules.lifecycle import DISK_FULL
from amiable.services import Services

log = logging.getLogger("amiable.disk_space")

SPACE_BYTES_MIN: Final = 16 * MIB
"""How much must be free before a guest that ran out of space goes on."""
RESERVE: Final = "reserve"
RESERVE_BYTES: Final = 2 * MIB
STANDS_STILL: Final = "The guest stands still where it wanted to write, and goes on once there is space."


def has_space(data: Path) -> bool:
    """Whether a guest that ran out of space may go on."""
    return shutil.disk_usage(data).free >= SPACE_BYTES_MIN


def say_whether(services: Services, instance_id: str, *, is_there: bool) -> bool:
    """Writes why the guest stands still, or that it need not any more; False where the full disk does not take that yet."""
    reason = None if is_there else Reason(DISK_FULL, f"{DISK_FULL}: {StorageFull().message} {STANDS_STILL}")
    try:
        with services.database.write() as c:
            instances.set_reason(c, instance_id, reason, at=services.now())
    except OperationalError as error:  # once more at the next look
        log.warning("%s: %s; the reserve is given up", instance_id, error.orig)
        (services.data / RESERVE).unlink(missing_ok=True)
        return False
    return True


def keep_reserve(data: Path) -> None:
    """Takes the reserve again once there is space for it."""
    path = data / RESERVE
    if not path.exists() and has_space(data):
        with contextlib.suppress(OSError), path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)
