"""DescribeInstanceTypes: the table agrees with EC2's published facts, and lists only what runs here."""

import gzip
import json
from pathlib import Path
from typing import Any

import moto.ec2
import pytest

from amiable.api.ec2 import instance_types as api
from amiable.model.errors import Refusal
from amiable.model.instance_type import INSTANCE_TYPES, TINY
from amiable.model.principal import Principal
from amiable.services import Services
from amiable.wire.generated import ec2


def described(services: Services, principal: Principal, **parameters: Any) -> list[ec2.InstanceTypeInfo]:
    request = ec2.DescribeInstanceTypesRequest(**parameters)
    return api.describe_instance_types(services, principal, request).instance_types or []


def wanted(name: str, *values: str) -> list[ec2.Filter]:
    return [ec2.Filter(name=name, values=list(values))]


def test_every_type_but_our_own_agrees_with_ec2() -> None:
    file = Path(moto.ec2.__path__[0]) / "resources" / "instance_types.json.gz"
    published = json.loads(gzip.decompress(file.read_bytes()))
    assert len(INSTANCE_TYPES) > 300
    for name, type_ in INSTANCE_TYPES.items():
        if name == TINY:
            continue
        facts = published[name]
        assert type_.vcpus == facts["VCpuInfo"]["DefaultVCpus"], name
        assert type_.memory_mib == facts["MemoryInfo"]["SizeInMiB"], name
        assert list(type_.architectures) == facts["ProcessorInfo"]["SupportedArchitectures"], name
        assert list(type_.boot_modes) == facts["SupportedBootModes"], name
        assert type_.hypervisor == facts["Hypervisor"], name
        assert type_.is_burstable == facts["BurstablePerformanceSupported"], name
        assert type_.needs_ena == (facts["NetworkInfo"]["EnaSupport"] == "required"), name
        can_be_optimized = facts["EbsInfo"]["EbsOptimizedSupport"] != "unsupported"
        assert (api.ebs_optimized_support(type_) == "supported") == can_be_optimized, name
        if type_.is_supported:
            assert api.tpm_support(type_) == facts["NitroTpmSupport"], name


def test_the_tiny_type_has_one_processor_and_256_mib(services: Services, principal: Principal) -> None:
    (tiny,) = described(services, principal, instance_types=[TINY])
    assert tiny.v_cpu_info and tiny.v_cpu_info.default_v_cpus == 1
    assert tiny.memory_info and tiny.memory_info.size_in_mi_b == 256
    assert tiny.supported_in_region is True


def test_what_cannot_run_here_is_listed_only_when_asked_for(services: Services, principal: Principal) -> None:
    listed = {each.instance_type for each in described(services, principal)}
    assert TINY in listed and "t4g.nano" not in listed
    all_of_them = {
        each.instance_type: each.supported_in_region
        for each in described(services, principal, include_unsupported_in_region=True)
    }
    assert all_of_them["t4g.nano"] is False
    assert set(all_of_them) == set(INSTANCE_TYPES)


def test_types_are_filtered_by_their_facts(services: Services, principal: Principal) -> None:
    asked = [
        *wanted("vcpu-info.default-vcpus", "2"),
        *wanted("memory-info.size-in-mib", "4096"),
        *wanted("hypervisor", "xen"),
    ]
    assert {each.instance_type for each in described(services, principal, filters=asked)} == {"t2.medium"}
    i386 = described(services, principal, filters=wanted("processor-info.supported-architecture", "i386"))
    assert "t2.nano" in {each.instance_type for each in i386}
    assert not described(services, principal, filters=wanted("bare-metal", "true"))


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("disk.count", "2", "m5d.4xlarge"),
        ("disk.size-in-gb", "75", "m5d.large"),
        ("disk.type", "hdd", "m1.large"),
        ("nvme-support", "required", "m5d.large"),
        ("total-size-in-gb", "600", "m5d.4xlarge"),
        ("encryption-support", "unsupported", "m5d.large"),
    ],
)
def test_local_disks_are_found_as_they_are_shown(
    services: Services, principal: Principal, name: str, value: str, found: str
) -> None:
    listed = described(services, principal, filters=wanted(f"instance-storage-info.{name}", value))
    assert found in {each.instance_type for each in listed}
    assert all(each.instance_storage_supported for each in listed)
    assert not described(services, principal, filters=wanted("processor-info.supported-features", "*"))


def test_pages_walk_through_all_types(services: Services, principal: Principal) -> None:
    seen: list[str | None] = []
    token = None
    while True:
        request = ec2.DescribeInstanceTypesRequest(max_results=50, next_token=token)
        answer = api.describe_instance_types(services, principal, request)
        seen += [each.instance_type for each in answer.instance_types or []]
        token = answer.next_token
        if token is None:
            break
    assert seen == sorted(name for name, type_ in INSTANCE_TYPES.items() if type_.is_supported)


@pytest.mark.parametrize(
    ("code", "parameters"),
    [
        ("InvalidInstanceType", {"instance_types": ["t9.huge"]}),
        ("InvalidParameterValue", {"max_results": 4}),
        ("InvalidParameterCombination", {"instance_types": [TINY], "max_results": 5}),
        ("InvalidParameterValue", {"filters": wanted("gpu-info.name", "x")}),
        ("InvalidParameterValue", {"instance_types": [f"x{number}.y" for number in range(101)]}),
        ("DryRunOperation", {"dry_run": True}),
    ],
)
def test_bad_questions_are_refused(
    services: Services, principal: Principal, code: str, parameters: dict[str, Any]
) -> None:
    with pytest.raises(Refusal) as caught:
        described(services, principal, **parameters)
    assert caught.value.code == code


def test_every_type_that_is_not_there_is_named(services: Services, principal: Principal) -> None:
    with pytest.raises(Refusal) as caught:
        described(services, principal, instance_types=["t9.huge", TINY, "x.y"])
    assert caught.value.message == "The following supplied instance types do not exist: [t9.huge, x.y]"
