"""ImportSnapshot and DescribeImportSnapshotTasks: a raw disk in an S3 object becomes a snapshot, by a durable job."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.tags import birth_tags, parse_filters, tag_set
from amiable.api.idempotency import Repeatable
from amiable.api.paging import open_page
from amiable.database import import_tasks, jobs
from amiable.database import tags as tag_rows
from amiable.model import ids
from amiable.model.errors import (
    DiskImageSizeTooLarge,
    InaccessibleStorageLocation,
    InvalidParameterCombination,
    InvalidParameterValue,
    MissingParameter,
    NotFound,
    S3Refusal,
    UnsupportedOperation,
)
from amiable.model.import_task import ImportState, ImportTask
from amiable.model.principal import Principal
from amiable.model.units import GIB
from amiable.rules import filters
from amiable.rules.attributes import check_description
from amiable.rules.identifiers import check_form
from amiable.services import Services
from amiable.services.objects import open_object
from amiable.services.quota import check_snapshot_room
from amiable.wire.generated import ec2

JOB: Final = "import-snapshot"
FORMATS: Final = ("RAW",)
OTHER_FORMATS: Final = ("VHD", "VHDX", "VMDK", "QCOW2", "VDI", "OVA")
"""Formats that are known by name and not read yet."""

SIZE_GIB_MAX: Final = 65_536
TAG_TYPE: Final = "import-snapshot-task"


@dataclass(frozen=True, slots=True)
class Source:
    """Where the disk lies."""

    bucket: str
    key: str
    format: str


def import_snapshot(
    services: Services, principal: Principal, request: ec2.ImportSnapshotRequest
) -> ec2.ImportSnapshotResult:
    """Starts an import; the task's snapshot is there when its status is ``completed``.

    RoleName is accepted and needs nothing: the object is read as the calling account.
    """
    if request.encrypted or request.kms_key_id is not None:
        raise UnsupportedOperation("Encrypted snapshots are not implemented by Amiable.")
    check_description(request.description)
    tags = birth_tags(request.tag_specifications, (TAG_TYPE,)).get(TAG_TYPE, {})
    source = _source(request.disk_container)
    with services.database.read() as c:
        is_repeated = Repeatable(services, principal, request).recall(c) is not None
    size_bytes = None if is_repeated else _size_bytes(services, principal, source)
    described = request.description
    if described is None and request.disk_container is not None:
        described = request.disk_container.description
    task = ImportTask(
        id=services.mint(ids.IMPORT_SNAPSHOT_TASK),
        account_id=principal.account_id,
        region=principal.region,
        state=ImportState.ACTIVE,
        state_message="pending",
        progress_percent=0,
        description=described or "",
        bucket=source.bucket,
        object_key=source.key,
        format=source.format,
        size_bytes=size_bytes,
        snapshot_id=None,
        created_at=services.now(),
    )
    return _start(services, principal, request, task, tags)


def _start(
    services: Services,
    principal: Principal,
    request: ec2.ImportSnapshotRequest,
    task: ImportTask,
    tags: dict[str, str],
) -> ec2.ImportSnapshotResult:
    with services.database.write() as c:
        once = Repeatable(services, principal, request)
        made = once.recall(c)
        known = import_tasks.get(c, made[0]) if made else None
        if known is None:
            check_snapshot_room(services, c, principal)
        raise_if_dry_run(request)
        if known is not None:
            task, tags = known, tag_rows.tags_of(c, principal.account_id, [known.id]).get(known.id, {})
        else:
            import_tasks.insert_task(c, task)
            tag_rows.put(c, tag_rows.TaggedResource(task.account_id, task.region, task.id, TAG_TYPE), tags)
            jobs.enqueue(c, jobs.NewJob(JOB, f"{task.id}:{JOB}", {"task_id": task.id}), now=services.now())
            once.remember(c, [task.id])
    services.wake()
    return ec2.ImportSnapshotResult(
        description=task.description or None,
        import_task_id=task.id,
        snapshot_task_detail=_detail(task),
        tags=tag_set(tags),
    )


def _source(container: ec2.SnapshotDiskContainer | None) -> Source:
    if container is None:
        raise MissingParameter(parameter="DiskContainer")
    disk_format = _format(container.format)
    if container.url is not None and container.user_bucket is not None:
        raise InvalidParameterCombination("DiskContainer names its disk by Url or by UserBucket, not by both.")
    if container.url is not None:
        bucket, _, key = container.url.removeprefix("s3://").partition("/")
        if not container.url.startswith("s3://") or not bucket or not key:
            raise InvalidParameterValue(
                parameter="DiskContainer.Url", value=container.url, why="Expecting s3://bucket/key."
            )
        return Source(bucket, key, disk_format)
    bucket_of = container.user_bucket
    if bucket_of is None or not bucket_of.s3_bucket or not bucket_of.s3_key:
        raise MissingParameter(parameter="DiskContainer.UserBucket.S3Bucket and S3Key, or DiskContainer.Url")
    return Source(bucket_of.s3_bucket, bucket_of.s3_key, disk_format)


def _format(named: str | None) -> str:
    if not named:
        raise MissingParameter(parameter="DiskContainer.Format")
    disk_format = named.upper()
    if disk_format in OTHER_FORMATS:
        raise UnsupportedOperation(
            f"Importing the disk format {disk_format} is not implemented by Amiable; convert it to RAW first (qemu-img convert -O raw)."
        )
    if disk_format not in FORMATS:
        raise InvalidParameterValue(
            parameter="DiskContainer.Format", value=named, why=f"Expecting {', '.join(FORMATS)}."
        )
    return disk_format


def _size_bytes(services: Services, principal: Principal, source: Source) -> int:
    """How long the disk is; refuses an object that the account cannot read, an empty one, and one that no snapshot holds."""
    try:
        with open_object(services, principal.account_id, source.bucket, source.key) as found:
            size_bytes = found.size_bytes
    except S3Refusal as refusal:
        why = f"{refusal.code}: {refusal.message}"
        raise InaccessibleStorageLocation(bucket=source.bucket, key=source.key, why=why) from None
    if size_bytes == 0:
        raise InvalidParameterValue(f"The object s3://{source.bucket}/{source.key} is empty: it holds no disk.")
    if size_bytes > SIZE_GIB_MAX * GIB:
        raise DiskImageSizeTooLarge(size_bytes=size_bytes, size_gib_max=SIZE_GIB_MAX)
    return size_bytes


# ── tasks ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Seen:
    """A task with its owner's tags."""

    task: ImportTask
    tags: Mapping[str, str]


