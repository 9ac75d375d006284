"""What an operation may touch: the four lower parts, the clock, chance, and the installation's secrets."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from amiable.blocks.objects import ObjectFiles
from amiable.blocks.store import BlockStore
from amiable.database.connect import Database
from amiable.model import ids
from amiable.model.settings import Settings
from amiable.rules.audit import RESOURCES
from amiable.services.audit import note_made
from amiable.services.installation import Installation


@dataclass(frozen=True, slots=True)
class Services:
    """Handed to every operation and every job; made once, in ``server/main.py``."""

    settings: Settings
    data: Path
    host: str
    installation: Installation
    database: Database
    blocks: BlockStore
    objects: ObjectFiles
    clock: Callable[[], datetime]
    entropy: Callable[[int], bytes]
    wake: Callable[[], None]
    """Wakes a job worker; call it after the commit that enqueued a job."""

    def now(self) -> datetime:
        """The time, aware, UTC, in whole milliseconds (what the database keeps)."""
        moment = self.clock()
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)

    def mint(self, prefix: str) -> str:
        """A new id with EC2's ``prefix``; the log has it among what the call at hand made."""
        made = ids.mint(prefix, self.entropy(ids.ENTROPY_BYTES))
        if prefix in RESOURCES:
            note_made(made)
        return made
