"""The log of mutating calls: each has its line with its change or neither is there, and nobody changes a line."""

import io
import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from amiable.api import organizations
from amiable.database import events
from amiable.database.connect import RIDER
from amiable.database.events import Wanted
from amiable.model.event import Asker, Event, Outcome
from amiable.model.principal import Principal
from amiable.services import Services
from amiable.services.audit import WATCH, Call, Watch
from tests.api.ec2.launching import TINY, make_image, make_snapshot
from tests.server.edge import Edge, running_edge
from tests.support.services import make_account, open_services

REGION = "us-east-1"


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with open_services(tmp_path_factory.mktemp("audit") / "data") as services:
        account, _ = make_account(services, "edge")
        with running_edge(services, account) as running:
            yield running


@pytest.fixture(scope="module")
def clients(edge: Edge) -> Iterator[dict[str, Any]]:
    with ExitStack() as stack:
        names = ("ec2", "ebs", "s3", "iam", "sts", "ssm", "rbin")
        yield {name: stack.enter_context(closing(edge.client(name))) for name in names}


def owner_of(edge: Edge) -> Principal:
    return Principal(edge.account.account_id, edge.account.access_key_id, REGION)


class Log:
    """The lines that came since the test began."""

    def __init__(self, services: Services) -> None:
        self.services = services
        with services.database.read() as c:
            self.after = events.last_number(c)

    def lines(self) -> list[Event]:
        with self.services.database.read() as c:
            return events.list_events(c, Wanted(None, after=self.after, size=1000))

    def told(self) -> list[tuple[str, str, str, str | None]]:
        return [(it.service, it.action, it.outcome.value, it.error_code) for it in self.lines()]


@pytest.fixture
def log(edge: Edge) -> Log:
    return Log(edge.services)


def test_a_change_has_its_line_with_who_when_where_and_what(edge: Edge, clients: dict[str, Any], log: Log) -> None:
    snapshot_id = make_snapshot(edge.services, owner_of(edge))
    root = {"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": snapshot_id}}
    answer = clients["ec2"].register_image(
        Name="logged", RootDeviceName="/dev/sda1", VirtualizationType="hvm", BlockDeviceMappings=[root]
    )
    (line,) = log.lines()
    assert (line.service, line.action, line.outcome, line.error_code) == ("ec2", "RegisterImage", Outcome.DONE, None)
    assert line.asker.account_id == edge.account.account_id and line.asker.access_key_id == edge.account.access_key_id
    assert line.asker.request_id == answer["ResponseMetadata"]["RequestId"]
    assert (
        line.asker.address == "127.0.0.1" and line.asker.user_agent.startswith("Boto3/") and line.asker.region == REGION
    )
    assert set(line.resource_ids) == {snapshot_id, answer["ImageId"]}
    said = json.loads(line.parameters)
    assert said["Name"] == "logged" and said["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"] == snapshot_id


