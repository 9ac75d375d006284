"""RegisterImage as stock boto3 asks for it: every parameter is kept and reads back, every wrong one has its code and text."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import WaiterError

from amiable.bundle.pipeline import Recipe, create
from amiable.model.units import BLOCK_BYTES
from tests.rules.uefi import uefi_data
from tests.server.edge import Edge
from tests.support.publisher import (
    ROOT,
    another_client,
    described,
    new_snapshot,
    publishing_edge,
    refused,
    register,
    registration,
)
from tests.support.work import run_jobs

pytestmark = pytest.mark.proves("ec2", "RegisterImage", "DescribeImages", "DescribeImageAttribute")

SOON = {"Delay": 0, "MaxAttempts": 2}
PARAVIRTUAL = {"VirtualizationType": "paravirtual", "RootDeviceName": "/dev/sda1"}


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with publishing_edge(tmp_path_factory.mktemp("register")) as running:
        yield running


@pytest.fixture(scope="module")
def snapshot_id(edge: Edge) -> str:
    return new_snapshot(edge, size_gib=2)


def volume(snapshot_id: str | None, name: str = ROOT, **ebs: Any) -> dict[str, Any]:
    """One entry of a map."""
    return {"DeviceName": name, "Ebs": ({"SnapshotId": snapshot_id} if snapshot_id else {}) | ebs}


# ── what is kept ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_parameter_reads_back(edge: Edge, ec2: Any, snapshot_id: str) -> None:
    second = new_snapshot(edge)
    store = uefi_data()
    maps = [
        volume(snapshot_id, VolumeSize=8, VolumeType="gp3", Iops=4000, Throughput=200, DeleteOnTermination=False),
        volume(second, "/dev/sdf", VolumeType="io1", VolumeSize=10, Iops=100),
        volume(None, "/dev/sdg", VolumeSize=125, VolumeType="st1", Encrypted=False),
        {"DeviceName": "/dev/sdh", "VirtualName": "ephemeral0"},
    ]
    tags = [{"ResourceType": "image", "Tags": [{"Key": "Name", "Value": "web"}]}]
    image_id = register(
        ec2, snapshot_id, "all (of) [them] ./-'@_", Description="<&> é", BootMode="uefi", TpmSupport="v2.0",
        UefiData=store, ImdsSupport="v2.0", EnaSupport=True, SriovNetSupport="simple", BlockDeviceMappings=maps,
        TagSpecifications=tags,
    )  # fmt: skip
    image = described(ec2, image_id)
    assert image.pop("CreationDate").endswith("Z")
    mappings = image.pop("BlockDeviceMappings")
    for word, value in {
        "ImageId": image_id,
        "Name": "all (of) [them] ./-'@_",
        "ImageLocation": f"{edge.account.account_id}/all (of) [them] ./-'@_",
        "OwnerId": edge.account.account_id,
        "State": "available",
        "Public": False,
        "Description": "<&> é",
        "Architecture": "x86_64",
        "VirtualizationType": "hvm",
        "ImageType": "machine",
        "Hypervisor": "xen",
        "RootDeviceName": ROOT,
        "RootDeviceType": "ebs",
        "BootMode": "uefi",
        "TpmSupport": "v2.0",
        "ImdsSupport": "v2.0",
        "EnaSupport": True,
        "SriovNetSupport": "simple",
        "PlatformDetails": "Linux/UNIX",
        "UsageOperation": "RunInstances",
        "Tags": [{"Key": "Name", "Value": "web"}],
    }.items():
        assert image[word] == value, word
    assert mappings == [
        {"DeviceName": ROOT, "Ebs": maps[0]["Ebs"] | {"Encrypted": False}},
        {"DeviceName": "/dev/sdf", "Ebs": maps[1]["Ebs"] | {"Encrypted": False, "DeleteOnTermination": False}},
        {"DeviceName": "/dev/sdg", "Ebs": maps[2]["Ebs"] | {"Encrypted": False, "DeleteOnTermination": False}},
        maps[3],
    ]
    read = ec2.describe_image_attribute(ImageId=image_id, Attribute="uefiData")
    assert read["UefiData"] == {"Value": store}


def test_defaults_are_ec2s_old_ones(ec2: Any, snapshot_id: str) -> None:
    words = {"Architecture": None, "VirtualizationType": None, "RootDeviceName": "/dev/sda1"}
    image = described(
        ec2, register(ec2, snapshot_id, "plain", BlockDeviceMappings=[volume(snapshot_id, "/dev/sda1")], **words)
    )
    assert (image["Architecture"], image["VirtualizationType"]) == ("i386", "paravirtual")
    assert image["EnaSupport"] is False
    for absent in ("BootMode", "TpmSupport", "ImdsSupport", "SriovNetSupport", "KernelId", "RamdiskId", "StateReason"):
        assert absent not in image
    (mapping,) = image["BlockDeviceMappings"]
    assert mapping["Ebs"] == {
        "SnapshotId": snapshot_id,
        "VolumeSize": 2,
        "VolumeType": "gp2",
        "DeleteOnTermination": True,
        "Encrypted": False,
    }


@pytest.mark.parametrize("name", ["a b", "[2026] ('x')", "a/b.c-d@e_f", "xyz", "y" * 128])
def test_every_legal_name_is_taken_and_found(ec2: Any, snapshot_id: str, name: str) -> None:
    image_id = register(ec2, snapshot_id, name)
    (found,) = ec2.describe_images(Owners=["self"], Filters=[{"Name": "name", "Values": [name]}])["Images"]
    assert (found["ImageId"], found["Name"]) == (image_id, name)


def test_the_root_may_be_named_as_a_partition_of_the_only_mapped_disk(ec2: Any, snapshot_id: str) -> None:
    maps = [volume(snapshot_id, "/dev/sda")]
    image = described(
        ec2, register(ec2, snapshot_id, "partitioned", RootDeviceName="/dev/sda1", BlockDeviceMappings=maps)
    )
    assert (image["RootDeviceName"], image["BlockDeviceMappings"][0]["DeviceName"]) == ("/dev/sda1", "/dev/sda")
    assert image["BlockDeviceMappings"][0]["Ebs"]["DeleteOnTermination"] is True


def test_six_ephemeral_disks_with_an_empty_ebs_element_stay_ephemeral(ec2: Any, snapshot_id: str) -> None:
    wanted = [{"DeviceName": f"/dev/sd{letter}", "VirtualName": f"ephemeral{number}"}
              for number, letter in enumerate("bcdefg")]  # fmt: skip
    maps = [volume(snapshot_id), *({**entry, "Ebs": {}} for entry in wanted)]
    image = described(ec2, register(ec2, snapshot_id, "ephemeral", BlockDeviceMappings=maps))
    assert image["BlockDeviceMappings"][1:] == wanted


def test_a_volume_may_be_larger_than_its_snapshot(ec2: Any, edge: Edge) -> None:
    small = new_snapshot(edge)
    image = described(ec2, register(ec2, small, "grown", BlockDeviceMappings=[volume(small, VolumeSize=20)]))
    assert image["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"] == 20
    (snapshot,) = ec2.describe_snapshots(SnapshotIds=[small])["Snapshots"]
    assert snapshot["VolumeSize"] == 1


def test_an_image_without_the_ena_flag_is_refused_on_newer_types_and_one_with_it_starts(
    ec2: Any, snapshot_id: str
) -> None:
    plain, flagged = register(ec2, snapshot_id, "no ENA"), register(
        ec2, snapshot_id, "ENA", EnaSupport=True, SriovNetSupport="simple",
        BlockDeviceMappings=[volume(snapshot_id), {"DeviceName": "xvdb", "VirtualName": "ephemeral0"}],
    )  # fmt: skip
    run = {"InstanceType": "c5.large", "MinCount": 1, "MaxCount": 1, "DryRun": True}
    assert refused(ec2.run_instances, ImageId=plain, **run) == (
        "InvalidParameterCombination",
        "Enhanced networking with the Elastic Network Adapter (ENA) is required for the 'c5.large' instance type. "
        "Ensure that you are using an AMI that is enabled for ENA.",
    )
    assert refused(ec2.run_instances, ImageId=flagged, **run)[0] == "DryRunOperation"
    image = described(ec2, flagged)
    assert (image["EnaSupport"], image["SriovNetSupport"]) == (True, "simple")
    assert image["BlockDeviceMappings"][1] == {"DeviceName": "xvdb", "VirtualName": "ephemeral0"}


def test_a_launch_holds_maps_to_the_same_rules(ec2: Any, snapshot_id: str) -> None:
    maps = [volume(snapshot_id, "/dev/sda")]
    image_id = register(ec2, snapshot_id, "mapped", RootDeviceName="/dev/sda1", BlockDeviceMappings=maps)
    run = {"ImageId": image_id, "InstanceType": "amiable.tiny", "MinCount": 1, "MaxCount": 1, "DryRun": True}
    assert refused(ec2.run_instances, BlockDeviceMappings=[volume(None, "/dev/sda1", VolumeSize=1)], **run) == (
        "InvalidBlockDeviceMapping",
        f"Volume of size 1GB is smaller than snapshot '{snapshot_id}', expect size >= 2GB",
    )
    code, text = refused(ec2.run_instances, BlockDeviceMappings=[volume(None, "/dev/nvme1n1", VolumeSize=1)], **run)
    assert code == "InvalidParameterValue"
    assert text.startswith("Value (/dev/nvme1n1) for parameter device is invalid.") and "/dev/sd[a-z]" in text
    for name in ("/dev/sda1", "/dev/sda"):
        larger = [volume(None, name, VolumeSize=5)]
        assert refused(ec2.run_instances, BlockDeviceMappings=larger, **run)[0] == "DryRunOperation"


@pytest.mark.parametrize("wish", [{"TpmSupport": "v2.0"}, {"UefiData": uefi_data()}])
def test_a_launch_gives_instances_what_the_image_wants(ec2: Any, snapshot_id: str, wish: dict[str, str]) -> None:
    (word,) = wish
    image_id = register(ec2, snapshot_id, f"wants {word}", BootMode="uefi", **wish)
    run = {"ImageId": image_id, "MinCount": 1, "MaxCount": 1, "DryRun": True}
    assert refused(ec2.run_instances, InstanceType="amiable.tiny", **run)[0] == "DryRunOperation"
    code, text = refused(ec2.run_instances, InstanceType="t2.micro", **run)
    expected = "Unsupported" if word == "TpmSupport" else "InvalidParameterCombination"
    assert code == expected and "t2.micro" in text


# ── names ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_name_is_held_exactly_and_the_refusal_names_its_holder(edge: Edge, ec2: Any, snapshot_id: str) -> None:
    image_id = register(ec2, snapshot_id, "Debian 12")
    again = registration(snapshot_id, "Debian 12")
    held = ("InvalidAMIName.Duplicate", f"AMI name Debian 12 is already in use by AMI {image_id}")
    assert refused(ec2.register_image, **again) == held
    assert refused(ec2.register_image, **again, DryRun=True) == held
    assert register(ec2, snapshot_id, "debian 12") != image_id
    assert described(ec2, image_id)["State"] == "available"
    ec2.deregister_image(ImageId=image_id)
    assert register(ec2, snapshot_id, "Debian 12") != image_id


def test_a_name_is_free_for_another_account_and_in_another_region(edge: Edge, ec2: Any, snapshot_id: str) -> None:
    register(ec2, snapshot_id, "everybody's")
    with another_client(edge, "namesake") as other:
        with closing(edge.client("ebs", **keys_of(other))) as ebs:
            theirs = new_snapshot(edge, ebs)
        register(other, theirs, "everybody's")


def keys_of(client: Any) -> dict[str, str]:
    """What makes another service's client of the same account."""
    found = client._request_signer._credentials.get_frozen_credentials()
    return {"aws_access_key_id": found.access_key, "aws_secret_access_key": found.secret_key}


