"""RunInstances: what is written, in one transaction, and what is refused with nothing written."""

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import func, select

from amiable.api.ec2 import instances as describe
from amiable.api.ec2 import launch_request
from amiable.database import instances, network, schema, tags, volumes
from amiable.database.key_pairs import insert_key_pair
from amiable.model import ids
from amiable.model.errors import Refusal
from amiable.model.kernel import KernelKind
from amiable.model.key_pair import KeyPair
from amiable.model.principal import Principal
from amiable.rules import launch as launch_rules
from amiable.rules.lifecycle import Event
from amiable.services import Services
from amiable.vm import host
from amiable.wire.generated import ec2
from tests.api.ec2.launching import (
    make_image,
    make_instance_store_image,
    make_kernel,
    make_snapshot,
    run,
    run_one,
)
from tests.support.services import make_account, open_services


def counts(services: Services) -> dict[str, int]:
    """Rows of all that a launch may write."""
    tables = (schema.instance, schema.reservation, schema.volume, schema.tag, schema.job, schema.client_token)
    with services.database.read() as c:
        return {table.name: c.execute(select(func.count()).select_from(table)).scalar_one() for table in tables}


def refusal(services: Services, principal: Principal, image: Any, **parameters: Any) -> Refusal:
    """The refusal of a launch, which wrote nothing."""
    before = counts(services)
    with pytest.raises(Refusal) as caught:
        run(services, principal, image, **parameters)
    assert counts(services) == before
    return caught.value


def test_a_launch_answers_pending_and_writes_rows_and_a_boot_job_together(
    services: Services, principal: Principal
) -> None:
    image = make_image(services, principal)
    (made,) = run(services, principal, image)
    assert made.state == ec2.InstanceState(code=0, name="pending")
    assert made.private_ip_address == "172.31.0.4"
    assert made.private_dns_name == "ip-172-31-0-4.ec2.internal"
    assert counts(services) | {"tag": 0} == {
        "instance": 1, "reservation": 1, "volume": 1, "tag": 0, "job": 1, "client_token": 0,
    }  # fmt: skip
    with services.database.read() as c:
        job = c.execute(select(schema.job)).one()
        (volume,) = volumes.volumes_of(c, str(made.instance_id))
    assert (job.key, job.kind, job.host) == (f"{made.instance_id}:boot", "boot", services.host)
    assert json.loads(job.data) == {"instance_id": made.instance_id}
    assert (volume.snapshot_id, volume.size_gib) == (image.devices[0].snapshot_id, 2)


def test_what_was_launched_is_described_at_once(services: Services, principal: Principal) -> None:
    (made,) = run(services, principal, make_image(services, principal))
    found = describe.describe_instances(
        services, principal, ec2.DescribeInstancesRequest(instance_ids=[str(made.instance_id)])
    )
    assert found.reservations is not None and found.reservations[0].instances == [made]


def test_the_worker_is_woken_after_the_commit(services: Services, principal: Principal) -> None:
    image = make_image(services, principal)
    seen: list[int] = []
    woken = replace(services, wake=lambda: seen.append(counts(services)["job"]))
    run(woken, principal, image)
    assert seen == [1]


def test_each_instance_of_a_launch_has_an_address_a_volume_and_a_job_of_its_own(
    services: Services, principal: Principal
) -> None:
    made = run(services, principal, make_image(services, principal), min_count=3, max_count=3)
    assert [each.ami_launch_index for each in made] == [0, 1, 2]
    assert len({each.private_ip_address for each in made}) == 3
    assert len({each.network_interfaces[0].mac_address for each in made if each.network_interfaces}) == 3
    assert (counts(services)["volume"], counts(services)["job"], counts(services)["reservation"]) == (3, 3, 1)


