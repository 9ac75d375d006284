"""The power button, a bounded wait, then the plug: a running guest becomes a stopped instance.

A job that waits for its guest has no worker meanwhile: it is picked again every second to look, and at once when the supervisor is told
that the guest is off.
"""

import contextlib
from datetime import datetime, timedelta
from typing import Final

from amiable.jobs.context import JobContext
from amiable.jobs.machine import facts_of, move, unexport
from amiable.model.instance import State
from amiable.rules.lifecycle import Event
from amiable.services import consoles, volume_work
from amiable.vm import machine, volume_files
from amiable.vm.directory import Directory, locked, open_directory
from amiable.vm.machine import MachineFailed

POWER_OFF_SECONDS_MAX: Final = 120.0
PRESS_AGAIN: Final = timedelta(seconds=15)
"""A guest that has not loaded its button's driver yet misses a press."""
MONITOR_SECONDS_MAX: Final = 1.0
"""One that is busy is asked again."""


def stop(context: JobContext) -> None:
    """Runs the job; data: instance_id, force.

    The end of the server pulls no plug: the job goes on at the next start.  A forced stop may overtake one that waits for its guest;
    what runs then, under the lock, may be the next boot's.
    """
    services = context.services
    facts = facts_of(services, context.data["instance_id"])
    if facts.instance.state is not State.STOPPING:
        return
    with contextlib.suppress(FileNotFoundError), open_directory(services.data, facts.instance.id) as directory:
        is_off = bool(context.data.get("force")) or power_off(context, directory, POWER_OFF_SECONDS_MAX)
        if not is_off:
            context.go_on()
        with locked(directory):
            facts = facts_of(services, facts.instance.id)  # with what was attached meanwhile
            if facts.instance.state is not State.STOPPING:
                return
            machine.end_machine(directory)
            consoles.keep(services, facts.instance.id, facts.instance.boot_count, directory)
            unexport(services, facts.volumes)
            for volume in facts.volumes:
                if volume.virtual_name is not None:
                    directory.unlink(volume_files.file_name(volume.id))
    move(context, facts.instance.id, Event.STOPPED)
    with services.database.write() as c:  # what its guest did not let go of
        volume_work.enqueue_moving(c, services, instance_id=facts.instance.id)
    services.wake()


def power_off(context: JobContext, directory: Directory, wait_seconds: float) -> bool:
    """Whether the guest is off, once its power button was pressed; False where it is not after ``wait_seconds``.

    Until then the job gives way: raises Later, and what the context raises.  A monitor that is busy with another job, or answers late,
    is asked again: that is no reason to pull the plug.
    """
    found = machine.find_machine(directory)
    if found is None:
        return True
    now = context.services.now()
    is_silent = False
    begun_at = _time(context, "off_asked_at") or now
    pressed_at = _time(context, "pressed_at")
    try:
        with machine.monitor(directory, found, wait_seconds=MONITOR_SECONDS_MAX) as qmp:
            if qmp.status() in ("shutdown", "guest-panicked"):
                return True
            if pressed_at is None or now - pressed_at >= PRESS_AGAIN:
                qmp.execute("system_powerdown")
                pressed_at = now
    except MachineFailed:
        if not found.is_alive():
            return True
        is_silent = True
    if (now - begun_at).total_seconds() >= wait_seconds:
        return False
    _note(context, off_asked_at=begun_at, pressed_at=pressed_at)
    if is_silent:
        context.ran_out()
    context.give_way()


def _time(context: JobContext, name: str) -> datetime | None:
    """A time of the checkpoint's; None also where it is to come, because the clock was set back."""
    noted = context.data.get(name)
    found = None if noted is None else datetime.fromisoformat(noted)
    return found if found is not None and found <= context.services.now() else None


def _note(context: JobContext, **times: datetime | None) -> None:
    facts = {name: at.isoformat() for name, at in times.items() if at is not None}
    if any(context.data.get(name) != at for name, at in facts.items()):
        context.checkpoint({**context.data, **facts})


def give_up(context: JobContext, why: str) -> None:
    """Nothing: the instance stays in stopping, and the supervisor asks again."""