@pytest.fixture(scope="module")
def lenient(edge: Edge) -> Iterator[Any]:
    """A client that sends what boto3 itself would refuse."""
    config = Config(parameter_validation=False, retries={"max_attempts": 0})
    with closing(edge.client("ec2", config=config)) as client:
        yield client


@pytest.mark.parametrize("name", ["", "ab", "x" * 129, "a+b", "a:b", "naïve", "tab\there", "a*b", "a,b"])
def test_a_name_of_the_wrong_form_is_refused_in_a_dry_run_too(lenient: Any, snapshot_id: str, name: str) -> None:
    for dry_run in (False, True):
        assert refused(lenient.register_image, **registration(snapshot_id, name), DryRun=dry_run) == (
            "InvalidAMIName.Malformed",
            "AMI names must be between 3 and 128 characters long, and may contain letters, numbers, spaces, "
            "'(', ')', '[', ']', '.', '-', '/', '_', '@' and \"'\"",
        )


# ── what is refused ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ({"Architecture": "vax"}, "InvalidParameterValue", "Value (vax) for parameter Architecture is invalid."),
        ({"VirtualizationType": "container"}, "InvalidParameterValue", "Value (container) for parameter VirtualizationType is invalid."),
        ({"BootMode": "floppy"}, "InvalidParameterValue", "Value (floppy) for parameter BootMode is invalid."),
        ({"TpmSupport": "v1.2", "BootMode": "uefi"}, "InvalidParameterValue", "Value (v1.2) for parameter TpmSupport is invalid."),
        ({"TpmSupport": "v2.0"}, "InvalidParameterCombination", "TpmSupport v2.0 needs BootMode uefi."),
        ({"TpmSupport": "v2.0", "BootMode": "legacy-bios"}, "InvalidParameterCombination", "TpmSupport v2.0 needs BootMode uefi."),
        ({"TpmSupport": "v2.0", "BootMode": "uefi-preferred"}, "InvalidParameterCombination", "TpmSupport v2.0 needs BootMode uefi."),
        ({"ImdsSupport": "v1.0"}, "InvalidParameterValue", "Value (v1.0) for parameter ImdsSupport is invalid."),
        ({"SriovNetSupport": "complex"}, "InvalidParameterValue", "Value (complex) for parameter SriovNetSupport is invalid."),
        ({"UefiData": "bm9uZQ=="}, "InvalidParameterValue", "The value for parameter UefiData is invalid. Decoded, it does not begin with AMZNUEFI."),
        ({"UefiData": "none!"}, "InvalidParameterValue", "The value for parameter UefiData is invalid. It is not base64"),
        ({**PARAVIRTUAL, "EnaSupport": True}, "InvalidParameterCombination", "EnaSupport is for hvm images; this one is paravirtual."),
        ({**PARAVIRTUAL, "SriovNetSupport": "simple"}, "InvalidParameterCombination", "SriovNetSupport is for hvm images; this one is paravirtual."),
        ({**PARAVIRTUAL, "BootMode": "uefi"}, "InvalidParameterCombination", "BootMode uefi is for hvm images; this one is paravirtual."),
        ({"KernelId": "aki-12345678"}, "InvalidParameterCombination", "KernelId and RamdiskId are for paravirtual images; an hvm image boots its own kernel."),
        ({"KernelId": "linux"}, "InvalidKernelId.Malformed", 'Invalid id: "linux" (expecting "aki-...")'),
        ({"RamdiskId": "initrd"}, "InvalidRamDiskId.Malformed", 'Invalid id: "initrd" (expecting "ari-...")'),
        ({"BillingProducts": ["bp-6ba54002"]}, "InvalidParameterValue", "Value (bp-6ba54002) for parameter BillingProduct is invalid. This account is not authorized to register billing products."),
        ({"Description": "x" * 256}, "InvalidParameterValue", f"Value ({'x' * 90}"),
        ({"TagSpecifications": [{"ResourceType": "snapshot", "Tags": [{"Key": "a", "Value": "b"}]}]}, "InvalidParameterValue", "'snapshot' is not a valid taggable resource type"),
        ({"RootDeviceName": None}, "MissingParameter", "The request must contain the parameter RootDeviceName"),
        ({"RootDeviceName": "/dev/nvme0n1"}, "InvalidParameterValue", "Value (/dev/nvme0n1) for parameter device is invalid. /dev/nvme0n1 is not a valid EBS device name. Expecting one of /dev/sd[a-z], "),
        ({"RootDeviceName": "/dev/sdz"}, "InvalidBlockDeviceMapping", "The root device /dev/sdz is not mapped to a snapshot"),
        ({"BlockDeviceMappings": None}, "MissingParameter", "The request must contain the parameter BlockDeviceMapping, with the root's snapshot, or ImageLocation."),
        ({"ImageLocation": "nowhere/image.manifest.xml", "BlockDeviceMappings": None}, "InvalidManifest", ""),
    ],
)  # fmt: skip
def test_each_wrong_parameter_has_its_code_and_text(
    ec2: Any, snapshot_id: str, words: dict[str, Any], code: str, text: str
) -> None:
    seen = refused(ec2.register_image, **registration(snapshot_id, "never", **words))
    assert seen[0] == code and seen[1].startswith(text), seen
    assert refused(ec2.register_image, **registration(snapshot_id, "never", **words), DryRun=True) == seen
    assert ec2.describe_images(Filters=[{"Name": "name", "Values": ["never"]}])["Images"] == []