def test_the_address_of_a_terminated_instance_is_free_again(services: Services, principal: Principal) -> None:
    image = make_image(services, principal)
    first = run_one(services, principal, image)
    with services.database.write() as c:
        instances.set_state(c, first, Event.LAUNCH_FAILED, now=services.now())
    (made,) = run(services, principal, image)
    assert made.private_ip_address == "172.31.0.4"


def test_user_data_key_tags_and_options_are_kept_as_they_were_asked(services: Services, principal: Principal) -> None:
    pair = KeyPair(
        services.mint(ids.KEY_PAIR),
        principal.account_id,
        principal.region,
        "mine",
        "ed25519",
        "x",
        "ssh-ed25519 AAAA",
        services.now(),
    )
    with services.database.write() as c:
        insert_key_pair(c, pair)
    tagged = [
        ec2.TagSpecification(resource_type="instance", tags=[ec2.Tag(key="Name", value="web")]),
        ec2.TagSpecification(resource_type="volume", tags=[ec2.Tag(key="of", value="web")]),
    ]
    instance_id = run_one(
        services,
        principal,
        make_image(services, principal),
        user_data=base64.b64encode(b"#!/bin/sh\n\xff").decode(),
        key_name="mine",
        tag_specifications=tagged,
        instance_initiated_shutdown_behavior="terminate",
        metadata_options=ec2.InstanceMetadataOptionsRequest(http_tokens="required", http_put_response_hop_limit=3),
    )
    with services.database.read() as c:
        instance = instances.get_instance(c, instance_id)
        (volume,) = volumes.volumes_of(c, instance_id)
        found = tags.tags_of(c, principal.account_id, [instance_id, volume.id])
    assert instance is not None
    assert (instance.user_data, instance.public_key) == (b"#!/bin/sh\n\xff", "ssh-ed25519 AAAA")
    assert (instance.metadata.http_tokens, instance.metadata.http_hop_limit) == ("required", 3)
    assert instance.shutdown_behavior == "terminate"
    assert found == {instance_id: {"Name": "web"}, volume.id: {"of": "web"}}


def test_the_hardware_profile_tag_is_honoured_or_refused(services: Services, principal: Principal) -> None:
    image = make_image(services, principal)

    def tagged(value: str) -> list[ec2.TagSpecification]:
        return [
            ec2.TagSpecification(resource_type="instance", tags=[ec2.Tag(key="amiable:hardware-profile", value=value)])
        ]

    instance_id = run_one(services, principal, image, tag_specifications=tagged("nitro"))
    with services.database.read() as c:
        instance = instances.get_instance(c, instance_id)
    assert instance is not None and instance.hardware_profile == "nitro"
    assert refusal(services, principal, image, tag_specifications=tagged("quantum")).code == "InvalidParameterValue"


def test_a_second_account_launches_only_after_sharing(
    services: Services, principal: Principal, other_principal: Principal
) -> None:
    private = make_image(services, principal)
    assert refusal(services, other_principal, private).code == "AuthFailure"
    shared = make_image(services, principal, grantees=frozenset({other_principal.account_id}))
    (made,) = run(services, other_principal, shared)
    assert made.network_interfaces and made.network_interfaces[0].owner_id == other_principal.account_id


def test_a_kernel_chosen_at_launch_wins(services: Services, principal: Principal, administrator: Principal) -> None:
    image = make_instance_store_image(services, principal)
    other = make_kernel(services, administrator)
    (made,) = run(services, principal, image)
    assert (made.kernel_id, made.root_device_type, made.block_device_mappings) == (
        image.kernel_id,
        "instance-store",
        [],
    )
    (made,) = run(services, principal, image, kernel_id=other.id)
    assert made.kernel_id == other.id


def test_the_profile_and_why_it_was_chosen_are_kept(
    services: Services, principal: Principal, administrator: Principal
) -> None:
    facts = {"kernel_kind": KernelKind.XEN_PV64, "boots_directly": False, "kernel_kind_why": "gzip, 64-bit, Xen PV"}
    kernel = make_kernel(services, administrator, **facts)
    instance_id = run_one(services, principal, make_instance_store_image(services, principal, kernel_id=kernel.id))
    with services.database.read() as c:
        found = instances.get_instance(c, instance_id)
    assert found is not None and found.hardware_profile == "xen-pv"
    assert found.hardware_profile_why == "the kernel starts under Xen only: gzip, 64-bit, Xen PV"


