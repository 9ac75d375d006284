"""Metadata options, their defaults, and instance profiles through boto3; what the metadata service then tells, and what it is good for."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from botocore.config import Config
from botocore.utils import InstanceMetadataFetcher
from sqlalchemy import update

from amiable.database import instances, volumes
from amiable.database.schema import volume
from amiable.model.principal import Principal
from amiable.rules.lifecycle import Event
from amiable.server.imds import MetadataService
from tests.api.ec2.launching import make_image, make_snapshot
from tests.conformance.test_roles import EC2_TRUST, LENIENT, allow, document, refusal, status, trust
from tests.server.edge import Edge, running_edge
from tests.server.test_imds import TOKEN, TTL, ask, request
from tests.support.clock import Clock, sign_by
from tests.support.services import make_account, open_services

TINY = {"InstanceType": "amiable.tiny", "MinCount": 1, "MaxCount": 1}


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture
def edge(tmp_path_factory: pytest.TempPathFactory, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Edge]:
    sign_by(clock, monkeypatch)
    with open_services(tmp_path_factory.mktemp("metadata") / "data", clock=clock) as services:
        account, _ = make_account(services, "owner")
        with running_edge(services, account) as running:
            yield running


@pytest.fixture
def ec2(edge: Edge) -> Any:
    return edge.client("ec2", config=LENIENT)


@pytest.fixture
def image_id(edge: Edge) -> str:
    return make_image(edge.services, Principal(edge.account.account_id, edge.account.access_key_id, "us-east-1")).id


def client_with(edge: Edge, keys: tuple[str, ...], service: str) -> Any:
    """A client with the access key, the secret and the session token (if any) of ``keys``."""
    names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    return edge.client(service, config=LENIENT, **dict(zip(names, keys, strict=False)))


def launch(ec2: Any, image_id: str, **more: Any) -> dict[str, Any]:
    (made,) = ec2.run_instances(ImageId=image_id, **TINY, **more)["Instances"]
    return dict(made)


def read(edge: Edge, instance_id: str, path: str) -> str:
    """What the instance reads at the path, by a token."""
    ((_, _, token),) = ask(edge.services, instance_id, request("PUT", "/latest/api/token", **{TTL: "60"}))
    ((code, _, body),) = ask(edge.services, instance_id, request("GET", path, **{TOKEN: token.decode()}))
    return body.decode() if code == 200 else str(code)


@contextmanager
def metadata_endpoint(edge: Edge, instance_id: str) -> Iterator[str]:
    """The metadata service of the instance on a port of the host, as the instance has it on 169.254.169.254."""
    service = MetadataService(edge.services)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()

        def serve() -> None:
            while listener.fileno() >= 0 and not is_over.is_set():
                service.take(instance_id, listener)

        is_over = threading.Event()
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{address[1]}/"
        finally:
            is_over.set()
            socket.create_connection(address).close()
            thread.join(30)
            assert not thread.is_alive()


@pytest.mark.proves("ec2", "ModifyInstanceMetadataOptions")
def test_options_are_changed_one_by_one_and_bind_at_the_next_request(edge: Edge, ec2: Any, image_id: str) -> None:
    made = launch(ec2, image_id, MetadataOptions={"HttpProtocolIpv6": "enabled"})
    instance_id = made["InstanceId"]
    assert (made["MetadataOptions"]["HttpProtocolIpv6"], made["MetadataOptions"]["State"]) == ("enabled", "pending")
    with edge.services.database.write() as c:
        instances.set_state(c, instance_id, Event.BOOTED, now=edge.services.now())
    path = request("GET", "/latest/meta-data/instance-id")
    assert ask(edge.services, instance_id, path)[0][0] == 200
    answer = ec2.modify_instance_metadata_options(
        InstanceId=instance_id, HttpTokens="required", HttpPutResponseHopLimit=3, HttpProtocolIpv6="disabled"
    )
    wanted = {
        "State": "pending", "HttpTokens": "required", "HttpPutResponseHopLimit": 3, "HttpEndpoint": "enabled",
        "HttpProtocolIpv6": "disabled", "InstanceMetadataTags": "disabled",
    }  # fmt: skip
    assert answer["InstanceId"] == instance_id and answer["InstanceMetadataOptions"] == wanted
    ((seen,),) = [each["Instances"] for each in ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]]
    assert seen["MetadataOptions"] == {**wanted, "State": "applied"}
    assert ask(edge.services, instance_id, path)[0][0] == 401
    ec2.modify_instance_metadata_options(InstanceId=instance_id, HttpEndpoint="disabled")
    assert read(edge, instance_id, "/") == "403"


def test_volumes_of_the_launch_are_told_and_later_ones_are_not(
    edge: Edge, ec2: Any, image_id: str, clock: Clock
) -> None:
    mapped = [
        {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1}},
        {"DeviceName": "/dev/sdg", "Ebs": {"VolumeSize": 1}},
    ]
    instance_id = launch(ec2, image_id, BlockDeviceMappings=mapped)["InstanceId"]
    devices = "/latest/meta-data/block-device-mapping/"
    assert read(edge, instance_id, devices) == "ami\nebs1\nebs2\nroot"
    assert read(edge, instance_id, devices + "ebs1") == "sdf"
    with edge.services.database.write() as c:
        (later,) = [each for each in volumes.volumes_of(c, instance_id) if each.device_name == "/dev/sdg"]
        c.execute(update(volume).where(volume.c.id == later.id).values(attached_at=clock.moment + timedelta(seconds=1)))
    assert read(edge, instance_id, devices) == "ami\nebs1\nroot"


def test_a_root_known_by_its_disk_is_no_data_volume_and_local_disks_keep_their_names(edge: Edge, ec2: Any) -> None:
    owner = Principal(edge.account.account_id, edge.account.access_key_id, "us-east-1")
    snapshot_id = make_snapshot(edge.services, owner)
    image_id = ec2.register_image(
        Name="partitioned", Architecture="x86_64", VirtualizationType="hvm", EnaSupport=True, RootDeviceName="/dev/sda1",
        BlockDeviceMappings=[{"DeviceName": "/dev/sda", "Ebs": {"SnapshotId": snapshot_id}}],
    )["ImageId"]  # fmt: skip
    mapped = [
        {"DeviceName": "/dev/sdb", "VirtualName": "ephemeral1"},
        {"DeviceName": "/dev/sdc", "VirtualName": "ephemeral0"},
        {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1}},
    ]
    devices = "/latest/meta-data/block-device-mapping/"

    def told(instance_type: str) -> dict[str, str]:
        made = ec2.run_instances(
            ImageId=image_id, InstanceType=instance_type, MinCount=1, MaxCount=1, BlockDeviceMappings=mapped
        )
        instance_id = made["Instances"][0]["InstanceId"]
        found = {name: read(edge, instance_id, devices + name) for name in read(edge, instance_id, devices).split("\n")}
        ec2.terminate_instances(InstanceIds=[instance_id])
        return found

    root = {"ami": "sda1", "root": "/dev/sda1", "ebs1": "sdf"}
    assert told("c3.large") == {**root, "ephemeral0": "sdc", "ephemeral1": "sdb"}
    assert told("c5d.large") == root  # NVMe instance store is no matter of mappings


def test_an_address_has_a_public_name_where_the_vpc_gives_names(edge: Edge, ec2: Any, image_id: str) -> None:
    made = launch(ec2, image_id)
    instance_id, path = made["InstanceId"], "/latest/meta-data/public-hostname"
    allocated = ec2.allocate_address()
    ec2.associate_address(AllocationId=allocated["AllocationId"], InstanceId=instance_id)
    address = allocated["PublicIp"]

    def told() -> set[str]:
        """All that is told of the name."""
        ((it,),) = (each["Instances"] for each in ec2.describe_instances(InstanceIds=[instance_id])["Reservations"])
        (eth0,) = ec2.describe_network_interfaces(
            NetworkInterfaceIds=[it["NetworkInterfaces"][0]["NetworkInterfaceId"]]
        )["NetworkInterfaces"]
        holders = (it["NetworkInterfaces"][0]["Association"], eth0["Association"])
        return {it["PublicDnsName"], *(each["PublicDnsName"] for each in holders)}

    name = f"ec2-{address.replace('.', '-')}.compute-1.amazonaws.com"
    assert read(edge, instance_id, path) == name and told() == {name}
    found = ec2.describe_instances(Filters=[{"Name": "dns-name", "Values": [name]}])["Reservations"]
    assert [each["Instances"][0]["InstanceId"] for each in found] == [instance_id]
    ec2.modify_vpc_attribute(VpcId=made["VpcId"], EnableDnsHostnames={"Value": False})
    assert read(edge, instance_id, path) == "404" and told() == {""}
    assert read(edge, instance_id, "/latest/meta-data/public-ipv4") == address


def test_metadata_options_that_cannot_be_are_refused(ec2: Any, image_id: str) -> None:
    instance_id = launch(ec2, image_id)["InstanceId"]
    modify = ec2.modify_instance_metadata_options
    for words, code in (
        ({}, "InvalidParameterCombination"),
        ({"HttpPutResponseHopLimit": 0}, "InvalidParameterValue"),
        ({"HttpPutResponseHopLimit": 65}, "InvalidParameterValue"),
        ({"HttpTokens": "maybe"}, "InvalidParameterValue"),
        ({"HttpEndpoint": "on"}, "InvalidParameterValue"),
    ):
        assert refusal(modify, InstanceId=instance_id, **words)[0] == code, words
    absent = "i-" + "0" * 17
    assert refusal(modify, InstanceId=absent, HttpTokens="required")[0] == "InvalidInstanceID.NotFound"
    assert refusal(modify, InstanceId="i-x", HttpTokens="required")[0] == "InvalidInstanceID.Malformed"
    assert refusal(modify, InstanceId=instance_id, HttpTokens="required", DryRun=True)[0] == "DryRunOperation"


@pytest.mark.proves("ec2", "ModifyInstanceMetadataDefaults", "GetInstanceMetadataDefaults")
def test_an_accounts_defaults_stand_between_the_launch_and_the_image(edge: Edge, ec2: Any, image_id: str) -> None:
    assert ec2.get_instance_metadata_defaults()["AccountLevel"] == {}
    v2_image = ec2.register_image(
        Name="v2 image", RootDeviceName="/dev/sda1", Architecture="x86_64", VirtualizationType="hvm", ImdsSupport="v2.0",
        BlockDeviceMappings=ec2.describe_images(ImageIds=[image_id])["Images"][0]["BlockDeviceMappings"],
    )["ImageId"]  # fmt: skip

    def chosen(image: str, **asked: Any) -> tuple[str, int, str]:
        options = launch(ec2, image, MetadataOptions=asked)["MetadataOptions"]
        return options["HttpTokens"], options["HttpPutResponseHopLimit"], options["InstanceMetadataTags"]

    assert (chosen(image_id), chosen(v2_image)) == (("optional", 1, "disabled"), ("required", 2, "disabled"))
    ec2.modify_instance_metadata_defaults(
        HttpTokens="optional", HttpPutResponseHopLimit=5, InstanceMetadataTags="enabled", HttpEndpoint="enabled"
    )
    level = ec2.get_instance_metadata_defaults()["AccountLevel"]
    assert level == {
        "HttpTokens": "optional", "HttpPutResponseHopLimit": 5, "InstanceMetadataTags": "enabled",
        "HttpEndpoint": "enabled", "ManagedBy": "account",
    }  # fmt: skip
    assert chosen(v2_image) == ("optional", 5, "enabled"), "the account's word goes before the image's"
    assert chosen(v2_image, HttpTokens="required", HttpPutResponseHopLimit=1) == ("required", 1, "enabled")
    ec2.modify_instance_metadata_defaults(
        HttpTokens="no-preference",
        HttpPutResponseHopLimit=-1,
        InstanceMetadataTags="no-preference",
        HttpEndpoint="no-preference",
    )
    assert ec2.get_instance_metadata_defaults()["AccountLevel"] == {}
    assert chosen(v2_image) == ("required", 2, "disabled")
    for words, code in (
        ({}, "InvalidParameterCombination"),
        ({"HttpPutResponseHopLimit": 0}, "InvalidParameterValue"),
        ({"HttpPutResponseHopLimit": 65}, "InvalidParameterValue"),
        ({"HttpTokens": "v2"}, "InvalidParameterValue"),
        ({"HttpTokens": "optional", "HttpTokensEnforced": "enabled"}, "InvalidParameterCombination"),
    ):
        assert refusal(ec2.modify_instance_metadata_defaults, **words)[0] == code, words


def test_where_tokens_are_enforced_no_instance_answers_without(ec2: Any, image_id: str) -> None:
    instance_id = launch(ec2, image_id)["InstanceId"]
    ec2.modify_instance_metadata_defaults(HttpTokensEnforced="enabled")
    code, message = refusal(ec2.run_instances, ImageId=image_id, **TINY)
    assert code == "UnsupportedOperation"
    assert message.startswith(
        "You can't launch instances with IMDSv1 because httpTokensEnforced is enabled for this account."
    )
    code, message = refusal(ec2.modify_instance_metadata_options, InstanceId=instance_id, HttpTokens="optional")
    assert code == "UnsupportedOperation" and "httpTokensEnforced is enabled" in message
    assert (
        launch(ec2, image_id, MetadataOptions={"HttpTokens": "required"})["MetadataOptions"]["HttpTokens"] == "required"
    )


def test_tags_that_metadata_tells_have_keys_that_stand_in_a_path(edge: Edge, ec2: Any, image_id: str) -> None:
    def specified(key: str) -> list[dict[str, Any]]:
        return [{"ResourceType": "instance", "Tags": [{"Key": key, "Value": "v"}]}]

    told = {"InstanceMetadataTags": "enabled"}
    pattern = "is not a valid tag key. Tag keys must match pattern ([0-9a-zA-Z\\-_+=,.@:]{1,255})"
    for key in ("a b", "a/b", ".", "..", "_index", "é"):
        code, message = refusal(
            ec2.run_instances, ImageId=image_id, MetadataOptions=told, TagSpecifications=specified(key), **TINY
        )
        assert code == "InvalidParameterValue" and message.startswith(f"'{key}' {pattern}")
    instance_id = launch(ec2, image_id, MetadataOptions=told, TagSpecifications=specified("a:b"))["InstanceId"]
    assert read(edge, instance_id, "/latest/meta-data/tags/instance/") == "a:b"
    assert read(edge, instance_id, "/latest/meta-data/tags/instance/a:b") == "v"
    spaced = [{"Key": "a b", "Value": "v"}]
    assert refusal(ec2.create_tags, Resources=[instance_id], Tags=spaced)[0] == "InvalidParameterValue"
    modify = ec2.modify_instance_metadata_options
    modify(InstanceId=instance_id, InstanceMetadataTags="disabled")
    assert read(edge, instance_id, "/latest/meta-data/tags/instance/") == "404"
    ec2.create_tags(Resources=[instance_id], Tags=spaced)
    assert refusal(modify, InstanceId=instance_id, InstanceMetadataTags="enabled")[0] == "InvalidParameterValue"


# ── instance profiles ───────────────────────────────────────────────────────────────────────────────────────────────────


def make_profile(edge: Edge, name: str, *statements: dict[str, Any], trusts: str = EC2_TRUST) -> str:
    """An instance profile with a role of the same name; its ARN."""
    iam = edge.client("iam")
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=trusts)
    iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=document(*statements))
    made = iam.create_instance_profile(InstanceProfileName=name)["InstanceProfile"]
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    return str(made["Arn"])


def test_boto3_in_an_instance_works_with_what_the_metadata_service_gives(
    edge: Edge, ec2: Any, image_id: str, clock: Clock
) -> None:
    arn = make_profile(
        edge, "worker", allow(["ec2:DescribeInstances", "s3:CreateBucket", "s3:PutObject", "s3:GetObject"])
    )
    made = launch(ec2, image_id, IamInstanceProfile={"Name": "worker"}, MetadataOptions={"HttpTokens": "required"})
    instance_id, account = made["InstanceId"], edge.account.account_id
    assert made["IamInstanceProfile"]["Arn"] == arn and made["IamInstanceProfile"]["Id"].startswith("AIPA")
    info = json.loads(read(edge, instance_id, "/latest/meta-data/iam/info"))
    assert (info["Code"], info["InstanceProfileArn"]) == ("Success", arn)
    with metadata_endpoint(edge, instance_id) as endpoint:
        said = InstanceMetadataFetcher(timeout=60, num_attempts=1, base_url=endpoint).retrieve_iam_role_credentials()
    assert said["role_name"] == "worker"
    client = partial(client_with, edge, (said["access_key"], said["secret_key"], said["token"]))
    who = client("sts").get_caller_identity()
    assert who["Arn"] == f"arn:aws:sts::{account}:assumed-role/worker/{instance_id}"
    assert who["UserId"].endswith(f":{instance_id}")
    assert len(client("ec2").describe_instances()["Reservations"]) == 1
    assert refusal(client("ec2").terminate_instances, InstanceIds=[instance_id])[0] == "UnauthorizedOperation"
    client("s3").create_bucket(Bucket="from-inside")
    client("s3").put_object(Bucket="from-inside", Key="k", Body=b"v")
    assert client("s3").get_object(Bucket="from-inside", Key="k")["Body"].read() == b"v"
    assert refusal(client("s3").delete_object, Bucket="from-inside", Key="k")[0] == "AccessDenied"
    bare = client_with(edge, (said["access_key"], said["secret_key"]), "ec2")
    assert refusal(bare.describe_instances)[0] == "AuthFailure"
    clock.pass_(hours=6, seconds=1)
    assert refusal(client("ec2").describe_instances) == (
        "RequestExpired",
        "The security token included in the request is expired.",
    )


def test_an_instances_credentials_are_the_same_until_they_turn_and_have_hours_left(
    edge: Edge, ec2: Any, image_id: str, clock: Clock
) -> None:
    make_profile(edge, "turning", allow("ec2:*"))
    instance_id = launch(ec2, image_id, IamInstanceProfile={"Name": "turning"})["InstanceId"]
    path = "/latest/meta-data/iam/security-credentials/"
    assert read(edge, instance_id, path) == "turning"

    def shown() -> dict[str, str]:
        return dict(json.loads(read(edge, instance_id, path + "turning")))

    first = shown()
    assert (first["Code"], first["Type"]) == ("Success", "AWS-HMAC")
    clock.pass_(minutes=59)
    assert shown() == first
    clock.pass_(minutes=1)
    second = shown()
    assert second["AccessKeyId"] != first["AccessKeyId"] and second["Expiration"] > first["Expiration"]
    clock.pass_(minutes=59)
    assert datetime.fromisoformat(shown()["Expiration"]) - clock.moment > timedelta(hours=5)


def test_an_instances_own_identity_says_who_it_is_and_may_do_nothing(edge: Edge, ec2: Any, image_id: str) -> None:
    instance_id, account = launch(ec2, image_id)["InstanceId"], edge.account.account_id
    path = "/latest/meta-data/identity-credentials/ec2/"
    assert json.loads(read(edge, instance_id, path + "info"))["AccountId"] == account
    said = json.loads(read(edge, instance_id, path + "security-credentials/ec2-instance"))
    client = partial(client_with, edge, (said["AccessKeyId"], said["SecretAccessKey"], said["Token"]))
    who = client("sts").get_caller_identity()
    assert who["Arn"] == f"arn:aws:sts::{account}:assumed-role/aws:ec2-instance/{instance_id}"
    assert who["UserId"] == f"{account}:aws:ec2-instance:{instance_id}"
    assert refusal(client("ec2").describe_instances)[0] == "UnauthorizedOperation"
    assert refusal(client("s3").list_buckets)[0] == "AccessDenied"


def test_a_role_that_does_not_trust_ec2_gives_an_instance_no_credentials(edge: Edge, ec2: Any, image_id: str) -> None:
    make_profile(edge, "distant", allow("ec2:*"), trusts=trust({"AWS": edge.account.account_id}))
    instance_id = launch(ec2, image_id, IamInstanceProfile={"Name": "distant"})["InstanceId"]
    told = json.loads(read(edge, instance_id, "/latest/meta-data/iam/security-credentials/distant"))
    assert told["Code"] == "AssumeRoleUnauthorizedAccess" and "AccessKeyId" not in told


@pytest.mark.proves(
    "ec2",
    "AssociateIamInstanceProfile", "DisassociateIamInstanceProfile", "ReplaceIamInstanceProfileAssociation",
    "DescribeIamInstanceProfileAssociations",
)  # fmt: skip
def test_a_profile_is_put_on_replaced_and_taken_off_while_an_instance_runs(edge: Edge, ec2: Any, image_id: str) -> None:
    first, second = make_profile(edge, "first", allow("ec2:*")), make_profile(edge, "second", allow("s3:*"))
    instance_id = launch(ec2, image_id)["InstanceId"]
    listing = "/latest/meta-data/iam/security-credentials/"
    assert read(edge, instance_id, listing) == "404"
    made = ec2.associate_iam_instance_profile(IamInstanceProfile={"Arn": first}, InstanceId=instance_id)
    association = made["IamInstanceProfileAssociation"]
    assert association["State"] == "associating" and association["IamInstanceProfile"]["Arn"] == first
    assert read(edge, instance_id, listing) == "first"
    clash = ("IncorrectState", f"There is an existing association for instance {instance_id}")
    again = {"IamInstanceProfile": {"Name": "second"}, "InstanceId": instance_id}
    assert refusal(ec2.associate_iam_instance_profile, **again) == clash
    describe = ec2.describe_iam_instance_profile_associations
    (seen,) = describe(Filters=[{"Name": "instance-id", "Values": [instance_id]}])["IamInstanceProfileAssociations"]
    assert seen == {**association, "State": "associated"}
    assert describe(AssociationIds=[seen["AssociationId"]])["IamInstanceProfileAssociations"] == [seen]
    assert describe(Filters=[{"Name": "state", "Values": ["disassociating"]}])["IamInstanceProfileAssociations"] == []
    replaced = ec2.replace_iam_instance_profile_association(
        IamInstanceProfile={"Name": "second"}, AssociationId=seen["AssociationId"]
    )["IamInstanceProfileAssociation"]
    assert replaced["AssociationId"] != seen["AssociationId"] and replaced["IamInstanceProfile"]["Arn"] == second
    assert read(edge, instance_id, listing) == "second"
    gone = ("InvalidAssociationID.NotFound", f"An invalid association-id of '{seen['AssociationId']}' was given")
    assert refusal(describe, AssociationIds=[seen["AssociationId"]]) == gone
    assert refusal(ec2.disassociate_iam_instance_profile, AssociationId=seen["AssociationId"]) == gone
    ended = ec2.disassociate_iam_instance_profile(AssociationId=replaced["AssociationId"])
    assert ended["IamInstanceProfileAssociation"]["State"] == "disassociating"
    assert describe()["IamInstanceProfileAssociations"] == [] and read(edge, instance_id, listing) == "404"


def test_profiles_that_cannot_be_had_are_refused_and_nothing_is_launched(edge: Edge, ec2: Any, image_id: str) -> None:
    edge.client("iam").create_instance_profile(InstanceProfileName="empty")
    arn = f"arn:aws:iam::{edge.account.account_id}:instance-profile/empty"
    for profile, code, message in (
        ({"Name": "none"}, "InvalidParameterValue", "Value (none) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name"),
        ({"Arn": "arn:x"}, "InvalidParameterValue", "Value (arn:x) for parameter iamInstanceProfile.arn is invalid. Invalid IAM Instance Profile ARN"),
        ({"Name": "empty"}, "InvalidParameterValue", f'IAM Instance Profile "{arn}" has no associated IAM Roles'),
        ({"Name": "empty", "Arn": arn}, "InvalidParameterCombination", "The parameter 'iamInstanceProfile.name' may not be used in combination with 'iamInstanceProfile.arn'"),
    ):  # fmt: skip
        assert refusal(ec2.run_instances, ImageId=image_id, IamInstanceProfile=profile, **TINY) == (code, message)
    assert ec2.describe_instances()["Reservations"] == []


def test_a_role_passes_only_the_roles_that_it_may_pass(edge: Edge, ec2: Any, image_id: str) -> None:
    make_profile(edge, "passed", allow("s3:*"))
    account = edge.account.account_id
    iam, sts = edge.client("iam"), edge.client("sts")
    iam.create_role(RoleName="launcher", AssumeRolePolicyDocument=trust({"AWS": account}))
    said = sts.assume_role(RoleArn=f"arn:aws:iam::{account}:role/launcher", RoleSessionName="me")["Credentials"]
    inside = client_with(edge, (said["AccessKeyId"], said["SecretAccessKey"], said["SessionToken"]), "ec2")

    def may(*statements: dict[str, Any]) -> None:
        iam.put_role_policy(RoleName="launcher", PolicyName="own", PolicyDocument=document(*statements))

    asked = {"ImageId": image_id, "IamInstanceProfile": {"Name": "passed"}, **TINY}
    may(allow("ec2:RunInstances"))
    code, message = refusal(inside.run_instances, **asked)
    assert code == "AccessDenied" and "iam:PassRole" in message and status(inside.run_instances, **asked) == 403
    may(allow("ec2:RunInstances"), allow("iam:PassRole", f"arn:aws:iam::{account}:role/passed"))
    inside.run_instances(**asked)
    may(allow("ec2:RunInstances", "arn:aws:ec2:*:*:instance/*"), allow("iam:PassRole"))
    assert refusal(inside.run_instances, **asked)[0] == "UnauthorizedOperation", "the image is not among the resources"
    assert len(ec2.describe_instances()["Reservations"]) == 1


def test_an_association_ends_with_its_instance(edge: Edge, ec2: Any, image_id: str) -> None:
    make_profile(edge, "brief", allow("s3:*"))
    instance_id = launch(ec2, image_id, IamInstanceProfile={"Name": "brief"})["InstanceId"]
    assert len(ec2.describe_iam_instance_profile_associations()["IamInstanceProfileAssociations"]) == 1
    ec2.terminate_instances(InstanceIds=[instance_id])
    assert ec2.describe_iam_instance_profile_associations()["IamInstanceProfileAssociations"] == []
    asked = {"IamInstanceProfile": {"Name": "brief"}, "InstanceId": instance_id}
    assert refusal(ec2.associate_iam_instance_profile, **asked)[0] == "IncorrectState"


def test_a_client_of_few_words_is_refused_whole(edge: Edge) -> None:
    lenient = edge.client("ec2", config=Config(parameter_validation=False, retries={"max_attempts": 0}))
    assert refusal(lenient.modify_instance_metadata_options)[0] == "MissingParameter"
    assert refusal(lenient.disassociate_iam_instance_profile)[0] == "MissingParameter"
