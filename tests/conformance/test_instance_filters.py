"""Every filter of DescribeInstances finds what the answer shows, and nothing else; pages, ids and credits as boto3 asks for them."""

import re
from typing import Any

import pytest
from botocore.exceptions import ClientError

from amiable.api.ec2.instance_filters import FIELDS, shown
from amiable.api.ec2.views import views_of
from amiable.database import instances
from amiable.model.principal import Principal
from amiable.rules.lifecycle import Event
from tests.api.ec2.launching import make_image
from tests.server.edge import Edge

TINY = {"InstanceType": "amiable.tiny", "MinCount": 1, "MaxCount": 1}


@pytest.fixture(scope="module")
def owner(edge: Edge) -> Principal:
    return Principal(edge.account.account_id, edge.account.access_key_id, "us-east-1")


@pytest.fixture(scope="module")
def rich(edge: Edge, ec2: Any, owner: Principal) -> str:
    """A running instance that has most of what can be asked for."""
    image = make_image(edge.services, owner, platform="windows", boot_mode="legacy-bios", ena_support=True)
    answer = ec2.run_instances(
        ImageId=image.id,
        ClientToken="token",
        MaintenanceOptions={"AutoRecovery": "disabled"},
        BlockDeviceMappings=[{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1}}],
        **TINY,
    )
    instance_id = str(answer["Instances"][0]["InstanceId"])
    with edge.services.database.write() as c:
        instances.set_state(c, instance_id, Event.BOOTED, now=edge.services.now())
    return instance_id


def found(ec2: Any, **parameters: Any) -> list[str]:
    answer = ec2.describe_instances(**parameters)
    return [each["InstanceId"] for reservation in answer["Reservations"] for each in reservation["Instances"]]


def refused(call: Any, **parameters: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def documented(ec2: Any) -> list[str]:
    """The filters that botocore's model documents."""
    text = ec2.meta.service_model.operation_model("DescribeInstances").input_shape.members["Filters"].documentation
    return [re.findall(r"<code>(.*?)</code>", item)[0] for item in re.findall(r"<li>(.*?)</li>", text, re.DOTALL)]


@pytest.mark.proves("ec2", "DescribeInstances")
def test_every_documented_filter_is_there_and_no_other(ec2: Any) -> None:
    assert {*documented(ec2)} == {*FIELDS, "tag-key", "tag:&lt;key&gt;"}


@pytest.mark.proves("ec2", "DescribeInstances")
def test_every_filter_finds_by_what_is_shown_and_by_nothing_else(
    edge: Edge, ec2: Any, owner: Principal, rich: str
) -> None:
    with edge.services.database.read() as c:
        row = instances.get_instance(c, rich)
        assert row is not None
        (view,) = views_of(c, owner, [row])
    answered = 0
    for name, field in FIELDS.items():
        values = [value for value in field(shown(view)) if value is not None]
        assert found(ec2, Filters=[{"Name": name, "Values": ["nothing has this"]}]) == [], name
        assert found(ec2, Filters=[{"Name": name, "Values": ["*"]}]) == ([rich] if values else []) or name in (
            "availability-zone-id",
        ), name
        for value in values[:1]:
            answered += 1
            assert found(ec2, Filters=[{"Name": name, "Values": ["x", value]}]) == [rich], (name, value)
    assert answered > 75
    assert (
        refused(ec2.describe_instances, Filters=[{"Name": "colour", "Values": ["red"]}])[0] == "InvalidParameterValue"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("availability-zone-id", "use1-az1"),
        ("block-device-mapping.status", "attached"),
        ("boot-mode", "legacy-bios"),
        ("ena-support", "true"),
        ("hibernation-options.configured", "false"),
        ("instance-state-code", "16"),
        ("maintenance-options.auto-recovery", "disabled"),
        ("metadata-options.state", "applied"),
        ("monitoring-state", "disabled"),
        ("network-interface.addresses.primary", "true"),
        ("network-interface.attachment.device-index", "0"),
        ("network-interface.source-dest-check", "true"),
        ("platform", "windows"),
        ("platform-details", "Windows"),
        ("private-dns-name-options.hostname-type", "ip-name"),
        ("source-dest-check", "true"),
        ("usage-operation", "RunInstances:0002"),
    ],
)
def test_values_are_spelled_as_ec2_spells_them(ec2: Any, rich: str, name: str, value: str) -> None:
    assert found(ec2, Filters=[{"Name": name, "Values": [value]}]) == [rich]


