"""bundle-instance: an instance's root volume as a bundle in a bucket; data {"task_id", "policy", "access_key_id", …}.

    stopping ─ wait ─▶ stopped: qemu-storage-daemon ┐
    running: stop, snapshot, cont ─▶ QEMU's server ┴─▶ tar, gzip, AES ─▶ parts as objects ─▶ manifest, assurance ═ complete

A job that was killed removes the parts it had written and begins again: a cipher stream cannot be entered in the middle.  So does one
whose QEMU ends while it reads, with the volume as that left it, once the instance is stopped or runs again.  What fails or is cancelled
leaves no object in the bucket, and the instance as it was.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from typing import Final

from amiable.blocks.export_map import ExportMap, MapDamaged
from amiable.blocks.nbd_client import NbdClient, NbdFailed
from amiable.bundle import keys
from amiable.bundle.assurance import write_sidecar
from amiable.bundle.layout import Layout
from amiable.bundle.manifest_xml import read_manifest
from amiable.bundle.parts import HandedOn
from amiable.bundle.pipeline import Recipe, create_into
from amiable.bundle.recorder import Recorder
from amiable.database import bundle_tasks, images, instances
from amiable.database.jobs import Cancelled
from amiable.jobs.context import JobContext
from amiable.jobs.disk_layout import NoBase, disk_layout
from amiable.jobs.machine import FAILURES, Facts, export, facts_of, map_path, unexport, words
from amiable.jobs.policy_upload import PolicyUpload, remove_written
from amiable.model.bundle_task import CANCELLED, BundleState, BundleTask, TaskError
from amiable.model.errors import Refusal
from amiable.model.instance import Instance, State
from amiable.model.manifest import Mapping
from amiable.model.volume import Volume
from amiable.rules.bundle_task import Event
from amiable.rules.hardware import disk_of
from amiable.rules.manifest import DEFAULT_ROOT_DEVICE
from amiable.rules.post_policy import read_policy
from amiable.services.manifests import read_manifest_object
from amiable.services.signing_keys import signing_pair
from amiable.vm import disk_export, machine
from amiable.vm.directory import Directory, DirectoryBusy, locked, open_directory
from amiable.vm.disk_export import Reading
from amiable.vm.machine import MachineFailed, MachineSilent
from amiable.vm.process import Process

log = logging.getLogger("amiable.jobs")

LOOK_SECONDS: Final = 0.5
REPORT_SECONDS: Final = 1.0
"""Between two reports of how far it is."""
PARTS_WAITING_MAX: Final = 2
READINGS_MAX: Final = 3
"""How often the disk is read, where what serves it ends."""


class _Ended(MachineFailed):
    """What served the disk has ended: the disk can be read again."""


class _Halted(Exception):
    """The job was cancelled or lost, or the server ends: the context knows which."""


def bundle_instance(context: JobContext) -> None:
    """Runs the task to its end."""
    task = _task(context)
    if task is None or not task.is_live:
        return
    remove_written(context, task)
    if task.state is BundleState.CANCELLING:
        give_up(context, "")
        return
    upload = PolicyUpload(context, task, read_policy(context.data["policy"]))
    try:
        manifest, sidecar = _read(context, task, upload)
        _move(context, task.id, Event.READ)
        upload.put_documents(manifest, sidecar)
    except DirectoryBusy:
        raise
    except _Halted:
        context.go_on()
    except (NbdFailed, MapDamaged, *FAILURES) as error:
        _fail(context, task, _why(context, task, error))


def give_up(context: JobContext, message: str) -> None:
    """Ends the task as failed and removes what it wrote, and what a run that was killed left at the instance."""
    task = _task(context)
    if task is None or not task.is_live:
        return
    _end_reading(context, task)
    error = TaskError("Server.InternalError", message)
    if task.state is BundleState.CANCELLING:
        error = TaskError(CANCELLED, "The bundle task was cancelled; what it had written was removed.")
    _fail(context, task, error)


def _task(context: JobContext) -> BundleTask | None:
    with context.services.database.read() as c:
        return bundle_tasks.get_task(c, context.data["task_id"])


def _move(context: JobContext, task_id: str, event: Event) -> None:
    """Writes the task's state after ``event`` in the transaction that saves the job; raises Cancelled or Lost."""
    with context.services.database.write() as c:
        context.save(c)
        task = bundle_tasks.get_task(c, task_id)
        assert task is not None
        bundle_tasks.move(c, task, event, now=context.services.now())


def _fail(context: JobContext, task: BundleTask, error: TaskError) -> None:
    remove_written(context, task)
    with context.services.database.write() as c:
        now = bundle_tasks.get_task(c, task.id)
        if now is not None and now.is_live:
            bundle_tasks.move(c, now, Event.FAILED, now=context.services.now(), error=error)


