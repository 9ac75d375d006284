"""Attributes of instances as stock boto3 asks for them: each read, changed, refused where EC2 refuses, and reset."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from amiable.database import instances
from amiable.model.instance import Instance
from amiable.model.kernel import KernelKind
from amiable.model.principal import Principal
from amiable.rules.lifecycle import Event
from tests.api.ec2.launching import end_instances, make_image, make_instance_store_image, make_kernel
from tests.server.edge import Edge, running_edge
from tests.support.services import make_account, open_services

TINY = {"InstanceType": "amiable.tiny", "MinCount": 1, "MaxCount": 1}
STOPPED = (Event.BOOTED, Event.STOP_ASKED, Event.STOPPED)


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with open_services(tmp_path_factory.mktemp("edge") / "data", zones=("us-east-1a", "us-east-1b")) as services:
        account, _ = make_account(services, "edge")
        with running_edge(services, account) as running:
            yield running


@pytest.fixture(scope="module")
def owner(edge: Edge) -> Principal:
    return Principal(edge.account.account_id, edge.account.access_key_id, "us-east-1")


@pytest.fixture(autouse=True)
def room(edge: Edge) -> Iterator[None]:
    """The instances of one test are over before the next begins."""
    yield
    end_instances(edge.services)


def launched(edge: Edge, ec2: Any, image_id: str, *events: Event, **parameters: Any) -> str:
    """The id of a new instance to which ``events`` have happened."""
    instance_id = str(ec2.run_instances(ImageId=image_id, **{**TINY, **parameters})["Instances"][0]["InstanceId"])
    happen(edge, instance_id, *events)
    return instance_id


def happen(edge: Edge, instance_id: str, *events: Event) -> None:
    with edge.services.database.write() as c:
        for event in events:
            instances.set_state(c, instance_id, event, now=edge.services.now())


def row(edge: Edge, instance_id: str) -> Instance:
    with edge.services.database.read() as c:
        found = instances.get_instance(c, instance_id)
    assert found is not None
    return found


def refused(call: Any, **parameters: Any) -> tuple[str, str]:
    """Code and message of the refusal."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def read(ec2: Any, instance_id: str, attribute: str) -> Any:
    """The attribute's element of the answer."""
    answer = ec2.describe_instance_attribute(InstanceId=instance_id, Attribute=attribute)
    names = {
        "kernel": "KernelId",
        "ramdisk": "RamdiskId",
        "groupSet": "Groups",
        "blockDeviceMapping": "BlockDeviceMappings",
    }
    return answer[names.get(attribute, attribute[0].upper() + attribute[1:])]


@pytest.mark.proves("ec2", "DescribeInstanceAttribute", "ModifyInstanceAttribute")
def test_each_attribute_is_changed_and_read_back(edge: Edge, ec2: Any, owner: Principal) -> None:
    it = launched(edge, ec2, make_image(edge.services, owner).id, *STOPPED)
    before = {"disableApiTermination": False, "disableApiStop": False, "ebsOptimized": False, "enaSupport": False}
    for attribute, value in before.items():
        assert read(ec2, it, attribute) == {"Value": value}
        member = attribute[0].upper() + attribute[1:]
        ec2.modify_instance_attribute(InstanceId=it, **{member: {"Value": True}})
        assert read(ec2, it, attribute) == {"Value": True}
        ec2.modify_instance_attribute(InstanceId=it, Attribute=attribute, Value="false")
        assert read(ec2, it, attribute) == {"Value": False}
        ec2.modify_instance_attribute(InstanceId=it, Attribute=attribute, **{member: {"Value": True}})
        assert read(ec2, it, attribute) == {"Value": True}, "named, with its value in its own member"
        both = {"Attribute": attribute, "Value": "true", member: {"Value": False}}
        assert refused(ec2.modify_instance_attribute, InstanceId=it, **both)[0] == "InvalidParameterCombination"
        ec2.modify_instance_attribute(InstanceId=it, **{member: {"Value": False}})
    assert read(ec2, it, "sourceDestCheck") == {"Value": True}
    ec2.modify_instance_attribute(InstanceId=it, SourceDestCheck={"Value": False})
    assert read(ec2, it, "sourceDestCheck") == {"Value": False}
    ec2.modify_instance_attribute(InstanceId=it, InstanceInitiatedShutdownBehavior={"Value": "terminate"})
    assert read(ec2, it, "instanceInitiatedShutdownBehavior") == {"Value": "terminate"}
    ec2.modify_instance_attribute(InstanceId=it, SriovNetSupport={"Value": "simple"})
    assert read(ec2, it, "sriovNetSupport") == {"Value": "simple"}
    ec2.modify_instance_attribute(InstanceId=it, UserData={"Value": b"#!/bin/sh\n"})
    assert base64.b64decode(read(ec2, it, "userData")["Value"]) == b"#!/bin/sh\n"
    ec2.modify_instance_attribute(InstanceId=it, UserData={"Value": b""})
    assert read(ec2, it, "userData") == {}
    ec2.modify_instance_attribute(InstanceId=it, InstanceType={"Value": "t2.micro"})
    assert read(ec2, it, "instanceType") == {"Value": "t2.micro"}
    assert read(ec2, it, "enclaveOptions") == {"Enabled": False}
    assert read(ec2, it, "rootDeviceName") == {"Value": "/dev/sda1"}
    (found,) = ec2.describe_instances(InstanceIds=[it])["Reservations"][0]["Instances"]
    assert (found["InstanceType"], found["SriovNetSupport"], found["SourceDestCheck"]) == ("t2.micro", "simple", False)


