"""What supervision does now and then beside watching: sweeping, metering, ending what is over.  One that fails keeps no other from its turn."""

import logging
from collections.abc import Callable, Collection, Sequence
from functools import partial

from amiable.database import metering, snapshots
from amiable.model.instance import Instance
from amiable.server import disk_space
from amiable.server.refusals import log_failure
from amiable.server.sweep import resume, sweep, sweep_fabrics
from amiable.server.volume_sweep import sweep_volumes
from amiable.services import Services, recycle_bin

log = logging.getLogger("amiable.supervise")


def do_chores(services: Services, rows: Sequence[Instance], watched: Collection[str]) -> None:
    """Does each; ``rows`` are the instances of this host that run or pass from state to state, ``watched`` those whose machines are seen."""
    chores: tuple[Callable[[], object], ...] = (
        partial(resume, services, rows),
        partial(sweep, services),
        partial(sweep_fabrics, services),
        partial(sweep_volumes, services),
        partial(disk_space.keep_reserve, services.data),
        partial(_meter, services, rows, watched),
        partial(_expire, services),
        partial(recycle_bin.end_what_is_over, services),
    )
    for chore in chores:
        try:
            chore()
        except Exception as error:  # noqa: BLE001  the outermost loop of each chore
            log_failure(log, "a chore of supervision failed", error)


def _meter(services: Services, rows: Sequence[Instance], watched: Collection[str]) -> None:
    """Notes which metered guests are there: what was not seen to run is not charged (``rules/metering``)."""
    seen = [each for each in rows if each.product_codes and each.id in watched]
    if seen:
        with services.database.write() as c:
            metering.note_seen(c, seen, now=services.now())


def _expire(services: Services) -> None:
    with services.database.write() as c:
        snapshots.expire(c, now=services.now())
