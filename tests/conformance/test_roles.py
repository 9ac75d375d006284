"""Roles, instance profiles and AssumeRole through boto3: limits, refusals, and what a role's credentials may do."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.server.edge import Edge, running_edge
from tests.support.clock import Clock, sign_by
from tests.support.services import make_account, open_services

LENIENT = Config(parameter_validation=False, retries={"max_attempts": 0}, s3={"addressing_style": "path"})


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action: Any, resource: Any = "*") -> dict[str, Any]:
    return {"Effect": "Deny", "Action": action, "Resource": resource}


def trust(principal: Any, **more: Any) -> str:
    return document({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", **more})


EC2_TRUST = trust({"Service": "ec2.amazonaws.com"})


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock(datetime.now(UTC))


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory, clock: Clock) -> Iterator[Edge]:
    with open_services(tmp_path_factory.mktemp("roles") / "data", clock=clock) as services:
        account, _ = make_account(services, "owner")
        with running_edge(services, account) as running:
            yield running


@pytest.fixture(scope="module")
def iam(edge: Edge) -> Any:
    return edge.client("iam", config=LENIENT)


def refusal(call: Callable[..., Any], **words: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**words)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def status(call: Callable[..., Any], **words: Any) -> int:
    with pytest.raises(ClientError) as caught:
        call(**words)
    return int(caught.value.response["ResponseMetadata"]["HTTPStatusCode"])


def make_role(edge: Edge, name: str, *statements: dict[str, Any], **more: Any) -> str:
    """A role that its own account may assume; its ARN."""
    iam = edge.client("iam")
    given = {"AssumeRolePolicyDocument": trust({"AWS": edge.account.account_id}), **more}
    arn = iam.create_role(RoleName=name, **given)["Role"]["Arn"]
    if statements:
        iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=document(*statements))
    return str(arn)


def assume(edge: Edge, arn: str, **more: Any) -> Callable[..., Any]:
    """What makes clients with the role's credentials."""
    said = edge.client("sts").assume_role(RoleArn=arn, RoleSessionName="tester", **more)["Credentials"]
    keys = {
        "aws_access_key_id": said["AccessKeyId"],
        "aws_secret_access_key": said["SecretAccessKey"],
        "aws_session_token": said["SessionToken"],
        "config": LENIENT,
    }
    return lambda service, **options: edge.client(service, **{**keys, **options})


@pytest.mark.proves("iam", "CreateRole", "GetRole", "ListRoles", "UpdateAssumeRolePolicy", "DeleteRole")
def test_a_role_is_made_seen_changed_and_deleted(edge: Edge, iam: Any) -> None:
    made = iam.create_role(
        RoleName="Builder", Path="/build/", AssumeRolePolicyDocument=EC2_TRUST, Description="builds",
        MaxSessionDuration=7200, Tags=[{"Key": "team", "Value": "images"}],
    )["Role"]  # fmt: skip
    assert made["Arn"] == f"arn:aws:iam::{edge.account.account_id}:role/build/Builder"
    assert made["RoleId"].startswith("AROA") and len(made["RoleId"]) == 21
    assert made["AssumeRolePolicyDocument"] == json.loads(EC2_TRUST)
    assert iam.get_role(RoleName="builder")["Role"] == made, "a name is found whatever its case"
    assert made["MaxSessionDuration"] == 7200 and made["Tags"] == [{"Key": "team", "Value": "images"}]
    exists = ("EntityAlreadyExists", "Role with name BUILDER already exists.")
    assert refusal(iam.create_role, RoleName="BUILDER", AssumeRolePolicyDocument=EC2_TRUST) == exists
    assert status(iam.create_role, RoleName="BUILDER", AssumeRolePolicyDocument=EC2_TRUST) == 409
    iam.create_role(RoleName="another", AssumeRolePolicyDocument=EC2_TRUST)
    assert [role["RoleName"] for role in iam.list_roles(PathPrefix="/build/")["Roles"]] == ["Builder"]
    first = iam.list_roles(MaxItems=1)
    assert [role["RoleName"] for role in first["Roles"]] == ["another"] and first["IsTruncated"]
    rest = iam.list_roles(Marker=first["Marker"])
    assert [role["RoleName"] for role in rest["Roles"]] == ["Builder"] and not rest["IsTruncated"]
    changed = trust({"AWS": "123456789012"})
    iam.update_assume_role_policy(RoleName="Builder", PolicyDocument=changed)
    assert iam.get_role(RoleName="Builder")["Role"]["AssumeRolePolicyDocument"] == json.loads(changed)
    for name in ("Builder", "another"):
        iam.delete_role(RoleName=name)
    gone = ("NoSuchEntity", "The role with name Builder cannot be found.")
    assert refusal(iam.get_role, RoleName="Builder") == gone
    assert status(iam.get_role, RoleName="Builder") == 404


