"""Channels over the own API, read as parameters, launched through with stock boto3."""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest

from amiable.api.accounts import NewAccount
from tests.server.edge import Edge
from tests.support.publisher import new_snapshot, publishing_edge, refused, register
from tests.support.services import make_account


@dataclass(frozen=True)
class Publisher:
    """One account: its stock clients and its calls of the own API."""

    edge: Edge
    account: NewAccount
    ec2: Any
    ssm: Any

    @property
    def id(self) -> str:
        return self.account.account_id

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        """Status and answer of ``/amiable/v1/…``."""
        target = f"/amiable/v1/{path}"
        data = b"" if body is None else json.dumps(body).encode()
        how = {"service": "amiable", "key": self.account.access_key_id, "secret": self.account.secret}
        answer = self.edge.send(method, target, data, self.edge.sign(method, target, data, None, **how))
        return answer.status, json.loads(answer.body)

    def channel(self, verb: str, name: str, **words: Any) -> tuple[int, Any]:
        """A call about one channel: promote, rollback, …"""
        return self.call("POST", f"channels/{quote(name, safe='')}/{verb}", words)

    def create(self, name: str, image_id: str, **words: Any) -> Any:
        status, answer = self.call("POST", "channels", {"Name": name, "ImageId": image_id, **words})
        assert status == 200, answer
        return answer


def publisher(edge: Edge, name: str, **kind: bool) -> Publisher:
    account, _ = make_account(edge.services, name, **kind)
    keys = {"aws_access_key_id": account.access_key_id, "aws_secret_access_key": account.secret}
    return Publisher(edge, account, edge.client("ec2", **keys), edge.client("ssm", **keys))


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with publishing_edge(tmp_path_factory.mktemp("edge")) as running:
        yield running


@pytest.fixture(scope="module")
def us(edge: Edge) -> Iterator[Publisher]:
    made = publisher(edge, "us")
    with closing(made.ec2), closing(made.ssm):
        yield made


@pytest.fixture(scope="module")
def them(edge: Edge) -> Iterator[Publisher]:
    made = publisher(edge, "them")
    with closing(made.ec2), closing(made.ssm):
        yield made


@pytest.fixture(scope="module")
def house(edge: Edge) -> Iterator[Publisher]:
    made = publisher(edge, "house", administrator=True)
    with closing(made.ec2), closing(made.ssm):
        yield made


@pytest.fixture(scope="module")
def images(edge: Edge, us: Publisher) -> list[str]:
    """Four images of ours."""
    keys = {"aws_access_key_id": us.account.access_key_id, "aws_secret_access_key": us.account.secret}
    with closing(edge.client("ebs", **keys)) as ebs:
        snapshot_id = new_snapshot(edge, ebs)
    return [register(us.ec2, snapshot_id, f"debian {number}") for number in range(4)]


def launched(ec2: Any, image: str, **words: Any) -> str:
    """The image that a launch of ``image`` took; the instance's terminated again."""
    answer = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, InstanceType="amiable.tiny", **words)
    (instance,) = answer["Instances"]
    return str(instance["ImageId"])


@pytest.mark.proves("ssm", "GetParameter", "GetParametersByPath", "GetParameterHistory")
@pytest.mark.proves("ec2", "RunInstances")
def test_a_channel_moves_forward_and_back_and_launches_follow(us: Publisher, images: list[str]) -> None:
    first, second, third, _ = images
    name, parameter = "debian-12/stable", "/amiable/channel/debian-12/stable"
    made = us.create(name, first, Description="for everyone")
    assert (made["Version"], made["ImageId"], made["Parameter"]) == (1, first, parameter)
    assert launched(us.ec2, f"resolve:ssm:{parameter}") == first
    assert us.channel("promote", name, ImageId=second)[1]["Version"] == 2
    assert us.channel("promote", name, ImageId=third)[1]["Version"] == 3
    assert launched(us.ec2, f"resolve:ssm:{parameter}") == third
    assert launched(us.ec2, f"resolve:ssm:{parameter}:1") == first
    arn = f"arn:aws:ssm:us-east-1:{us.id}:parameter/amiable/channel/debian-12/stable"
    assert launched(us.ec2, f"resolve:ssm:{arn}:2") == second
    shown = us.ssm.get_parameter(Name=parameter)["Parameter"]
    assert (shown["Value"], shown["Version"], shown["DataType"], shown["ARN"]) == (third, 3, "aws:ec2:image", arn)
    back = us.channel("rollback", name)[1]
    assert (back["Version"], back["ImageId"]) == (4, second)
    assert us.channel("rollback", name)[1]["ImageId"] == first
    status, refusal = us.channel("rollback", name)
    assert (status, refusal["Code"]) == (400, "NothingBefore") and "version 5" in refusal["Message"]
    assert us.channel("rollback", name, Version=3)[1]["ImageId"] == third
    versions = us.call("GET", f"channels/{quote(name, safe='')}/history")[1]["Versions"]
    assert [(each["Version"], each["ImageId"], each["Restores"]) for each in versions] == [
        (1, first, None), (2, second, None), (3, third, None), (4, second, 2), (5, first, 1), (6, third, 3),
    ]  # fmt: skip
    history = us.ssm.get_parameter_history(Name=parameter)["Parameters"]
    assert [(each["Version"], each["Value"]) for each in history] == [
        (each["Version"], each["ImageId"]) for each in versions
    ]
    below = us.ssm.get_parameters_by_path(Path="/amiable/channel", Recursive=True)["Parameters"]
    assert [each["Name"] for each in below] == [parameter]
    status, _ = us.call("DELETE", f"channels/{quote(name, safe='')}")
    assert status == 200
    assert refused(us.ssm.get_parameter, Name=parameter)[0] == "ParameterNotFound"
    assert us.call("GET", f"channels/{quote(name, safe='')}")[1]["Code"] == "ChannelNotFound"


