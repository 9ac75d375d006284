"""What the log is of and what it keeps: no secret, nothing long, every id."""

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.model import ids
from amiable.rules import audit
from amiable.wire import operations
from amiable.wire.generated import ec2, ssm

SECRET = "hunter2-" * 3
TEXTS = st.text(max_size=20)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=10,
)


class Request(msgspec.Struct):
    image_id: str
    user_data: str | None = None
    blob: bytes | None = None
    dry_run: bool | None = None


@pytest.mark.parametrize(
    ("service", "action", "expected"),
    [
        ("ec2", "RegisterImage", True),
        ("ec2", "DescribeImages", False),
        ("ec2", "GetImageAncestry", False),
        ("ec2", "ListImagesInRecycleBin", False),
        ("ec2", "ConfirmProductInstance", False),
        ("ebs", "StartSnapshot", True),
        ("ebs", "CompleteSnapshot", True),
        ("ebs", "PutSnapshotBlock", False),
        ("s3", "PutObject", True),
        ("s3", "UploadPart", False),
        ("s3", "GetObject", False),
        ("ssm", "PutParameter", True),
        ("ssm", "GetParametersByPath", False),
        ("rbin", "LockRule", True),
        ("rbin", "ListRules", False),
        ("iam", "UploadSigningCertificate", True),
        ("sts", "GetSessionToken", False),
        ("amiable", "POST accounts", True),
        ("amiable", "GET accounts", False),
        ("bootstrap", "DescribeServiceCertificates", False),
    ],
)
def test_the_log_is_of_what_changes(service: str, action: str, expected: bool) -> None:
    assert audit.is_logged(service, action) is expected


def test_every_action_that_is_no_question_is_logged() -> None:
    quiet = {name for name in operations.EC2 if not audit.is_logged("ec2", name)}
    assert all(name.startswith(("Describe", "Get", "List")) for name in quiet - {"ConfirmProductInstance"})


def test_names_are_the_apis_and_absent_ones_are_left_out() -> None:
    request = Request("ami-12345678", user_data=SECRET, blob=b"12345")
    kept = {"ImageId": "ami-12345678", "UserData": "(not kept)", "Blob": "(5 bytes)"}
    assert audit.parameters_of(request) == kept
    assert audit.resources_of("ec2", kept) == ["ami-12345678"]


@given(VALUES, st.sampled_from(sorted(audit.SECRETS)), st.lists(TEXTS, max_size=3))
def test_no_secret_survives_however_deep_it_lies(value: Any, name: str, path: list[str]) -> None:
    inner: Any = {name: SECRET, "Other": value}
    for key in path:
        inner = {key: [inner]}
    assert SECRET not in audit.text_of(audit.parameters_of(inner))


@given(st.dictionaries(TEXTS, VALUES, max_size=5))
def test_what_is_kept_is_json_and_bounded(request: dict[str, Any]) -> None:
    text = audit.text_of(audit.parameters_of(request))
    assert len(text) <= audit.PARAMETERS_CHARACTERS_MAX
    msgspec.json.decode(text)


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("s3://bucket/disk.raw", "s3://bucket/disk.raw"),
        (f"https://who:{SECRET}@s3.example/a@b", "https://(not kept)@s3.example/a@b"),
        (f"https://s3.example/disk?X-Amz-Signature={SECRET}", "https://s3.example/disk(not kept)"),
        (f"https://s3.example/disk#{SECRET}\n{SECRET}", "https://s3.example/disk(not kept)"),
    ],
)
def test_of_an_address_is_kept_what_opens_nothing(url: str, kept: str) -> None:
    assert audit.parameters_of({"DiskContainer": {"Url": url}}) == {"DiskContainer": {"Url": kept}}
    assert audit.parameters_of(ec2.CopySnapshotRequest(source_region="r", source_snapshot_id="s", presigned_url=url)) == {
        "SourceRegion": "r", "SourceSnapshotId": "s", "PresignedUrl": kept,
    }  # fmt: skip


def test_of_a_parameters_value_only_an_id_is_kept() -> None:
    for type_ in ("SecureString", "String", None):  # an overwrite need not say what it overwrites
        put = ssm.PutParameterRequest(name="/a", value=SECRET, type=type_)
        assert audit.parameters_of(put)["Value"] == "(not kept)"
        pointer = ssm.PutParameterRequest(name="/a", value="ami-12345678", type=type_)
        assert audit.parameters_of(pointer)["Value"] == "ami-12345678"
    assert audit.parameters_of({"Value": "v"})["Value"] == "v"


def test_ids_are_found_wherever_they_stand_and_names_where_ids_have_no_form() -> None:
    said = {"ResourceIds": ["ami-12345678", "x"], "Tags": [{"Key": "Name", "Value": "snap-0123456789abcdef0"}]}
    assert audit.resources_of("ec2", said) == ["ami-12345678", "snap-0123456789abcdef0"]
    assert audit.resources_of("ssm", {"Name": "/a", "Value": "v"}) == ["/a"]
    many = {"Ids": [f"ami-{n:08x}" for n in range(200)]}
    assert len(audit.resources_of("ec2", many)) == audit.RESOURCES_MAX


def test_every_kind_of_id_is_told_but_that_which_no_call_takes() -> None:
    kinds = {value for name, value in vars(ids).items() if name.isupper() and re.fullmatch("[a-z-]+", str(value))}
    assert {ids.AMI, ids.LAUNCH_TEMPLATE, ids.RESERVATION} <= kinds == {*audit.RESOURCES, ids.RESERVATION}
    for kind in kinds:
        said = {"Ids": [f"{kind}-12345678", f"{kind}-0123456789abcdef0", f"{kind}-1"]}
        assert audit.resources_of("ec2", said) == ([] if kind == ids.RESERVATION else said["Ids"][:2])


@pytest.mark.parametrize("attribute", ["userData", "UserData"])
def test_of_an_attribute_that_is_secret_the_value_is_not_kept(attribute: str) -> None:
    said = {"InstanceId": "i-12345678", "Attribute": attribute, "Value": SECRET}
    assert audit.parameters_of(said) == said | {"Value": "(not kept)"}
    assert audit.parameters_of({"Attribute": "kernel", "Value": "aki-12345678"})["Value"] == "aki-12345678"
