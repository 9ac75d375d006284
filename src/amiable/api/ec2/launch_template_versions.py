"""CreateLaunchTemplateVersion, DescribeLaunchTemplateVersions, DeleteLaunchTemplateVersions and GetLaunchTemplateData."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.image_alias import resolve_image
from amiable.api.ec2.instance_ids import find_named
from amiable.api.ec2.launch_template_data import check_data, read_data, response_of, values_of, write_data
from amiable.api.ec2.launch_template_warnings import warning_of
from amiable.api.ec2.launch_templates import find, find_version
from amiable.api.ec2.tags import parse_filters
from amiable.api.idempotency import Repeatable, check_token
from amiable.api.paging import PageBounds, open_page
from amiable.database import interfaces, launch_templates, profile_associations, tags, volumes
from amiable.model.errors import (
    InvalidParameterCombination,
    InvalidParameterValue,
    MissingParameter,
)
from amiable.model.instance import Instance
from amiable.model.launch_template import VERSIONS_DELETED_MAX, VERSIONS_MAX, LaunchTemplate, Version
from amiable.model.launch_template_errors import MaxTemplateVersionLimitExceeded
from amiable.model.network import NetworkInterface
from amiable.model.principal import Principal
from amiable.model.volume import Volume
from amiable.rules import filters
from amiable.rules.filters import boolean
from amiable.rules.launch_template import DEFAULT, LATEST, Named, check_description, named, number_of, wanted_numbers
from amiable.rules.launch_template_data import inherit
from amiable.rules.volume import root_of
from amiable.services import Services
from amiable.wire.generated import ec2

PROVISIONED: Final = ("gp3", "io1", "io2")
"""Volume types whose rate is said, not given by their size."""
VERSIONS_PER_PAGE_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class View:
    """A version, its template and its data."""

    template: LaunchTemplate
    version: Version
    data: Mapping[str, Any]

    @property
    def is_default(self) -> bool:
        """Whether a launch takes it that names none."""
        return self.version.number == self.template.default_version


FIELDS: Final[Mapping[str, filters.Field[View]]] = {
    "create-time": lambda it: (f"{it.version.created_at:%Y-%m-%dT%H:%M:%S.000Z}",),
    "ebs-optimized": lambda it: (_boolean(it.data.get("ebs_optimized")),),
    "http-endpoint": lambda it: (it.data.get("metadata_options", {}).get("http_endpoint"),),
    "http-protocol-ipv4": lambda it: (it.data.get("metadata_options", {}).get("http_endpoint"),),
    "http-tokens": lambda it: (it.data.get("metadata_options", {}).get("http_tokens"),),
    "host-resource-group-arn": lambda it: (it.data.get("placement", {}).get("host_resource_group_arn"),),
    "iam-instance-profile": lambda it: it.data.get("iam_instance_profile", {}).values(),
    "image-id": lambda it: (it.data.get("image_id"),),
    "instance-type": lambda it: (it.data.get("instance_type"),),
    "is-default-version": lambda it: (boolean(it.is_default),),
    "kernel-id": lambda it: (it.data.get("kernel_id"),),
    "license-configuration-arn": lambda it: [
        each.get("license_configuration_arn") for each in it.data.get("license_specifications", [])
    ],
    "network-card-index": lambda it: [
        str(each["network_card_index"])
        for each in it.data.get("network_interfaces", [])
        if "network_card_index" in each
    ],
    "ram-disk-id": lambda it: (it.data.get("ram_disk_id"),),
}


def _boolean(value: bool | None) -> str | None:
    return None if value is None else boolean(value)


def create_launch_template_version(
    services: Services, principal: Principal, request: ec2.CreateLaunchTemplateVersionRequest
) -> ec2.CreateLaunchTemplateVersionResult:
    """Adds a version: the data of the source version, if one is named, under the data of the request."""
    check_token(request)
    wanted = named(request.launch_template_id, request.launch_template_name)
    description = check_description(request.version_description)
    check_data(request.launch_template_data)
    with services.database.write_and_answer() as c:
        template = find(c, principal, wanted)
        once = Repeatable(services, principal, request)
        made = None if request.dry_run else once.recall(c)
        if made is not None:
            known = find_version(c, template, int(made[0]))
            return _created(services, c, principal, _view(template, known), resolve=bool(request.resolve_alias))
        data = values_of(request.launch_template_data)
        if request.source_version:
            source = find_version(c, template, number_of(request.source_version, template, "SourceVersion"))
            data = {**inherit(read_data(source.data)), **data}
        count = launch_templates.count_versions(c, template.id)
        if count >= VERSIONS_MAX:
            raise MaxTemplateVersionLimitExceeded(template_id=template.id, count=count)
        raise_if_dry_run(request)
        version = Version(
            template.id,
            template.last_number + 1,
            description,
            write_data(data),
            data.get("image_id"),
            services.now(),
            principal.arn,
        )
        launch_templates.add_version(c, version)
        once.remember(c, [str(version.number)])
        return _created(services, c, principal, _view(template, version), resolve=bool(request.resolve_alias))


def _created(
    services: Services, c: Connection, principal: Principal, view: View, *, resolve: bool
) -> ec2.CreateLaunchTemplateVersionResult:
    told = _resolved(services, c, principal, view, resolve=resolve)
    warning = warning_of(c, principal, view.data)
    return ec2.CreateLaunchTemplateVersionResult(launch_template_version=_shown(told), warning=warning)


def _view(template: LaunchTemplate, version: Version) -> View:
    return View(template, version, read_data(version.data))


def _resolved(services: Services, c: Connection, principal: Principal, view: View, *, resolve: bool) -> View:
    """The view with the image's id in place of an alias; one that leads nowhere is shown as it is."""
    image = view.data.get("image_id")
    if not resolve or image is None or not image.startswith("resolve:"):
        return view
    found = resolve_image(c, principal, image, now=services.now())
    return View(view.template, view.version, {**view.data, "image_id": found})


