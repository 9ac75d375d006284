"""DescribeInstanceTypes: the table of ``model/instance_type``, with what is true of each type here.

An interface is of the host's speed; a machine has one.  What EC2 types have and machines here have not is ``unsupported``.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.tags import parse_filters
from amiable.api.paging import PageBounds, open_page
from amiable.model.errors import InvalidParameterCombination, InvalidParameterValue
from amiable.model.instance_errors import InvalidInstanceType
from amiable.model.instance_type import INSTANCE_TYPES, InstanceType, find_type, type_of
from amiable.model.local_disks import LocalDisks, local_disks_of
from amiable.model.principal import Principal
from amiable.rules import filters
from amiable.rules.devices import DISKS_MAX
from amiable.rules.filters import boolean
from amiable.rules.instance_options import is_optimizable
from amiable.services import Services
from amiable.wire.generated import ec2

TYPES_PER_CALL_MAX: Final = 100
PAGE_SIZE_MIN: Final = 5
VIRTUALIZATION_TYPES: Final = ("hvm", "paravirtual")
ROOT_DEVICE_TYPES: Final = ("ebs", "instance-store")
NETWORK_PERFORMANCE: Final = "As the host"
INTERFACES_MAX: Final = 1
ADDRESSES_PER_INTERFACE: Final = 1
TPM_VERSION: Final = "2.0"


def virtualization_types(type_: InstanceType) -> tuple[str, ...]:
    """What a type starts: on x86 paravirtual images too."""
    return VIRTUALIZATION_TYPES if type_.is_supported else ("hvm",)


def root_device_types(type_: InstanceType) -> tuple[str, ...]:
    """Where a root may lie."""
    return ROOT_DEVICE_TYPES if type_.is_supported else ("ebs",)


def nvme_support(type_: InstanceType) -> str:
    """EC2's word for whether volumes show as NVMe disks: images with the ENA flag get them on every x86 type here."""
    return "required" if type_.hypervisor == "nitro" else "unsupported"


def ena_support(type_: InstanceType) -> str:
    """Whether an HVM image must, may or cannot have the ENA flag."""
    return "required" if type_.needs_ena else "supported"


def ebs_optimized_support(type_: InstanceType) -> str:
    """Whether EbsOptimized may be asked for; it is a record."""
    return "supported" if is_optimizable(type_) else "unsupported"


def tpm_support(type_: InstanceType) -> str:
    """Whether an image with TpmSupport starts."""
    return "supported" if type_.has_tpm else "unsupported"


def valid_cores(type_: InstanceType) -> list[int]:
    """Every processor is a core of one thread; CpuOptions that say otherwise are refused."""
    return [type_.vcpus]


def _nothing(it: InstanceType) -> tuple[str, ...]:
    """Neither bandwidth nor clocks are claimed: the answer has no such element, and the filter finds nothing."""
    return ()


def _disk(name: str) -> filters.Field[InstanceType]:
    """A member of each local disk that the answer shows."""
    return lambda it: [str(getattr(disk, name)) for disk in _stored(it).disks or []]


def _stored(it: InstanceType) -> ec2.InstanceStorageInfo:
    return _storage(local_disks_of(it.name)) or ec2.InstanceStorageInfo()


def _text(value: object) -> str | None:
    return None if value is None else str(value)