def test_a_32_bit_kernel_under_xen_waits_for_its_hypervisor(
    services: Services, principal: Principal, administrator: Principal
) -> None:
    facts = {"kernel_kind": KernelKind.XEN_PV32, "boots_directly": False, "architecture": "i386"}
    kernel = make_kernel(services, administrator, **facts)
    image = make_instance_store_image(services, principal, kernel_id=kernel.id, architecture="i386")
    refused = refusal(services, principal, image)
    assert refused.code == "Unsupported" and "32-bit" in refused.message and "build-pv32" in refused.advice
    built = Path(services.settings.appliance) / "pv32" / "xen"
    built.parent.mkdir(parents=True)
    built.write_bytes(b"\x7fELF")
    assert run_one(services, principal, image)


def test_an_instance_store_root_is_as_long_as_its_image(services: Services, principal: Principal) -> None:
    image = make_instance_store_image(services, principal)
    instance_id = run_one(services, principal, image)
    with services.database.read() as c:
        (volume,) = volumes.volumes_of(c, instance_id)
    assert (volume.size_bytes, volume.snapshot_id, volume.is_instance_store) == (
        300 << 20,
        image.root_snapshot_id,
        True,
    )
    larger = [ec2.BlockDeviceMapping(device_name="/dev/sda1", ebs=ec2.EbsBlockDevice(volume_size=20))]
    assert refusal(services, principal, image, block_device_mappings=larger).code == "InvalidBlockDeviceMapping"


def test_the_root_can_be_made_larger_and_further_volumes_added(services: Services, principal: Principal) -> None:
    snapshot = make_snapshot(services, principal, size_gib=1)
    mappings = [
        ec2.BlockDeviceMapping(device_name="/dev/sda1", ebs=ec2.EbsBlockDevice(volume_size=5, volume_type="gp3")),
        ec2.BlockDeviceMapping(device_name="/dev/sdf", ebs=ec2.EbsBlockDevice(snapshot_id=snapshot)),
        ec2.BlockDeviceMapping(
            device_name="/dev/sdg", ebs=ec2.EbsBlockDevice(volume_size=1, delete_on_termination=True)
        ),
    ]
    instance_id = run_one(services, principal, make_image(services, principal), block_device_mappings=mappings)
    with services.database.read() as c:
        made = volumes.volumes_of(c, instance_id)
    facts = [(each.device_name, each.size_gib, each.volume_type, each.delete_on_termination) for each in made]
    assert facts == [("/dev/sda1", 5, "gp3", True), ("/dev/sdf", 1, "gp2", False), ("/dev/sdg", 1, "gp2", True)]


def test_another_accounts_snapshot_is_not_there(
    services: Services, principal: Principal, other_principal: Principal
) -> None:
    theirs = make_snapshot(services, other_principal)
    mappings = [ec2.BlockDeviceMapping(device_name="/dev/sdf", ebs=ec2.EbsBlockDevice(snapshot_id=theirs))]
    refused = refusal(services, principal, make_image(services, principal), block_device_mappings=mappings)
    assert refused.code == "InvalidSnapshot.NotFound"


def mapped(**volume: Any) -> dict[str, Any]:
    """A request's map of one further volume."""
    return {"block_device_mappings": [ec2.BlockDeviceMapping(device_name="/dev/sdf", ebs=ec2.EbsBlockDevice(**volume))]}