def _why(context: JobContext, task: BundleTask, error: Exception) -> TaskError:
    """The error for the owner; where the instance went away meanwhile, that is why."""
    if isinstance(error, NbdFailed | MachineFailed | MapDamaged):
        with context.services.database.read() as c:
            instance = instances.get_instance(c, task.instance_id)
        state = "gone" if instance is None else str(instance.state)
        text = (
            f"The root volume of {task.instance_id} could not be read to its end: {error}. The instance is {state} now."
        )
        return TaskError("Server.InternalError", text)
    if isinstance(error, Refusal):
        side = "Server" if error.status >= 500 else "Client"
        return TaskError(f"{side}.{error.code}", error.message)
    return TaskError("Server.InternalError", words(error))


# ── the instance ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _read(context: JobContext, task: BundleTask, upload: PolicyUpload) -> tuple[bytes, bytes]:
    """The manifest's document and its assurance's, once every part is stored, of a disk that was read from its beginning to its end."""
    while True:
        facts = _readable(context, task)
        _move(context, task.id, Event.BEGAN)
        try:
            with _open_disk(context, facts) as layout:
                return _write_parts(context, task, facts.instance, upload=upload, layout=layout)
        except _Ended as error:
            count = int(context.data.get("readings", 0)) + 1
            if count == READINGS_MAX:
                raise
            log.info("%s: %s; reading its disk again", task.instance_id, error)
            remove_written(context, task)
            context.checkpoint({**context.data, "readings": count})


def _readable(context: JobContext, task: BundleTask) -> Facts:
    """The instance once it is stopped, or running with a machine; while it is stopping the task says so."""
    is_told = False
    while True:
        with context.services.database.read() as c:
            instance = instances.get_instance(c, task.instance_id)
        if instance is None:
            raise MachineFailed("the instance is gone")
        if instance.state is State.STOPPED or (instance.state is State.RUNNING and _has_machine(context, instance.id)):
            return facts_of(context.services, instance.id)
        if instance.state not in (State.RUNNING, State.STOPPING, State.PENDING):
            raise MachineFailed("it is neither running nor stopped")
        if instance.state is State.STOPPING and not is_told:
            _move(context, task.id, Event.WAITED)
            is_told = True
        context.wait(LOOK_SECONDS)


def _has_machine(context: JobContext, instance_id: str) -> bool:
    """Whether there is one to read from, or never will be: a directory that is gone is said by who opens it."""
    try:
        with open_directory(context.services.data, instance_id) as directory:
            return machine.find_machine(directory) is not None
    except FileNotFoundError:
        return True


@contextlib.contextmanager
def _open_disk(context: JobContext, facts: Facts) -> Iterator[Layout]:
    """The root volume as it is at one moment."""
    services, root = context.services, facts.volumes[0]

    def check_wanted() -> None:
        if context.stop.is_set():
            raise _Halted

    with contextlib.ExitStack() as undo:
        try:
            directory = undo.enter_context(open_directory(services.data, facts.instance.id))
        except FileNotFoundError:
            raise MachineFailed("the instance's directory is gone") from None
        path = map_path(services.data, root.id)
        base = undo.enter_context(contextlib.closing(ExportMap(path))) if root.snapshot_id is not None else NoBase()
        reading = Reading(_tag(context), (disk_of(root),))
        with context.outside():
            server, name = _hold(context, facts, directory, undo)
        try:
            with context.outside():
                connection = undo.enter_context(disk_export.connected(directory, server, name))
            client = NbdClient(connection, reading.name(disk_export.EXPORT, 0), wait=context.wait_for_disk)
            yield disk_layout(client, base, size_bytes=disk_of(root).size_bytes, stopped=check_wanted)
        except (NbdFailed, MachineFailed) as error:
            if machine.ends(server):
                raise _Ended(str(error)) from None
            raise
        finally:
            with context.outside():
                undo.close()


def _hold(context: JobContext, facts: Facts, directory: Directory, undo: contextlib.ExitStack) -> tuple[Process, str]:
    """What serves the disk from now on, and on which socket."""
    root = facts.volumes[0]
    if facts.instance.state is not State.RUNNING:
        return _hold_still(context, directory, root, undo), disk_export.still_socket(_tag(context))
    qemu = machine.find_machine(directory)
    if qemu is None:
        raise _Ended("its QEMU ended")
    try:
        disk_export.hold_running(directory, qemu, Reading(_tag(context), (disk_of(root),)))
    except MachineSilent as error:
        raise _Ended(str(error)) if machine.ends(qemu) else error from None
    undo.callback(disk_export.release_running, directory, qemu, _tag(context))
    return qemu, disk_export.SOCKET


def _tag(context: JobContext) -> str:
    """Whose reading it is: the digits of the task's id."""
    return str(context.data["task_id"]).partition("-")[2]


