"""RegisterImage from snapshots, in process: real database, real store."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from amiable.api.ec2.describe_images import describe_images
from amiable.api.ec2.register_image import register_image
from amiable.model.errors import (
    DryRunOperation,
    IncorrectState,
    InvalidAMINameDuplicate,
    InvalidAMINameMalformed,
    InvalidBlockDeviceMapping,
    InvalidParameterCombination,
    InvalidParameterValue,
    Malformed,
    MissingParameter,
    NotFound,
    Refusal,
    UnsupportedOperation,
)
from amiable.model.principal import Principal
from amiable.model.volume_errors import BootForVolumeTypeUnsupported, UnknownVolumeType
from amiable.services import Services
from amiable.wire.generated import ec2
from tests.api.ec2.conftest import MakeImage, MakeSnapshot
from tests.api.ec2.requests import registration, root_mapping


def only_image(services: Services, principal: Principal, image_id: str | None) -> ec2.Image:
    assert image_id is not None
    found = describe_images(services, principal, ec2.DescribeImagesRequest(image_ids=[image_id])).images
    assert found is not None and len(found) == 1
    return found[0]


def test_an_image_reads_back_as_it_was_registered(
    services: Services, principal: Principal, make_snapshot: MakeSnapshot
) -> None:
    root, data = make_snapshot(principal), make_snapshot(principal, size_gib=2)
    request = registration(
        root,
        "web [1] (a) 'b' @c/d-e_f.g",
        description="what it is",
        boot_mode="uefi",
        tpm_support="v2.0",
        imds_support="v2.0",
        ena_support=True,
        sriov_net_support="simple",
        block_device_mappings=[
            root_mapping(root, volume_type="gp3", iops=4000, throughput=250, volume_size=20),
            root_mapping(data, "/dev/sdf", delete_on_termination=True),
            ec2.BlockDeviceMapping(device_name="/dev/sdb", virtual_name="ephemeral0"),
            ec2.BlockDeviceMapping(device_name="/dev/sdg", ebs=ec2.EbsBlockDevice(volume_size=5)),
        ],
        tag_specifications=[ec2.TagSpecification(resource_type="image", tags=[ec2.Tag(key="team", value="a")])],
    )
    image = only_image(services, principal, register_image(services, principal, request).image_id)
    assert (image.name, image.description, image.state) == ("web [1] (a) 'b' @c/d-e_f.g", "what it is", "available")
    assert (image.boot_mode, image.tpm_support, image.imds_support) == ("uefi", "v2.0", "v2.0")
    assert (image.ena_support, image.sriov_net_support) == (True, "simple")
    assert (image.owner_id, image.public, image.image_type) == (principal.account_id, False, "machine")
    assert image.image_location == f"{principal.account_id}/{image.name}"
    assert image.tags == [ec2.Tag(key="team", value="a")]
    volume = ec2.EbsBlockDevice(volume_type="gp2", encrypted=False)
    assert image.block_device_mappings == [
        root_mapping(
            root,
            volume_type="gp3",
            iops=4000,
            throughput=250,
            volume_size=20,
            delete_on_termination=True,
            encrypted=False,
        ),
        root_mapping(data, "/dev/sdf", volume_type="gp2", volume_size=2, delete_on_termination=True, encrypted=False),
        ec2.BlockDeviceMapping(device_name="/dev/sdb", virtual_name="ephemeral0"),
        ec2.BlockDeviceMapping(
            device_name="/dev/sdg",
            ebs=ec2.EbsBlockDevice(
                volume_size=5, volume_type=volume.volume_type, encrypted=False, delete_on_termination=False
            ),
        ),
    ]


def test_architecture_and_virtualization_default_as_ec2s_always_did(
    services: Services, principal: Principal, make_snapshot: MakeSnapshot
) -> None:
    request = registration(make_snapshot(principal), architecture=None, virtualization_type=None)
    image = only_image(services, principal, register_image(services, principal, request).image_id)
    assert (image.architecture, image.virtualization_type) == ("i386", "paravirtual")


def test_a_root_named_as_a_partition_of_the_only_mapped_disk_is_that_disk(
    services: Services, principal: Principal, make_snapshot: MakeSnapshot
) -> None:
    snapshot = make_snapshot(principal)
    request = registration(snapshot, block_device_mappings=[root_mapping(snapshot, "/dev/sda")])
    image = only_image(services, principal, register_image(services, principal, request).image_id)
    assert image.root_device_name == "/dev/sda1"
    assert image.block_device_mappings is not None
    assert image.block_device_mappings[0].device_name == "/dev/sda"
    ebs = image.block_device_mappings[0].ebs
    assert ebs is not None and ebs.delete_on_termination is True


def test_an_ephemeral_disk_with_an_empty_ebs_element_stays_ephemeral(
    services: Services, principal: Principal, make_snapshot: MakeSnapshot
) -> None:
    snapshot = make_snapshot(principal)
    disk = ec2.BlockDeviceMapping(device_name="/dev/sdb", virtual_name="ephemeral0", ebs=ec2.EbsBlockDevice())
    request = registration(snapshot, block_device_mappings=[root_mapping(snapshot), disk])
    image = only_image(services, principal, register_image(services, principal, request).image_id)
    assert image.block_device_mappings is not None
    assert image.block_device_mappings[1] == ec2.BlockDeviceMapping(device_name="/dev/sdb", virtual_name="ephemeral0")


def test_a_name_is_unique_in_its_account_and_the_refusal_names_the_holder(
    services: Services,
    principal: Principal,
    other_principal: Principal,
    make_image: MakeImage,
    make_snapshot: MakeSnapshot,
) -> None:
    first = make_image(principal, "twin")
    with pytest.raises(InvalidAMINameDuplicate, match=f"AMI name twin is already in use by AMI {first}"):
        register_image(services, principal, registration(make_snapshot(principal), "twin"))
    make_image(other_principal, "twin")


def test_regions_know_nothing_of_each_other(services: Services, principal: Principal, make_image: MakeImage) -> None:
    image_id = make_image(principal)
    with pytest.raises(NotFound):
        only_image(services, replace(principal, region="eu-west-1"), image_id)


def test_a_dry_run_registers_nothing_and_still_checks(
    services: Services, principal: Principal, make_snapshot: MakeSnapshot
) -> None:
    snapshot = make_snapshot(principal)
    with pytest.raises(DryRunOperation):
        register_image(services, principal, registration(snapshot, dry_run=True))
    with pytest.raises(InvalidAMINameMalformed):
        register_image(services, principal, registration(snapshot, "a+b", dry_run=True))
    assert describe_images(services, principal, ec2.DescribeImagesRequest(owners=["self"])).images == []


@pytest.mark.parametrize(
    ("changes", "refusal", "words"),
    [
        ({"name": "a+b"}, InvalidAMINameMalformed, "between 3 and 128"),
        ({"name": "ab"}, InvalidAMINameMalformed, "between 3 and 128"),
        ({"name": "x" * 129}, InvalidAMINameMalformed, "between 3 and 128"),
        ({"description": "x" * 256}, InvalidParameterValue, "255"),
        ({"root_device_name": None}, MissingParameter, "RootDeviceName"),
        ({"root_device_name": "/dev/sdb"}, InvalidBlockDeviceMapping, "/dev/sdb is not mapped to a snapshot"),
        ({"root_device_name": "/dev/nvme0n1"}, InvalidParameterValue, "not a valid EBS device name"),
        ({"block_device_mappings": None}, MissingParameter, "BlockDeviceMapping"),
        ({"architecture": "vax"}, InvalidParameterValue, "Architecture"),
        ({"virtualization_type": "container"}, InvalidParameterValue, "VirtualizationType"),
        ({"boot_mode": "floppy"}, InvalidParameterValue, "BootMode"),
        ({"tpm_support": "v2.0"}, InvalidParameterCombination, "BootMode uefi"),
        ({"tpm_support": "v2.0", "boot_mode": "uefi-preferred"}, InvalidParameterCombination, "BootMode uefi"),
        ({"kernel_id": "aki-1234567g"}, Malformed, "aki-"),
        ({"kernel_id": "aki-12345678"}, InvalidParameterCombination, "hvm"),
        ({"kernel_id": "aki-12345678", "virtualization_type": "paravirtual"}, NotFound, "aki-12345678"),
        ({"virtualization_type": "paravirtual", "ena_support": True}, InvalidParameterCombination, "EnaSupport"),
        ({"billing_products": ["bp-1"]}, InvalidParameterValue, "bp-1"),
        ({"uefi_data": "QU1a"}, InvalidParameterValue, "UefiData is invalid"),
        (
            {"tag_specifications": [ec2.TagSpecification(resource_type="snapshot", tags=[ec2.Tag(key="a", value="b")])]},
            InvalidParameterValue,
            "'snapshot' is not a valid taggable resource type",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_by_name(
    services: Services,
    principal: Principal,
    make_snapshot: MakeSnapshot,
    changes: dict[str, Any],
    refusal: type[Refusal],
    words: str,
) -> None:
    with pytest.raises(refusal, match=words):
        register_image(services, principal, registration(make_snapshot(principal), **changes))
    assert describe_images(services, principal, ec2.DescribeImagesRequest(owners=["self"])).images == []


@pytest.mark.parametrize(
    ("fields", "refusal", "words"),
    [
        ({"volume_size": 1}, InvalidBlockDeviceMapping, "Volume of size 1GB is smaller than snapshot 'snap-.*', expect size >= 2GB"),
        ({"encrypted": True}, InvalidBlockDeviceMapping, "encrypted flag cannot be specified"),
        ({"encrypted": False}, InvalidBlockDeviceMapping, "encrypted flag cannot be specified"),
        ({"kms_key_id": "k"}, UnsupportedOperation, "not supported by RegisterImage"),
        ({"volume_type": "st1", "volume_size": 500}, BootForVolumeTypeUnsupported, "st1"),
        ({"volume_type": "gp9"}, UnknownVolumeType, "gp9"),
        ({"volume_type": "io1", "volume_size": 10}, MissingParameter, "iops"),
        ({"iops": 3000}, InvalidParameterCombination, "The parameter iops is not supported for gp2"),
        ({"volume_type": "gp3", "iops": 100}, InvalidParameterValue, "3000 to 80000"),
        ({"volume_size": 20_000}, InvalidParameterValue, "1 to 16384"),
        ({"outpost_arn": "arn:x"}, UnsupportedOperation, "OutpostArn"),
    ],
)  # fmt: skip
def test_a_root_volume_that_cannot_be_is_refused(
    services: Services,
    principal: Principal,
    make_snapshot: MakeSnapshot,
    fields: dict[str, Any],
    refusal: type[Refusal],
    words: str,
) -> None:
    snapshot = make_snapshot(principal, size_gib=2)
    with pytest.raises(refusal, match=words):
        register_image(
            services, principal, registration(snapshot, block_device_mappings=[root_mapping(snapshot, **fields)])
        )


@pytest.mark.parametrize(
    ("entry", "refusal"),
    [
        (ec2.BlockDeviceMapping(device_name="/dev/sdb", ebs=ec2.EbsBlockDevice()), InvalidBlockDeviceMapping),
        (ec2.BlockDeviceMapping(device_name="/dev/sdb"), InvalidBlockDeviceMapping),
        (ec2.BlockDeviceMapping(device_name="/dev/sdb", no_device=""), InvalidBlockDeviceMapping),
        (ec2.BlockDeviceMapping(device_name="/dev/sda1", virtual_name="ephemeral0"), InvalidBlockDeviceMapping),
        (ec2.BlockDeviceMapping(device_name="/dev/sdb", virtual_name="ephemeral24"), InvalidParameterValue),
        (ec2.BlockDeviceMapping(device_name="/dev/sdb", virtual_name="floppy0"), InvalidParameterValue),
        (ec2.BlockDeviceMapping(virtual_name="ephemeral0"), MissingParameter),
        (ec2.BlockDeviceMapping(device_name="/dev/sdb3", virtual_name="ephemeral0"), InvalidParameterValue),
        (
            ec2.BlockDeviceMapping(
                device_name="/dev/sdb", virtual_name="ephemeral0", ebs=ec2.EbsBlockDevice(volume_size=1)
            ),
            InvalidBlockDeviceMapping,
        ),
        (ec2.BlockDeviceMapping(device_name="/dev/sdb", ebs=ec2.EbsBlockDevice(volume_size=1, encrypted=True)), UnsupportedOperation),
    ],
)  # fmt: skip
def test_an_entry_that_cannot_be_is_refused(
    services: Services,
    principal: Principal,
    make_snapshot: MakeSnapshot,
    entry: ec2.BlockDeviceMapping,
    refusal: type[Refusal],
) -> None:
    snapshot = make_snapshot(principal)
    with pytest.raises(refusal):
        register_image(
            services, principal, registration(snapshot, block_device_mappings=[root_mapping(snapshot), entry])
        )


def test_only_the_callers_own_completed_and_visible_snapshots_can_be_registered(
    services: Services, principal: Principal, other_principal: Principal, make_snapshot: MakeSnapshot
) -> None:
    for snapshot_id in (make_snapshot(other_principal), make_snapshot(principal, is_internal=True), "snap-" + "0" * 17):
        with pytest.raises(NotFound, match=f"The snapshot '{snapshot_id}' does not exist."):
            register_image(services, principal, registration(snapshot_id))
    with pytest.raises(IncorrectState, match="pending"):
        register_image(services, principal, registration(make_snapshot(principal, complete=False)))
    with pytest.raises(Malformed, match="snap-x"):
        register_image(services, principal, registration("snap-x"))


def test_of_many_who_want_one_name_at_once_one_gets_it(
    services: Services, principal: Principal, make_snapshot: MakeSnapshot
) -> None:
    snapshot_id = make_snapshot(principal)

    def attempt(_: int) -> str:
        try:
            return str(register_image(services, principal, registration(snapshot_id, "wanted")).image_id)
        except InvalidAMINameDuplicate as refusal:
            return refusal.message

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(attempt, range(8)))
    (winner,) = [answer for answer in answers if answer.startswith("ami-")]
    assert answers.count(f"AMI name wanted is already in use by AMI {winner}") == 7