FIELDS: Final[Mapping[str, filters.Field[InstanceType]]] = {
    "auto-recovery-supported": lambda it: ("true",),
    "bare-metal": lambda it: ("false",),
    "burstable-performance-supported": lambda it: (boolean(it.is_burstable),),
    "current-generation": lambda it: (boolean(it.is_current),),
    "dedicated-hosts-supported": lambda it: ("false",),
    "ebs-info.attachment-limit-type": lambda it: ("dedicated",),
    "ebs-info.ebs-optimized-info.baseline-bandwidth-in-mbps": _nothing,
    "ebs-info.ebs-optimized-info.baseline-iops": _nothing,
    "ebs-info.ebs-optimized-info.baseline-throughput-in-mbps": _nothing,
    "ebs-info.ebs-optimized-info.maximum-bandwidth-in-mbps": _nothing,
    "ebs-info.ebs-optimized-info.maximum-iops": _nothing,
    "ebs-info.ebs-optimized-info.maximum-throughput-in-mbps": _nothing,
    "ebs-info.ebs-optimized-support": lambda it: (ebs_optimized_support(it),),
    "ebs-info.encryption-support": lambda it: ("unsupported",),
    "ebs-info.maximum-ebs-attachments": lambda it: (str(DISKS_MAX),),
    "ebs-info.maximum-ebs-cards": lambda it: ("1",),
    "ebs-info.nvme-support": lambda it: (nvme_support(it),),
    "free-tier-eligible": lambda it: ("false",),
    "hibernation-supported": lambda it: ("false",),
    "hypervisor": lambda it: (it.hypervisor,),
    "instance-storage-info.disk.count": _disk("count"),
    "instance-storage-info.disk.size-in-gb": _disk("size_in_gb"),
    "instance-storage-info.disk.type": _disk("type"),
    "instance-storage-info.encryption-support": lambda it: (_stored(it).encryption_support,),
    "instance-storage-info.nvme-support": lambda it: (_stored(it).nvme_support,),
    "instance-storage-info.total-size-in-gb": lambda it: (_text(_stored(it).total_size_in_gb),),
    "instance-storage-supported": lambda it: (boolean(local_disks_of(it.name).count > 0),),
    "instance-type": lambda it: (it.name,),
    "memory-info.size-in-mib": lambda it: (str(it.memory_mib),),
    "network-info.bandwidth-weightings": _nothing,
    "network-info.efa-info.maximum-efa-interfaces": _nothing,
    "network-info.efa-supported": lambda it: ("false",),
    "network-info.ena-support": lambda it: (ena_support(it),),
    "network-info.encryption-in-transit-supported": lambda it: ("false",),
    "network-info.flexible-ena-queues-support": _nothing,
    "network-info.ipv4-addresses-per-interface": lambda it: (str(ADDRESSES_PER_INTERFACE),),
    "network-info.ipv6-addresses-per-interface": lambda it: ("0",),
    "network-info.ipv6-supported": lambda it: ("false",),
    "network-info.maximum-network-cards": lambda it: ("1",),
    "network-info.maximum-network-interfaces": lambda it: (str(INTERFACES_MAX),),
    "network-info.network-performance": lambda it: (NETWORK_PERFORMANCE,),
    "nitro-enclaves-support": lambda it: ("unsupported",),
    "nitro-tpm-info.supported-versions": lambda it: (TPM_VERSION,) if it.has_tpm else (),
    "nitro-tpm-support": lambda it: (tpm_support(it),),
    "processor-info.supported-architecture": lambda it: it.architectures,
    "processor-info.supported-features": _nothing,
    "processor-info.sustained-clock-speed-in-ghz": _nothing,
    "reboot-migration-support": _nothing,
    "supported-boot-mode": lambda it: it.boot_modes,
    "supported-root-device-type": root_device_types,
    "supported-usage-class": lambda it: ("on-demand",),
    "supported-virtualization-type": virtualization_types,
    "vcpu-info.default-cores": lambda it: (str(it.vcpus),),
    "vcpu-info.default-threads-per-core": lambda it: ("1",),
    "vcpu-info.default-vcpus": lambda it: (str(it.vcpus),),
    "vcpu-info.valid-cores": lambda it: map(str, valid_cores(it)),
    "vcpu-info.valid-threads-per-core": lambda it: ("1",),
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
    missing = [name for name in names if find_type(name) is None]
    if missing:
        raise InvalidInstanceType(names=", ".join(missing))
    asked = parse_filters(request.filters)
    wanted = filters.predicate(asked, FIELDS)
    page = open_page(services, principal, request, PageBounds(size_min=PAGE_SIZE_MIN))
    raise_if_dry_run(request)
    chosen = [type_of(name) for name in names] if names else known_types(asked)
    is_all = bool(names or request.include_unsupported_in_region)
    found = sorted((it for it in chosen if (is_all or it.is_supported) and wanted(it)), key=_key)
    shown, token = page.cut(found, _key)
    return ec2.DescribeInstanceTypesResult(instance_types=[_info(type_) for type_ in shown], next_token=token)


def known_types(asked: Sequence[filters.Filter]) -> list[InstanceType]:
    """The types of the table, and those sized by their name that a filter names in full."""
    names = {value for each in asked if each.name == "instance-type" for value in each.values}
    sized = [type_ for name in sorted(names - set(INSTANCE_TYPES)) if (type_ := find_type(name)) is not None]
    return [*INSTANCE_TYPES.values(), *sized]


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
        v_cpu_info=ec2.VCpuInfo(
            default_v_cpus=type_.vcpus,
            default_cores=type_.vcpus,
            default_threads_per_core=1,
            valid_cores=valid_cores(type_),
            valid_threads_per_core=[1],
        ),
        memory_info=ec2.MemoryInfo(size_in_mi_b=type_.memory_mib),
        instance_storage_supported=local_disks_of(type_.name).count > 0,
        instance_storage_info=_storage(local_disks_of(type_.name)),
        ebs_info=ec2.EbsInfo(
            ebs_optimized_support=ebs_optimized_support(type_),
            encryption_support="unsupported",
            nvme_support=nvme_support(type_),
            maximum_ebs_attachments=DISKS_MAX,
            attachment_limit_type="dedicated",
            maximum_ebs_cards=1,
        ),
        network_info=_network_info(type_),
        placement_group_info=ec2.PlacementGroupInfo(supported_strategies=[]),
        hibernation_supported=False,
        burstable_performance_supported=type_.is_burstable,
        dedicated_hosts_supported=False,
        auto_recovery_supported=True,
        supported_boot_modes=list(type_.boot_modes),
        nitro_enclaves_support="unsupported",
        nitro_tpm_support=tpm_support(type_),
        nitro_tpm_info=ec2.NitroTpmInfo(supported_versions=[TPM_VERSION]) if type_.has_tpm else None,
        phc_support="unsupported",
        supported_in_region=type_.is_supported,
    )


def _storage(local: LocalDisks) -> ec2.InstanceStorageInfo | None:
    if local.count == 0:
        return None
    return ec2.InstanceStorageInfo(
        total_size_in_gb=local.total_gib,
        disks=[
            ec2.DiskInfo(size_in_gb=local.size_gib, count=local.count, type="ssd" if local.is_always_there else "hdd")
        ],
        nvme_support="required" if local.is_always_there else "unsupported",
        encryption_support="unsupported",
    )


def _network_info(type_: InstanceType) -> ec2.NetworkInfo:
    card = ec2.NetworkCardInfo(
        network_card_index=0,
        network_performance=NETWORK_PERFORMANCE,
        maximum_network_interfaces=INTERFACES_MAX,
    )
    return ec2.NetworkInfo(
        network_performance=NETWORK_PERFORMANCE,
        maximum_network_interfaces=INTERFACES_MAX,
        maximum_network_cards=1,
        default_network_card_index=0,
        network_cards=[card],
        ipv4_addresses_per_interface=ADDRESSES_PER_INTERFACE,
        ipv6_addresses_per_interface=0,
        ipv6_supported=False,
        ena_support=ena_support(type_),
        efa_supported=False,
        encryption_in_transit_supported=False,
        ena_srd_supported=False,
    )
