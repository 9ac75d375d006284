"""create-image: a running instance shut down for its image and started again in its place; data as ``take-snapshots`` has it.

    others read? wait ─▶ power button ─▶ off, or deaf for POWER_OFF_SECONDS_MAX ═ moment, and the job take-snapshots ─▶ reset ─▶ running

The guest is off for the moment only: what it held is read while it runs again.  The moment, the beginning of the snapshots and the job
that reads are one transaction; a job that was killed starts the guest again in any case.  While it is queued or runs, under the key of
the instance's reboot, the supervisor takes a power-off for the job's own.
"""

import contextlib
from typing import Final

from amiable.database import instances, jobs, snapshots
from amiable.jobs import moments, take_snapshots
from amiable.jobs.context import JobContext
from amiable.jobs.machine import FAILURES, facts_of, words
from amiable.jobs.stop import power_off
from amiable.model.instance import State
from amiable.rules.lifecycle import NOT_WITHOUT_TPM
from amiable.vm import machine, tpm
from amiable.vm.directory import Directory, open_directory
from amiable.vm.disk_export import DiskBusy
from amiable.vm.machine import MachineFailed
from amiable.vm.process import Process

POWER_OFF_SECONDS_MAX: Final = 120.0
"""How long a guest may take to power off by itself; then it is imaged as it is, and reset."""


def create_image(context: JobContext) -> None:
    """Runs the job."""
    try:
        _shut_down_and_take(context)
    except FAILURES as error:
        give_up(context, words(error))
        return
    _start_again(context)


def give_up(context: JobContext, message: str) -> None:
    """The image fails with the words; the guest goes on."""
    if context.data.get("moment") is None:
        moments.abandon(context.services, moments.tag_of(context.data["items"][0][1]), context.data["instance_id"])
        with context.services.database.write() as c:
            take_snapshots.fail_all(c, context.data, message)
    with contextlib.suppress(MachineFailed):
        _start_again(context)


def _shut_down_and_take(context: JobContext) -> None:
    """Takes the moment and hands its reading on, unless an earlier run did."""
    services, instance_id = context.services, context.data["instance_id"]
    if context.data.get("moment") is not None:
        return
    is_off = True
    with contextlib.suppress(FileNotFoundError), open_directory(services.data, instance_id) as directory:
        if facts_of(services, instance_id).instance.state is State.RUNNING:
            if tpm.has_ended_alone(directory):
                raise MachineFailed(NOT_WITHOUT_TPM)
            _wait_for_others(context)
            is_off = power_off(context, directory, POWER_OFF_SECONDS_MAX)
            if not is_off:
                context.go_on()
    moment = moments.take(context, context.data["items"], lambda: take_snapshots.volumes_of(context))
    now = services.now()
    with services.database.write() as c:
        moment = take_snapshots.begin(services, c, context.data, moment, is_off=is_off)
        handed = {**context.data, "moment": moment.as_data(), "next": {}, "is_clean": is_off}
        context.save(c, handed, progress_percent=50)
        key = f"{context.data['items'][0][1]}:{take_snapshots.KIND}"
        jobs.enqueue(c, jobs.NewJob(take_snapshots.KIND, key, handed, services.host), now=now)
        if moment.is_running:
            instances.set_rebooted(c, instance_id, now)
    services.wake()


def _wait_for_others(context: JobContext) -> None:
    """Returns once the volumes' other snapshots are made: a disk is read at one moment at a time, and the guest would be off until then."""
    while _is_read_by_others(context):
        if moments.busy_seconds(context) > moments.BUSY_SECONDS_MAX:
            raise DiskBusy("other snapshots are being made of its volumes")
        context.wait(moments.LOOK_SECONDS)


def _is_read_by_others(context: JobContext) -> bool:
    with context.services.database.read() as c:
        return any(snapshots.count_pending_of(c, volume_id) > 1 for volume_id, _ in context.data["items"])


def _start_again(context: JobContext) -> None:
    """Resets the machine where its guest is off; it is the same machine, at the same addresses."""
    with contextlib.suppress(FileNotFoundError):
        with open_directory(context.services.data, context.data["instance_id"]) as directory:
            found = machine.find_machine(directory)
            if found is not None:
                _reset(context, directory, found)


def _reset(context: JobContext, directory: Directory, found: Process) -> None:
    with machine.monitor(directory, found) as qmp:
        is_on = qmp.execute("query-status")["status"] == "running"
        if is_on and context.data.get("is_clean", True):
            return
        qmp.execute("system_reset")
        if qmp.execute("query-status")["status"] != "running":
            qmp.execute("cont")