def test_where_a_call_came_from_is_not_what_a_header_says(edge: Edge, log: Log) -> None:
    body = "Action=CreateTags&Version=2016-11-15&ResourceId.1=ami-1&Tag.1.Key=a&Tag.1.Value=b"
    form = {"content-type": "application/x-www-form-urlencoded"}
    claimed = {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https"}
    edge.send("POST", "/", body.encode(), {**edge.sign("POST", "/", body.encode(), form), **claimed})
    (line,) = log.lines()
    assert (line.action, line.asker.address) == ("CreateTags", "127.0.0.1")


def refused(call: Any, **parameters: Any) -> None:
    with pytest.raises(ClientError):
        call(**parameters)


def test_a_refused_call_has_a_line_with_its_code(clients: dict[str, Any], log: Log) -> None:
    ec2 = clients["ec2"]
    refused(ec2.deregister_image, ImageId="ami-0123456789abcdef0")
    refused(ec2.delete_snapshot, SnapshotId="x")
    refused(ec2.register_image, Name="a+b")
    (first, _, _) = log.lines()
    assert first.resource_ids == ("ami-0123456789abcdef0",)
    assert log.told() == [
        ("ec2", "DeregisterImage", "refused", "InvalidAMIID.NotFound"),
        ("ec2", "DeleteSnapshot", "refused", "InvalidSnapshotID.Malformed"),
        ("ec2", "RegisterImage", "refused", "InvalidAMIName.Malformed"),
    ]


def test_what_only_asks_has_no_line(edge: Edge, clients: dict[str, Any], log: Log) -> None:
    ec2 = clients["ec2"]
    ec2.describe_images(Owners=["self"])
    refused(ec2.describe_images, ImageIds=["ami-0123456789abcdef0"])
    refused(ec2.create_key_pair, KeyName="dry", DryRun=True)
    refused(ec2.deregister_image, ImageId="ami-0123456789abcdef0", DryRun=True)
    for spelled in ("True", "TRUE", "1"):  # as the call itself reads it
        answer = edge.call(f"Action=CreateKeyPair&Version=2016-11-15&KeyName=dry&DryRun={spelled}")
        assert "DryRunOperation" in answer.text
    clients["sts"].get_caller_identity()
    clients["sts"].get_session_token()
    clients["iam"].list_signing_certificates()
    clients["s3"].list_buckets()
    clients["ssm"].get_parameters(Names=["none"])
    assert edge.call("Action=CreateKeyPair&Version=2016-11-15&KeyName=x", key="AKIAUNKNOWN").status == 401
    assert log.lines() == []


def test_every_service_has_its_lines(clients: dict[str, Any], log: Log) -> None:
    ebs, s3, ssm = clients["ebs"], clients["s3"], clients["ssm"]
    snapshot_id = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    ebs.complete_snapshot(SnapshotId=snapshot_id, ChangedBlocksCount=0)
    s3.create_bucket(Bucket="logged")
    s3.put_object(Bucket="logged", Key="a/b", Body=b"x")
    s3.copy_object(Bucket="logged", Key="c", CopySource="logged/a/b")
    s3.put_object_acl(Bucket="logged", Key="c", ACL="private")
    upload = {"Bucket": "logged", "Key": "d"}
    upload["UploadId"] = s3.create_multipart_upload(**upload)["UploadId"]
    part = s3.upload_part(**upload, PartNumber=1, Body=b"x")["ETag"]
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part}]})
    s3.delete_object(Bucket="logged", Key="a/b")
    s3.delete_objects(Bucket="logged", Delete={"Objects": [{"Key": "c"}, {"Key": "d"}]})
    s3.delete_bucket(Bucket="logged")
    ssm.put_parameter(Name="/logged", Value="v", Type="String")
    ssm.delete_parameter(Name="/logged")
    refused(clients["iam"].delete_signing_certificate, CertificateId="A" * 24)
    clients["iam"].create_instance_profile(InstanceProfileName="logged")
    rule = clients["rbin"].create_rule(
        ResourceType="EBS_SNAPSHOT", RetentionPeriod={"RetentionPeriodValue": 1, "RetentionPeriodUnit": "DAYS"}
    )
    assert [told[:3] for told in log.told()] == [
        ("ebs", "StartSnapshot", "done"),
        ("ebs", "CompleteSnapshot", "done"),
        ("s3", "CreateBucket", "done"),
        ("s3", "PutObject", "done"),
        ("s3", "CopyObject", "done"),
        ("s3", "PutObjectAcl", "done"),
        ("s3", "CompleteMultipartUpload", "done"),
        ("s3", "DeleteObject", "done"),
        ("s3", "DeleteObjects", "done"),
        ("s3", "DeleteBucket", "done"),
        ("ssm", "PutParameter", "done"),
        ("ssm", "DeleteParameter", "done"),
        ("iam", "DeleteSigningCertificate", "refused"),
        ("iam", "CreateInstanceProfile", "done"),
        ("rbin", "CreateRule", "done"),
    ]
    named = {it.action: it.resource_ids for it in log.lines()}
    assert named["StartSnapshot"] == named["CompleteSnapshot"] == (snapshot_id,)
    assert named["PutObject"] == ("logged/a/b",) and named["CreateBucket"] == ("logged",)
    assert named["PutParameter"] == ("/logged",)
    assert named["CreateInstanceProfile"] == ("logged",) and named["CreateRule"] == (rule["Identifier"],)