@pytest.mark.parametrize(
    ("code", "parameters"),
    [
        ("InvalidAMIID.Malformed", {"image_id": "ami-xyz"}),
        ("InvalidAMIID.Malformed", {"image_id": "i-" + "0" * 17}),
        ("InvalidAMIID.NotFound", {"image_id": "ami-" + "0" * 17}),
        ("MissingParameter", {"image_id": None}),
        ("InvalidParameterValue", {"instance_type": "t9.huge"}),
        ("InvalidKeyPair.NotFound", {"key_name": "nobody's"}),
        ("InvalidParameterValue", {"min_count": 0}),
        ("InvalidParameterValue", {"min_count": 2, "max_count": 1}),
        ("InsufficientInstanceCapacity", {"min_count": 33, "max_count": 33}),
        ("InvalidUserData.Malformed", {"user_data": "#!/bin/sh"}),
        ("InvalidSubnetID.Malformed", {"subnet_id": "subnet-x"}),
        ("InvalidSubnetID.NotFound", {"subnet_id": "subnet-" + "0" * 17}),
        ("InvalidGroupId.Malformed", {"security_group_ids": ["sg-x"]}),
        ("InvalidGroup.NotFound", {"security_group_ids": ["sg-" + "0" * 17]}),
        ("InvalidGroup.NotFound", {"security_groups": ["web"]}),
        ("InvalidParameterValue", {"placement": ec2.Placement(availability_zone="us-east-1z")}),
        ("InvalidParameterValue", {"private_ip_address": "10.0.0.1"}),
        ("InvalidParameterValue", {"private_ip_address": "172.31.0.3"}),
        ("InvalidParameterValue", {"private_ip_address": "somewhere"}),
        ("InvalidParameterValue", {"private_ip_address": "fe80::1"}),
        ("InvalidParameterCombination", {"private_ip_address": "172.31.0.9", "max_count": 2}),
        ("InvalidParameterCombination", {"kernel_id": "aki-" + "0" * 17}),
        ("InvalidParameterDependency", mapped(volume_size=1, kms_key_id="k")),
        ("InvalidParameterDependency", mapped(volume_size=1, kms_key_id="k", encrypted=False)),
        ("InvalidParameterCombination", mapped(volume_size=1, iops=100)),
        ("InvalidParameterValue", mapped(volume_size=4, volume_type="io1", iops=201)),
        ("MissingParameter", mapped(delete_on_termination=True)),
        ("InvalidParameterValue", {"client_token": "x" * 65}),
        (
            "InvalidParameterValue",
            {"tag_specifications": [ec2.TagSpecification(resource_type="image", tags=[ec2.Tag(key="a")])]},
        ),
    ],
)
def test_bad_input_is_refused_by_its_code_and_writes_nothing(
    services: Services, principal: Principal, code: str, parameters: dict[str, Any]
) -> None:
    assert refusal(services, principal, make_image(services, principal), **parameters).code == code


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("EnclaveOptions", {"enclave_options": ec2.EnclaveOptionsRequest(enabled=True)}),
        ("Placement", {"placement": ec2.Placement(tenancy="dedicated")}),
        ("Placement", {"placement": ec2.Placement(host_id="h-1")}),
        (
            "CapacityReservationSpecification",
            {
                "capacity_reservation_specification": ec2.CapacityReservationSpecification(
                    capacity_reservation_preference="none"
                )
            },
        ),
        ("CpuOptions.CoreCount", {"cpu_options": ec2.CpuOptionsRequest(core_count=2, threads_per_core=1)}),
        ("CpuOptions", {"cpu_options": ec2.CpuOptionsRequest(core_count=1, threads_per_core=2)}),
        (
            "NetworkInterface.1.Ipv6AddressCount",
            {"network_interfaces": [ec2.InstanceNetworkInterfaceSpecification(ipv6_address_count=1)]},
        ),
        (
            "BlockDeviceMapping.1.Ebs.KmsKeyId",
            {
                "block_device_mappings": [
                    ec2.BlockDeviceMapping(
                        device_name="/dev/sdf", ebs=ec2.EbsBlockDevice(kms_key_id="x", encrypted=True)
                    )
                ]
            },
        ),
    ],
)
def test_what_is_not_built_is_refused_by_name(
    services: Services, principal: Principal, name: str, parameters: dict[str, Any]
) -> None:
    refused = refusal(services, principal, make_image(services, principal), **parameters)
    assert (refused.code, name in refused.message) == ("UnsupportedOperation", True)


