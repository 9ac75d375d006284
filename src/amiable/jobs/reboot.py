"""A reboot: the power button, a bounded wait, then a reset of the same machine; a guest that does not listen is reset."""

import contextlib
from typing import Final

from amiable.jobs.context import JobContext
from amiable.jobs.machine import facts_of
from amiable.jobs.stop import power_off
from amiable.model.instance import State
from amiable.vm import machine
from amiable.vm.directory import open_directory

POWER_OFF_SECONDS_MAX: Final = 60.0


def reboot(context: JobContext) -> None:
    """Runs the job; data: instance_id.  While it is queued or runs, the supervisor takes a power-off for the reboot's own."""
    facts = facts_of(context.services, context.data["instance_id"])
    if facts.instance.state is not State.RUNNING:
        return
    with contextlib.suppress(FileNotFoundError), open_directory(context.services.data, facts.instance.id) as directory:
        found = machine.find_machine(directory)
        if found is None:
            return
        power_off(context, directory, POWER_OFF_SECONDS_MAX)
        with machine.monitor(directory, found) as qmp:
            qmp.execute("system_reset")
            if qmp.execute("query-status")["status"] != "running":
                qmp.execute("cont")


def give_up(context: JobContext, why: str) -> None:
    """Nothing: a guest that cannot be reset has ended, and the supervisor says so."""
