"""MonitorInstances and UnmonitorInstances: whether an instance is to be monitored in detail.  Recorded and told; nothing measures it.

The answers say ``pending`` and ``disabling`` of what they change, as EC2's do; every call after them says how it is.
"""

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2 import views
from amiable.api.ec2.instance_ids import find_named
from amiable.api.ec2.unsupported import anything, refuse_others
from amiable.database import instances
from amiable.model.instance import Instance
from amiable.model.principal import Principal
from amiable.rules.instance_attributes import check_living
from amiable.services import Services
from amiable.wire.generated import ec2


def monitor_instances(
    services: Services, principal: Principal, request: ec2.MonitorInstancesRequest
) -> ec2.MonitorInstancesResult:
    """Switches it on for every named instance, or for none."""
    return ec2.MonitorInstancesResult(
        instance_monitorings=_switch(services, principal, request, is_on=True, changing="pending")
    )


def unmonitor_instances(
    services: Services, principal: Principal, request: ec2.UnmonitorInstancesRequest
) -> ec2.UnmonitorInstancesResult:
    """Switches it off for every named instance, or for none."""
    return ec2.UnmonitorInstancesResult(
        instance_monitorings=_switch(services, principal, request, is_on=False, changing="disabling")
    )


def _switch(
    services: Services,
    principal: Principal,
    request: ec2.MonitorInstancesRequest | ec2.UnmonitorInstancesRequest,
    *,
    is_on: bool,
    changing: str,
) -> list[ec2.InstanceMonitoring]:
    refuse_others(request, {"instance_ids": anything, "dry_run": anything})
    with services.database.write_and_answer() as c:
        named = find_named(c, principal, request.instance_ids, now=services.now())
        for instance in named:
            check_living(instance)
        raise_if_dry_run(request)
        for instance in named:
            instances.change(c, instance.id, detailed_monitoring=is_on)
    return [_told(instance, None if instance.detailed_monitoring is is_on else changing) for instance in named]


def _told(before: Instance, changing: str | None) -> ec2.InstanceMonitoring:
    told = views.monitoring(before) if changing is None else ec2.Monitoring(state=changing)
    return ec2.InstanceMonitoring(instance_id=before.id, monitoring=told)