def test_a_refused_value_is_said_as_it_was_sent(services: Services, principal: Principal) -> None:
    image = make_image(services, principal)
    refused = refusal(services, principal, image, enclave_options=ec2.EnclaveOptionsRequest(enabled=True))
    assert '{"Enabled":true} of the parameter EnclaveOptions ' in refused.message
    for parameter, given in (
        ("Ipv6Address", {"ipv6_addresses": [ec2.InstanceIpv6Address(ipv6_address="::1")]}),
        ("LicenseSpecification", {"license_specifications": [ec2.LicenseConfigurationRequest()]}),
    ):
        assert f"The parameter {parameter} is" in refusal(services, principal, image, **given).message


def test_an_arm_image_may_be_there_and_is_refused_at_the_launch_by_name(
    services: Services, principal: Principal
) -> None:
    image = make_image(services, principal, architecture="arm64")
    for instance_type, code, words in (
        ("t3.nano", "InvalidParameterValue", "does not match the architecture 'arm64'"),
        ("t4g.nano", "Unsupported", "architecture arm64 cannot run on this host"),
        (None, "InvalidParameterValue", "does not match the architecture 'arm64'"),
    ):
        refused = refusal(services, principal, image, instance_type=instance_type)
        assert refused.code == code and words in refused.message


def test_no_parameter_of_the_model_is_ignored() -> None:
    members = set(ec2.RunInstancesRequest.__struct_fields__)
    looked_at = launch_request.CARRIED_OUT | set(launch_request.HARMLESS) | {"network_interfaces"}
    assert looked_at <= members
    for name in sorted(members - looked_at):
        request = msgspec.structs.replace(ec2.RunInstancesRequest(min_count=1, max_count=1), **{name: "said"})
        with pytest.raises(Refusal, match="is not supported by Amiable"):
            launch_request.refuse_unsupported(request)


def test_values_that_ask_for_nothing_are_accepted(services: Services, principal: Principal) -> None:
    run(
        services,
        principal,
        make_image(services, principal),
        ebs_optimized=False,
        disable_api_termination=False,
        monitoring=ec2.RunInstancesMonitoringEnabled(enabled=False),
        placement=ec2.Placement(availability_zone="us-east-1a", tenancy="default", group_name=""),
        hibernation_options=ec2.HibernationOptionsRequest(configured=False),
        cpu_options=ec2.CpuOptionsRequest(core_count=1, threads_per_core=1),
        network_performance_options=ec2.InstanceNetworkPerformanceOptionsRequest(bandwidth_weighting="default"),
    )


def test_an_interface_may_be_described_instead_of_the_top_level(services: Services, principal: Principal) -> None:
    with services.database.read() as c:
        (subnet,) = network.list_subnets(c, principal.account_id, principal.region)
    image = make_image(services, principal)
    interface = ec2.InstanceNetworkInterfaceSpecification(
        device_index=0, subnet_id=subnet.id, private_ip_address="172.31.0.77", associate_public_ip_address=False
    )
    (made,) = run(services, principal, image, network_interfaces=[interface])
    assert (made.private_ip_address, made.subnet_id) == ("172.31.0.77", subnet.id)
    refused = refusal(services, principal, image, network_interfaces=[interface], subnet_id=subnet.id)
    assert refused.code == "InvalidParameterCombination"
    assert refusal(services, principal, image, network_interfaces=[interface]).code == "InvalidIPAddress.InUse"