def test_a_refused_call_names_nothing_that_it_did_not_make(edge: Edge, clients: dict[str, Any], log: Log) -> None:
    image = make_image(edge.services, owner_of(edge))
    snapshot_id = image.devices[0].snapshot_id
    device = {"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": snapshot_id}}
    wanted = {"RootDeviceName": "/dev/sda1", "VirtualizationType": "hvm", "BlockDeviceMappings": [device]}
    refused(clients["ec2"].register_image, Name=image.name, **wanted)
    (line,) = log.lines()
    assert (line.outcome, line.resource_ids) == (Outcome.REFUSED, (snapshot_id,))


def test_a_line_tells_what_a_call_of_amiables_own_made(edge: Edge, log: Log) -> None:
    body = b'{"Name": "Suite", "Currency": "EUR", "HourlyPrice": "1"}'
    signed = edge.sign("POST", "/amiable/v1/products", body, service="amiable")
    code = json.loads(edge.send("POST", "/amiable/v1/products", body, signed).body)["ProductCode"]
    (line,) = log.lines()
    assert line.resource_ids == ("Suite", code)
    signed = edge.sign("POST", "/amiable/v1/access-keys", b"", service="amiable")
    key = json.loads(edge.send("POST", "/amiable/v1/access-keys", b"", signed).body)["AccessKeyId"]
    assert log.lines()[-1].resource_ids == (key,)


def test_amiables_own_calls_have_lines_and_their_reads_have_none(edge: Edge, log: Log) -> None:
    body = b'{"Name": "nobody"}'
    for method, target, sent in (("GET", "/amiable/v1/accounts", b""), ("POST", "/amiable/v1/accounts", body)):
        edge.send(method, target, sent, edge.sign(method, target, sent, service="amiable"))
    (line,) = log.lines()
    assert (line.service, line.action, line.outcome) == ("amiable", "POST accounts", Outcome.REFUSED)
    assert json.loads(line.parameters) == {"Name": "nobody"} and line.error_code is not None


def test_a_line_tells_who_left_an_organization(edge: Edge, log: Log) -> None:
    manager, _ = make_account(edge.services, "manager")
    member, _ = make_account(edge.services, "member")
    _, administrator = make_account(edge.services, "administrator", administrator=True)
    made = organizations.create_organization(edge.services, administrator, "Org", manager.account_id)
    organizations.place_member(edge.services, administrator, made.id, member.account_id, None)
    target = f"/amiable/v1/organizations/{made.id}/members?AccountId={member.account_id}"
    signed = edge.sign("DELETE", target, service="amiable", key=manager.access_key_id, secret=manager.secret)
    assert edge.send("DELETE", target, b"", signed).status == 200
    (line,) = log.lines()
    assert line.action == "DELETE organizations/{}/members"
    assert line.resource_ids == (made.id, member.account_id)
    assert json.loads(line.parameters) == {"AccountId": member.account_id}


def test_secrets_are_not_kept(edge: Edge, clients: dict[str, Any], log: Log) -> None:
    image = make_image(edge.services, owner_of(edge))
    clients["ec2"].run_instances(ImageId=image.id, InstanceType=TINY, MinCount=1, MaxCount=1, UserData="hunter2")
    clients["ssm"].put_parameter(Name="secret", Value="hunter2", Type="SecureString")
    launched, parameter = log.lines()
    assert json.loads(launched.parameters)["UserData"] == "(not kept)"
    assert launched.resource_ids[0] == image.id  # LST-08: the log tells which image a launch by name came to
    assert any(made.startswith("i-") for made in launched.resource_ids)
    assert json.loads(parameter.parameters)["Value"] == "(not kept)"
    with edge.services.database.read() as c:
        kept = c.execute(text("SELECT group_concat(parameters) FROM event")).scalar_one()
    assert "hunter2" not in kept and "aHVudGVyMg" not in kept


def test_user_data_given_as_an_attributes_value_is_not_kept(clients: dict[str, Any], log: Log) -> None:
    refused(
        clients["ec2"].modify_instance_attribute, InstanceId="i-12345678", Attribute="userData", Value="aHVudGVyMg=="
    )
    (line,) = log.lines()
    assert "aHVudGVyMg" not in line.parameters and json.loads(line.parameters)["Value"] == "(not kept)"