FIELDS: Final[Mapping[str, filters.Field[Seen]]] = {"task-state": lambda seen: (seen.task.state,)}


def describe_import_snapshot_tasks(
    services: Services, principal: Principal, request: ec2.DescribeImportSnapshotTasksRequest
) -> ec2.DescribeImportSnapshotTasksResult:
    """The account's import tasks."""
    check_form("import_task", ids.IMPORT_SNAPSHOT_TASK, request.import_task_ids)
    wanted = filters.predicate(parse_filters(request.filters), FIELDS, tags=lambda seen: seen.tags)
    page = open_page(services, principal, request)
    raise_if_dry_run(request)
    with services.database.read() as c:
        tasks = import_tasks.list_tasks(c, principal.account_id, principal.region, ids=request.import_task_ids or None)
        tags = tag_rows.tags_of_type(c, principal.account_id, principal.region, TAG_TYPE)
    there = {task.id for task in tasks}
    missing = [task_id for task_id in dict.fromkeys(request.import_task_ids or []) if task_id not in there]
    if missing:
        raise NotFound("import_task", missing)
    found = [seen for seen in (Seen(task, tags.get(task.id, {})) for task in tasks) if wanted(seen)]
    shown, token = page.cut(found, lambda seen: seen.task.id)
    items = [
        ec2.ImportSnapshotTask(
            description=seen.task.description or None,
            import_task_id=seen.task.id,
            snapshot_task_detail=_detail(seen.task),
            tags=tag_set(seen.tags),
        )
        for seen in shown
    ]
    return ec2.DescribeImportSnapshotTasksResult(import_snapshot_tasks=items, next_token=token)


def _detail(task: ImportTask) -> ec2.SnapshotTaskDetail:
    is_active = task.state is ImportState.ACTIVE
    return ec2.SnapshotTaskDetail(
        description=task.description or None,
        disk_image_size=None if task.size_bytes is None else float(task.size_bytes),
        encrypted=False,
        format=task.format,
        progress=str(task.progress_percent) if is_active else None,
        snapshot_id=task.snapshot_id,
        status=str(task.state),
        status_message=task.state_message or None,
        user_bucket=ec2.UserBucketDetails(s3_bucket=task.bucket, s3_key=task.object_key),
    )
