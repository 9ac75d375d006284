"""Which function does which kind of job, and what becomes of its resource when it is given up."""

from collections.abc import Callable
from dataclasses import dataclass

from amiable.jobs import (
    attach_volume,
    boot,
    bundle_instance,
    complete_snapshot,
    content_digests,
    create_image,
    delete_volume,
    detach_volume,
    import_snapshot,
    modify_volume,
    reboot,
    register_manifest,
    replace_root_volume,
    stop,
    take_snapshots,
    terminate,
    usage_report,
)
from amiable.jobs.context import JobContext, JobFunction


@dataclass(frozen=True, slots=True)
class JobKind:
    """``run`` does the work (safe to run twice); ``give_up`` leaves the resource in its failed state, with the words given.

    ``is_outside``: all of the work is of :meth:`JobContext.outside`'s sort, asking a machine and waiting for its answer.
    """

    run: JobFunction
    give_up: Callable[[JobContext, str], None]
    tries_max: int = 5
    is_outside: bool = False


JOBS: dict[str, JobKind] = {
    "boot": JobKind(boot.boot, boot.give_up, is_outside=True),
    "stop": JobKind(stop.stop, stop.give_up, is_outside=True),
    "terminate": JobKind(terminate.terminate, terminate.give_up, is_outside=True),
    "reboot": JobKind(reboot.reboot, reboot.give_up, is_outside=True),
    "bundle-instance": JobKind(bundle_instance.bundle_instance, bundle_instance.give_up),
    "complete-snapshot": JobKind(complete_snapshot.complete_snapshot, complete_snapshot.give_up),
    "content-digests": JobKind(content_digests.fill_digests, content_digests.give_up),
    "create-image": JobKind(create_image.create_image, create_image.give_up, is_outside=True),
    "replace-root-volume": JobKind(
        replace_root_volume.replace_root_volume, replace_root_volume.give_up, is_outside=True
    ),
    "take-snapshots": JobKind(take_snapshots.take_snapshots, take_snapshots.give_up),
    "image-usage-report": JobKind(usage_report.make_report, usage_report.give_up),
    "import-snapshot": JobKind(import_snapshot.import_snapshot, import_snapshot.give_up),
    "attach-volume": JobKind(attach_volume.attach_volume, attach_volume.give_up, is_outside=True),
    "detach-volume": JobKind(detach_volume.detach_volume, detach_volume.give_up, is_outside=True),
    "modify-volume": JobKind(modify_volume.modify_volume, modify_volume.give_up, is_outside=True),
    "delete-volume": JobKind(delete_volume.delete_volume, delete_volume.give_up),
    "register-manifest": JobKind(register_manifest.register_manifest, register_manifest.give_up),
}
