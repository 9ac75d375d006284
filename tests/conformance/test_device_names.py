"""When two names are one device, as stock boto3 finds it wherever a device can be named: one rule.

``/dev/sdf`` and ``/dev/xvdf`` are two devices, as on EC2, where a launch that maps /dev/xvda beside the root /dev/sda1 makes a second volume.
A name with ``/dev/`` or without is one device, and so are a disk and a partition of it.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from amiable.database import instances
from amiable.model.image import ImageDevice
from amiable.model.principal import Principal
from amiable.rules.lifecycle import Event
from tests.api.ec2.launching import end_instances, make_image, make_kernel, make_snapshot
from tests.server.edge import Edge

TINY = {"InstanceType": "amiable.tiny", "MinCount": 1, "MaxCount": 1}
STOPPED = (Event.BOOTED, Event.STOP_ASKED, Event.STOPPED)
ROOT = "/dev/sda1"
TWICE = "The device '{}' is used in more than one block-device mapping"
TOGETHER = "The devices '{}' and '{}' cannot be used together."
Place = Callable[[Edge, Any, str, str], Any]


def owner(edge: Edge) -> Principal:
    return Principal(edge.account.account_id, edge.account.access_key_id, "us-east-1")


def empty(name: str) -> dict[str, Any]:
    return {"DeviceName": name, "Ebs": {"VolumeSize": 1}}


def paravirtual(edge: Edge, *further: str) -> str:
    """A paravirtual image, whose disks may be partitions too, with a volume at each name."""
    kernel = make_kernel(edge.services, owner(edge))
    root = ImageDevice(ROOT, snapshot_id=make_snapshot(edge.services, owner(edge)), size_gib=2)
    devices = (root, *(ImageDevice(name, size_gib=1, volume_type="gp2") for name in further))
    facts = {"virtualization_type": "paravirtual", "kernel_id": kernel.id, "devices": devices}
    return make_image(edge.services, owner(edge), **facts).id


def stopped(edge: Edge, ec2: Any, *further: str) -> str:
    """A stopped instance with a volume at each name."""
    mapping = [empty(name) for name in further]
    (made,) = ec2.run_instances(ImageId=paravirtual(edge), BlockDeviceMappings=mapping, **TINY)["Instances"]
    with edge.services.database.write() as c:
        for event in STOPPED:
            instances.set_state(c, made["InstanceId"], event, now=edge.services.now())
    return str(made["InstanceId"])


def launched(edge: Edge, ec2: Any, one: str, other: str) -> Any:
    return ec2.run_instances(ImageId=paravirtual(edge), BlockDeviceMappings=[empty(one), empty(other)], **TINY)


def launched_over_the_images_map(edge: Edge, ec2: Any, one: str, other: str) -> Any:
    return ec2.run_instances(ImageId=paravirtual(edge, one), BlockDeviceMappings=[empty(other)], **TINY)


def launched_of_a_template(edge: Edge, ec2: Any, one: str, other: str) -> Any:
    data = {"ImageId": paravirtual(edge), "InstanceType": "amiable.tiny", "BlockDeviceMappings": [empty(one)]}
    made = ec2.create_launch_template(LaunchTemplateName=f"of-{one}-{other}", LaunchTemplateData=data)
    template = {"LaunchTemplateId": made["LaunchTemplate"]["LaunchTemplateId"]}
    return ec2.run_instances(LaunchTemplate=template, BlockDeviceMappings=[empty(other)], MinCount=1, MaxCount=1)


def registered(edge: Edge, ec2: Any, one: str, other: str) -> Any:
    root = {"DeviceName": ROOT, "Ebs": {"SnapshotId": make_snapshot(edge.services, owner(edge))}}
    name = f"of {one} {other}".replace("/", "-")
    return ec2.register_image(Name=name, RootDeviceName=ROOT, BlockDeviceMappings=[root, empty(one), empty(other)])


def imaged(edge: Edge, ec2: Any, one: str, other: str) -> Any:
    name = f"image of {one} {other}".replace("/", "-")
    return ec2.create_image(
        InstanceId=stopped(edge, ec2, one), Name=name, NoReboot=True, BlockDeviceMappings=[empty(other)]
    )


def attached(edge: Edge, ec2: Any, one: str, other: str) -> Any:
    volume = ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    return ec2.attach_volume(InstanceId=stopped(edge, ec2, one), VolumeId=volume, Device=other)


MAPPED = (launched, launched_over_the_images_map, launched_of_a_template, registered, imaged)


@pytest.fixture(autouse=True)
def room(edge: Edge) -> Iterator[None]:
    """The instances of one test are over before the next begins."""
    yield
    end_instances(edge.services)


def refused(call: Any, *arguments: Any, **parameters: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(*arguments, **parameters)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


@pytest.mark.parametrize("place", [*MAPPED, attached], ids=lambda place: place.__name__)
def test_another_kind_of_name_is_another_device_wherever_it_is_named(edge: Edge, ec2: Any, place: Place) -> None:
    place(edge, ec2, "/dev/sdf", "/dev/xvdf")
    place(edge, ec2, "/dev/sdg1", "/dev/sdg2")


@pytest.mark.parametrize("place", MAPPED, ids=lambda place: place.__name__)
def test_two_names_of_one_device_are_refused_in_every_map(edge: Edge, ec2: Any, place: Place) -> None:
    code = "InvalidBlockDeviceMapping"
    assert refused(place, edge, ec2, "/dev/sdf", "sdf") == (code, TWICE.format("sdf"))
    assert refused(place, edge, ec2, "/dev/sdh", "/dev/sdh1") == (code, TOGETHER.format("/dev/sdh", "/dev/sdh1"))
    assert refused(place, edge, ec2, "/dev/sdi2", "/dev/sdi") == (code, TOGETHER.format("/dev/sdi", "/dev/sdi2"))


@pytest.mark.parametrize(
    ("one", "other"), [("/dev/sdf", "/dev/sdf"), ("/dev/sdf", "sdf"), ("/dev/sdh", "/dev/sdh1"), ("/dev/sdi2", "sdi")]
)
def test_two_names_of_one_device_are_refused_of_an_attachment(edge: Edge, ec2: Any, one: str, other: str) -> None:
    told = f"Invalid value '{other}' for unixDevice. Attachment point {other} is already in use"
    assert refused(attached, edge, ec2, one, other) == ("InvalidParameterValue", told)


def test_an_hvm_instance_of_root_sda1_has_xvda_as_a_second_disk(edge: Edge, ec2: Any) -> None:
    asked = {"ImageId": make_image(edge.services, owner(edge)).id, "BlockDeviceMappings": [empty("/dev/xvda")], **TINY}
    (made,) = ec2.run_instances(**asked)["Instances"]
    assert [each["DeviceName"] for each in made["BlockDeviceMappings"]] == [ROOT, "/dev/xvda"]
    assert made["RootDeviceName"] == ROOT


def test_a_template_that_names_a_device_twice_is_warned_of(ec2: Any) -> None:
    data = {"BlockDeviceMappings": [empty("/dev/sdf"), empty("sdf")]}
    made = ec2.create_launch_template(LaunchTemplateName="twice", LaunchTemplateData=data)
    (error,) = made["Warning"]["Errors"]
    assert error == {"Code": "InvalidBlockDeviceMapping", "Message": TWICE.format("sdf")}


def test_an_instances_map_names_a_volume_once(edge: Edge, ec2: Any) -> None:
    it = stopped(edge, ec2, "/dev/sdf", "/dev/xvdf")

    def kept() -> dict[str, bool]:
        mapped = ec2.describe_instance_attribute(InstanceId=it, Attribute="blockDeviceMapping")["BlockDeviceMappings"]
        return {each["DeviceName"]: each["Ebs"]["DeleteOnTermination"] for each in mapped}

    before = kept()
    assert before == {ROOT: True, "/dev/sdf": False, "/dev/xvdf": False}
    keep, goes = [{"DeviceName": "/dev/sdf", "Ebs": {"DeleteOnTermination": value}} for value in (False, True)]
    told = refused(ec2.modify_instance_attribute, InstanceId=it, BlockDeviceMappings=[goes, keep])
    assert told == ("InvalidInstanceAttributeValue", TWICE.format("/dev/sdf"))
    assert kept() == before
    ec2.modify_instance_attribute(InstanceId=it, BlockDeviceMappings=[goes])
    assert kept() == {**before, "/dev/sdf": True}