def test_only_the_channel_moves_its_parameter(us: Publisher, images: list[str]) -> None:
    us.create("guarded", images[0])
    parameter = "/amiable/channel/guarded"
    code, text = refused(us.ssm.put_parameter, Name=parameter, Value=images[1], Overwrite=True)
    assert code == "AccessDeniedException" and text.startswith(f"{parameter} shows the channel guarded")
    assert refused(us.ssm.delete_parameter, Name=parameter)[0] == "AccessDeniedException"
    assert us.ssm.delete_parameters(Names=[parameter])["InvalidParameters"] == [parameter]
    assert us.ssm.get_parameter(Name=parameter)["Parameter"]["Value"] == images[0]


def test_two_movers_at_once_do_not_overwrite_each_other(us: Publisher, images: list[str]) -> None:
    us.create("contended", images[0])
    assert us.channel("promote", "contended", ImageId=images[1], ExpectedVersion=1)[0] == 200
    status, refusal = us.channel("promote", "contended", ImageId=images[2], ExpectedVersion=1)
    assert (status, refusal["Code"]) == (409, "ChannelMoved")
    assert refusal["Message"] == "The channel contended is at version 2 by now, not at 1; nothing was moved."
    assert us.call("GET", "channels/contended")[1]["ImageId"] == images[1]


def test_a_public_channel_is_read_by_all_and_launched_by_who_may_launch_its_image(
    edge: Edge, us: Publisher, them: Publisher, images: list[str]
) -> None:
    made = us.create("shared/latest", images[0], Public=True)
    public = f"/aws/service/amiable/{us.id}/shared/latest"
    assert made["PublicParameter"] == public
    assert them.ssm.get_parameter(Name=public)["Parameter"]["Value"] == images[0]
    seen = {each["Name"]: each for each in them.call("GET", "channels")[1]["Channels"]}["shared/latest"]
    assert (seen["OwnerId"], seen["Parameter"], seen["PublicParameter"]) == (us.id, None, public)
    assert refused(them.ssm.get_parameter, Name="/amiable/channel/shared/latest")[0] == "ParameterNotFound"
    launch = {"ImageId": f"resolve:ssm:{public}", "MinCount": 1, "MaxCount": 1, "InstanceType": "amiable.tiny"}
    expected = ("AuthFailure", f"Not authorized for images: [{images[0]}]")
    assert refused(them.ec2.run_instances, **launch) == expected
    us.ec2.modify_image_attribute(ImageId=images[0], LaunchPermission={"Add": [{"UserId": them.id}]})
    assert launched(them.ec2, f"resolve:ssm:{public}") == images[0]
    us.channel("promote", "shared/latest", ImageId=images[1])
    assert them.ssm.get_parameter(Name=public)["Parameter"]["Version"] == 2
    assert refused(them.ec2.run_instances, **launch) == ("AuthFailure", f"Not authorized for images: [{images[1]}]")
    assert them.channel("promote", "shared/latest", ImageId=images[0])[1]["Code"] == "ChannelNotFound"
    status, hidden = us.call("PUT", "channels/shared%2Flatest/visibility", {"Public": False})
    assert (status, hidden["PublicParameter"]) == (200, None)
    assert refused(them.ssm.get_parameter, Name=public)[0] == "ParameterNotFound"
    us.call("PUT", "channels/shared%2Flatest/visibility", {"Public": True})
    assert them.ssm.get_parameter(Name=public)["Parameter"]["Version"] == 2