def test_a_kernel_must_be_there(ec2: Any, snapshot_id: str) -> None:
    maps = [volume(snapshot_id, "/dev/sda1")]
    for word, value in (("KernelId", "aki-12345678"), ("RamdiskId", "ari-12345678")):
        words = registration(snapshot_id, "paravirtual", **PARAVIRTUAL, BlockDeviceMappings=maps, **{word: value})
        assert refused(ec2.register_image, **words) == (
            "InvalidAMIID.NotFound",
            f"The image id '[{value}]' does not exist",
        )


@pytest.mark.parametrize(
    ("ebs", "code", "text"),
    [
        ({"VolumeSize": 1}, "InvalidBlockDeviceMapping", "Volume of size 1GB is smaller than snapshot '{snapshot}', expect size >= 2GB"),
        ({"VolumeSize": 16385}, "InvalidParameterValue", "Value (16385) for parameter VolumeSize is invalid. A volume of type gp2 has 1 to 16384 GiB."),
        ({"VolumeType": "gp9"}, "UnknownVolumeType", "Unsupported volume type 'gp9' for volume creation."),
        ({"VolumeType": "st1", "VolumeSize": 125}, "BootForVolumeTypeUnsupported", "A root volume cannot be of type st1."),
        ({"VolumeType": "io1", "VolumeSize": 4}, "MissingParameter", "The parameter iops must be specified for io1 volumes."),
        ({"VolumeType": "io2", "VolumeSize": 4, "Iops": 99}, "InvalidParameterValue", "Value (99) for parameter Iops is invalid. A volume of type io2 has 100 to 256000."),
        ({"Iops": 3000}, "InvalidParameterCombination", "The parameter iops is not supported for gp2 volumes."),
        ({"Throughput": 125}, "InvalidParameterCombination", "The parameter throughput is not supported for gp2 volumes."),
        ({"VolumeType": "gp3", "Throughput": 2001}, "InvalidParameterValue", "Value (2001) for parameter Throughput is invalid. A volume of type gp3 has 125 to 2000."),
        ({"VolumeType": "gp3", "VolumeSize": 20, "Iops": 15000}, "InvalidParameterValue", "Iops to volume size ratio of 750.000000 is too high; maximum is 500"),
        ({"VolumeType": "io1", "VolumeSize": 4, "Iops": 201}, "InvalidParameterValue", "Iops to volume size ratio of 50.250000 is too high; maximum is 50"),
        ({"VolumeType": "gp3", "Throughput": 751}, "InvalidParameterValue", "Throughput (MiBps) to iops ratio of 0.250333 is too high; maximum is 0.250000 MiBps per iops"),
        ({"Encrypted": True}, "InvalidBlockDeviceMapping", "the encrypted flag cannot be specified since device /dev/xvda has a snapshot specified."),
        ({"Encrypted": False}, "InvalidBlockDeviceMapping", "the encrypted flag cannot be specified since device /dev/xvda has a snapshot specified."),
        ({"KmsKeyId": "a-key"}, "UnsupportedOperation", "KmsKeyId of /dev/xvda is not supported by RegisterImage and CreateImage."),
        ({"OutpostArn": "arn:aws:outposts:x"}, "UnsupportedOperation", "OutpostArn of /dev/xvda is not implemented by Amiable."),
        ({"SnapshotId": "snapshot-1"}, "InvalidSnapshotID.Malformed", 'Invalid id: "snapshot-1" (expecting "snap-...")'),
        ({"SnapshotId": "snap-0123456789abcdef0"}, "InvalidSnapshot.NotFound", "The snapshot 'snap-0123456789abcdef0' does not exist."),
    ],
)  # fmt: skip
def test_each_wrong_root_volume_has_its_code_and_text(
    ec2: Any, snapshot_id: str, ebs: dict[str, Any], code: str, text: str
) -> None:
    words = registration(snapshot_id, "never", BlockDeviceMappings=[volume(snapshot_id, **ebs)])
    seen = refused(ec2.register_image, **words)
    assert seen[0] == code and seen[1].startswith(text.format(snapshot=snapshot_id)), seen


