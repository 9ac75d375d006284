"""The EC2 codec against botocore, in both directions, and what it refuses."""

import contextlib
import xml.etree.ElementTree as ElementTree
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amiable.model.errors import (
    InvalidAction,
    InvalidParameterValue,
    MalformedQueryString,
    MissingAction,
    MissingParameter,
    NoSuchVersion,
    NotImplementedAction,
    Refusal,
    UnknownParameter,
)
from amiable.wire import ec2_query, operations
from amiable.wire.generated import ec2
from amiable.wire.parameters import PARAMETERS_MAX, parse
from tests.wire import oracle

SEEDS = st.integers(0, 2**32)


def read(body: str) -> tuple[Any, str]:
    """Request and version of a body, as the edge reads them."""
    root = parse(body)
    action, version = ec2_query.take_frame(root)
    return ec2_query.read_request(ec2_query.operation_of(action), root), version


def read_call(action: str, **parameters: str) -> Any:
    return read(
        urlencode(
            {"Action": action, "Version": "2016-11-15", **{k.replace("__", "."): v for k, v in parameters.items()}}
        )
    )[0]


def check_request(name: str, maker: oracle.Maker) -> None:
    shape = oracle.model("ec2").operation_model(name).input_shape
    members = maker.value(shape)
    request, version = read(oracle.form("ec2", name, members))
    assert version == "2016-11-15"
    assert oracle.agrees(shape, request, members), (name, members, request)


def check_answer(name: str, maker: oracle.Maker) -> None:
    operation = ec2.OPERATIONS[name]
    shape = oracle.model("ec2").operation_model(name).output_shape
    if shape is None:
        body = ec2_query.write_response(operation, None, request_id="r-1")
        assert b"<requestId>r-1</requestId><return>true</return>" in body
        return
    members = maker.value(shape)
    body = ec2_query.write_response(operation, oracle.typed(ec2, shape, members), request_id="r-1")
    parsed = oracle.parse("ec2", name, body)
    for member in [key for key, value in parsed.items() if value == [] or (key == "Return" and key not in members)]:
        assert member not in members
        del parsed[member]  # a result set that is there though empty
    assert parsed == members


@pytest.mark.parametrize("name", operations.EC2)
def test_a_request_with_every_member_reads_as_the_client_wrote_it(name: str) -> None:
    check_request(name, oracle.Maker(1, chance=1))


@pytest.mark.parametrize("name", operations.EC2)
def test_an_answer_with_every_member_reaches_the_client_as_it_was(name: str) -> None:
    check_answer(name, oracle.Maker(2, chance=1))


@given(st.sampled_from(operations.EC2), SEEDS)
@settings(max_examples=200, deadline=None)
def test_any_request_reads_as_the_client_wrote_it(name: str, seed: int) -> None:
    check_request(name, oracle.Maker(seed, chance=0.3))


@given(st.sampled_from(operations.EC2), SEEDS)
@settings(max_examples=200, deadline=None)
def test_any_answer_reaches_the_client_as_it_was(name: str, seed: int) -> None:
    check_answer(name, oracle.Maker(seed, chance=0.3))


