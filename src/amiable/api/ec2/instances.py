"""DescribeInstances and DescribeInstanceStatus.

RunInstances is ``launch``; what changes a state is ``instance_states``.  Each filter is one row of a table; what is not in it
is refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2 import views
from amiable.api.ec2.instance_ids import check_ids, find_visible
from amiable.api.ec2.tags import parse_filters
from amiable.api.ec2.views import View
from amiable.api.paging import cut_page, open_page
from amiable.model.errors import InvalidParameterCombination
from amiable.model.instance import CODES, Instance, State
from amiable.model.principal import Principal
from amiable.rules import filters
from amiable.rules.filters import boolean
from amiable.rules.instance_status import REACHABILITY, Status, status_of
from amiable.services import Services
from amiable.vm import process
from amiable.vm.directory import open_directory
from amiable.wire.generated import ec2

PAGE_SIZE_MIN: Final = 5

FIELDS: Final[Mapping[str, filters.Field[View]]] = {
    "architecture": lambda v: (v.instance.architecture,),
    "availability-zone": lambda v: (v.instance.zone,),
    "block-device-mapping.delete-on-termination": lambda v: (boolean(d.delete_on_termination) for d in v.ebs_volumes),
    "block-device-mapping.device-name": lambda v: (disk.device_name for disk in v.ebs_volumes),
    "block-device-mapping.volume-id": lambda v: (disk.id for disk in v.ebs_volumes),
    "client-token": lambda v: (v.instance.client_token,),
    "current-instance-boot-mode": lambda v: (v.instance.boot_mode,),
    "dns-name": lambda v: (),
    "hypervisor": lambda v: (views.HYPERVISOR,),
    "image-id": lambda v: (v.instance.image_id,),
    "instance-id": lambda v: (v.instance.id,),
    "instance-state-code": lambda v: (str(CODES[v.instance.state]),),
    "instance-state-name": lambda v: (v.instance.state,),
    "instance-type": lambda v: (v.instance.instance_type,),
    "instance.group-id": lambda v: v.instance.security_group_ids,
    "instance.group-name": lambda v: (v.group_names.get(each) for each in v.instance.security_group_ids),
    "ip-address": lambda v: (),
    "kernel-id": lambda v: (v.instance.kernel_id,),
    "key-name": lambda v: (v.instance.key_name,),
    "launch-index": lambda v: (str(v.instance.launch_index),),
    "launch-time": lambda v: (launch_time(v.instance),),
    "metadata-options.http-endpoint": lambda v: (v.instance.metadata.http_endpoint,),
    "metadata-options.http-put-response-hop-limit": lambda v: (str(v.instance.metadata.http_hop_limit),),
    "metadata-options.http-tokens": lambda v: (v.instance.metadata.http_tokens,),
    "metadata-options.instance-metadata-tags": lambda v: (v.instance.metadata.instance_metadata_tags,),
    "network-interface.mac-address": lambda v: (v.instance.mac,) if v.is_placed else (),
    "network-interface.network-interface-id": lambda v: (v.instance.interface_id,) if v.is_placed else (),
    "network-interface.private-ip-address": lambda v: (v.instance.private_ip,) if v.is_placed else (),
    "network-interface.subnet-id": lambda v: (v.instance.subnet_id,) if v.is_placed else (),
    "network-interface.vpc-id": lambda v: (v.instance.vpc_id,) if v.is_placed else (),
    "owner-id": lambda v: (v.instance.account_id,),
    "private-dns-name": lambda v: (views.private_dns_name(v.instance),) if v.is_placed else (),
    "private-ip-address": lambda v: (v.instance.private_ip,) if v.is_placed else (),
    "product-code": lambda v: (each.code for each in v.instance.product_codes),
    "ramdisk-id": lambda v: (v.instance.ramdisk_id,),
    "reason": lambda v: (v.instance.transition_reason,),
    "reservation-id": lambda v: (v.instance.reservation_id,),
    "root-device-name": lambda v: (v.instance.root_device_name,),
    "root-device-type": lambda v: (v.instance.root_device_type,),
    "state-reason-code": lambda v: (v.instance.state_reason_code,),
    "subnet-id": lambda v: (v.instance.subnet_id,) if v.is_placed else (),
    "tenancy": lambda v: ("default",),
    "virtualization-type": lambda v: (v.instance.virtualization_type,),
    "vpc-id": lambda v: (v.instance.vpc_id,) if v.is_placed else (),
}


def launch_time(instance: Instance) -> str:
    """The last start as filters spell it: ``2026-01-31T09:05:03.000Z``."""
    moment = instance.launched_at
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def describe_instances(
    services: Services, principal: Principal, request: ec2.DescribeInstancesRequest
) -> ec2.DescribeInstancesResult:
    """The caller's instances by reservation; terminated ones are listed for an hour."""
    wanted_ids = check_ids(request.instance_ids)
    _refuse_page_of_ids(wanted_ids, request.max_results, request.next_token)
    wanted = filters.predicate(parse_filters(request.filters), FIELDS, tags=lambda view: view.tags)
    page = open_page(services, principal, "DescribeInstances", request, size_min=PAGE_SIZE_MIN)
    raise_if_dry_run(request)
    with services.database.read() as c:
        found = find_visible(c, principal, wanted_ids, now=services.now())
        chosen = [view for view in views.views_of(c, principal, found) if wanted(view)]
    chosen.sort(key=_page_key)
    shown, token = cut_page(services, principal, "DescribeInstances", request, page, chosen, _page_key)
    return ec2.DescribeInstancesResult(reservations=views.reservations(shown), next_token=token)


