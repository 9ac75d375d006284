"""A reboot: the power button, a bounded wait, then a reset of the same machine; a guest that does not listen is reset.

    running ──button──▶ off, or deaf for POWER_OFF_SECONDS_MAX ──checkpoint──▶ reset ──▶ running

The checkpoint and the row's new beginning (nothing heard yet) are one transaction, before the reset.  The end of the server resets
nothing: the job goes on at the next start, where a guest that was off and runs again has been reset already.  A machine whose TPM has
ended would end with a reset: a boot starts it anew in its place.
"""

import contextlib
from typing import Final

from amiable.database import instances, jobs
from amiable.jobs.context import JobContext
from amiable.jobs.machine import facts_of
from amiable.jobs.stop import power_off
from amiable.model.instance import State
from amiable.rules import lifecycle
from amiable.vm import machine, tpm
from amiable.vm.directory import open_directory

POWER_OFF_SECONDS_MAX: Final = 60.0
"""How long a guest may take to power off by itself; then it is reset, whatever it does."""


def reboot(context: JobContext) -> None:
    """Runs the job; data: instance_id.  While it is queued or runs, the supervisor takes a power-off for the reboot's own."""
    services = context.services
    instance = facts_of(services, context.data["instance_id"]).instance
    if instance.state is not State.RUNNING:
        return
    with contextlib.suppress(FileNotFoundError), open_directory(services.data, instance.id) as directory:
        found = machine.find_machine(directory)
        if found is None:
            return
        if "was_off" not in context.data:
            was_off = power_off(context, directory, POWER_OFF_SECONDS_MAX)
            if not was_off:
                context.go_on()
            with services.database.write() as c:
                context.save(c, {**context.data, "was_off": was_off}, progress_percent=50)
                instances.set_rebooted(c, instance.id, services.now())
        if tpm.has_ended_alone(directory):
            _start_anew(context, instance.id)
            return
        with machine.monitor(directory, found) as qmp:
            if context.data["was_off"] and qmp.execute("query-status")["status"] == "running":
                return
            qmp.execute("system_reset")
            if qmp.execute("query-status")["status"] != "running":
                qmp.execute("cont")


def _start_anew(context: JobContext, instance_id: str) -> None:
    """Lets a boot end the machine and start another one."""
    services = context.services
    with services.database.write() as c:
        context.save(c, progress_percent=90)
        row = instances.get_instance(c, instance_id)
        if row is None or row.state is not State.RUNNING:
            return
        ending = lifecycle.when_reset_without_tpm(services.now())
        instances.set_state(c, instance_id, ending.event, now=services.now(), reason=ending.reason)
        data, key = {"instance_id": instance_id}, f"{instance_id}:{ending.job}"
        jobs.enqueue(c, jobs.NewJob(ending.job, key, data, services.host), now=services.now())
    services.wake()


def give_up(context: JobContext, why: str) -> None:
    """Nothing: a guest that cannot be reset has ended, and the supervisor says so."""