def test_the_flag_of_ena_chooses_the_hardware_anew(edge: Edge, ec2: Any, owner: Principal) -> None:
    it = launched(edge, ec2, make_image(edge.services, owner).id, *STOPPED)
    assert row(edge, it).hardware_profile == "virtio"
    ec2.modify_instance_attribute(InstanceId=it, EnaSupport={"Value": True})
    assert row(edge, it).hardware_profile == "nitro"
    ec2.modify_instance_attribute(InstanceId=it, InstanceType={"Value": "t3.micro"})
    code, message = refused(ec2.modify_instance_attribute, InstanceId=it, EnaSupport={"Value": False})
    assert (code, "(ENA) is required for the 't3.micro'" in message) == ("InvalidParameterCombination", True)


def test_a_mapping_says_what_ends_with_the_instance(edge: Edge, ec2: Any, owner: Principal) -> None:
    devices = [{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1}}]
    it = launched(edge, ec2, make_image(edge.services, owner).id, Event.BOOTED, BlockDeviceMappings=devices)

    def goes() -> dict[str, bool]:
        return {each["DeviceName"]: each["Ebs"]["DeleteOnTermination"] for each in read(ec2, it, "blockDeviceMapping")}

    def change(**entry: Any) -> None:
        ec2.modify_instance_attribute(InstanceId=it, BlockDeviceMappings=[entry])

    first = goes()
    change(DeviceName="/dev/sda1", Ebs={"DeleteOnTermination": not first["/dev/sda1"]})
    assert goes() == {**first, "/dev/sda1": not first["/dev/sda1"]}
    change(DeviceName="/dev/sdf")
    assert goes()["/dev/sdf"] is True
    held = {each["DeviceName"]: each["Ebs"]["VolumeId"] for each in read(ec2, it, "blockDeviceMapping")}
    change(Ebs={"VolumeId": held["/dev/sdf"], "DeleteOnTermination": False})
    assert goes()["/dev/sdf"] is False
    for entry, code, words in (
        ({"DeviceName": "/dev/sdz"}, "InvalidInstanceAttributeValue", "No device is currently mapped at /dev/sdz"),
        ({"Ebs": {"DeleteOnTermination": True}}, "InvalidInstanceAttributeValue", "names a device"),
        ({"DeviceName": "/dev/sdf", "NoDevice": ""}, "UnsupportedOperation", "Only DeleteOnTermination"),
    ):
        told = refused(ec2.modify_instance_attribute, InstanceId=it, BlockDeviceMappings=[entry])
        assert told[0] == code and words in told[1]


def test_groups_are_those_of_the_instances_network(edge: Edge, ec2: Any, owner: Principal) -> None:
    it = launched(edge, ec2, make_image(edge.services, owner).id, Event.BOOTED)
    ((group,),) = (read(ec2, it, "groupSet"),)
    ec2.modify_instance_attribute(InstanceId=it, Groups=[group["GroupId"], group["GroupId"]])
    assert read(ec2, it, "groupSet") == [group]
    assert (
        refused(ec2.modify_instance_attribute, InstanceId=it, Groups=["sg-" + "0" * 17])[0] == "InvalidGroup.NotFound"
    )
    assert refused(ec2.modify_instance_attribute, InstanceId=it, Groups=["default"])[0] == "InvalidGroupId.Malformed"