def _shown(view: View) -> ec2.LaunchTemplateVersion:
    return ec2.LaunchTemplateVersion(
        launch_template_id=view.template.id,
        launch_template_name=view.template.name,
        version_number=view.version.number,
        version_description=view.version.description,
        create_time=view.version.created_at,
        created_by=view.version.created_by,
        default_version=view.is_default,
        launch_template_data=response_of(dict(view.data)),
    )


def describe_launch_template_versions(
    services: Services, principal: Principal, request: ec2.DescribeLaunchTemplateVersionsRequest
) -> ec2.DescribeLaunchTemplateVersionsResult:
    """One template's versions, all or those that are named; or ``$Latest`` and ``$Default`` of all templates."""
    is_one = bool(request.launch_template_id or request.launch_template_name)
    wanted = named(request.launch_template_id, request.launch_template_name) if is_one else None
    if request.versions and (request.min_version or request.max_version):
        raise InvalidParameterCombination("Versions may not be given together with MinVersion or MaxVersion.")
    if wanted is None and (not request.versions or set(request.versions) - {LATEST, DEFAULT}):
        raise MissingParameter(
            "Give LaunchTemplateId or LaunchTemplateName, or as Versions $Latest, $Default or both, of all templates."
        )
    is_chosen = filters.predicate(parse_filters(request.filters), FIELDS)
    page = open_page(services, principal, request, PageBounds(size_max=VERSIONS_PER_PAGE_MAX))
    raise_if_dry_run(request)
    with services.database.read() as c:
        views = _wanted(c, principal, request, wanted)
        views = [_resolved(services, c, principal, view, resolve=bool(request.resolve_alias)) for view in views]
    chosen = [view for view in views if is_chosen(view)]
    cut, token = page.cut(chosen, _page_key)
    return ec2.DescribeLaunchTemplateVersionsResult(
        launch_template_versions=[_shown(view) for view in cut], next_token=token
    )


def _page_key(view: View) -> str:
    """By template, the newest version first."""
    return f"{view.template.id}:{VERSIONS_MAX * 1000 - view.version.number:012d}"


def _wanted(
    c: Connection, principal: Principal, request: ec2.DescribeLaunchTemplateVersionsRequest, wanted: Named | None
) -> list[View]:
    if wanted is None:
        templates = launch_templates.list_templates(c, principal.account_id, principal.region)
        current = launch_templates.list_current(c, principal.account_id, principal.region)
        return [
            _view(each, current[each.id, number])
            for each in templates
            for number in sorted(wanted_numbers(request.versions or [], each), reverse=True)
        ]
    template = find(c, principal, wanted)
    if request.versions:
        numbers = sorted(wanted_numbers(request.versions, template), reverse=True)
        return [_view(template, find_version(c, template, number)) for number in numbers]
    least = number_of(request.min_version, template, "MinVersion") if request.min_version else 1
    most = number_of(request.max_version, template, "MaxVersion") if request.max_version else template.latest_version
    known = launch_templates.list_versions(c, [template.id])
    return [_view(template, version) for version in known if least <= version.number <= most]


def delete_launch_template_versions(
    services: Services, principal: Principal, request: ec2.DeleteLaunchTemplateVersionsRequest
) -> ec2.DeleteLaunchTemplateVersionsResult:
    """Deletes versions, each for itself; the default one stays until another is the default."""
    wanted = named(request.launch_template_id, request.launch_template_name)
    if not request.versions:
        raise MissingParameter(parameter="LaunchTemplateVersion")
    if len(request.versions) > VERSIONS_DELETED_MAX:
        raise InvalidParameterValue(
            f"A request may delete {VERSIONS_DELETED_MAX} versions at most; this one names {len(request.versions)}."
        )
    with services.database.write_and_answer() as c:
        template = find(c, principal, wanted)
        numbers = wanted_numbers(request.versions, template)
        known = {version.number for version in launch_templates.list_versions(c, [template.id])}
        gone = [number for number in numbers if number in known and number != template.default_version]
        raise_if_dry_run(request)
        launch_templates.delete_versions(c, template.id, gone)
    return ec2.DeleteLaunchTemplateVersionsResult(
        successfully_deleted_launch_template_versions=[
            ec2.DeleteLaunchTemplateVersionsResponseSuccessItem(
                launch_template_id=template.id, launch_template_name=template.name, version_number=number
            )
            for number in gone
        ],
        unsuccessfully_deleted_launch_template_versions=[
            ec2.DeleteLaunchTemplateVersionsResponseErrorItem(
                launch_template_id=template.id,
                launch_template_name=template.name,
                version_number=number,
                response_error=_why_not(template, number, known),
            )
            for number in numbers
            if number not in gone
        ],
    )