@pytest.mark.proves(
    "iam", "PutRolePolicy", "GetRolePolicy", "ListRolePolicies", "DeleteRolePolicy", "ListAttachedRolePolicies"
)
def test_a_role_has_policies_of_its_own_up_to_a_size(edge: Edge, iam: Any) -> None:
    iam.create_role(RoleName="policed", AssumeRolePolicyDocument=EC2_TRUST)
    wanted = document(allow(["ec2:Describe*", "s3:GetObject"]))
    iam.put_role_policy(RoleName="policed", PolicyName="b", PolicyDocument=wanted)
    iam.put_role_policy(RoleName="policed", PolicyName="a", PolicyDocument=document(allow("s3:*")))
    assert iam.get_role_policy(RoleName="policed", PolicyName="b")["PolicyDocument"] == json.loads(wanted)
    assert iam.list_role_policies(RoleName="policed")["PolicyNames"] == ["a", "b"]
    assert iam.list_attached_role_policies(RoleName="policed")["AttachedPolicies"] == []
    large = document(allow([f"ec2:Describe{'x' * 100}{number}" for number in range(100)]))
    over = ("LimitExceeded", "Maximum policy size of 10240 bytes exceeded for role policed")
    assert refusal(iam.put_role_policy, RoleName="policed", PolicyName="c", PolicyDocument=large) == over
    spaces = document(allow("ec2:*")) + " " * 130_900
    wide = ("LimitExceeded", "Maximum policy size of 131072 bytes exceeded for role policed")
    assert refusal(iam.put_role_policy, RoleName="policed", PolicyName="c", PolicyDocument=spaces) == wide
    conflict = ("DeleteConflict", "Cannot delete entity, must delete policies first.")
    assert refusal(iam.delete_role, RoleName="policed") == conflict
    for name in ("a", "b"):
        iam.delete_role_policy(RoleName="policed", PolicyName=name)
    gone = ("NoSuchEntity", "The role policy with name a cannot be found.")
    assert refusal(iam.delete_role_policy, RoleName="policed", PolicyName="a") == gone
    assert refusal(iam.get_role_policy, RoleName="policed", PolicyName="a") == gone
    iam.delete_role(RoleName="policed")