def test_groups_are_named_by_name_or_by_id_each_in_its_own_parameter(services: Services, principal: Principal) -> None:
    image = make_image(services, principal)
    (made,) = run(services, principal, image, security_groups=["default", "default"])
    group_id = (made.security_groups or [])[0].group_id
    assert group_id is not None
    (again,) = run(services, principal, image, security_group_ids=[group_id, group_id])
    assert again.security_groups == made.security_groups
    refused = refusal(services, principal, image, security_groups=[group_id])
    assert (refused.code, refused.message) == (
        "InvalidGroup.NotFound",
        f"The security group '{group_id}' does not exist in default VPC '{made.vpc_id}'",
    )
    assert refusal(services, principal, image, security_group_ids=["default"]).code == "InvalidGroupId.Malformed"


def test_the_zone_chooses_the_subnet(tmp_path: Path) -> None:
    with open_services(tmp_path / "data", zones=("us-east-1a", "us-east-1b")) as services:
        principal = make_account(services)[1]
        image = make_image(services, principal)
        (there,) = run(services, principal, image, placement=ec2.Placement(availability_zone="us-east-1b"))
        (here,) = run(services, principal, image)
        assert there.placement and there.placement.availability_zone == "us-east-1b"
        assert here.placement and here.placement.availability_zone == "us-east-1a"
        assert str(there.private_ip_address).startswith("172.31.16.")
        (by_id,) = run(services, principal, image, placement=ec2.Placement(availability_zone_id="use1-az2"))
        assert by_id.placement and by_id.placement.availability_zone == "us-east-1b"
        for placement in (
            ec2.Placement(availability_zone_id="use1-az9"),
            ec2.Placement(availability_zone="use1-az2"),
            ec2.Placement(availability_zone_id="us-east-1b"),
        ):
            assert refusal(services, principal, image, placement=placement).code == "InvalidParameterValue"
        both = ec2.Placement(availability_zone="us-east-1b", availability_zone_id="use1-az2")
        assert refusal(services, principal, image, placement=both).code == "InvalidParameterCombination"
        refused = refusal(
            services,
            principal,
            image,
            subnet_id=here.subnet_id,
            placement=ec2.Placement(availability_zone="us-east-1b"),
        )
        assert refused.code == "InvalidParameterCombination"


def test_the_setting_instances_max_bounds_what_runs(tmp_path: Path) -> None:
    with open_services(tmp_path / "data", instances_max=3) as services:
        principal = make_account(services)[1]
        image = make_image(services, principal)
        assert len(run(services, principal, image, min_count=1, max_count=2)) == 2
        assert len(run(services, principal, image, min_count=1, max_count=5)) == 1
        assert "0 more" in refusal(services, principal, image).message