@pytest.mark.parametrize(
    ("parameters", "code", "words"),
    [
        ({"InstanceType": {"Value": "t2.micro"}}, "IncorrectInstanceState", "is not in the 'stopped' state"),
        ({"UserData": {"Value": b"x"}}, "IncorrectInstanceState", "is not in the 'stopped' state"),
        ({"Kernel": {"Value": "aki-1"}}, "IncorrectInstanceState", "is not in the 'stopped' state"),
        ({"Ramdisk": {"Value": "ari-1"}}, "IncorrectInstanceState", "is not in the 'stopped' state"),
        ({"EnaSupport": {"Value": True}}, "IncorrectInstanceState", "is not in the 'stopped' state"),
        ({"SriovNetSupport": {"Value": "simple"}}, "IncorrectInstanceState", "is not in the 'stopped' state"),
        ({"EbsOptimized": {"Value": True}}, "IncorrectInstanceState", "is not in the 'stopped' state"),
        ({}, "InvalidParameterCombination", "No attributes specified."),
        ({"Value": "true"}, "MissingParameter", "Attribute"),
        ({"Attribute": "disableApiStop"}, "MissingParameter", "Value"),
        ({"Attribute": "disableApiStop", "Value": "yes"}, "InvalidInstanceAttributeValue", "Allowed: true, false."),
        ({"Attribute": "groupSet", "Value": "sg-1"}, "InvalidParameterCombination", "cannot be given as Value"),
        ({"Attribute": "rootDeviceName", "Value": "x"}, "UnsupportedInstanceAttribute", "cannot be changed"),
        ({"Attribute": "userData", "Value": "?"}, "InvalidUserData.Malformed", ""),
        (
            {"DisableApiStop": {"Value": True}, "SourceDestCheck": {"Value": True}},
            "InvalidParameterCombination",
            "Fields for multiple attribute types specified",
        ),
        (
            {"InstanceInitiatedShutdownBehavior": {"Value": "sleep"}},
            "InvalidInstanceAttributeValue",
            "Allowed: stop, terminate.",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "+".join(value),
)
def test_what_a_running_instance_may_not_become(
    edge: Edge, ec2: Any, owner: Principal, parameters: dict[str, Any], code: str, words: str
) -> None:
    it = launched(edge, ec2, make_image(edge.services, owner).id, Event.BOOTED)
    before = row(edge, it)
    told = refused(ec2.modify_instance_attribute, InstanceId=it, **parameters)
    assert told[0] == code and words in told[1]
    assert row(edge, it) == before


@pytest.mark.parametrize(
    ("parameters", "code", "words"),
    [
        ({"InstanceType": {"Value": "t9.huge"}}, "InvalidInstanceAttributeValue", "Invalid value 't9.huge'"),
        ({"InstanceType": {"Value": "t3.micro"}}, "InvalidParameterCombination", "(ENA) is required"),
        ({"InstanceType": {"Value": "t4g.micro"}}, "InvalidParameterCombination", "does not run"),
        ({"SriovNetSupport": {"Value": "fast"}}, "InvalidInstanceAttributeValue", "Allowed: simple."),
        ({"UserData": {"Value": b"x" * 16385}}, "InvalidParameterValue", "limited to 16384 bytes"),
        ({"Kernel": {"Value": "aki-" + "0" * 17}}, "InvalidParameterCombination", "it boots its own kernel"),
    ],
    ids=lambda value: value if isinstance(value, str) else "+".join(value),
)
def test_what_a_stopped_instance_may_not_become(
    edge: Edge, ec2: Any, owner: Principal, parameters: dict[str, Any], code: str, words: str
) -> None:
    it = launched(edge, ec2, make_image(edge.services, owner).id, *STOPPED)
    before = row(edge, it)
    told = refused(ec2.modify_instance_attribute, InstanceId=it, **parameters)
    assert told[0] == code and words in told[1]
    assert row(edge, it) == before


def test_what_has_ended_and_what_cannot_be_stopped_keep_what_they_have(edge: Edge, ec2: Any, owner: Principal) -> None:
    ended = launched(edge, ec2, make_image(edge.services, owner).id, Event.TERMINATE_ASKED)
    code, words = refused(ec2.modify_instance_attribute, InstanceId=ended, DisableApiTermination={"Value": True})
    assert (code, "its attributes cannot be changed" in words) == ("IncorrectInstanceState", True)
    store = launched(edge, ec2, make_instance_store_image(edge.services, owner).id, Event.BOOTED)
    for parameters in ({"DisableApiStop": {"Value": True}}, {"InstanceInitiatedShutdownBehavior": {"Value": "stop"}}):
        code, words = refused(ec2.modify_instance_attribute, InstanceId=store, **parameters)
        assert (code, "an instance store as its root" in words) == ("UnsupportedInstanceAttribute", True)
    code, _ = refused(ec2.stop_instances, InstanceIds=[store])
    assert code == "UnsupportedOperation"


@pytest.mark.proves("ec2", "ResetInstanceAttribute")
def test_reset_gives_back_the_images_kernel_and_the_check(edge: Edge, ec2: Any, owner: Principal) -> None:
    facts: dict[str, Any] = {"kernel_kind": KernelKind.XEN_PV64, "boots_directly": True}
    own, other = (make_kernel(edge.services, owner, **facts) for _ in range(2))
    ramdisk = make_kernel(edge.services, owner, "ari")
    image = make_image(edge.services, owner, virtualization_type="paravirtual", kernel_id=own.id, ramdisk_id=ramdisk.id)
    it = launched(edge, ec2, image.id, *STOPPED)
    ec2.modify_instance_attribute(InstanceId=it, Kernel={"Value": other.id})
    ec2.modify_instance_attribute(InstanceId=it, Ramdisk={"Value": ""})
    ec2.reset_instance_attribute(InstanceId=it, Attribute="ramdisk")
    assert (read(ec2, it, "kernel"), read(ec2, it, "ramdisk")) == ({"Value": other.id}, {"Value": ramdisk.id})
    ec2.reset_instance_attribute(InstanceId=it, Attribute="kernel")
    assert read(ec2, it, "kernel") == {"Value": own.id}
    ec2.modify_instance_attribute(InstanceId=it, SourceDestCheck={"Value": False})
    happen(edge, it, Event.START_ASKED)
    ec2.reset_instance_attribute(InstanceId=it, Attribute="sourceDestCheck")
    assert read(ec2, it, "sourceDestCheck") == {"Value": True}
    assert refused(ec2.reset_instance_attribute, InstanceId=it, Attribute="kernel")[0] == "IncorrectInstanceState"
    assert refused(ec2.reset_instance_attribute, InstanceId=it, Attribute="userData")[0] == "InvalidParameterValue"


@pytest.mark.proves("ec2", "TerminateInstances", "StopInstances")
def test_protections_hold_a_zone_at_a_time(edge: Edge, ec2: Any, owner: Principal) -> None:
    image_id = make_image(edge.services, owner).id
    a, b, kept, beside = (
        launched(edge, ec2, image_id, Event.BOOTED, Placement={"AvailabilityZone": f"us-east-1{zone}"})
        for zone in "aabb"
    )
    ec2.modify_instance_attribute(InstanceId=kept, DisableApiTermination={"Value": True})
    told = refused(ec2.terminate_instances, InstanceIds=[a, b, kept, beside], DryRun=True)
    assert told[0] == "OperationNotPermitted" and row(edge, a).state == "running"
    code, words = refused(ec2.terminate_instances, InstanceIds=[a, b, kept, beside])
    assert (code, f"The instance '{kept}' may not be terminated." in words) == ("OperationNotPermitted", True)
    assert [row(edge, each).state.value for each in (a, b, kept, beside)] == [
        "shutting-down",
        "shutting-down",
        "running",
        "running",
    ]
    ec2.modify_instance_attribute(InstanceId=kept, DisableApiStop={"Value": True})
    code, words = refused(ec2.stop_instances, InstanceIds=[beside, kept], Force=True)
    assert (code, f"The instance '{kept}' may not be stopped." in words) == ("OperationNotPermitted", True)
    assert row(edge, beside).state == "running"
    for attribute in ("disableApiTermination", "disableApiStop"):
        assert refused(ec2.terminate_instances, InstanceIds=[kept])[1].count(f"'{attribute}'") == 1
        ec2.modify_instance_attribute(InstanceId=kept, Attribute=attribute, Value="false")
    (change,) = ec2.terminate_instances(InstanceIds=[kept])["TerminatingInstances"]
    assert (change["PreviousState"]["Code"], change["CurrentState"]["Code"]) == (16, 32)


def test_a_launch_says_protections_credits_and_recovery(edge: Edge, ec2: Any, owner: Principal) -> None:
    image_id = make_image(edge.services, owner).id
    words = {"DisableApiTermination": True, "DisableApiStop": True, "MaintenanceOptions": {"AutoRecovery": "disabled"}}
    it = launched(edge, ec2, image_id, **words, EbsOptimized=True)
    assert read(ec2, it, "disableApiTermination") == read(ec2, it, "disableApiStop") == {"Value": True}
    (found,) = ec2.describe_instances(InstanceIds=[it])["Reservations"][0]["Instances"]
    assert (found["EbsOptimized"], found["MaintenanceOptions"]) == (True, {"AutoRecovery": "disabled"})
    store = make_instance_store_image(edge.services, owner).id
    for image, parameters, code in (
        (store, {"DisableApiStop": True}, "UnsupportedOperation"),
        (image_id, {"EbsOptimized": True, "InstanceType": "t2.micro"}, "Unsupported"),
        (image_id, {"CreditSpecification": {"CpuCredits": "unlimited"}}, "InvalidParameterCombination"),
        (image_id, {"CreditSpecification": {"CpuCredits": "all"}, "InstanceType": "t2.micro"}, "InvalidParameterValue"),
    ):
        assert refused(ec2.run_instances, ImageId=image, **{**TINY, **parameters})[0] == code
