"""replace-root-volume: a running instance stopped, its root swapped, started again; data {"task_id", "stage"?}.

    running ─stage "stopping"▶ stopped ─▶ old file out ═ rows swapped, stage "swapped" ─▶ start asked, stage "starting" ─▶ running

Stop and boot are the instance's own jobs.  The swap is under the instance's lock: a file goes out of the instance's directory before a
row frees its volume, for the instance's end takes with it all that lies there; a boot takes in what it does not find.  Where the new
root does not start, the old one is put back, and the instance started with that.
"""

from typing import Final

from sqlalchemy import Connection

from amiable.database import instances, jobs, product_codes, root_replacements, volumes
from amiable.jobs import moments
from amiable.jobs.context import JobContext
from amiable.jobs.machine import forget_volume
from amiable.jobs.volume_machine import locked_directory
from amiable.model.instance import Instance, Reason, State
from amiable.model.root_replacement import LIVE, ReplacementState, RootReplacement
from amiable.model.volume import VolumeState
from amiable.rules.lifecycle import Event
from amiable.services import volume_work
from amiable.vm import volume_files

LOOK_SECONDS: Final = 0.5
WHY: Final = Reason(
    "Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: The root volume is being replaced", ""
)


def replace_root_volume(context: JobContext) -> None:
    """Runs the task to its end."""
    task = _task(context)
    if task.state not in LIVE:
        return
    if "stage" not in context.data and not _ask_to_stop(context, task):
        _end(context, task, ReplacementState.FAILED)
        return
    if context.data["stage"] == "stopping" and not _swap(context, task):
        _end(context, task, ReplacementState.FAILED)
        return
    if context.data["stage"] == "swapped":
        _ask_to_start(context, task, "starting")
    if context.data["stage"] == "starting":
        if _wait_for(context, task, State.RUNNING).state is State.RUNNING:
            _succeed(context, task)
            return
        _put_back(context, task)
    if context.data["stage"] == "back":
        _ask_to_start(context, task, "back")
    _end(context, task, ReplacementState.FAILED)


def give_up(context: JobContext, message: str) -> None:
    """The task fails; the instance is left as it stands."""
    _end(context, _task(context), ReplacementState.FAILED)


def _task(context: JobContext) -> RootReplacement:
    with context.services.database.read() as c:
        task = root_replacements.get_task(c, context.data["task_id"])
    assert task is not None
    return task


def _get(c: Connection, task: RootReplacement) -> Instance:
    instance = instances.get_instance(c, task.instance_id)
    assert instance is not None
    return instance


def _ask_to_stop(context: JobContext, task: RootReplacement) -> bool:
    """False where the instance does not run any more."""
    services = context.services
    with services.database.write() as c:
        if _get(c, task).state is not State.RUNNING:
            return False
        context.save(c, {**context.data, "stage": "stopping"}, 10)
        root_replacements.set_state(c, task.id, ReplacementState.IN_PROGRESS, now=services.now())
        instances.set_state(c, task.instance_id, Event.STOP_ASKED, now=services.now(), reason=WHY)
        data = {"instance_id": task.instance_id}
        jobs.enqueue(c, jobs.NewJob("stop", f"{task.instance_id}:stop", data, services.host), now=services.now())
    services.wake()
    return True


def _wait_for(context: JobContext, task: RootReplacement, wanted: State) -> Instance:
    """The instance once it is in that state, or in another that it does not leave by itself."""
    passing = {State.STOPPED: State.STOPPING, State.RUNNING: State.PENDING}[wanted]
    while True:
        with context.services.database.read() as c:
            instance = _get(c, task)
        if instance.state is not passing:
            return instance
        context.wait(LOOK_SECONDS)


