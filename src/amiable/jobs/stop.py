"""The power button, a bounded wait, then the plug: a running guest becomes a stopped instance."""

import contextlib
import time
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
PRESS_AGAIN_SECONDS: Final = 15.0
"""A guest that has not loaded its button's driver yet misses a press."""
LOOK_SECONDS: Final = 0.25


def stop(context: JobContext) -> None:
    """Runs the job; data: instance_id, force.

    The end of the server pulls no plug: the instance stays in stopping, and the supervisor asks again.  A forced stop may overtake
    one that waits for its guest; what runs then, under the lock, may be the next boot's.
    """
    services = context.services
    facts = facts_of(services, context.data["instance_id"])
    if facts.instance.state is not State.STOPPING:
        return
    with contextlib.suppress(FileNotFoundError), open_directory(services.data, facts.instance.id) as directory:
        is_off = bool(context.data.get("force")) or power_off(context, directory, POWER_OFF_SECONDS_MAX)
        if not is_off and context.stop.is_set():
            return
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
    """Presses the power button until the guest is off; False when it is not in time, or the job shall end.

    A monitor that is busy with another job, or answers late, is asked again: that is no reason to pull the plug.
    """
    found = machine.find_machine(directory)
    if found is None:
        return True
    deadline = time.monotonic() + wait_seconds
    pressed_at = 0.0
    while time.monotonic() < deadline and not context.stop.is_set():
        try:
            with machine.monitor(directory, found) as qmp:
                if qmp.status() in ("shutdown", "guest-panicked"):
                    return True
                if time.monotonic() - pressed_at > PRESS_AGAIN_SECONDS:
                    qmp.execute("system_powerdown")
                    pressed_at = time.monotonic()
        except MachineFailed:
            if not found.is_alive():
                return True
        time.sleep(LOOK_SECONDS)
    return False


def give_up(context: JobContext, why: str) -> None:
    """Nothing: the instance stays in stopping, and the supervisor asks again."""