def test_a_line_tells_the_account_from_a_session_of_one_of_its_roles(
    edge: Edge, clients: dict[str, Any], log: Log
) -> None:
    trusted = {"Effect": "Allow", "Principal": {"AWS": edge.account.account_id}, "Action": "sts:AssumeRole"}
    made = clients["iam"].create_role(RoleName="builder", AssumeRolePolicyDocument=json.dumps({"Statement": [trusted]}))
    session = {"RoleArn": made["Role"]["Arn"], "RoleSessionName": "night"}
    said = clients["sts"].assume_role(**session)["Credentials"]
    keys = {"aws_access_key_id": said["AccessKeyId"], "aws_secret_access_key": said["SecretAccessKey"]}
    with closing(edge.client("ec2", **keys, aws_session_token=said["SessionToken"])) as ec2:
        refused(ec2.create_key_pair, KeyName="nightly")
    account = edge.account.account_id
    assert [line.asker.principal_arn for line in log.lines()] == [
        f"arn:aws:iam::{account}:root",
        f"arn:aws:sts::{account}:assumed-role/builder/night",
    ]
    assert ask(edge)["Events"][-1]["PrincipalArn"] == f"arn:aws:sts::{account}:assumed-role/builder/night"


def test_what_is_long_is_not_kept(clients: dict[str, Any], log: Log) -> None:
    tags = [{"Key": f"{n}", "Value": "v" * 256} for n in range(50)]
    refused(clients["ec2"].create_tags, Resources=["i-12345678"], Tags=tags)
    clients["ssm"].put_parameter(Name="long", Value="v", Type="String", Description="v" * 1000)
    first, second = (json.loads(it.parameters) for it in log.lines())
    assert list(first) == ["(not kept)"]
    assert second["Description"] == "v" * 64 + "… (1000 characters)"


@pytest.mark.parametrize("change", ["UPDATE event SET outcome = 'done'", "DELETE FROM event"])
def test_no_line_can_be_changed_or_taken_away(edge: Edge, clients: dict[str, Any], change: str) -> None:
    refused(clients["ec2"].deregister_image, ImageId="ami-0123456789abcdef0")
    with edge.services.database.read() as c:
        before = c.execute(text("SELECT * FROM event")).all()
    with pytest.raises(DBAPIError, match="append-only"):
        with edge.services.database.write() as c:
            c.execute(text(change))
    with edge.services.database.read() as c:
        assert c.execute(text("SELECT * FROM event")).all() == before


def test_a_change_whose_line_cannot_be_written_is_not_made(edge: Edge, clients: dict[str, Any], log: Log) -> None:
    with edge.services.database.write() as c:
        c.execute(text("CREATE TRIGGER full BEFORE INSERT ON event BEGIN SELECT RAISE(ABORT, 'full'); END"))
    try:
        with pytest.raises(ClientError, match="InternalError"):
            clients["ec2"].create_key_pair(KeyName="unlogged")
    finally:
        with edge.services.database.write() as c:
            c.execute(text("DROP TRIGGER full"))
    refused(clients["ec2"].describe_key_pairs, KeyNames=["unlogged"])
    assert log.lines() == []


def call_of(services: Services) -> Call:
    asker = Asker("request", "1", "key", REGION, "::1", "")
    return Call(asker, "ec2", "RunInstances", services.now)


def test_a_call_of_several_transactions_has_one_line_with_the_first_that_commits(services: Services) -> None:
    log, watch = Log(services), Watch("::1", call_of(services))
    watched, ridden = WATCH.set(watch), RIDER.set(watch.ride)
    try:
        with pytest.raises(RuntimeError), services.database.write():
            raise RuntimeError
        assert log.lines() == []
        made = services.mint("i")
        with services.database.write():
            pass
        with services.database.write():
            pass
    finally:
        RIDER.reset(ridden)
        WATCH.reset(watched)
    (line,) = log.lines()
    assert line.outcome is Outcome.DONE and line.resource_ids == (made,)
    with services.database.write():  # nobody is watched any more
        pass
    assert len(log.lines()) == 1


# ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def ask(edge: Edge, query: str = "", account: Any = None) -> dict[str, Any]:
    target = "/amiable/v1/events" + (f"?{query}" if query else "")
    how = {"service": "amiable"} | ({"key": account.access_key_id, "secret": account.secret} if account else {})
    answer = edge.send("GET", target, b"", edge.sign("GET", target, **how))
    found: dict[str, Any] = json.loads(answer.body)
    assert answer.status == 200, found
    return found


def test_an_account_reads_its_own_lines_and_the_administrator_all(
    edge: Edge, clients: dict[str, Any], log: Log
) -> None:
    other, _ = make_account(edge.services, "other")
    administrator, _ = make_account(edge.services, "administrator", administrator=True)
    refused(clients["ec2"].deregister_image, ImageId="ami-0123456789abcdef0")
    with closing(edge.client("ec2", aws_access_key_id=other.access_key_id, aws_secret_access_key=other.secret)) as ec2:
        ec2.create_key_pair(KeyName="theirs")

    def actions(account: Any) -> list[str]:
        return [it["Action"] for it in ask(edge, f"after={log.after}", account)["Events"]]

    assert actions(None) == ["DeregisterImage"]
    assert actions(other) == ["CreateKeyPair"]
    assert actions(administrator) == ["DeregisterImage", "CreateKeyPair"]
    (line,) = ask(edge, f"after={log.after}", other)["Events"]
    assert line["Outcome"] == "done" and line["Parameters"]["KeyName"] == "theirs" and line["Time"].endswith("Z")
    assert ask(edge, f"after={log.after}", administrator)["Last"] == line["Number"]


def test_the_newest_lines_are_read_and_those_since_a_moment(edge: Edge, clients: dict[str, Any], log: Log) -> None:
    for n in range(3):
        refused(clients["ec2"].deregister_image, ImageId=f"ami-{n:017x}")
    newest = ask(edge, "size=2")["Events"]
    assert [it["Resources"] for it in newest] == [[f"ami-{n:017x}"] for n in (1, 2)]
    since = newest[0]["Time"].replace(":", "%3A")
    assert [it["Number"] for it in ask(edge, f"since={since}")["Events"]][-2:] == [it["Number"] for it in newest]
    assert ask(edge, "since=2999-01-01") == {"Events": [], "Last": newest[1]["Number"]}  # who follows begins there


def test_who_waits_is_answered_when_there_is_a_line(edge: Edge, clients: dict[str, Any]) -> None:
    last = ask(edge)["Last"]
    answers: list[dict[str, Any]] = []
    waiting = threading.Thread(target=lambda: answers.append(ask(edge, f"after={last}&wait=30")))
    waiting.start()
    refused(clients["ec2"].deregister_image, ImageId="ami-0123456789abcdef0")
    waiting.join(30)
    assert [it["Action"] for it in answers[0]["Events"]] == ["DeregisterImage"]
    assert ask(edge, f"after={answers[0]['Last']}&wait=1") == {"Events": [], "Last": answers[0]["Last"]}


@pytest.mark.parametrize(
    "query", ["after=x", "after=-1", "size=1001", "wait=61", "since=yesterday", "colour=red", "size=1&size=2"]
)
def test_a_question_that_is_wrong_is_refused(edge: Edge, query: str) -> None:
    target = f"/amiable/v1/events?{query}"
    answer = edge.send("GET", target, b"", edge.sign("GET", target, service="amiable"))
    assert (answer.status, json.loads(answer.body)["Code"]) == (400, "InvalidParameterValue")


def test_an_upload_by_form_has_its_line(edge: Edge, clients: dict[str, Any], log: Log) -> None:
    clients["s3"].create_bucket(Bucket="forms")
    posted = clients["s3"].generate_presigned_post("forms", "by-form")
    boundary, parts = "x" * 16, io.BytesIO()
    for name, value in [*posted["fields"].items(), ("file", "content")]:
        parts.write(f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode())
    parts.write(f"--{boundary}--\r\n".encode())
    answer = edge.send(
        "POST", "/forms", parts.getvalue(), {"content-type": f"multipart/form-data; boundary={boundary}"}
    )
    assert answer.status == 204, answer.text
    assert [told[:3] for told in log.told()] == [("s3", "CreateBucket", "done"), ("s3", "PutObject", "done")]
