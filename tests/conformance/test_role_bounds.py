"""What a role with a narrow policy tries: other spellings of a name, another's words, half characters."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from amiable.model.principal import Principal
from tests.api.ec2.launching import make_image
from tests.server.edge import Edge, running_edge
from tests.support.services import make_account, open_services

LENIENT = Config(parameter_validation=False, retries={"max_attempts": 0})
ONE = {"MinCount": 1, "MaxCount": 1}
INSTANCE = "i-0123456789abcdef0"


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action: Any, resource: Any = "*") -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource}


def deny(action: Any, resource: Any) -> dict[str, Any]:
    return {"Effect": "Deny", "Action": action, "Resource": resource}


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with open_services(tmp_path_factory.mktemp("bounds") / "data") as services:
        account, _ = make_account(services, "owner")
        with running_edge(services, account) as running:
            yield running


@pytest.fixture(scope="module")
def ec2(edge: Edge) -> Any:
    return edge.client("ec2", config=LENIENT)


def refusal(call: Callable[..., Any], **words: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**words)
    return str(caught.value.response["Error"]["Code"])


def credentials(edge: Edge, name: str, *statements: dict[str, Any]) -> dict[str, str]:
    """Those of a new role with the statements."""
    iam = edge.client("iam")
    trusted = {"Effect": "Allow", "Principal": {"AWS": edge.account.account_id}, "Action": "sts:AssumeRole"}
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(trusted))["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=document(*statements))
    said: dict[str, str] = edge.client("sts").assume_role(RoleArn=arn, RoleSessionName="me")["Credentials"]
    return said


def as_role(edge: Edge, name: str, *statements: dict[str, Any], service: str = "ec2") -> Any:
    said = credentials(edge, name, *statements)
    return edge.client(
        service,
        config=LENIENT,
        aws_access_key_id=said["AccessKeyId"],
        aws_secret_access_key=said["SecretAccessKey"],
        aws_session_token=said["SessionToken"],
    )


def arn(edge: Edge, resource: str) -> str:
    return f"arn:aws:ec2:us-east-1:{edge.account.account_id}:{resource}"


def test_what_a_template_says_is_asked_about_as_if_the_request_said_it(edge: Edge, ec2: Any) -> None:
    owner = Principal(edge.account.account_id, edge.account.access_key_id, "us-east-1")
    image_id = make_image(edge.services, owner).id
    ec2.create_key_pair(KeyName="masters")
    data = {"ImageId": image_id, "InstanceType": "amiable.tiny", "KeyName": "masters"}
    made = ec2.create_launch_template(LaunchTemplateName="all", LaunchTemplateData=data)["LaunchTemplate"]
    template = {"LaunchTemplateName": "all"}
    for name, denied in (("keys", "key-pair/masters"), ("temps", f"launch-template/{made['LaunchTemplateId']}")):
        narrow = as_role(edge, name, allow("ec2:*"), deny("ec2:RunInstances", arn(edge, denied)))
        assert refusal(narrow.run_instances, LaunchTemplate=template, DryRun=True, **ONE) == "UnauthorizedOperation"
    wide = as_role(edge, "wide", allow("ec2:*"))
    assert refusal(wide.run_instances, LaunchTemplate=template, DryRun=True, **ONE) == "DryRunOperation"


def test_who_may_not_tag_makes_nothing_with_tags(edge: Edge, ec2: Any) -> None:
    plain = as_role(edge, "plain", allow("ec2:*"), deny("ec2:CreateTags", arn(edge, "volume/*")))
    asked = {"AvailabilityZone": "us-east-1a", "Size": 1, "DryRun": True}
    tags = [{"Key": "k", "Value": "v"}]
    specifications = [{"ResourceType": "volume", "Tags": tags}]
    assert refusal(plain.create_volume, **asked) == "DryRunOperation"
    assert refusal(plain.create_volume, TagSpecifications=specifications, **asked) == "UnauthorizedOperation"
    keys = [{"ResourceType": "key-pair", "Tags": tags}]
    plain.create_key_pair(KeyName="tagged", TagSpecifications=keys)
    owner = Principal(edge.account.account_id, edge.account.access_key_id, "us-east-1")
    data = {"ImageId": make_image(edge.services, owner).id, "InstanceType": "amiable.tiny"}
    ec2.create_launch_template(
        LaunchTemplateName="tagging", LaunchTemplateData={**data, "TagSpecifications": specifications}
    )
    template = {"LaunchTemplateName": "tagging"}
    assert refusal(plain.run_instances, LaunchTemplate=template, DryRun=True, **ONE) == "UnauthorizedOperation"


def test_a_key_pair_is_asked_about_by_its_name_whichever_way_it_is_named(edge: Edge, ec2: Any) -> None:
    kept = ec2.create_key_pair(KeyName="kept")
    narrow = as_role(edge, "cleaner", allow("ec2:*"), deny("ec2:DeleteKeyPair", arn(edge, "key-pair/kept")))
    for words in ({"KeyName": "kept"}, {"KeyPairId": kept["KeyPairId"]}):
        assert refusal(narrow.delete_key_pair, **words) == "UnauthorizedOperation"
    assert ec2.describe_key_pairs(KeyNames=["kept"])["KeyPairs"]


def test_an_address_by_its_number_and_an_attribute_of_one_instance_are_no_way_around_a_deny(edge: Edge) -> None:
    secret = arn(edge, f"instance/{INSTANCE}")
    narrow = as_role(
        edge, "around", allow("ec2:*"),
        deny("ec2:*", secret), deny("ec2:ReleaseAddress", arn(edge, "elastic-ip/eipalloc-0123456789abcdef0")),
    )  # fmt: skip
    assert refusal(narrow.release_address, PublicIp="198.51.100.1") == "UnauthorizedOperation"
    call = narrow.describe_instance_attribute
    assert refusal(call, InstanceId=INSTANCE, Attribute="userData") == "UnauthorizedOperation"
    assert refusal(call, InstanceId="i-00000000", Attribute="userData") == "InvalidInstanceID.NotFound"


def test_a_parameter_between_spaces_is_the_same_parameter(edge: Edge) -> None:
    edge.client("ssm").put_parameter(Name="/kept/key", Value="hunter2", Type="String")
    kept = f"arn:aws:ssm:us-east-1:{edge.account.account_id}:parameter/kept/*"
    ssm = as_role(edge, "spacer", allow("ssm:*"), deny("ssm:*", kept), service="ssm")
    for name in (
        "/kept/key",
        " /kept/key",
        "/kept/key ",
        f" arn:aws:ssm:us-east-1:{edge.account.account_id}:parameter/kept/key",
    ):
        assert refusal(ssm.get_parameter, Name=name) == "AccessDeniedException"
        assert refusal(ssm.get_parameters, Names=[name]) == "AccessDeniedException"
        assert refusal(ssm.put_parameter, Name=name, Value="x", Overwrite=True) == "AccessDeniedException"
        assert refusal(ssm.delete_parameter, Name=name) == "AccessDeniedException"
        tags = [{"Key": "a", "Value": "b"}]
        more = {"ResourceType": "Parameter", "ResourceId": name, "Tags": tags}
        assert refusal(ssm.add_tags_to_resource, **more) == "AccessDeniedException"
    assert edge.client("ssm").get_parameter(Name="/kept/key")["Parameter"]["Value"] == "hunter2"


def test_a_launch_through_a_parameter_takes_leave_to_read_it(edge: Edge) -> None:
    image = make_image(edge.services, Principal(edge.account.account_id, edge.account.access_key_id, "us-east-1"))
    edge.client("ssm").put_parameter(Name="/golden/a", Value=image.id, Type="String", DataType="aws:ec2:image")
    launch = {"ImageId": "resolve:ssm:/golden/a", "InstanceType": "amiable.tiny", "DryRun": True, **ONE}
    blind = as_role(edge, "blind", allow("ec2:*"))
    assert refusal(blind.run_instances, **launch) == "UnauthorizedOperation"
    golden = f"arn:aws:ssm:us-east-1:{edge.account.account_id}:parameter/golden/*"
    reader = as_role(edge, "reader", allow("ec2:*"), allow("ssm:GetParameters", golden))
    assert refusal(reader.run_instances, **launch) == "DryRunOperation"


def test_a_path_in_other_letters_is_the_same_path(edge: Edge) -> None:
    path = f"amiable/v1/instances/{INSTANCE}/tunnel"
    denied = deny("amiable:*", f"arn:aws:amiable:us-east-1:{edge.account.account_id}:{path}")
    said = credentials(edge, "spelled", allow("amiable:*"), denied)
    keys = Credentials(said["AccessKeyId"], said["SecretAccessKey"], said["SessionToken"])

    def knock(spelled: str) -> str:
        signed = AWSRequest("GET", f"{edge.endpoint}/{spelled}?port=22")
        SigV4QueryAuth(keys, "amiable", "us-east-1", expires=60).add_auth(signed)
        with pytest.raises(InvalidStatus) as refused, connect("ws" + str(signed.url).removeprefix("http")):
            pass
        return str(json.loads(refused.value.response.body)["Code"])

    assert knock(path.replace(INSTANCE, "i-0123456789abcdef1")) == "InvalidInstanceID.NotFound"
    for spelled in (path, path.replace("i-", "i%2D"), path.replace("i-0", "%69-0")):
        assert knock(spelled) == "UnauthorizedOperation", spelled
    for noun in ("tunnel", "console"):
        assert knock(f"amiable/v1/instances/a%2Fb/{noun}") == "UnsupportedOperation"


@pytest.mark.parametrize("spelled", ["channels/", "channels//", "name-guard/"])
def test_a_slash_more_is_no_way_around_a_deny(edge: Edge, spelled: str) -> None:
    target = f"/amiable/v1/{spelled}"
    paths = [f"arn:aws:amiable:us-east-1:{edge.account.account_id}:amiable/v1/{spelled.rstrip('/')}"]
    said = credentials(edge, f"slash-{spelled.replace('/', '-')}", allow("amiable:*"), deny("amiable:*", paths))
    signed = AWSRequest("GET", edge.endpoint + target, data=b"")
    keys = Credentials(said["AccessKeyId"], said["SecretAccessKey"], said["SessionToken"])
    S3SigV4Auth(keys, "amiable", "us-east-1").add_auth(signed)  # which signs a path as it stands
    answer = edge.send("GET", target, b"", {name: str(value) for name, value in signed.headers.items()})
    assert (answer.status, json.loads(answer.body)["Code"]) == (400, "InvalidAction")


@pytest.mark.parametrize(
    "statement",
    [
        {"Effect": "Allow", "Action": "ec2:*", "Resource": "\ud800"},
        {"Effect": "Allow", "Action": "ec2:*", "Resource": "*", "Condition": {"\ud800": {}}},
        {"Effect": "Allow", "Action": "ec2:*", "Resource": "*", "Condition": {"StringEquals": {"\ud800": "x"}}},
        {"Effect": "Allow", "Action": "ec2:*", "Resource": "${\ud800"},
        {"Effect": "Allow", "Action": "ec2:*", "Principal": {"AWS": "\ud800"}},
        {"Effect": "Allow", "Action": "ec2:*", "Principal": {"\ud800": "x"}},
    ],
    ids=["resource", "operator", "key", "variable", "principal", "kind"],
)
def test_half_a_character_in_a_document_is_a_refusal_like_another(edge: Edge, statement: dict[str, Any]) -> None:
    iam = edge.client("iam", config=LENIENT)
    asked = {"RoleName": "never", "AssumeRolePolicyDocument": document(statement)}
    assert refusal(iam.create_role, **asked) == "MalformedPolicyDocument"
    with pytest.raises(ClientError) as caught:
        edge.client("sts", config=LENIENT).assume_role(
            RoleArn=f"arn:aws:iam::{edge.account.account_id}:role/wide",
            RoleSessionName="me",
            Policy=document(statement),
        )
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] < 500


def test_a_role_deletes_with_an_image_only_the_snapshots_that_it_may_delete(edge: Edge, ec2: Any) -> None:
    owner = Principal(edge.account.account_id, "key", "us-east-1")
    image = make_image(edge.services, owner)
    snapshots = [device.snapshot_id for device in image.devices]
    kept = as_role(edge, "deregisters", allow("ec2:DeregisterImage"))
    answer = kept.deregister_image(ImageId=image.id, DeleteAssociatedSnapshots=True)
    assert answer["Return"] is True
    assert answer["DeleteSnapshotResults"] == [
        {"SnapshotId": each, "ReturnCode": "missing-permissions"} for each in snapshots
    ]
    assert len(ec2.describe_snapshots(SnapshotIds=snapshots)["Snapshots"]) == len(snapshots) == 1
    other = make_image(edge.services, owner)
    (snapshot_id,) = (device.snapshot_id for device in other.devices)
    mine = [f"arn:aws:ec2:us-east-1::snapshot/{snapshot_id}"]
    both = as_role(edge, "deletes-too", allow("ec2:DeregisterImage"), allow("ec2:DeleteSnapshot", mine))
    answer = both.deregister_image(ImageId=other.id, DeleteAssociatedSnapshots=True)
    assert answer["DeleteSnapshotResults"] == [{"SnapshotId": snapshot_id, "ReturnCode": "success"}]