@pytest.mark.parametrize(
    ("entry", "code", "text"),
    [
        ({"DeviceName": "/dev/sdf", "Ebs": {"DeleteOnTermination": True}}, "InvalidBlockDeviceMapping", "Either snapshot ID or volume size must be provided for: /dev/sdf"),
        ({"DeviceName": "/dev/sdf"}, "InvalidBlockDeviceMapping", "The entry /dev/sdf must have exactly one of Ebs, VirtualName and NoDevice."),
        ({"DeviceName": "/dev/sdf", "VirtualName": "ephemeral0", "Ebs": {"VolumeSize": 1}}, "InvalidBlockDeviceMapping", "The entry /dev/sdf must have exactly one of"),
        ({"DeviceName": "/dev/sdf", "NoDevice": ""}, "InvalidBlockDeviceMapping", "NoDevice of /dev/sdf is for RunInstances and CreateImage"),
        ({"DeviceName": ROOT, "VirtualName": "ephemeral0"}, "InvalidBlockDeviceMapping", f"The device '{ROOT}' is used in more than one block-device mapping"),
        ({"DeviceName": "/dev/sdf", "VirtualName": "ephemeral24"}, "InvalidParameterValue", "Value (ephemeral24) for parameter VirtualName is invalid."),
        ({"VirtualName": "ephemeral0"}, "MissingParameter", "The request must contain the parameter BlockDeviceMapping.DeviceName"),
        ({"DeviceName": "/dev/nvme1n1", "Ebs": {"VolumeSize": 1}}, "InvalidParameterValue", "Value (/dev/nvme1n1) for parameter device is invalid. /dev/nvme1n1 is not a valid EBS device name."),
        ({"DeviceName": "/dev/sdg", "Ebs": {"VolumeSize": 5, "VolumeType": "io2", "Iops": 5001}}, "InvalidParameterValue", "Iops to volume size ratio of 1000.200000 is too high; maximum is 1000"),
        ({"DeviceName": "/dev/sdf1", "Ebs": {"VolumeSize": 1}}, "InvalidParameterValue", "Value (/dev/sdf1) for parameter device is invalid."),
        ({"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1, "Encrypted": True}}, "UnsupportedOperation", "Encrypted volumes (/dev/sdf) are not implemented by Amiable."),
    ],
)  # fmt: skip
def test_each_wrong_entry_has_its_code_and_text(
    ec2: Any, snapshot_id: str, entry: dict[str, Any], code: str, text: str
) -> None:
    words = registration(snapshot_id, "never", BlockDeviceMappings=[volume(snapshot_id), entry])
    seen = refused(ec2.register_image, **words)
    assert seen[0] == code and seen[1].startswith(text), seen


def test_a_paravirtual_image_maps_a_disk_or_its_partitions(ec2: Any, snapshot_id: str) -> None:
    maps = [
        volume(snapshot_id, "/dev/sda1"),
        volume(None, "/dev/sdc", VolumeSize=1),
        volume(None, "/dev/sdc1", VolumeSize=1),
    ]
    words = registration(snapshot_id, "both", **PARAVIRTUAL, BlockDeviceMappings=maps)
    assert refused(ec2.register_image, **words) == (
        "InvalidBlockDeviceMapping",
        "The devices '/dev/sdc' and '/dev/sdc1' cannot be used together.",
    )
    register(ec2, snapshot_id, "partitions", **PARAVIRTUAL, BlockDeviceMappings=[maps[0], maps[2]])


def test_snapshots_are_the_callers_own_and_completed(edge: Edge, ec2: Any, snapshot_id: str) -> None:
    pending = new_snapshot(edge, completed=False)
    assert refused(ec2.register_image, **registration(pending, "too early")) == (
        "IncorrectState",
        f"The snapshot '{pending}' is in state pending; only completed ones can be registered.",
    )
    with another_client(edge, "borrower") as other:
        words = registration(snapshot_id, "borrowed")
        missing = ("InvalidSnapshot.NotFound", f"The snapshot '{snapshot_id}' does not exist.")
        assert refused(other.register_image, **words) == missing
        ec2.modify_snapshot_attribute(
            SnapshotId=snapshot_id, Attribute="createVolumePermission", OperationType="add", UserIds=[other.account_id]
        )
        assert refused(other.register_image, **words) == missing


# ── read your writes ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_answered_id_is_known_to_every_action_at_once(edge: Edge, ec2: Any, snapshot_id: str) -> None:
    with closing(edge.client("ec2")) as fresh:
        for number in range(10):
            image_id = register(ec2, snapshot_id, f"at once {number}")
            fresh.create_tags(Resources=[image_id], Tags=[{"Key": "n", "Value": str(number)}])
            fresh.modify_image_attribute(ImageId=image_id, Description={"Value": "new"})
            image = described(fresh, image_id)
            assert (image["Description"], image["Tags"]) == ("new", [{"Key": "n", "Value": str(number)}])


def test_of_eight_who_want_a_name_at_once_one_gets_it_and_the_others_learn_who(ec2: Any, snapshot_id: str) -> None:
    def attempt(_: int) -> str:
        try:
            return register(ec2, snapshot_id, "contested")
        except ec2.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] == "InvalidAMIName.Duplicate"
            return str(error.response["Error"]["Message"]).rpartition(" ")[2]

    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(attempt, range(8)))
    (image_id,) = answers
    assert described(ec2, image_id)["Name"] == "contested"


