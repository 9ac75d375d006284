"""CreateReplaceRootVolumeTask and DescribeReplaceRootVolumeTasks: another root for a running instance, at the same place."""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.images import check_image_id
from amiable.api.ec2.instance_ids import find_named
from amiable.api.ec2.product_codes import with_codes_since
from amiable.api.ec2.snapshots import check_snapshot_id
from amiable.api.ec2.tags import birth_tags, parse_filters, tag_set
from amiable.api.idempotency import Repeatable
from amiable.api.paging import open_page
from amiable.api.products import check_subscribed
from amiable.database import images, jobs, root_replacements, snapshots, volumes
from amiable.database import tags as tag_rows
from amiable.database.product_codes import codes_of, inherit_codes
from amiable.model import ids
from amiable.model.errors import InvalidParameterValue, NotFound, UnsupportedOperation
from amiable.model.image import Image
from amiable.model.instance import Instance
from amiable.model.principal import Principal
from amiable.model.product import united
from amiable.model.root_replacement import ReplacementState, RootReplacement
from amiable.model.snapshot import Snapshot
from amiable.model.volume import Volume
from amiable.rules import filters, permission
from amiable.rules import root_replacement as rules
from amiable.rules.create_image import find_root
from amiable.rules.identifiers import check_form
from amiable.services import Services, name_guard
from amiable.services.allowed_images import check_allowed
from amiable.wire.generated import ec2
from amiable.wire.scalars import write_timestamp

JOB: Final = "replace-root-volume"
TYPE: Final = "replace-root-volume-task"
SIZE_MAX: Final = 50


def create_replace_root_volume_task(
    services: Services, principal: Principal, request: ec2.CreateReplaceRootVolumeTaskRequest
) -> ec2.CreateReplaceRootVolumeTaskResult:
    """Begins a task: the instance is stopped, gets its new root, and is started again."""
    rules.check_request(request.snapshot_id, request.image_id)
    if request.volume_id is not None or request.volume_initialization_rate is not None:
        raise UnsupportedOperation("VolumeId and VolumeInitializationRate are not supported by Amiable.")
    tags = birth_tags(request.tag_specifications, (TYPE,)).get(TYPE, {})
    is_dry = bool(request.dry_run)
    with name_guard.recording_refusals(services, principal, is_dry=is_dry), services.database.write() as c:
        once = Repeatable(services, principal, request)
        made = once.recall(c)
        if made is not None:
            raise_if_dry_run(request)
            task = root_replacements.get_task(c, made[0])
            assert task is not None
            return ec2.CreateReplaceRootVolumeTaskResult(replace_root_volume_task=_view(task, tags))
        (instance,) = find_named(c, principal, [request.instance_id], now=services.now())
        rules.check_instance(instance, root_replacements.live_task_of(c, instance.id))
        old = find_root(instance, volumes.volumes_of(c, instance.id))
        if old is None:
            raise InvalidParameterValue(f"The instance '{instance.id}' has no volume at its root device.")
        image = _find_image(services, c, principal, request)
        if image is not None:
            rules.check_image(instance, image)
            name_guard.check_launch(services, c, principal, image, is_dry=is_dry)
            assert image.root_device is not None
            snapshot = _found(c, image.root_device.snapshot_id)
        else:
            snapshot = _source(c, principal, request, instance, old)
        check_subscribed(c, principal.account_id, united(instance.product_codes, codes_of(c, snapshot.id)))
        raise_if_dry_run(request)
        task = _begin(services, c, request, old=old, snapshot=snapshot)
        tag_rows.put(c, tag_rows.TaggedResource(task.account_id, task.region, task.id, TYPE), tags)
        once.remember(c, [task.id])
        jobs.enqueue(c, jobs.NewJob(JOB, f"{task.id}:{JOB}", {"task_id": task.id}, instance.host), now=services.now())
    services.wake()
    return ec2.CreateReplaceRootVolumeTaskResult(replace_root_volume_task=_view(task, tags))


def _find_image(
    services: Services, c: Connection, principal: Principal, request: ec2.CreateReplaceRootVolumeTaskRequest
) -> Image | None:
    """The image that is named, which the account may launch as far as its own settings say too."""
    if request.image_id is None:
        return None
    check_image_id(request.image_id)
    image = images.get(c, principal.region, request.image_id, viewer=principal.account_id)
    if image is None:
        raise NotFound("image", [request.image_id])
    permission.check_launch(image, principal.account_id)
    check_allowed(services, c, principal, image)
    return with_codes_since(c, image)