# ── what is refused ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("action", "parameters", "refusal", "named"),
    [
        ("DescribeImages", {"Colour": "red"}, UnknownParameter, "Colour"),
        ("DescribeImages", {"imageId.1": "ami-1"}, UnknownParameter, "imageId"),
        ("DescribeImages", {"ImageId.member.1": "ami-1"}, UnknownParameter, "ImageId.member"),
        ("DescribeImages", {"ImageId.0": "ami-1"}, UnknownParameter, "ImageId.0"),
        ("DescribeImages", {"ImageId.01": "ami-1"}, UnknownParameter, "ImageId.01"),
        ("DescribeImages", {"ImageId.1.Name": "ami-1"}, UnknownParameter, "ImageId.1.Name"),
        ("DescribeImages", {"Filter.1.Nmae": "state"}, UnknownParameter, "Filter.1.Nmae"),
        ("DescribeImages", {".": "x"}, UnknownParameter, ""),
        ("DescribeImages", {"ImageId": "ami-1"}, InvalidParameterValue, "ImageId"),
        ("DescribeImages", {"Filter.1": "state"}, InvalidParameterValue, "Filter.1"),
        ("DescribeImages", {"MaxResults": "abc"}, InvalidParameterValue, "MaxResults"),
        ("DescribeImages", {"MaxResults": ""}, InvalidParameterValue, "MaxResults"),
        ("DescribeImages", {"MaxResults": "1.5"}, InvalidParameterValue, "MaxResults"),
        ("DescribeImages", {"MaxResults": "99999999999"}, InvalidParameterValue, "MaxResults"),
        ("DescribeImages", {"MaxResults": "9" * 5000}, InvalidParameterValue, "MaxResults"),
        ("DescribeImages", {"MaxResults": "\u0663"}, InvalidParameterValue, "MaxResults"),
        ("DescribeImages", {"DryRun": "maybe"}, InvalidParameterValue, "DryRun"),
        ("DescribeVpcs", {"MaxResults": "4"}, InvalidParameterValue, "MaxResults"),
        ("DescribeVpcs", {"MaxResults": "1001"}, InvalidParameterValue, "MaxResults"),
        ("RegisterImage", {"Name": "x", "Architecture": "z80"}, InvalidParameterValue, "Architecture"),
        ("RegisterImage", {"Name": "a\x07b"}, InvalidParameterValue, "Name"),
        ("RegisterImage", {}, MissingParameter, "Name"),
        ("RunInstances", {"MinCount": "1"}, MissingParameter, "MaxCount"),
        ("RunInstances", {"MinCount": "1", "MaxCount": "one"}, InvalidParameterValue, "MaxCount"),
        (
            "RunInstances",
            {"BlockDeviceMapping.3.Ebs.VolumeSize": "big"},
            InvalidParameterValue,
            "BlockDeviceMapping.3.Ebs.VolumeSize",
        ),
        (
            "RunInstances",
            {"InstanceMarketOptions.SpotOptions.ValidUntil": "soon"},
            InvalidParameterValue,
            "InstanceMarketOptions",
        ),
        ("ImportKeyPair", {"KeyName": "k", "PublicKeyMaterial": "!!"}, InvalidParameterValue, "PublicKeyMaterial"),
        ("CreateTags", {"Tag.1.Key": "a"}, MissingParameter, "ResourceId"),
    ],
)
def test_a_bad_parameter_is_refused_by_its_wire_name(
    action: str, parameters: dict[str, str], refusal: type[Refusal], named: str
) -> None:
    with pytest.raises(refusal) as refused:
        read(urlencode({"Action": action, "Version": "2016-11-15", **parameters}))
    assert refused.value.facts["parameter"].startswith(named)
    assert named in refused.value.message


def test_a_gap_in_a_list_drops_nothing_and_indices_count_as_numbers() -> None:
    request = read_call(
        "DescribeImages", ImageId__2="ami-2", ImageId__10="ami-10", ImageId__7="ami-7", Filter__3__Name="state"
    )
    assert request.image_ids == ["ami-2", "ami-7", "ami-10"]
    assert request.filters == [ec2.Filter(name="state")]


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("True", True), ("1", True), ("false", False), ("False", False), ("0", False)]
)
def test_booleans_are_read_as_old_clients_write_them(text: str, value: bool) -> None:
    assert read_call("DescribeImages", DryRun=text).dry_run is value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05.250Z", datetime(2026, 1, 2, 3, 4, 5, 250000, tzinfo=UTC)),
        ("2026-01-02T05:04:05+02:00", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02", datetime(2026, 1, 2, tzinfo=UTC)),
    ],
)
def test_times_are_read_as_utc(text: str, value: datetime) -> None:
    parameters = {"MinCount": "1", "MaxCount": "1", "InstanceMarketOptions.SpotOptions.ValidUntil": text}
    request = read(urlencode({"Action": "RunInstances", "Version": "2016-11-15", **parameters}))[0]
    assert request.instance_market_options.spot_options.valid_until == value


def test_an_instance_type_that_ec2_has_not_is_read() -> None:
    assert (
        read_call("RunInstances", InstanceType="amiable.tiny", MinCount="1", MaxCount="1").instance_type
        == "amiable.tiny"
    )


def test_an_empty_string_is_not_an_absent_one() -> None:
    request = read_call("ModifyImageAttribute", ImageId="ami-1", Description__Value="")
    assert request.description == ec2.AttributeValue(value="")


def test_an_id_of_no_characters_is_an_absent_one() -> None:
    made = read_call("CreateSecurityGroup", GroupName="a", GroupDescription="b", VpcId="")
    assert made.vpc_id is None
    with pytest.raises(MissingParameter) as refused:
        read_call("AttachVolume", VolumeId="", InstanceId="i-1", Device="/dev/sdf")
    assert refused.value.facts["parameter"] == "VolumeId"


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        ("Version=2016-11-15", MissingAction),
        ("Action=&Version=2016-11-15", MissingAction),
        ("Action=DescribeImages", MissingParameter),
        ("Action=DescribeImages&Version=1999-01-01", NoSuchVersion),
        ("Action=DescribeFleets&Version=2016-11-15", NotImplementedAction),
        ("Action=MakeCoffee&Version=2016-11-15", InvalidAction),
        ("Action=DescribeImages&Version=2016-11-15&ImageId.1=%ff%fe", MalformedQueryString),
        ("Action=DescribeImages&Action=DescribeImages&Version=2016-11-15", MalformedQueryString),
        (
            "Action=DescribeImages&Version=2016-11-15&" + "&".join(f"ImageId.{n}=a" for n in range(PARAMETERS_MAX)),
            MalformedQueryString,
        ),
        ("Action=DescribeImages&Version=2016-11-15&" + "A." * 50_000 + "A=1", UnknownParameter),
    ],
)
def test_a_bad_frame_is_refused(body: str, refusal: type[Refusal]) -> None:
    with pytest.raises(refusal):
        read(body)


