"""StopInstances, StartInstances, RebootInstances and TerminateInstances.

Each moves every named instance, or none: states, reasons and jobs are one transaction.  What may follow what is
``rules/lifecycle``; asking for what is so already is answered, and starts no job.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2 import views
from amiable.api.ec2.capacity import measure_host
from amiable.api.ec2.instance_ids import find_named
from amiable.api.ec2.instance_roots import codes_of_roots
from amiable.api.products import check_subscribed
from amiable.database import bundle_tasks, images, instances, jobs, root_replacements
from amiable.model.errors import IncorrectInstanceState, UnsupportedOperation
from amiable.model.instance import Instance, State
from amiable.model.instance_errors import UnsupportedHibernationConfiguration
from amiable.model.instance_type import type_of
from amiable.model.principal import Principal
from amiable.model.root_replacement import ReplacementState
from amiable.rules import lifecycle
from amiable.rules.launch import check_start
from amiable.rules.lifecycle import Event, user_initiated
from amiable.rules.permission import check_approved
from amiable.rules.protection import check_stop, split_by_protection
from amiable.services import Services
from amiable.wire.generated import ec2


def stop_instances(
    services: Services, principal: Principal, request: ec2.StopInstancesRequest
) -> ec2.StopInstancesResult:
    """Stops: the guest is asked to power off, or with Force is cut off."""
    force = bool(request.force or request.skip_os_shutdown)
    with services.database.write() as c:
        named = find_named(c, principal, request.instance_ids, now=services.now())
        _check_ebs(named, "stopped")
        if request.hibernate:
            raise UnsupportedHibernationConfiguration(
                instance_id=named[0].id
            )  # one: clients leave it out and ask again
        _check(named, Event.STOP_ASKED)
        check_stop(named)
        _check_no_replacement(c, named)
        raise_if_dry_run(request)
        changes = [_stop(c, services, instance, force=force) for instance in named]
    services.wake()
    return ec2.StopInstancesResult(stopping_instances=changes)


def _stop(c: Connection, services: Services, before: Instance, *, force: bool) -> ec2.InstanceStateChange:
    now = services.now()
    after = instances.set_state(c, before.id, Event.STOP_ASKED, now=now, reason=user_initiated(Event.STOP_ASKED, now))
    if after.state is not before.state or (after.state is State.STOPPING and force):
        verb = "stop-force" if force else "stop"
        _enqueue(c, services, before, "stop", verb, force=force)
    return _change(before, after)


def _check_no_replacement(c: Connection, stopping: Sequence[Instance]) -> None:
    """Refuses to stop what is stopped for a new root volume: its task starts it again, and a stop would be lost."""
    for instance in stopping:
        task = root_replacements.live_task_of(c, instance.id)
        if task is not None and task.state is ReplacementState.IN_PROGRESS:
            raise IncorrectInstanceState(
                f"The instance '{instance.id}' cannot be stopped while the task {task.id} replaces its root volume.",
                hint="wait for the task: it starts the instance again",
            )


def _check_no_bundling(c: Connection, starting: Sequence[Instance]) -> None:
    """Refuses to start what is being bundled: its disk is read as it lies."""
    for instance in starting:
        task = bundle_tasks.live_task_of(c, instance.id)
        if task is not None:
            raise IncorrectInstanceState(
                f"The instance '{instance.id}' cannot be started while the bundle task {task.id} reads its root volume.",
                hint="wait for the task, or cancel it",
            )


def start_instances(
    services: Services, principal: Principal, request: ec2.StartInstancesRequest
) -> ec2.StartInstancesResult:
    """Starts stopped instances, as far as the host has room."""
    if request.additional_info:
        raise UnsupportedOperation("The parameter AdditionalInfo is not supported by Amiable.")
    with services.database.write() as c:
        named = find_named(c, principal, request.instance_ids, now=services.now())
        _check_ebs(named, "started")
        _check(named, Event.START_ASKED)
        starting = [instance for instance in named if instance.state is State.STOPPED]
        if starting:
            _check_no_bundling(c, starting)
            _check_kernels(c, principal, starting)
            check_subscribed(c, principal.account_id, codes_of_roots(c, starting))
            check_start([type_of(instance.instance_type) for instance in starting], measure_host(c, services))
        raise_if_dry_run(request)
        changes = [_start(c, services, instance) for instance in named]
    services.wake()
    return ec2.StartInstancesResult(starting_instances=changes)


def _check_kernels(c: Connection, principal: Principal, starting: Sequence[Instance]) -> None:
    """Refuses to start what boots with a kernel or ramdisk that is not approved any more; a deregistered one still boots."""
    for image_id in {each for instance in starting for each in (instance.kernel_id, instance.ramdisk_id) if each}:
        found = images.get(c, principal.region, image_id, viewer=principal.account_id)
        if found is not None:
            check_approved(found)


def _start(c: Connection, services: Services, before: Instance) -> ec2.InstanceStateChange:
    after = instances.set_state(c, before.id, Event.START_ASKED, now=services.now())
    if after.state is not before.state:
        _enqueue(c, services, before, "boot", "boot")
    return _change(before, after)


def reboot_instances(services: Services, principal: Principal, request: ec2.RebootInstancesRequest) -> None:
    """Asks running guests to restart; terminated instances are passed over, as on EC2."""
    with services.database.write() as c:
        named = find_named(c, principal, request.instance_ids, now=services.now())
        living = [instance for instance in named if instance.state not in (State.SHUTTING_DOWN, State.TERMINATED)]
        _check(living, Event.REBOOT_ASKED)
        raise_if_dry_run(request)
        for instance in living:
            if instance.state is State.RUNNING:
                _enqueue(c, services, instance, "reboot", "reboot")
    services.wake()


def terminate_instances(
    services: Services, principal: Principal, request: ec2.TerminateInstancesRequest
) -> ec2.TerminateInstancesResult:
    """Ends instances for good; one that is ending, or has ended, is answered as it is.

    Where a protected one keeps its zone's, the others end all the same, and the call is refused.
    """
    with services.database.write() as c:
        named = find_named(c, principal, request.instance_ids, now=services.now())
        _check(named, Event.TERMINATE_ASKED)
        free, refusal = split_by_protection(named)
        if refusal is not None and (request.dry_run or not free):
            raise refusal
        raise_if_dry_run(request)
        force = bool(request.force or request.skip_os_shutdown)
        changes = [_terminate(c, services, instance, force=force) for instance in free]
    services.wake()
    if refusal is not None:
        raise refusal
    return ec2.TerminateInstancesResult(terminating_instances=changes)


def _terminate(c: Connection, services: Services, before: Instance, *, force: bool) -> ec2.InstanceStateChange:
    now = services.now()
    reason = user_initiated(Event.TERMINATE_ASKED, now)
    after = instances.set_state(c, before.id, Event.TERMINATE_ASKED, now=now, reason=reason)
    if after.state is not before.state:
        _enqueue(c, services, before, "terminate", "terminate", force=force)
    return _change(before, after)


def _check_ebs(named: Sequence[Instance], verb: str) -> None:
    """Refuses what an instance store cannot: it is made at the launch, and gone at the end."""
    for instance in named:
        if not instance.is_ebs:
            raise UnsupportedOperation(
                f"The instance '{instance.id}' does not have an 'ebs' root device type and cannot be {verb}."
            )


def _check(named: Sequence[Instance], event: Event) -> None:
    for instance in named:
        lifecycle.step(instance.id, instance.state, event)


def _enqueue(c: Connection, services: Services, instance: Instance, kind: str, verb: str, **facts: Any) -> None:
    jobs.enqueue(
        c,
        jobs.NewJob(kind, f"{instance.id}:{verb}", {"instance_id": instance.id, **facts}, instance.host),
        now=services.now(),
    )


def _change(before: Instance, after: Instance) -> ec2.InstanceStateChange:
    return ec2.InstanceStateChange(
        instance_id=before.id,
        current_state=views.instance_state(after.state),
        previous_state=views.instance_state(before.state),
    )