@pytest.mark.proves(
    "iam",
    "CreateInstanceProfile", "GetInstanceProfile", "ListInstanceProfiles", "ListInstanceProfilesForRole",
    "DeleteInstanceProfile", "AddRoleToInstanceProfile", "RemoveRoleFromInstanceProfile",
)  # fmt: skip
def test_an_instance_profile_holds_one_role(edge: Edge, iam: Any) -> None:
    for name in ("held", "other"):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=EC2_TRUST)
    made = iam.create_instance_profile(InstanceProfileName="box", Path="/p/")["InstanceProfile"]
    assert made["Arn"] == f"arn:aws:iam::{edge.account.account_id}:instance-profile/p/box" and made["Roles"] == []
    assert made["InstanceProfileId"].startswith("AIPA")
    exists = ("EntityAlreadyExists", "Instance Profile box already exists.")
    assert refusal(iam.create_instance_profile, InstanceProfileName="box") == exists
    iam.add_role_to_instance_profile(InstanceProfileName="box", RoleName="held")
    quota = ("LimitExceeded", "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1")
    assert refusal(iam.add_role_to_instance_profile, InstanceProfileName="box", RoleName="other") == quota
    seen = iam.get_instance_profile(InstanceProfileName="box")["InstanceProfile"]
    assert [role["RoleName"] for role in seen["Roles"]] == ["held"]
    assert iam.list_instance_profiles(PathPrefix="/p/")["InstanceProfiles"] == [seen]
    assert iam.list_instance_profiles(PathPrefix="/q/")["InstanceProfiles"] == []
    assert iam.list_instance_profiles_for_role(RoleName="held")["InstanceProfiles"] == [seen]
    assert iam.list_instance_profiles_for_role(RoleName="other")["InstanceProfiles"] == []
    conflict = ("DeleteConflict", "Cannot delete entity, must remove roles from instance profile first.")
    assert refusal(iam.delete_instance_profile, InstanceProfileName="box") == conflict
    assert refusal(iam.delete_role, RoleName="held") == conflict
    absent = ("NoSuchEntity", "Role other in Instance Profile box cannot be found.")
    assert refusal(iam.remove_role_from_instance_profile, InstanceProfileName="box", RoleName="other") == absent
    iam.remove_role_from_instance_profile(InstanceProfileName="box", RoleName="held")
    iam.delete_instance_profile(InstanceProfileName="box")
    gone = ("NoSuchEntity", "Instance Profile box cannot be found.")
    assert refusal(iam.get_instance_profile, InstanceProfileName="box") == gone
    for name in ("held", "other"):
        iam.delete_role(RoleName=name)


@pytest.mark.parametrize(
    ("name", "why"),
    [("", "RoleName"), ("a b", "RoleName"), ("é", "RoleName"), ("x" * 65, "RoleName"), ("a/b", "RoleName")],
)
def test_a_name_of_another_form_is_a_validation_error(iam: Any, name: str, why: str) -> None:
    code, message = refusal(iam.create_role, RoleName=name, AssumeRolePolicyDocument=EC2_TRUST)
    assert code == "ValidationError" and why in message


def test_malformed_documents_are_refused_and_nothing_is_made(iam: Any) -> None:
    for text in ("{}", "no", trust({"Federated": "x"}), document(allow("ec2:*"))):
        assert refusal(iam.create_role, RoleName="never", AssumeRolePolicyDocument=text)[0] == "MalformedPolicyDocument"
    assert refusal(iam.get_role, RoleName="never")[0] == "NoSuchEntity"