def test_the_signature_of_a_presigned_query_is_no_parameter() -> None:
    assert (
        read("Action=DescribeImages&Version=2016-11-15&X-Amz-Signature=ab&X-Amz-Expires=60")[0]
        == ec2.DescribeImagesRequest()
    )


@given(st.text(alphabet="ActionVersionDescribeImages.1&=%+", max_size=200))
@settings(max_examples=300)
def test_no_body_at_all_brings_the_reader_down(body: str) -> None:
    with contextlib.suppress(Refusal):
        read("Action=RunInstances&Version=2016-11-15&" + body)


# ── how answers are written ─────────────────────────────────────────────────────────────────────────────────────────────


def write(name: str, result: Any, **frame: str) -> str:
    return ec2_query.write_response(ec2.OPERATIONS[name], result, request_id="r-1", **frame).decode()


def test_a_result_set_is_there_even_when_it_is_empty() -> None:
    assert "<imagesSet/>" in write("DescribeImages", ec2.DescribeImagesResult()).replace(
        "<imagesSet></imagesSet>", "<imagesSet/>"
    )
    assert oracle.parse("ec2", "DescribeImages", write("DescribeImages", ec2.DescribeImagesResult()).encode()) == {
        "Images": []
    }


def test_within_a_result_none_is_absent_and_an_empty_list_is_an_empty_element() -> None:
    text = write("DescribeImages", ec2.DescribeImagesResult(images=[ec2.Image(tags=[]), ec2.Image()]))
    assert text.count("tagSet") == 2
    assert "<item></item>" in text


def test_an_answer_about_one_attribute_leaves_the_others_out() -> None:
    result = ec2.ImageAttribute(image_id="ami-1", description=ec2.AttributeValue(value="d"))
    assert oracle.parse("ec2", "DescribeImageAttribute", write("DescribeImageAttribute", result).encode()) == {
        "ImageId": "ami-1",
        "Description": {"Value": "d"},
    }
    told = ec2.DescribeSnapshotAttributeResult(snapshot_id="snap-1", create_volume_permissions=[])
    assert oracle.parse("ec2", "DescribeSnapshotAttribute", write("DescribeSnapshotAttribute", told).encode()) == {
        "SnapshotId": "snap-1",
        "CreateVolumePermissions": [],
    }
    assert "<accountAttributeSet/>" in write("DescribeAccountAttributes", ec2.DescribeAccountAttributesResult())


def test_return_is_true_where_the_model_has_it_as_a_member() -> None:
    assert "<return>true</return>" in write("DeregisterImage", ec2.DeregisterImageResult())


def test_the_namespace_carries_the_version_that_was_asked_for() -> None:
    text = write("DescribeRegions", ec2.DescribeRegionsResult(), version="2014-10-01")
    assert 'xmlns="http://ec2.amazonaws.com/doc/2014-10-01/"' in text


def test_times_have_milliseconds_and_a_z() -> None:
    image = ec2.Snapshot(start_time=datetime(2026, 1, 2, 3, 4, 5, 6789, tzinfo=UTC))
    assert "<startTime>2026-01-02T03:04:05.006Z</startTime>" in write(
        "DescribeSnapshots", ec2.DescribeSnapshotsResult(snapshots=[image])
    )


@given(st.text())
def test_any_text_makes_well_formed_xml_and_keeps_what_xml_can_carry(text: str) -> None:
    body = write("DescribeImages", ec2.DescribeImagesResult(images=[ec2.Image(description=text)]))
    found = oracle.parse("ec2", "DescribeImages", body.encode())["Images"][0]["Description"]
    assert len(found) == len(text)
    assert all(a == b or b == "\ufffd" for a, b in zip(text, found, strict=True))
    assert all(a == b for a, b in zip(text, found, strict=True) if a.isprintable() or a in "\t\n\r")


def test_an_error_is_what_clients_expect() -> None:
    root = ElementTree.fromstring(ec2_query.write_error("InvalidAMIID.NotFound", "<no> & \x00", request_id="r-1"))
    assert root.tag == "Response"
    assert root.findtext("Errors/Error/Code") == "InvalidAMIID.NotFound"
    assert root.findtext("Errors/Error/Message") == "<no> & \ufffd"
    assert root.findtext("RequestID") == "r-1"