# ── from a manifest ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def location(edge: Edge, tmp_path: Path) -> str:
    """The ImageLocation of a small bundle of the edge's account."""
    (tmp_path / "disk.img").write_bytes(b"\x05" * BLOCK_BYTES)
    recipe = Recipe(
        tmp_path / "disk.img",
        "disk.img",
        edge.account.account_id,
        "x86_64",
        edge.account.certificate_pem,
        edge.account.private_key_pem,
        edge.services.installation.bundling_pem,
    )
    folder = tmp_path / "bundle"
    folder.mkdir()
    manifest = create(recipe, folder)
    bucket = f"bundle-{tmp_path.name.replace('_', '-')[-40:].lower()}"
    with closing(edge.client("s3")) as s3:
        s3.create_bucket(Bucket=bucket)
        for path in folder.iterdir():
            s3.put_object(Bucket=bucket, Key=path.name, Body=path.read_bytes(), ACL="aws-exec-read")
    return f"{bucket}/{manifest.name}"


def test_a_bundles_image_is_pending_then_available(edge: Edge, ec2: Any, location: str) -> None:
    tags = [{"ResourceType": "image", "Tags": [{"Key": "k", "Value": "v"}]}]
    image_id = ec2.register_image(Name="bundled", ImageLocation=location, TagSpecifications=tags)["ImageId"]
    assert described(ec2, image_id)["State"] == "pending"
    run = {"ImageId": image_id, "MinCount": 1, "MaxCount": 1}
    assert refused(ec2.run_instances, **run) == (
        "InvalidAMIID.Unavailable",
        f"The image id '[{image_id}]' is no longer available",
    )
    run_jobs(edge.services)
    ec2.get_waiter("image_available").wait(ImageIds=[image_id], WaiterConfig=SOON)
    image = described(ec2, image_id)
    assert (image["Architecture"], image["RootDeviceType"], image["ImageLocation"]) == (
        "x86_64",
        "instance-store",
        location,
    )
    assert image["Tags"] == [{"Key": "k", "Value": "v"}]