@pytest.mark.proves("sts", "AssumeRole", "GetCallerIdentity")
def test_a_roles_credentials_do_what_its_policies_allow_and_no_more(edge: Edge) -> None:
    arn = make_role(
        edge, "worker",
        allow(["ec2:DescribeImages", "ec2:DescribeTags", "s3:*"]), deny("s3:DeleteBucket"),
        allow("s3:GetObject", "arn:aws:s3:::other/*"),
    )  # fmt: skip
    clients = assume(edge, arn)
    who = clients("sts").get_caller_identity()
    account = edge.account.account_id
    assert who["Arn"] == f"arn:aws:sts::{account}:assumed-role/worker/tester" and who["Account"] == account
    assert who["UserId"].startswith("AROA") and who["UserId"].endswith(":tester")
    ec2, s3 = clients("ec2"), clients("s3")
    assert ec2.describe_images(Owners=["self"])["Images"] == []
    code, message = refusal(ec2.describe_instances)
    assert code == "UnauthorizedOperation" and status(ec2.describe_instances) == 403
    assert message.endswith(
        f"User: {who['Arn']} is not authorized to perform: ec2:DescribeInstances on resource: * "
        "because no identity-based policy allows the ec2:DescribeInstances action"
    )
    s3.create_bucket(Bucket="of-a-role")
    s3.put_object(Bucket="of-a-role", Key="k", Body=b"x")
    assert s3.get_object(Bucket="of-a-role", Key="k")["Body"].read() == b"x"
    code, message = refusal(s3.delete_bucket, Bucket="of-a-role")
    assert code == "AccessDenied" and message.endswith("with an explicit deny in an identity-based policy")
    for service, call, wanted in (
        ("iam", lambda client: client.list_roles(), "AccessDenied"),
        ("ssm", lambda client: client.get_parameter(Name="/x"), "AccessDeniedException"),
        ("ebs", lambda client: client.start_snapshot(VolumeSize=1), "AccessDeniedException"),
        ("rbin", lambda client: client.list_rules(ResourceType="EBS_SNAPSHOT"), "AccessDeniedException"),
        ("sts", lambda client: client.get_session_token(), "UnauthorizedOperation"),
    ):
        assert refusal(call, client=clients(service))[0] == wanted, service