def _end_reading(context: JobContext, task: BundleTask) -> None:
    """Takes away what :func:`_open_disk` made, where the process that made it was killed; the task ends even where that fails."""
    services = context.services
    with services.database.read() as c:
        instance = instances.get_instance(c, task.instance_id)
    try:
        with open_directory(services.data, task.instance_id) as directory:
            qemu = machine.find_machine(directory)
            if qemu is not None:
                disk_export.release_running(directory, qemu, _tag(context))
            else:
                disk_export.release_still(directory, _tag(context))
        if instance is not None and instance.state is State.STOPPED:
            unexport(services, facts_of(services, instance.id).volumes)
    except FileNotFoundError:  # the instance is gone, and all of it
        return
    except (MachineFailed, OSError) as error:
        log.warning("%s: its disk may still be read: %s", task.instance_id, error)


def _hold_still(context: JobContext, directory: Directory, root: Volume, undo: contextlib.ExitStack) -> Process:
    """Serves a stopped instance's disk and the blocks below it; nothing starts the instance while its task is live."""
    with locked(directory):
        if facts_of(context.services, directory.path.name).instance.state is not State.STOPPED:
            raise _Ended("it is not stopped any more")
        export(context.services, directory, root)
        undo.callback(unexport, context.services, (root,))
        undo.callback(disk_export.release_still, directory, _tag(context))
        return disk_export.hold_still(directory, Reading(_tag(context), (disk_of(root),)))


# ── the bundle ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _write_parts(
    context: JobContext, task: BundleTask, instance: Instance, *, upload: PolicyUpload, layout: Layout
) -> tuple[bytes, bytes]:
    """The manifest's document and its assurance's, once every part is stored."""
    recipe = _recipe(context, task, instance, layout)
    with Recorder() as recorder, HandedOn(upload.put_part, workers=1, waiting_max=PARTS_WAITING_MAX) as sink:
        document = create_into(recipe, sink, progress=_reporter(context, task), recorder=recorder)
        return document, write_sidecar(recorder, document, [keys.load_private_key(recipe.private_key_pem)])


def _recipe(context: JobContext, task: BundleTask, instance: Instance, layout: Layout) -> Recipe:
    pair = signing_pair(context.services, task.account_id)
    return Recipe(
        image=layout,
        name=task.name,
        account_id=task.account_id,
        architecture=instance.architecture,
        certificate_pem=pair.certificate_pem,
        private_key_pem=pair.private_key_pem,
        cloud_certificate_pem=context.services.installation.bundling_pem,
        kernel_id=instance.kernel_id,
        ramdisk_id=instance.ramdisk_id,
        block_device_mapping=_mapping(instance, facts_of(context.services, instance.id).volumes),
        product_codes=tuple(each.code for each in instance.product_codes),
        ancestor_ami_ids=_ancestors(context, instance),
    )


def _mapping(instance: Instance, volumes: tuple[Volume, ...]) -> tuple[Mapping, ...]:
    """The instance's devices by their classic names; EBS volumes beside the root have none in a bundle."""
    root = instance.root_device_name or DEFAULT_ROOT_DEVICE
    others = [each.device_name for each in volumes[1:] if each.is_instance_store and each.device_name is not None]
    return (
        Mapping("ami", root.removeprefix("/dev/")),
        Mapping("root", root),
        *(Mapping(f"ephemeral{number}", device.removeprefix("/dev/")) for number, device in enumerate(others)),
    )


def _ancestors(context: JobContext, instance: Instance) -> tuple[str, ...]:
    """The image that was launched, behind those that its own manifest names, as far as that can still be read."""
    with context.services.database.read() as c:
        image = images.get(c, instance.region, instance.image_id, viewer=instance.account_id)
    older: tuple[str, ...] = ()
    if image is not None and image.manifest_digest is not None:
        with contextlib.suppress(Refusal):
            older = read_manifest(
                read_manifest_object(context.services, image.account_id, image.location, region=image.region)
            ).ancestor_ami_ids
    return (*older, instance.image_id)


def _reporter(context: JobContext, task: BundleTask) -> Callable[[int, int], None]:
    """Notes how far the reading is, now and then; raises Cancelled where that was asked."""
    services = context.services
    reported_at = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal reported_at
        if time.monotonic() - reported_at < REPORT_SECONDS:
            return
        reported_at = time.monotonic()
        percent = min(99, 100 * done // max(1, total))
        with services.database.write() as c:
            bundle_tasks.report(c, task.id, progress_percent=percent, now=services.now())
            now = bundle_tasks.get_task(c, task.id)
        if now is None or now.state is BundleState.CANCELLING:  # sooner than the lease's keeper would tell
            raise Cancelled(context.job.key)

    return report