def test_the_houses_channels_have_no_account_in_their_names(edge: Edge, house: Publisher, them: Publisher) -> None:
    keys = {"aws_access_key_id": house.account.access_key_id, "aws_secret_access_key": house.account.secret}
    with closing(edge.client("ebs", **keys)) as ebs:
        image_id = register(house.ec2, new_snapshot(edge, ebs), "small")
    made = house.create("small/latest", image_id, Public=True)
    assert made["PublicParameter"] == "/aws/service/amiable/small/latest"
    found = them.ssm.get_parameters_by_path(Path="/aws/service/amiable", Recursive=True)["Parameters"]
    assert ("/aws/service/amiable/small/latest", image_id) in [(each["Name"], each["Value"]) for each in found]


def test_a_public_name_has_one_owner(us: Publisher, house: Publisher, images: list[str]) -> None:
    prefix = f"/aws/service/amiable/{us.id}"
    us.create("owned", images[0], Public=True)
    code, _ = refused(house.ssm.put_parameter, Name=f"{prefix}/owned", Value="x", Type="String", Overwrite=True)
    assert code == "ParameterAlreadyExists"
    assert house.ssm.get_parameter(Name=f"{prefix}/owned")["Parameter"]["Value"] == images[0]
    house.ssm.put_parameter(Name=f"{prefix}/claimed", Value="x", Type="String")
    status, answer = us.call("POST", "channels", {"Name": "claimed", "ImageId": images[0], "Public": True})
    assert (status, answer["Code"]) == (400, "OperationNotPermitted") and f"{prefix}/claimed" in answer["Message"]
    assert us.call("GET", "channels/claimed")[1]["Code"] == "ChannelNotFound"
    us.create("claimed", images[0])
    assert us.call("PUT", "channels/claimed/visibility", {"Public": True})[1]["Code"] == "OperationNotPermitted"
    assert us.call("GET", "channels/claimed")[1]["Public"] is False


@pytest.mark.proves("ec2", "DescribeImages")
def test_images_are_listed_by_the_public_parameters_that_point_at_them(us: Publisher, images: list[str]) -> None:
    first, second, *_ = images
    us.create("listed/private", first)
    us.create("listed/public", first, Public=True)
    name = f"/aws/service/amiable/{us.id}/listed/public"

    def found(value: str) -> list[str]:
        filters = [{"Name": "public-ssm-parameter-name", "Values": [value]}]
        return [each["ImageId"] for each in us.ec2.describe_images(Filters=filters)["Images"]]

    assert found(name) == found("/aws/service/amiable/*/listed/*") == [first]
    assert found("/amiable/channel/*") == found("/aws/service/none/*") == []
    us.channel("promote", "listed/public", ImageId=second)
    assert found(name) == [second]
    us.call("DELETE", "channels/listed%2Fpublic")
    assert found(name) == []


@pytest.mark.parametrize(
    ("name", "image", "code"),
    [
        ("a b", None, "InvalidParameterValue"),
        ("/a", None, "InvalidParameterValue"),
        ("a//b", None, "InvalidParameterValue"),
        ("123456789012/a", None, "InvalidParameterValue"),
        ("x" * 129, None, "InvalidParameterValue"),
        ("/".join("abcdefghijk"), None, "InvalidParameterValue"),
        ("fine", "ami-12345678", "InvalidAMIID.NotFound"),
        ("fine", "snap-12345678", "InvalidAMIID.Malformed"),
    ],
)  # fmt: skip
def test_a_channel_has_its_rules(us: Publisher, images: list[str], name: str, image: str | None, code: str) -> None:
    status, answer = us.call("POST", "channels", {"Name": name, "ImageId": image or images[0]})
    assert (status, answer["Code"]) == (400, code)
    assert "fine" not in [each["Name"] for each in us.call("GET", "channels")[1]["Channels"]]


def test_a_channel_points_only_at_what_its_owner_may_launch(us: Publisher, them: Publisher, images: list[str]) -> None:
    status, answer = them.call("POST", "channels", {"Name": "theirs", "ImageId": images[3]})
    assert (status, answer["Code"]) == (401, "AuthFailure")
    us.create("once", images[0])
    assert us.call("POST", "channels", {"Name": "once", "ImageId": images[0]})[1]["Code"] == "ChannelExists"
    assert us.channel("promote", "once", ImageId=images[0])[1]["Code"] == "InvalidParameterValue"
    us.ssm.put_parameter(Name="/amiable/channel/taken", Value="x", Type="String")
    taken = us.call("POST", "channels", {"Name": "taken", "ImageId": images[0]})[1]
    assert taken["Code"] == "OperationNotPermitted" and "/amiable/channel/taken" in taken["Message"]
    assert us.call("GET", "channels/taken")[1]["Code"] == "ChannelNotFound"