def _why_not(template: LaunchTemplate, number: int, known: set[int]) -> ec2.ResponseError:
    if number not in known:
        return ec2.ResponseError(
            code="launchTemplateVersionDoesNotExist",
            message=f"Could not find the specified version {number} for the launch template with ID {template.id}.",
        )
    message = f"The version {number} is the default version of the launch template {template.id}: it cannot be deleted."
    return ec2.ResponseError(code="unexpectedError", message=message)


# ── of an instance ──────────────────────────────────────────────────────────────────────────────────────────────────────


def get_launch_template_data(
    services: Services, principal: Principal, request: ec2.GetLaunchTemplateDataRequest
) -> ec2.GetLaunchTemplateDataResult:
    """The data that would launch an instance like this one."""
    with services.database.read() as c:
        (instance,) = find_named(c, principal, [request.instance_id], now=services.now())
        disks = volumes.volumes_of(c, instance.id)
        tagged = tags.tags_of(c, principal.account_id, [instance.id]).get(instance.id, {})
        profile = profile_associations.associations_of(c, [instance.id]).get(instance.id)
        held = interfaces.interfaces_of(c, [instance.id])[instance.id]
    raise_if_dry_run(request)
    data = _data_of(instance, disks, tagged) | _options_of(instance)
    data["network_interfaces"] = [_interface_of(each) for each in held]
    if profile is not None:
        data["iam_instance_profile"] = {"arn": profile.profile_arn}
    told = {name: value for name, value in data.items() if value not in (None, [])}
    return ec2.GetLaunchTemplateDataResult(launch_template_data=response_of(told))


def _data_of(instance: Instance, disks: Sequence[Volume], tagged: Mapping[str, str]) -> dict[str, Any]:
    own = [{"key": key, "value": value} for key, value in sorted(tagged.items()) if not key.startswith("aws:")]
    root = root_of(disks, instance.root_device_name)
    return {
        "image_id": instance.image_id,
        "instance_type": instance.instance_type,
        "key_name": instance.key_name,
        "kernel_id": instance.kernel_id,
        "ram_disk_id": instance.ramdisk_id,
        "user_data": base64.b64encode(instance.user_data).decode() if instance.user_data else None,
        "block_device_mappings": [
            _mapping_of(disk, is_root=disk == root)
            for disk in disks
            if not disk.is_instance_store and not disk.is_leaving
        ],
        "placement": {"availability_zone": instance.zone, "tenancy": "default"},
        "tag_specifications": [{"resource_type": "instance", "tags": own}] if own else None,
    }


def _options_of(instance: Instance) -> dict[str, Any]:
    options = instance.metadata
    return {
        "instance_initiated_shutdown_behavior": instance.shutdown_behavior,
        "disable_api_termination": instance.disable_api_termination,
        "disable_api_stop": instance.disable_api_stop,
        "ebs_optimized": instance.ebs_optimized,
        "monitoring": {"enabled": instance.detailed_monitoring},
        "credit_specification": {"cpu_credits": instance.cpu_credits} if instance.cpu_credits else None,
        "maintenance_options": {"auto_recovery": instance.auto_recovery},
        "metadata_options": {
            "http_tokens": options.http_tokens,
            "http_endpoint": options.http_endpoint,
            "http_put_response_hop_limit": options.http_hop_limit,
            "http_protocol_ipv6": options.http_protocol_ipv6,
            "instance_metadata_tags": options.instance_metadata_tags,
        },
    }


def _interface_of(interface: NetworkInterface) -> dict[str, Any]:
    """The interface as a launch would make one like it: without its address."""
    assert interface.attachment is not None, interface.id
    told = {
        "device_index": interface.attachment.device_index,
        "subnet_id": interface.subnet_id,
        "groups": list(interface.group_ids),
        "description": interface.description or None,
        "delete_on_termination": interface.attachment.delete_on_termination,
    }
    return {name: value for name, value in told.items() if value is not None}


def _mapping_of(disk: Volume, *, is_root: bool) -> dict[str, Any]:
    """The entry that makes a volume like this; a launch takes the root's snapshot from the image, whatever root came since."""
    ebs = {
        "delete_on_termination": disk.delete_on_termination,
        "snapshot_id": None if is_root else disk.snapshot_id,
        "volume_size": disk.size_gib,
        "volume_type": disk.volume_type,
        "iops": disk.iops if disk.volume_type in PROVISIONED else None,
        "throughput": disk.throughput,
    }
    kept = {name: value for name, value in ebs.items() if value is not None}
    return {"device_name": disk.device_name, "ebs": kept}
