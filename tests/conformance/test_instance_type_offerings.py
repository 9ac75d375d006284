"""DescribeInstanceTypes and DescribeInstanceTypeOfferings as stock boto3 asks them."""

from typing import Any

import pytest

from amiable.model.instance_type import INSTANCE_TYPES
from amiable.model.principal import Principal
from tests.api.ec2.launching import make_image
from tests.conformance.test_instances import refused
from tests.server.edge import Edge


def wanted(name: str, *values: str) -> list[dict[str, Any]]:
    return [{"Name": name, "Values": list(values)}]


@pytest.mark.proves("ec2", "DescribeInstanceTypeOfferings")
def test_every_type_that_runs_here_is_offered_in_the_region_and_in_each_zone(ec2: Any) -> None:
    pages = ec2.get_paginator("describe_instance_type_offerings").paginate(PaginationConfig={"PageSize": 100})
    found = [each for page in pages for each in page["InstanceTypeOfferings"]]
    assert [each["InstanceType"] for each in found] == sorted(
        name for name, type_ in INSTANCE_TYPES.items() if type_.is_supported
    )
    assert {(each["LocationType"], each["Location"]) for each in found} == {("region", "us-east-1")}
    zones = {each["ZoneName"]: each["ZoneId"] for each in ec2.describe_availability_zones()["AvailabilityZones"]}
    for location_type, places in (("availability-zone", set(zones)), ("availability-zone-id", set(zones.values()))):
        asked = {"LocationType": location_type, "Filters": wanted("instance-type", "t3.micro", "t4g.micro")}
        told = ec2.describe_instance_type_offerings(**asked)["InstanceTypeOfferings"]
        assert {(each["InstanceType"], each["Location"]) for each in told} == {("t3.micro", place) for place in places}
    assert ec2.describe_instance_type_offerings(LocationType="outpost")["InstanceTypeOfferings"] == []


def test_offerings_are_filtered_by_place_and_a_type_of_any_size_is_offered_when_named(ec2: Any) -> None:
    zone = ec2.describe_availability_zones()["AvailabilityZones"][0]["ZoneName"]
    asked = {"LocationType": "availability-zone", "Filters": wanted("location", zone) + wanted("instance-type", "t2.*")}
    told = ec2.describe_instance_type_offerings(**asked)["InstanceTypeOfferings"]
    assert {each["Location"] for each in told} == {zone} and len(told) == 7
    sized = ec2.describe_instance_type_offerings(Filters=wanted("instance-type", "amiable.2c4g", "amiable.0c4g"))
    assert [each["InstanceType"] for each in sized["InstanceTypeOfferings"]] == ["amiable.2c4g"]


@pytest.mark.parametrize(
    ("asked", "code", "words"),
    [
        (
            {"LocationType": "moon"},
            "InvalidParameterValue",
            "Valid values: availability-zone, availability-zone-id, outpost, region.",
        ),
        ({"Filters": wanted("colour", "red")}, "InvalidParameterValue", "The filter 'colour' is invalid"),
        ({"NextToken": "x"}, "InvalidNextToken", ""),
        ({"DryRun": True}, "DryRunOperation", ""),
    ],
)
def test_bad_questions_are_refused(ec2: Any, asked: dict[str, Any], code: str, words: str) -> None:
    found, text, _ = refused(ec2.describe_instance_type_offerings, **asked)
    assert found == code and words in text


@pytest.mark.proves("ec2", "DescribeInstanceTypes")
def test_a_types_facts_are_those_that_clients_read(ec2: Any) -> None:
    asked = ["amiable.3c768m", "t3.micro", "t2.micro", "t4g.micro"]
    told = {each["InstanceType"]: each for each in ec2.describe_instance_types(InstanceTypes=asked)["InstanceTypes"]}
    own = told["amiable.3c768m"]
    assert (own["VCpuInfo"]["DefaultVCpus"], own["MemoryInfo"]["SizeInMiB"]) == (3, 768)
    assert own["VCpuInfo"]["ValidCores"] == [3] and own["NetworkInfo"]["EnaSupport"] == "supported"
    facts = {
        name: (
            each["NitroTpmSupport"],
            each.get("NitroTpmInfo", {}).get("SupportedVersions"),
            each["EbsInfo"]["NvmeSupport"],
            each["NetworkInfo"]["EnaSupport"],
            each["SupportedBootModes"],
        )
        for name, each in told.items()
    }
    assert facts["t3.micro"] == ("supported", ["2.0"], "required", "required", ["legacy-bios", "uefi"])
    assert facts["t2.micro"] == ("unsupported", None, "unsupported", "supported", ["legacy-bios"])
    assert facts["t4g.micro"] == ("unsupported", None, "required", "required", ["uefi"])
    for each in told.values():
        assert each["NetworkInfo"]["MaximumNetworkInterfaces"] == 1 == each["NetworkInfo"]["MaximumNetworkCards"]
        assert each["InstanceStorageSupported"] is False and each["EbsInfo"]["EncryptionSupport"] == "unsupported"


@pytest.mark.parametrize(
    ("name", "value", "has", "has_not"),
    [
        ("nitro-tpm-support", "supported", "t3.micro", "t2.micro"),
        ("nitro-tpm-info.supported-versions", "2.0", "m5.large", "m1.small"),
        ("network-info.ena-support", "required", "c5.large", "amiable.tiny"),
        ("ebs-info.nvme-support", "required", "m6i.large", "m4.large"),
        ("supported-boot-mode", "uefi", "amiable.tiny", "t2.nano"),
        ("supported-virtualization-type", "paravirtual", "m1.small", ""),
        ("vcpu-info.valid-cores", "8", "t3.2xlarge", "t3.micro"),
        ("current-generation", "true", "t3.micro", "m1.small"),
    ],
)
def test_types_are_filtered_by_what_images_need(ec2: Any, name: str, value: str, has: str, has_not: str) -> None:
    pages = ec2.get_paginator("describe_instance_types").paginate(Filters=wanted(name, value))
    found = {each["InstanceType"] for page in pages for each in page["InstanceTypes"]}
    assert has in found and has_not not in found


def test_a_launch_wants_a_type_that_there_is_and_an_architecture_that_it_runs(edge: Edge, ec2: Any) -> None:
    owner = Principal(edge.account.account_id, edge.account.access_key_id, "us-east-1")
    image_id = make_image(edge.services, owner).id
    run = {"ImageId": image_id, "MinCount": 1, "MaxCount": 1}
    code, text, _ = refused(ec2.run_instances, InstanceType="t4g.micro", **run)
    assert code == "InvalidParameterValue" and "'arm64'" in text and "'x86_64'" in text
    code, text, _ = refused(ec2.run_instances, InstanceType="amiable.64c1024g", **run)
    assert code == "InsufficientInstanceCapacity" and "There is not enough memory on this host" in text
    code, text, _ = refused(ec2.run_instances, InstanceType="amiable.65c1g", **run)
    assert (code, text.partition(".65")[0]) == ("InvalidParameterValue", "Invalid value 'amiable")