# ── resolving ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_launch_says_what_is_wrong_with_a_parameter(us: Publisher, images: list[str]) -> None:
    us.ssm.put_parameter(Name="/plain", Value=images[0], Type="String")
    us.ssm.put_parameter(Name="/typed", Value=images[0], Type="String", DataType="aws:ec2:image")
    launch = {"MinCount": 1, "MaxCount": 1}
    code, text = refused(us.ec2.run_instances, ImageId="resolve:ssm:/none", **launch)
    assert (code, text) == ("SsmInvalidParameter", "The following aliases are invalid: /none")
    code, text = refused(us.ec2.run_instances, ImageId="resolve:ssm:/typed:7", **launch)
    assert (code, text) == ("SsmInvalidParameter", "The following aliases are invalid: /typed:7")
    for number in ("9" * 30, "9" * 5000):  # larger than any number that a database keeps, or that Python reads
        code, text = refused(us.ec2.run_instances, ImageId=f"resolve:ssm:/typed:{number}", **launch)
        assert (code, text) == ("SsmInvalidParameter", f"The following aliases are invalid: /typed:{number}")
    code, text = refused(us.ec2.run_instances, ImageId="resolve:ssm:/plain", **launch)
    assert code == "SsmInvalidParameter"
    assert text == "Unsupported data type. The following parameter data types are supported: aws:ec2:image"
    for malformed in ("resolve:ssm:", "resolve:digest:sha256:12", "resolve:digest:md5:12", "resolve:x"):
        code, text = refused(us.ec2.run_instances, ImageId=malformed, **launch)
        assert (code, text) == ("InvalidAMIID.Malformed", f'Invalid id: "{malformed}" (expecting "ami-...")')
    assert refused(us.ec2.run_instances, ImageId="resolve:ssm:/typed", DryRun=True, **launch)[0] == "DryRunOperation"
    assert refused(us.ec2.run_instances, ImageId="resolve:ssm:/none", DryRun=True, **launch)[0] == "SsmInvalidParameter"
    assert launched(us.ec2, "resolve:ssm:/typed") == images[0]


def test_a_launch_through_a_pointer_is_idempotent_wherever_the_pointer_went(us: Publisher, images: list[str]) -> None:
    us.create("moving", images[0])
    words = {"ClientToken": "one launch", "MinCount": 1, "MaxCount": 1, "InstanceType": "amiable.tiny"}
    first = us.ec2.run_instances(ImageId="resolve:ssm:/amiable/channel/moving", **words)["Instances"][0]
    us.channel("promote", "moving", ImageId=images[1])
    again = us.ec2.run_instances(ImageId="resolve:ssm:/amiable/channel/moving", **words)["Instances"][0]
    assert (again["InstanceId"], again["ImageId"]) == (first["InstanceId"], images[0])


def test_a_launch_through_a_channel_whose_image_is_gone_is_refused(
    edge: Edge, us: Publisher, images: list[str]
) -> None:
    us.create("stale", images[2])
    us.channel("promote", "stale", ImageId=images[3])
    us.ec2.deregister_image(ImageId=images[3])
    code, text = refused(us.ec2.run_instances, ImageId="resolve:ssm:/amiable/channel/stale", MinCount=1, MaxCount=1)
    assert (code, text) == ("InvalidAMIID.Unavailable", f"The image id '[{images[3]}]' is no longer available")
    assert us.channel("rollback", "stale")[1]["ImageId"] == images[2]
    status, answer = us.channel("rollback", "stale", Version=2)
    assert (status, answer["Code"]) == (400, "InvalidAMIID.Unavailable")


def test_a_rollback_onto_an_image_that_is_gone_says_how_to_go_past_it(us: Publisher, images: list[str]) -> None:
    (image,) = us.ec2.describe_images(ImageIds=images[:1])["Images"]
    gone = register(us.ec2, image["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"], "gone meanwhile")
    us.create("holed", images[0])
    for image_id in (gone, images[1]):
        us.channel("promote", "holed", ImageId=image_id)
    us.ec2.deregister_image(ImageId=gone)
    status, answer = us.channel("rollback", "holed")
    assert (status, answer["Code"]) == (400, "InvalidAMIID.Unavailable")
    assert answer["Hint"].endswith("amiable channel rollback holed --to VERSION")
    assert us.channel("rollback", "holed", Version=1)[1]["ImageId"] == images[0]
    assert us.channel("rollback", "holed")[1]["Code"] == "NothingBefore"


def test_no_other_call_resolves(us: Publisher, images: list[str]) -> None:
    us.create("launch-only", images[0])
    name = "resolve:ssm:/amiable/channel/launch-only"
    calls = (
        (us.ec2.describe_images, {"ImageIds": [name]}),
        (us.ec2.deregister_image, {"ImageId": name}),
        (us.ec2.describe_image_attribute, {"ImageId": name, "Attribute": "description"}),
        (us.ec2.modify_image_attribute, {"ImageId": name, "Description": {"Value": "x"}}),
    )
    for call, words in calls:
        assert refused(call, **words) == ("InvalidAMIID.Malformed", f'Invalid id: "{name}" (expecting "ami-...")')