def test_what_a_role_may_do_to_one_object_it_may_not_do_to_another(edge: Edge) -> None:
    owner = edge.client("s3")
    owner.create_bucket(Bucket="shared-things")
    for key in ("open/a", "closed/a"):
        owner.put_object(Bucket="shared-things", Key=key, Body=key.encode())
    objects = "arn:aws:s3:::shared-things/"
    arn = make_role(
        edge, "picky", allow(["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], objects + "*"),
        deny("s3:*", objects + "closed/*"),
    )  # fmt: skip
    s3 = assume(edge, arn)("s3")
    assert s3.get_object(Bucket="shared-things", Key="open/a")["Body"].read() == b"open/a"
    source = {"Bucket": "shared-things", "Key": "closed/a"}
    for call, words in (
        (s3.get_object, {"Key": "closed/a"}),
        (s3.copy_object, {"Key": "open/b", "CopySource": source}),
        (s3.delete_objects, {"Delete": {"Objects": [{"Key": "open/a"}, {"Key": "closed/a"}]}}),
        (s3.list_objects_v2, {}),
    ):
        assert refusal(call, Bucket="shared-things", **words)[0] == "AccessDenied", call
    assert len(owner.list_objects_v2(Bucket="shared-things")["Contents"]) == 2


def test_a_presigned_address_and_a_form_are_asked_like_any_request(edge: Edge) -> None:
    owner = edge.client("s3")
    owner.create_bucket(Bucket="by-address")
    for key in ("open", "closed"):
        owner.put_object(Bucket="by-address", Key=key, Body=key.encode())
    arn = make_role(edge, "signer", allow(["s3:GetObject", "s3:PutObject"], "arn:aws:s3:::by-address/open"))
    s3 = assume(edge, arn)("s3")

    def get(key: str) -> int:
        url = s3.generate_presigned_url("get_object", Params={"Bucket": "by-address", "Key": key})
        return edge.send("GET", url.removeprefix(edge.endpoint)).status

    def post(key: str) -> int:
        posted = s3.generate_presigned_post("by-address", key)
        parts = [*posted["fields"].items(), ("file", "text")]
        body = "".join(
            f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in parts
        )
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        return edge.send("POST", "/by-address", f"{body}--x--\r\n".encode(), headers).status

    assert (get("open"), get("closed")) == (200, 403)
    assert (post("open"), post("closed")) == (204, 403)
    assert owner.get_object(Bucket="by-address", Key="open")["Body"].read() == b"text"
    assert owner.get_object(Bucket="by-address", Key="closed")["Body"].read() == b"closed"


def test_a_role_gets_no_way_into_a_guest_unless_a_policy_opens_it(edge: Edge) -> None:
    path = "/amiable/v1/instances/i-0123456789abcdef0/tunnel?port=22"

    def knock(arn: str) -> str:
        said = edge.client("sts").assume_role(RoleArn=arn, RoleSessionName="me")["Credentials"]
        signed = AWSRequest("GET", edge.endpoint + path)
        keys = Credentials(said["AccessKeyId"], said["SecretAccessKey"], said["SessionToken"])
        SigV4QueryAuth(keys, "amiable", "us-east-1", expires=60).add_auth(signed)
        with pytest.raises(InvalidStatus) as refused, connect("ws" + str(signed.url).removeprefix("http")):
            pass
        return str(json.loads(refused.value.response.body)["Code"])

    assert knock(make_role(edge, "barred", allow(["ec2:*", "s3:*"]))) == "UnauthorizedOperation"
    let_in = make_role(edge, "let-in", allow("amiable:GET", "arn:aws:amiable:*:*:amiable/v1/instances/*"))
    assert knock(let_in) == "InvalidInstanceID.NotFound"


def test_a_token_with_one_byte_changed_or_of_another_kind_is_none(edge: Edge) -> None:
    arn = make_role(edge, "tampered", allow("ec2:*"))
    said = edge.client("sts").assume_role(RoleArn=arn, RoleSessionName="me")["Credentials"]
    other = edge.client("sts").get_session_token()["Credentials"]
    token = said["SessionToken"]
    middle = len(token) // 2
    changed = token[:middle] + ("A" if token[middle] != "A" else "B") + token[middle + 1 :]
    for bad in (changed, token[:-4], other["SessionToken"], "x" * 20_000, "not base64"):
        client = edge.client(
            "sts",
            config=LENIENT,
            aws_access_key_id=said["AccessKeyId"],
            aws_secret_access_key=said["SecretAccessKey"],
            aws_session_token=bad,
        )
        assert refusal(client.get_caller_identity)[0] in ("InvalidClientTokenId", "RequestEntityTooLarge"), bad[:20]


def test_a_change_of_policy_binds_a_running_session_and_its_end_ends_it(
    edge: Edge, iam: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    arn = make_role(edge, "brief", allow("ec2:DescribeImages"))
    clients = assume(edge, arn, DurationSeconds=900)
    ec2 = clients("ec2")
    ec2.describe_images(Owners=["self"])
    iam.delete_role_policy(RoleName="brief", PolicyName="own")
    assert refusal(ec2.describe_images)[0] == "UnauthorizedOperation"
    iam.put_role_policy(RoleName="brief", PolicyName="own", PolicyDocument=document(allow("ec2:*")))
    ec2.describe_images(Owners=["self"])
    without_token = clients("ec2", aws_session_token=None)
    assert refusal(without_token.describe_images)[0] == "AuthFailure"
    sign_by(clock, monkeypatch)
    clock.pass_(seconds=901)
    code, message = refusal(ec2.describe_images)
    clock.pass_(seconds=-901)
    assert (code, message) == ("RequestExpired", "The security token included in the request is expired.")
    iam.delete_role_policy(RoleName="brief", PolicyName="own")
    iam.delete_role(RoleName="brief")
    assert refusal(clients("sts").get_caller_identity)[0] == "InvalidClientTokenId"


def test_a_session_policy_narrows_what_the_role_allows(edge: Edge) -> None:
    arn = make_role(edge, "narrowed", allow(["ec2:DescribeImages", "ec2:DescribeTags"]))
    ec2 = assume(edge, arn, Policy=document(allow(["ec2:DescribeImages", "ec2:DescribeInstances"])))("ec2")
    ec2.describe_images(Owners=["self"])
    assert refusal(ec2.describe_tags)[1].endswith("because no session policy allows the ec2:DescribeTags action")
    assert refusal(ec2.describe_instances)[0] == "UnauthorizedOperation"


def test_only_whom_the_trust_policy_names_assumes_a_role(edge: Edge) -> None:
    sts = edge.client("sts", config=LENIENT)
    account = edge.account.account_id
    foreign = make_role(edge, "foreign", AssumeRolePolicyDocument=trust({"AWS": "arn:aws:iam::000000000001:root"}))
    for arn in (
        foreign,
        f"arn:aws:iam::{account}:role/absent",
        make_role(edge, "ec2s", AssumeRolePolicyDocument=EC2_TRUST),
    ):
        code, message = refusal(sts.assume_role, RoleArn=arn, RoleSessionName="me")
        assert code == "AccessDenied"
        assert message == (
            f"User: arn:aws:iam::{account}:root is not authorized to perform: sts:AssumeRole on resource: {arn}"
        )
    secret = {"StringEquals": {"sts:ExternalId": "sesame"}}
    guarded = make_role(edge, "guarded", AssumeRolePolicyDocument=trust({"AWS": account}, Condition=secret))
    assert refusal(sts.assume_role, RoleArn=guarded, RoleSessionName="me")[0] == "AccessDenied"
    assert refusal(sts.assume_role, RoleArn=guarded, RoleSessionName="me", ExternalId="open")[0] == "AccessDenied"
    sts.assume_role(RoleArn=guarded, RoleSessionName="me", ExternalId="sesame")


def test_assume_role_refuses_what_it_would_have_to_ignore_and_times_that_are_too_long(edge: Edge) -> None:
    arn = make_role(edge, "timed", allow("sts:AssumeRole"))
    sts = edge.client("sts", config=LENIENT)

    def refused(**words: Any) -> tuple[str, str]:
        return refusal(sts.assume_role, **{"RoleArn": arn, "RoleSessionName": "me", **words})

    over = ("ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
    assert refused(DurationSeconds=3601) == over
    assert refused(DurationSeconds=899)[0] == "ValidationError"
    assert refused(RoleSessionName="a b")[0] == "ValidationError"
    assert refused(RoleArn="arn:aws:iam::1:role/x")[0] == "ValidationError"
    assert refused(Policy="{}")[0] == "MalformedPolicyDocument"
    assert refused(Policy=document(allow("ec2:*", "arn:aws:ec2:::" + "x" * 2048)))[0] == "ValidationError"
    tags = [{"Key": "a", "Value": "b"}]
    for words in (
        {"Tags": tags},
        {"PolicyArns": [{"arn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}]},
        {"SourceIdentity": "me"},
    ):
        assert refused(**words)[0] == "UnsupportedOperation"
    edge.client("iam").create_role(
        RoleName="longer", AssumeRolePolicyDocument=trust({"AWS": arn}), MaxSessionDuration=7200
    )
    chained = assume(edge, arn)("sts")
    longer = f"arn:aws:iam::{edge.account.account_id}:role/longer"
    assert refusal(chained.assume_role, RoleArn=longer, RoleSessionName="me", DurationSeconds=3601) == (
        "ValidationError",
        "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining",
    )
    chained.assume_role(RoleArn=longer, RoleSessionName="me")


def test_amiables_own_api_is_closed_to_a_role_unless_a_policy_opens_it(edge: Edge) -> None:
    sts = edge.client("sts")

    def get(arn: str, path: str) -> int:
        said = sts.assume_role(RoleArn=arn, RoleSessionName="me")["Credentials"]
        headers = edge.sign_session("GET", path, said, service="amiable")
        return edge.send("GET", path, headers=headers).status

    assert get(make_role(edge, "outside", allow("ec2:*")), "/amiable/v1/channels") == 403
    inside = make_role(edge, "inside", allow("amiable:GET", "arn:aws:amiable:*:*:amiable/v1/channels"))
    assert get(inside, "/amiable/v1/channels") == 200
    assert get(inside, "/amiable/v1/products") == 403
