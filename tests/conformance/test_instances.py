"""Instances, key pairs, types and networks as stock boto3 asks for them: its serialiser, its parsers, its paginators, its errors."""

import base64
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sqlalchemy import select

from amiable.database import instances, schema
from amiable.model.kernel import KernelKind
from amiable.model.principal import Principal
from amiable.rules.lifecycle import Event
from tests.api.ec2.launching import make_image, make_kernel
from tests.server.edge import Edge
from tests.wire import oracle

TINY = {"InstanceType": "amiable.tiny", "MinCount": 1, "MaxCount": 1}


@pytest.fixture(scope="module")
def image_id(edge: Edge) -> str:
    owner = Principal(edge.account.account_id, edge.account.access_key_id, "us-east-1")
    return make_image(edge.services, owner).id


def end(edge: Edge, instance_ids: list[str]) -> None:
    """Lets pending instances be over, so that the host has room again."""
    with edge.services.database.write() as c:
        for instance_id in instance_ids:
            instances.set_state(c, instance_id, Event.LAUNCH_FAILED, now=edge.services.now())


def refused(call: Any, **parameters: Any) -> tuple[str, str, int]:
    """Code, message and status of the refusal."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error = caught.value.response
    return error["Error"]["Code"], error["Error"]["Message"], error["ResponseMetadata"]["HTTPStatusCode"]


@pytest.mark.proves("ec2", "RunInstances", "DescribeInstances")
def test_a_launch_takes_plain_user_data_as_boto3_encodes_it(edge: Edge, ec2: Any, image_id: str) -> None:
    answer = ec2.run_instances(
        ImageId=image_id,
        UserData="#!/bin/sh\necho é\n",
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "web"}]}],
        BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 3}}],
        **TINY,
    )
    (made,) = answer["Instances"]
    assert answer["OwnerId"] == edge.account.account_id
    assert made["State"] == {"Code": 0, "Name": "pending"}
    assert made["Tags"] == [{"Key": "Name", "Value": "web"}]
    assert made["BlockDeviceMappings"][0]["Ebs"]["DeleteOnTermination"] is True
    assert made["MetadataOptions"]["HttpTokens"] == "optional"
    with edge.services.database.read() as c:
        kept = instances.get_instance(c, made["InstanceId"])
    assert kept is not None and kept.user_data == "#!/bin/sh\necho é\n".encode()
    ((reservation,),) = [ec2.describe_instances(InstanceIds=[made["InstanceId"]])["Reservations"]]
    assert reservation["Instances"] == [made]
    assert reservation["ReservationId"] == answer["ReservationId"]


@pytest.mark.proves(
    "ec2",
    "RebootInstances",
    "StopInstances",
    "StartInstances",
    "TerminateInstances",
    "DescribeInstanceStatus",
    "GetConsoleOutput",
)
def test_the_life_of_an_instance_as_a_client_sees_it(edge: Edge, ec2: Any, image_id: str) -> None:
    launched = ec2.run_instances(ImageId=image_id, **TINY)["Instances"][0]
    instance_id = launched["InstanceId"]

    def happen(event: Event) -> None:
        with edge.services.database.write() as c:
            instances.set_state(c, instance_id, event, now=edge.services.now())

    happen(Event.BOOTED)
    ec2.get_waiter("instance_running").wait(InstanceIds=[instance_id], WaiterConfig={"Delay": 0, "MaxAttempts": 1})
    assert ec2.reboot_instances(InstanceIds=[instance_id])["ResponseMetadata"]["HTTPStatusCode"] == 200
    (change,) = ec2.stop_instances(InstanceIds=[instance_id])["StoppingInstances"]
    assert (change["PreviousState"]["Name"], change["CurrentState"]) == ("running", {"Code": 64, "Name": "stopping"})
    happen(Event.STOPPED)
    ec2.get_waiter("instance_stopped").wait(InstanceIds=[instance_id], WaiterConfig={"Delay": 0, "MaxAttempts": 1})
    (found,) = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"]
    (zone,) = ec2.describe_availability_zones(ZoneNames=[found["Placement"]["AvailabilityZone"]])["AvailabilityZones"]
    assert launched["StateReason"] == {"Code": "pending", "Message": "pending"}, "as EC2 says it of what is coming"
    for told in (launched, found):
        assert told["Placement"]["AvailabilityZoneId"] == zone["ZoneId"]
    assert found["StateTransitionReason"].startswith("User initiated (")
    assert found["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    (change,) = ec2.start_instances(InstanceIds=[instance_id])["StartingInstances"]
    assert change["CurrentState"] == {"Code": 0, "Name": "pending"}
    (change,) = ec2.terminate_instances(InstanceIds=[instance_id])["TerminatingInstances"]
    assert change["CurrentState"] == {"Code": 32, "Name": "shutting-down"}
    happen(Event.TERMINATED)
    ec2.get_waiter("instance_terminated").wait(InstanceIds=[instance_id], WaiterConfig={"Delay": 0, "MaxAttempts": 1})
    (status,) = ec2.describe_instance_status(InstanceIds=[instance_id], IncludeAllInstances=True)["InstanceStatuses"]
    assert status["InstanceStatus"]["Status"] == "not-applicable"
    assert ec2.get_console_output(InstanceId=instance_id)["Output"] == ""
    with edge.services.database.read() as c:
        kinds = set(c.execute(select(schema.job.c.kind).where(schema.job.c.key.startswith(instance_id))).scalars())
    assert kinds == {"boot", "reboot", "stop", "terminate"}


@pytest.mark.proves("ec2", "DescribeInstances", "DescribeInstanceTypes")
def test_paginators_walk_through_everything_once(edge: Edge, ec2: Any, image_id: str) -> None:
    made = {
        each["InstanceId"]
        for each in ec2.run_instances(ImageId=image_id, **{**TINY, "MinCount": 7, "MaxCount": 7})["Instances"]
    }
    pages = ec2.get_paginator("describe_instances").paginate(PaginationConfig={"PageSize": 5})
    seen = [each["InstanceId"] for page in pages for group in page["Reservations"] for each in group["Instances"]]
    assert len(seen) == len(set(seen)) and made <= set(seen)
    end(edge, sorted(made))
    pages = ec2.get_paginator("describe_instance_types").paginate(PaginationConfig={"PageSize": 100})
    names = [each["InstanceType"] for page in pages for each in page["InstanceTypes"]]
    assert len(names) == len(set(names)) > 200 and "amiable.tiny" in names


def test_refusals_have_aws_codes_texts_and_statuses(ec2: Any, image_id: str) -> None:
    launch = {"ImageId": image_id, **TINY}
    assert refused(ec2.run_instances, **{**launch, "ImageId": "ami-12345678"}) == (
        "InvalidAMIID.NotFound",
        "The image id '[ami-12345678]' does not exist",
        400,
    )
    assert refused(ec2.run_instances, **launch, DryRun=True)[::2] == ("DryRunOperation", 412)
    assert refused(ec2.run_instances, **launch, KeyName="none")[:2] == (
        "InvalidKeyPair.NotFound",
        "The key pair 'none' does not exist",
    )
    assert refused(ec2.describe_instances, InstanceIds=["i-12345678"])[:2] == (
        "InvalidInstanceID.NotFound",
        "The instance ID 'i-12345678' does not exist",
    )
    assert refused(ec2.describe_instances, InstanceIds=["x"])[:2] == (
        "InvalidInstanceID.Malformed",
        'Invalid id: "x" (expecting "i-...")',
    )
    smaller = [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 1}}]
    code, message, _ = refused(ec2.run_instances, **launch, BlockDeviceMappings=smaller)
    assert code == "InvalidBlockDeviceMapping" and message.endswith("expect size >= 2GB")
    unknown = [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeType": "io3"}}]
    code, message, _ = refused(ec2.run_instances, **launch, BlockDeviceMappings=unknown)
    assert (code, message) == ("UnknownVolumeType", "Unsupported volume type 'io3' for volume creation.")


def test_hibernation_is_refused_at_the_launch_of_a_template_and_of_a_stop(edge: Edge, ec2: Any, image_id: str) -> None:
    """By EC2's code, and of a stop by the id of one instance at the text's end: the scheduler of AWS leaves that out and asks again."""
    asked = {"ImageId": image_id, "HibernationOptions": {"Configured": True}}
    told = (
        "UnsupportedHibernationConfiguration",
        "The instance type 'amiable.tiny' does not support hibernation.",
        400,
    )
    assert refused(ec2.run_instances, **asked, **TINY) == told
    ec2.create_launch_template(
        LaunchTemplateName="asleep", LaunchTemplateData={**asked, "InstanceType": "amiable.tiny"}
    )
    template = {"LaunchTemplate": {"LaunchTemplateName": "asleep"}, "MinCount": 1, "MaxCount": 1}
    assert refused(ec2.run_instances, **template) == told
    made = ec2.run_instances(**template, HibernationOptions={"Configured": False})["Instances"]
    made += ec2.run_instances(ImageId=image_id, **TINY)["Instances"]
    one, other = [each["InstanceId"] for each in made]
    assert [each["HibernationOptions"] for each in made] == [{"Configured": False}] * 2
    with edge.services.database.write() as c:
        for instance_id in (one, other):
            instances.set_state(c, instance_id, Event.BOOTED, now=edge.services.now())
    text = "The instance can't be hibernated because it was not configured at launch for hibernation: "
    assert refused(ec2.stop_instances, InstanceIds=[one, other], Hibernate=True)[:2] == (told[0], text + one)
    assert refused(ec2.stop_instances, InstanceIds=[other], Hibernate=True)[:2] == (told[0], text + other)
    stopping = ec2.stop_instances(InstanceIds=[one, other], Hibernate=False)["StoppingInstances"]
    assert {each["CurrentState"]["Name"] for each in stopping} == {"stopping"}


@pytest.mark.proves("ec2", "RunInstances")
def test_one_token_launches_once(ec2: Any, image_id: str) -> None:
    launch = {"ImageId": image_id, "ClientToken": "once", **TINY}
    first = ec2.run_instances(**launch)["Instances"][0]["InstanceId"]
    assert ec2.run_instances(**launch)["Instances"][0]["InstanceId"] == first
    assert refused(ec2.run_instances, **{**launch, "MaxCount": 2})[0] == "IdempotentParameterMismatch"


@pytest.mark.proves("ec2", "CreateKeyPair", "DescribeKeyPairs", "ImportKeyPair", "DeleteKeyPair")
def test_key_pairs_come_and_go(ec2: Any) -> None:
    made = ec2.create_key_pair(KeyName="made", KeyType="ed25519")
    assert made["KeyMaterial"].startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    (kept,) = ec2.describe_key_pairs(KeyNames=["made"], IncludePublicKey=True)["KeyPairs"]
    brought = ec2.import_key_pair(KeyName="brought", PublicKeyMaterial=kept["PublicKey"].encode())
    assert brought["KeyFingerprint"] == made["KeyFingerprint"]
    assert base64.b64decode(brought["KeyFingerprint"], validate=True)
    assert refused(ec2.create_key_pair, KeyName="made")[0] == "InvalidKeyPair.Duplicate"
    assert ec2.delete_key_pair(KeyName="made")["KeyPairId"] == made["KeyPairId"]
    assert ec2.delete_key_pair(KeyName="made")["Return"] is True
    assert refused(ec2.describe_key_pairs, KeyNames=["made"])[0] == "InvalidKeyPair.NotFound"


@pytest.mark.proves("ec2", "DescribeAvailabilityZones", "DescribeRegions")
def test_a_client_finds_its_default_network(ec2: Any) -> None:
    (vpc,) = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    in_vpc = [{"Name": "vpc-id", "Values": [vpc["VpcId"]]}]
    (subnet,) = ec2.describe_subnets(Filters=[*in_vpc, {"Name": "default-for-az", "Values": ["true"]}])["Subnets"]
    (group,) = ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"]
    (zone,) = ec2.describe_availability_zones()["AvailabilityZones"]
    (region,) = ec2.describe_regions()["Regions"]
    assert subnet["AvailabilityZone"] == zone["ZoneName"] and subnet["AvailabilityZoneId"] == zone["ZoneId"]
    assert group["VpcId"] == vpc["VpcId"]
    assert region["RegionName"] == zone["RegionName"] == "us-east-1"


CARRIED_OUT = (
    "BlockDeviceMappings",
    "ClientToken",
    "InstanceInitiatedShutdownBehavior",
    "InstanceType",
    "KernelId",
    "KeyName",
    "MaxCount",
    "MetadataOptions",
    "MinCount",
    "NetworkInterfaces",
    "Placement",
    "PrivateIpAddress",
    "RamdiskId",
    "SecurityGroupIds",
    "SecurityGroups",
    "SubnetId",
    "TagSpecifications",
    "UserData",
)


@pytest.mark.parametrize("name", CARRIED_OUT)
def test_no_parameter_of_a_launch_meets_a_fault_of_our_own(edge: Edge, ec2: Any, image_id: str, name: str) -> None:
    shape = oracle.model("ec2").operation_model("RunInstances").input_shape.members[name]
    for seed in range(12):
        members = {"ImageId": image_id, **TINY, name: oracle.Maker(seed, chance=(0, 0.2, 0.6)[seed % 3]).value(shape)}
        try:
            made = ec2._make_api_call("RunInstances", members)
        except ClientError as answer:
            assert answer.response["Error"]["Code"] not in ("InternalError", "Unavailable"), (answer, members)
        else:
            end(edge, [each["InstanceId"] for each in made["Instances"]])


@pytest.mark.proves("ec2", "DescribeInstanceAttribute", "ModifyInstanceAttribute")
def test_a_stopped_paravirtual_instance_is_given_another_kernel(edge: Edge, ec2: Any) -> None:
    owner = Principal(edge.account.account_id, edge.account.access_key_id, "us-east-1")
    facts = {"kernel_kind": KernelKind.XEN_PV64, "boots_directly": True}
    first, second = (make_kernel(edge.services, owner, name=name, **facts) for name in ("first", "second"))
    image = make_image(edge.services, owner, name="pv", virtualization_type="paravirtual", kernel_id=first.id)
    launch = {"ImageId": image.id, "UserData": "one", **TINY}
    instance_id = ec2.run_instances(**launch)["Instances"][0]["InstanceId"]
    asked = {"InstanceId": instance_id, "Attribute": "kernel"}
    assert ec2.describe_instance_attribute(**asked)["KernelId"] == {"Value": first.id}
    with edge.services.database.write() as c:
        for event in (Event.BOOTED, Event.STOP_ASKED, Event.STOPPED):
            instances.set_state(c, instance_id, event, now=edge.services.now())
    ec2.modify_instance_attribute(InstanceId=instance_id, Kernel={"Value": second.id})
    assert ec2.describe_instance_attribute(**asked)["KernelId"] == {"Value": second.id}
    user_data = ec2.describe_instance_attribute(InstanceId=instance_id, Attribute="userData")["UserData"]["Value"]
    assert base64.b64decode(user_data) == b"one"
    ec2.terminate_instances(InstanceIds=[instance_id])
