"""DescribeInstanceTypes: the table of ``model/instance_type``, with what is true of each type here."""

from collections.abc import Mapping
from typing import Final

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.tags import parse_filters
from amiable.api.paging import cut_page, open_page
from amiable.model.errors import InvalidParameterCombination, InvalidParameterValue, NotFound
from amiable.model.instance_type import INSTANCE_TYPES, InstanceType
from amiable.model.principal import Principal
from amiable.rules import filters
from amiable.rules.filters import boolean
from amiable.services import Services
from amiable.wire.generated import ec2

TYPES_PER_CALL_MAX: Final = 100
PAGE_SIZE_MIN: Final = 5
VIRTUALIZATION_TYPES: Final = ("hvm", "paravirtual")
ROOT_DEVICE_TYPES: Final = ("ebs", "instance-store")


def virtualization_types(type_: InstanceType) -> tuple[str, ...]:
    """What a type starts: on x86 paravirtual images too."""
    return VIRTUALIZATION_TYPES if type_.is_supported else ("hvm",)


def root_device_types(type_: InstanceType) -> tuple[str, ...]:
    """Where a root may lie."""
    return ROOT_DEVICE_TYPES if type_.is_supported else ("ebs",)


FIELDS: Final[Mapping[str, filters.Field[InstanceType]]] = {
    "auto-recovery-supported": lambda it: ("false",),
    "bare-metal": lambda it: ("false",),
    "burstable-performance-supported": lambda it: (boolean(it.is_burstable),),
    "current-generation": lambda it: (boolean(it.is_current),),
    "dedicated-hosts-supported": lambda it: ("false",),
    "free-tier-eligible": lambda it: ("false",),
    "hibernation-supported": lambda it: ("false",),
    "hypervisor": lambda it: (it.hypervisor,),
    "instance-storage-supported": lambda it: ("false",),
    "instance-type": lambda it: (it.name,),
    "memory-info.size-in-mib": lambda it: (str(it.memory_mib),),
    "processor-info.supported-architecture": lambda it: it.architectures,
    "supported-boot-mode": lambda it: it.boot_modes,
    "supported-root-device-type": root_device_types,
    "supported-usage-class": lambda it: ("on-demand",),
    "supported-virtualization-type": virtualization_types,
    "vcpu-info.default-cores": lambda it: (str(it.vcpus),),
    "vcpu-info.default-threads-per-core": lambda it: ("1",),
    "vcpu-info.default-vcpus": lambda it: (str(it.vcpus),),
}


def describe_instance_types(
    services: Services, principal: Principal, request: ec2.DescribeInstanceTypesRequest
) -> ec2.DescribeInstanceTypesResult:
    """The types that run here; with IncludeUnsupportedInRegion, or named, also those that are only known."""
    names = list(dict.fromkeys(request.instance_types or []))
    if len(names) > TYPES_PER_CALL_MAX:
        raise InvalidParameterValue(f"A request may name {TYPES_PER_CALL_MAX} instance types at most.")
    if names and (request.max_results is not None or request.next_token):
        raise InvalidParameterCombination(
            "The parameter InstanceTypes cannot be used with the parameter MaxResults or NextToken."
        )
    missing = [name for name in names if name not in INSTANCE_TYPES]
    if missing:
        raise NotFound("instance_type", missing)
    wanted = filters.predicate(parse_filters(request.filters), FIELDS)
    page = open_page(services, principal, "DescribeInstanceTypes", request, size_min=PAGE_SIZE_MIN)
    raise_if_dry_run(request)
    chosen = [INSTANCE_TYPES[name] for name in names] if names else list(INSTANCE_TYPES.values())
    is_all = bool(names or request.include_unsupported_in_region)
    found = sorted((it for it in chosen if (is_all or it.is_supported) and wanted(it)), key=_key)
    shown, token = cut_page(services, principal, "DescribeInstanceTypes", request, page, found, _key)
    return ec2.DescribeInstanceTypesResult(instance_types=[_info(type_) for type_ in shown], next_token=token)


def _key(type_: InstanceType) -> str:
    return type_.name


def _info(type_: InstanceType) -> ec2.InstanceTypeInfo:
    return ec2.InstanceTypeInfo(
        instance_type=type_.name,
        current_generation=type_.is_current,
        free_tier_eligible=False,
        supported_usage_classes=["on-demand"],
        supported_root_device_types=list(root_device_types(type_)),
        supported_virtualization_types=list(virtualization_types(type_)),
        bare_metal=False,
        hypervisor=type_.hypervisor,
        processor_info=ec2.ProcessorInfo(
            supported_architectures=list(type_.architectures), manufacturer=type_.manufacturer
        ),
        v_cpu_info=ec2.VCpuInfo(default_v_cpus=type_.vcpus, default_cores=type_.vcpus, default_threads_per_core=1),
        memory_info=ec2.MemoryInfo(size_in_mi_b=type_.memory_mib),
        instance_storage_supported=False,
        hibernation_supported=False,
        burstable_performance_supported=type_.is_burstable,
        dedicated_hosts_supported=False,
        auto_recovery_supported=False,
        supported_boot_modes=list(type_.boot_modes),
        nitro_enclaves_support="unsupported",
        nitro_tpm_support="unsupported",
        supported_in_region=type_.is_supported,
    )