def test_times_are_found_by_their_day(ec2: Any, rich: str) -> None:
    (instance,) = ec2.describe_instances(InstanceIds=[rich])["Reservations"][0]["Instances"]
    day = f"{instance['LaunchTime']:%Y-%m-%d}T*"
    for name in ("launch-time", "usage-operation-update-time", "network-interface.attachment.attach-time"):
        assert found(ec2, Filters=[{"Name": name, "Values": [day]}]) == [rich]


@pytest.mark.proves("ec2", "DescribeInstances", "DescribeInstanceStatus")
def test_pages_and_ids_do_not_go_together_and_sizes_have_bounds(ec2: Any, rich: str) -> None:
    for call in (ec2.describe_instances, ec2.describe_instance_status):
        code, words = refused(call, InstanceIds=[rich], MaxResults=5)
        assert (code, "cannot be used with the parameter maxResults" in words) == ("InvalidParameterCombination", True)
        assert refused(call, MaxResults=4)[0] == "InvalidParameterValue"
    many = [f"i-{number:017x}" for number in range(101)]
    code, words = refused(ec2.describe_instance_status, InstanceIds=many)
    assert (code, "100 instances at most" in words) == ("InvalidParameterValue", True)


@pytest.mark.proves("ec2", "DescribeInstanceStatus")
def test_status_is_of_what_runs_and_of_all_when_asked(edge: Edge, ec2: Any, owner: Principal, rich: str) -> None:
    pending = ec2.run_instances(ImageId=make_image(edge.services, owner).id, **TINY)["Instances"][0]["InstanceId"]
    (only,) = ec2.describe_instance_status()["InstanceStatuses"]
    assert (only["InstanceId"], only["AvailabilityZoneId"]) == (rich, "use1-az1")
    assert only["SystemStatus"]["Status"] == "impaired"  # there is no process here
    (detail,) = only["SystemStatus"]["Details"]
    assert (detail["Name"], detail["Status"]) == ("reachability", "failed") and detail["ImpairedSince"]
    both = ec2.describe_instance_status(IncludeAllInstances=True)["InstanceStatuses"]
    assert {each["InstanceId"]: each["SystemStatus"]["Status"] for each in both} == {
        rich: "impaired",
        pending: "not-applicable",
    }
    for name, value, expected in (
        ("system-status.status", "impaired", [rich]),
        ("system-status.reachability", "failed", [rich]),
        ("instance-status.status", "not-applicable", [pending]),
        ("attached-ebs-status.status", "insufficient-data", [rich]),
        ("instance-state-name", "pending", [pending]),
        ("event.code", "*", []),
    ):
        filters = [{"Name": name, "Values": [value]}]
        told = ec2.describe_instance_status(IncludeAllInstances=True, Filters=filters)["InstanceStatuses"]
        assert [each["InstanceId"] for each in told] == expected, name


@pytest.mark.proves("ec2", "DescribeInstanceCreditSpecifications")
def test_credits_are_told_of_whom_is_asked_and_else_of_the_unlimited(
    edge: Edge, ec2: Any, owner: Principal, rich: str
) -> None:
    image_id = make_image(edge.services, owner, ena_support=True).id

    def launch(type_: str, **words: Any) -> str:
        answer = ec2.run_instances(ImageId=image_id, **{**TINY, "InstanceType": type_}, **words)
        return str(answer["Instances"][0]["InstanceId"])

    standard = launch("t2.nano")
    unlimited = launch("t3.nano")
    chosen = launch("t2.nano", CreditSpecification={"CpuCredits": "unlimited"})

    def told(**words: Any) -> dict[str, str]:
        answer = ec2.describe_instance_credit_specifications(**words)["InstanceCreditSpecifications"]
        return {each["InstanceId"]: each["CpuCredits"] for each in answer}

    assert told() == {unlimited: "unlimited", chosen: "unlimited"}
    assert told(InstanceIds=[standard, rich]) == {standard: "standard", rich: "standard"}
    assert told(Filters=[{"Name": "instance-id", "Values": [chosen]}]) == {chosen: "unlimited"}
    assert refused(ec2.describe_instance_credit_specifications, InstanceIds=["i-" + "0" * 17])[0] == (
        "InvalidInstanceID.NotFound"
    )