def test_launches_never_take_more_memory_than_the_host_has(
    services: Services, principal: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = launch_rules.HOST_RESERVE_BYTES + (2 * 256 << 20)
    monkeypatch.setattr(host, "memory_bytes", lambda: room - 1)
    image = make_image(services, principal)
    assert "511 MiB free" in refusal(services, principal, image, min_count=2, max_count=9).message
    assert "511 MiB free" in refusal(services, principal, image, min_count=2, max_count=9, dry_run=True).message
    assert len(run(services, principal, image, min_count=1, max_count=9)) == 1
    refused = refusal(services, principal, image)
    assert refused.code == "InsufficientInstanceCapacity" and "256 MiB asked for, 255 MiB free" in refused.message


# ── dry run, client token ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_dry_run_is_refused_last_writes_nothing_and_uses_no_token(services: Services, principal: Principal) -> None:
    image = make_image(services, principal)
    assert refusal(services, principal, image, dry_run=True, client_token="t").code == "DryRunOperation"
    assert refusal(services, principal, image, dry_run=True, instance_type="x.y").code == "InvalidParameterValue"
    assert refusal(services, principal, image, dry_run=True, client_token="x" * 65).code == "InvalidParameterValue"
    run_one(services, principal, image, client_token="t", user_data="")
    assert refusal(services, principal, image, dry_run=True, client_token="t").code == "DryRunOperation"


def test_the_same_token_answers_with_the_same_instances(services: Services, principal: Principal) -> None:
    image = make_image(services, principal)
    first = run(services, principal, image, client_token="t", min_count=2, max_count=2)
    again = run(services, principal, image, client_token="t", min_count=2, max_count=2)
    assert first == again
    assert counts(services)["instance"] == 2


def test_the_same_token_with_other_parameters_is_refused(services: Services, principal: Principal) -> None:
    image = make_image(services, principal)
    run_one(services, principal, image, client_token="t")
    assert refusal(services, principal, image, client_token="t", max_count=2).code == "IdempotentParameterMismatch"


def test_a_token_is_a_zones_own_where_the_request_says_one(tmp_path: Path) -> None:
    with open_services(tmp_path / "data", zones=("us-east-1a", "us-east-1b")) as services:
        principal = make_account(services)[1]
        image = make_image(services, principal)
        with services.database.read() as c:
            subnets = {each.zone: each.id for each in network.list_subnets(c, principal.account_id, principal.region)}

        def made(**parameters: Any) -> str:
            (it,) = run(services, principal, image, client_token="t", **parameters)
            return f"{it.placement and it.placement.availability_zone} {it.instance_id}"

        there = ec2.Placement(availability_zone="us-east-1b")
        first, second = made(placement=ec2.Placement(availability_zone="us-east-1a")), made(placement=there)
        assert (first[:10], second[:10]) == ("us-east-1a", "us-east-1b")
        assert made(placement=there) == second
        anywhere = made()
        assert anywhere not in (first, second) and made() == anywhere
        for parameters in (
            {"placement": there, "user_data": "AAAA"},
            {"placement": ec2.Placement(availability_zone_id="use1-az2")},
            {"subnet_id": subnets["us-east-1b"]},
        ):
            refused = refusal(services, principal, image, client_token="t", **parameters)
            assert refused.code == "IdempotentParameterMismatch", parameters


def test_a_token_is_its_accounts_own(services: Services, principal: Principal, other_principal: Principal) -> None:
    image = make_image(services, principal, grantees=frozenset({"all"}))
    assert run_one(services, principal, image, client_token="t") != run_one(
        services, other_principal, image, client_token="t"
    )


def test_a_token_whose_instance_has_ended_launches_no_other(services: Services, principal: Principal) -> None:
    image = make_image(services, principal)
    instance_id = run_one(services, principal, image, client_token="t")
    with services.database.write() as c:
        instances.set_state(c, instance_id, Event.TERMINATE_ASKED, now=services.now())
    refused = refusal(services, principal, image, client_token="t")
    assert refused.code == "IdempotentInstanceTerminated" and instance_id in refused.message


def test_a_refused_launch_uses_no_token(services: Services, principal: Principal) -> None:
    image = make_image(services, principal)
    assert refusal(services, principal, image, client_token="t", key_name="absent").code == "InvalidKeyPair.NotFound"
    run_one(services, principal, image, client_token="t")


@pytest.fixture
def moving(tmp_path: Path) -> Iterator[tuple[Services, list[datetime]]]:
    """Services whose clock stands until it is moved."""
    clock = [datetime(2026, 1, 1, tzinfo=UTC)]
    with open_services(tmp_path / "data", clock=lambda: clock[0]) as services:
        yield services, clock


def test_a_token_is_forgotten_after_a_day(moving: tuple[Services, list[datetime]]) -> None:
    services, clock = moving
    principal = make_account(services)[1]
    image = make_image(services, principal)
    first = run_one(services, principal, image, client_token="t")
    clock[0] += timedelta(hours=23, minutes=59)
    assert run_one(services, principal, image, client_token="t") == first
    clock[0] += timedelta(minutes=1)
    assert run_one(services, principal, image, client_token="t") != first