def test_a_failed_image_says_why_ends_the_waiter_and_holds_its_name(edge: Edge, ec2: Any, location: str) -> None:
    image_id = ec2.register_image(Name="lost part", ImageLocation=location)["ImageId"]
    with closing(edge.client("s3")) as s3:
        bucket = location.partition("/")[0]
        s3.delete_object(Bucket=bucket, Key="disk.img.part.00")
    run_jobs(edge.services)
    image = described(ec2, image_id)
    assert image["State"] == "failed"
    assert image["StateReason"]["Code"] == "Client.InvalidManifest"
    assert "disk.img.part.00" in image["StateReason"]["Message"]
    with pytest.raises(WaiterError, match="failed"):
        ec2.get_waiter("image_available").wait(ImageIds=[image_id], WaiterConfig=SOON)
    again = {"Name": "lost part", "ImageLocation": location}
    assert refused(ec2.run_instances, ImageId=image_id, MinCount=1, MaxCount=1)[0] == "InvalidAMIID.Unavailable"
    assert refused(ec2.register_image, **again)[0] in ("InvalidAMIName.Duplicate", "InvalidManifest")
    ec2.deregister_image(ImageId=image_id)
    assert refused(ec2.deregister_image, ImageId=image_id)[0] == "InvalidAMIID.Unavailable"


def test_a_bundles_map_has_instance_store_disks_only(ec2: Any, snapshot_id: str, location: str) -> None:
    words = {"Name": "mixed", "ImageLocation": location}
    code, text = refused(ec2.register_image, **words, BlockDeviceMappings=[volume(snapshot_id, "/dev/sdf")])
    assert (code, text) == (
        "InvalidBlockDeviceMapping",
        "The image is backed by a manifest: /dev/sdf may be an instance-store disk (ephemeralN) only.",
    )
    maps = [{"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"}]
    image_id = ec2.register_image(**words, BlockDeviceMappings=maps)["ImageId"]
    assert described(ec2, image_id)["BlockDeviceMappings"] == maps


def test_a_bundle_that_ec2_may_not_read_is_refused(edge: Edge, ec2: Any, location: str) -> None:
    bucket, _, key = location.partition("/")
    with closing(edge.client("s3")) as s3:
        body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        s3.put_object(
            Bucket=bucket, Key=key, Body=body.replace(b"<name>disk.img", b"<name>disk.iso"), ACL="aws-exec-read"
        )
    code, text = refused(ec2.register_image, Name="altered", ImageLocation=location)
    assert code == "InvalidManifest" and text