def _source(
    c: Connection,
    principal: Principal,
    request: ec2.CreateReplaceRootVolumeTaskRequest,
    instance: Instance,
    old: Volume,
) -> Snapshot:
    """The snapshot that the new root is made of where no image is named."""
    launched_from = images.root_snapshot_of(c, instance.region, instance.image_id)
    if request.snapshot_id is None:
        known = None if launched_from is None else snapshots.get(c, launched_from)
        return known if known is not None else _found(c, old.snapshot_id)
    check_snapshot_id(request.snapshot_id)
    snapshot = snapshots.find_seen(c, principal.account_id, principal.region, request.snapshot_id)
    if snapshot is None:
        raise NotFound("snapshot", [request.snapshot_id])
    roots = {old.id, *root_replacements.former_roots(c, instance.id)}
    rules.check_snapshot(snapshot, roots, {launched_from, old.snapshot_id})
    return snapshot


def _found(c: Connection, snapshot_id: str | None) -> Snapshot:
    snapshot = None if snapshot_id is None else snapshots.get(c, snapshot_id)
    if snapshot is None:
        raise NotFound("snapshot", [snapshot_id or "none"])
    return snapshot


def _begin(
    services: Services,
    c: Connection,
    request: ec2.CreateReplaceRootVolumeTaskRequest,
    *,
    old: Volume,
    snapshot: Snapshot,
) -> RootReplacement:
    now = services.now()
    new = rules.new_root(old, snapshot, services.mint(ids.VOLUME), now=now)
    volumes.insert_volume(c, new)
    inherit_codes(c, new.id, source_ids=[snapshot.id])
    task = RootReplacement(
        id=services.mint(ids.REPLACE_ROOT_VOLUME_TASK),
        account_id=old.account_id,
        region=old.region,
        instance_id=request.instance_id,
        state=ReplacementState.PENDING,
        image_id=request.image_id,
        snapshot_id=request.snapshot_id,
        old_volume_id=old.id,
        new_volume_id=new.id,
        deletes_old=bool(request.delete_replaced_root_volume),
        started_at=now,
    )
    root_replacements.insert_task(c, task)
    return task


FIELDS: Final[Mapping[str, filters.Field[RootReplacement]]] = {"instance-id": lambda task: (task.instance_id,)}


def describe_replace_root_volume_tasks(
    services: Services, principal: Principal, request: ec2.DescribeReplaceRootVolumeTasksRequest
) -> ec2.DescribeReplaceRootVolumeTasksResult:
    """The account's tasks; all of the ids named must be there."""
    named = list(dict.fromkeys(request.replace_root_volume_task_ids or []))
    check_form("replace_root_volume_task", ids.REPLACE_ROOT_VOLUME_TASK, named)
    if request.max_results is not None and request.max_results > SIZE_MAX:
        raise InvalidParameterValue(
            parameter="MaxResults", value=request.max_results, why=f"Expecting 1 to {SIZE_MAX}."
        )
    raise_if_dry_run(request)
    page = open_page(services, principal, request)
    with services.database.read() as c:
        found = root_replacements.list_tasks(c, principal.account_id, principal.region, ids=named)
        tags = tag_rows.tags_of_type(c, principal.account_id, principal.region, TYPE)
    missing = [task_id for task_id in named if task_id not in {task.id for task in found}]
    if missing:
        raise NotFound("replace_root_volume_task", missing)
    wanted = filters.predicate(parse_filters(request.filters), FIELDS, tags=lambda task: tags.get(task.id, {}))
    left = [task for task in found if wanted(task) and (page.after is None or task.id > page.after)]
    shown, token = page.cut(left, lambda task: task.id)
    views = [_view(task, tags.get(task.id, {})) for task in shown]
    return ec2.DescribeReplaceRootVolumeTasksResult(replace_root_volume_tasks=views, next_token=token)


def _view(task: RootReplacement, tags: Mapping[str, str]) -> ec2.ReplaceRootVolumeTask:
    return ec2.ReplaceRootVolumeTask(
        replace_root_volume_task_id=task.id,
        instance_id=task.instance_id,
        task_state=task.state.value,
        start_time=write_timestamp(task.started_at),
        complete_time=None if task.ended_at is None else write_timestamp(task.ended_at),
        tags=tag_set(tags),
        image_id=task.image_id,
        snapshot_id=task.snapshot_id,
        delete_replaced_root_volume=task.deletes_old,
    )