def _page_key(view: View) -> str:
    return f"{view.instance.reservation_id}:{view.instance.launch_index:06d}"


def _refuse_page_of_ids(wanted_ids: Sequence[str], max_results: int | None, next_token: str | None) -> None:
    if wanted_ids and (max_results is not None or next_token):
        raise InvalidParameterCombination("The parameter instancesSet cannot be used with the parameter maxResults")


# ── status ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Checked:
    """An instance and what its checks say."""

    instance: Instance
    status: Status


STATUS_FIELDS: Final[Mapping[str, filters.Field[Checked]]] = {
    "availability-zone": lambda it: (it.instance.zone,),
    "instance-state-code": lambda it: (str(CODES[it.instance.state]),),
    "instance-state-name": lambda it: (it.instance.state,),
    "instance-status.reachability": lambda it: (REACHABILITY.get(it.status.instance),),
    "instance-status.status": lambda it: (it.status.instance,),
    "system-status.reachability": lambda it: (REACHABILITY.get(it.status.system),),
    "system-status.status": lambda it: (it.status.system,),
}


def describe_instance_status(
    services: Services, principal: Principal, request: ec2.DescribeInstanceStatusRequest
) -> ec2.DescribeInstanceStatusResult:
    """The checks of running instances; of all with IncludeAllInstances."""
    wanted_ids = check_ids(request.instance_ids)
    _refuse_page_of_ids(wanted_ids, request.max_results, request.next_token)
    wanted = filters.predicate(parse_filters(request.filters), STATUS_FIELDS)
    page = open_page(services, principal, "DescribeInstanceStatus", request, size_min=PAGE_SIZE_MIN)
    raise_if_dry_run(request)
    with services.database.read() as c:
        found = find_visible(c, principal, wanted_ids, now=services.now())
    shown_states = set(State) if request.include_all_instances else {State.RUNNING}
    checked = [check(services, instance) for instance in found if instance.state in shown_states]
    chosen = sorted((each for each in checked if wanted(each)), key=_status_key)
    shown, token = cut_page(services, principal, "DescribeInstanceStatus", request, page, chosen, _status_key)
    return ec2.DescribeInstanceStatusResult(instance_statuses=[_status(each) for each in shown], next_token=token)


def check(services: Services, instance: Instance) -> Checked:
    """Looks whether the instance's process lives."""
    is_alive = instance.state is State.RUNNING and is_process_alive(services, instance.id)
    return Checked(instance, status_of(instance, is_alive=is_alive, now=services.now()))


def is_process_alive(services: Services, instance_id: str) -> bool:
    """Whether the QEMU that the instance's directory names is there and the same."""
    try:
        with open_directory(services.data, instance_id) as directory:
            found = process.read_record(directory.descriptor, process.QEMU_RECORD)
    except FileNotFoundError:
        return False
    return found is not None and found.is_alive()


def _status_key(it: Checked) -> str:
    return it.instance.id


def _status(it: Checked) -> ec2.InstanceStatus:
    return ec2.InstanceStatus(
        availability_zone=it.instance.zone,
        instance_id=it.instance.id,
        instance_state=views.instance_state(it.instance.state),
        instance_status=_summary(it.status.instance),
        system_status=_summary(it.status.system),
    )


def _summary(status: str) -> ec2.InstanceStatusSummary:
    word = REACHABILITY.get(status)
    details = [ec2.InstanceStatusDetails(name="reachability", status=word)] if word else None
    return ec2.InstanceStatusSummary(status=status, details=details)