def _swap(context: JobContext, task: RootReplacement) -> bool:
    """Once it is stopped the new root is attached and the old one is not; False where the instance has moved on."""
    _wait_for(context, task, State.STOPPED)
    services = context.services
    while moments.is_awaited(services, task.old_volume_id):
        context.wait(LOOK_SECONDS)
    with locked_directory(services, task.instance_id) as directory:
        if directory is not None and _is_stopped(context, task):
            volume_files.move_out(services.data, directory, task.old_volume_id)
        with services.database.write() as c:
            old = volumes.get_volume(c, task.old_volume_id)
            if _get(c, task).state is not State.STOPPED or old is None or old.instance_id != task.instance_id:
                return False
            root_replacements.put_at(c, task.new_volume_id, old, now=services.now())
            before = {each.code for each in product_codes.codes_of(c, task.instance_id)}
            product_codes.inherit_codes(c, task.instance_id, source_ids=[task.new_volume_id])
            came = [each.code for each in product_codes.codes_of(c, task.instance_id) if each.code not in before]
            volumes.detach_volume(c, old.id)
            context.save(c, {**context.data, "stage": "swapped", "came": came}, 50)
    return True


def _is_stopped(context: JobContext, task: RootReplacement) -> bool:
    with context.services.database.read() as c:
        return _get(c, task).state is State.STOPPED


def _ask_to_start(context: JobContext, task: RootReplacement, stage: str) -> None:
    services = context.services
    with services.database.write() as c:
        context.save(c, {**context.data, "stage": stage}, 70)
        if _get(c, task).state is State.STOPPED:
            instances.set_state(c, task.instance_id, Event.START_ASKED, now=services.now())
            data = {"instance_id": task.instance_id}
            jobs.enqueue(c, jobs.NewJob("boot", f"{task.instance_id}:boot", data, services.host), now=services.now())
    services.wake()


def _succeed(context: JobContext, task: RootReplacement) -> None:
    services = context.services
    with services.database.write() as c:
        old = volumes.get_volume(c, task.old_volume_id)
        if task.deletes_old and old is not None and old.state is VolumeState.AVAILABLE:
            volumes.set_deleting(c, old.id)  # its bytes go once no snapshot is being made of them
            volume_work.enqueue(c, services, old, volume_work.DELETE)
        context.save(c, progress_percent=100)
        root_replacements.set_state(c, task.id, ReplacementState.SUCCEEDED, now=services.now())
    services.wake()


def _put_back(context: JobContext, task: RootReplacement) -> None:
    """The old root is attached again where nobody took it meanwhile, and the instance is to be started with it."""
    services = context.services
    with locked_directory(services, task.instance_id) as directory:
        if directory is not None and _is_stopped(context, task):
            volume_files.move_out(services.data, directory, task.new_volume_id)
        with services.database.write() as c:
            new, old = volumes.get_volume(c, task.new_volume_id), volumes.get_volume(c, task.old_volume_id)
            is_free = old is not None and old.instance_id is None and old.state is VolumeState.AVAILABLE
            if new is None or not is_free or _get(c, task).state is not State.STOPPED:
                return
            root_replacements.put_at(c, task.old_volume_id, new, now=services.now())
            volumes.detach_volume(c, new.id)
            held = [each.id for each in volumes.volumes_of(c, task.instance_id)]
            kept = {each.code for each in product_codes.codes_of_all(c, held)}
            product_codes.take_codes(c, task.instance_id, set(context.data.get("came", ())) - kept)
            context.save(c, {**context.data, "stage": "back"}, 90)
        if directory is not None:
            volume_files.move_in(services.data, directory, task.old_volume_id)


def _end(context: JobContext, task: RootReplacement, state: ReplacementState) -> None:
    """Ends the task; a new root that nothing uses goes."""
    services = context.services
    with services.database.write() as c:
        new = volumes.get_volume(c, task.new_volume_id)
        goes = new is not None and new.instance_id is None
        if goes:
            volumes.delete_volume(c, task.new_volume_id)
        root_replacements.set_state(c, task.id, state, now=services.now())
    if goes:
        forget_volume(services, task.new_volume_id)
