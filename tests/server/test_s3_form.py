"""Uploads by form: what boto3 presigns, what euca2ools sends, and what a policy does not allow."""

import base64
import json
import uuid
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import md5
from typing import Any

import pytest
from botocore.config import Config

from amiable.rules.post_policy import signature_v2
from tests.server.edge import Answer, Edge, running_edge
from tests.support.services import make_account, open_services

BUNDLE_READ = [{"acl": "ec2-bundle-read"}, {"bucket": "forms"}, ["starts-with", "$key", "pre/"]]


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with open_services(tmp_path_factory.mktemp("edge") / "data") as services:
        account, _ = make_account(services, "edge")
        with running_edge(services, account) as running:
            running.client("s3").create_bucket(Bucket="forms")
            yield running


def code_of(answer: Answer) -> str:
    root = ElementTree.fromstring(answer.text)
    return next((element.text or "" for element in root.iter() if element.tag == "Code"), "")


def multipart(fields: list[tuple[str, str]], file: bytes | None, name: str = "img.part.0") -> tuple[bytes, str]:
    """The body as browsers and python-requests write it, and its Content-Type."""
    boundary = uuid.uuid4().hex
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'.encode()
        for field, value in fields
    ]
    if file is not None:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
        parts += [head.encode(), file, b"\r\n"]
    return b"".join(parts) + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def post(edge: Edge, fields: list[tuple[str, str]], file: bytes | None = b"bytes", **how: Any) -> Answer:
    body, content_type = multipart(fields, file)
    return edge.send("POST", how.get("target", "/forms"), body, {"content-type": content_type})


def policy_of(conditions: list[Any], minutes: float = 60) -> str:
    expiration = (datetime.now(UTC) + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return base64.b64encode(json.dumps({"conditions": conditions, "expiration": expiration}).encode()).decode()


def fields_of(edge: Edge, policy: str, **changes: str) -> list[tuple[str, str]]:
    """As euca-upload-bundle's PostObject fills them in, in no order."""
    said = {
        "acl": "ec2-bundle-read",
        "Policy": policy,
        "AWSAccessKeyId": edge.account.access_key_id,
        "Signature": signature_v2(edge.account.secret, policy),
        "key": "pre/img.part.0",
        **{name.replace("_", "-"): value for name, value in changes.items()},
    }
    return [(name, value) for name, value in said.items() if value]


def test_a_bundle_is_uploaded_by_policy_and_readable_by_the_image_service(edge: Edge) -> None:
    body = b"\r\n--part\r\n" * 400_000  # looks like a boundary, and is larger than what is read at once
    answer = post(edge, fields_of(edge, policy_of(BUNDLE_READ)), body)
    assert (answer.status, answer.headers["etag"]) == (204, f'"{md5(body).hexdigest()}"')
    s3 = edge.client("s3")
    assert s3.get_object(Bucket="forms", Key="pre/img.part.0")["Body"].read() == body
    grants = s3.get_object_acl(Bucket="forms", Key="pre/img.part.0")["Grants"]
    assert [grant["Permission"] for grant in grants] == ["FULL_CONTROL", "READ"]
    assert grants[1]["Grantee"]["ID"].startswith("6aa5a366")


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_what_boto3_presigns_is_taken(edge: Edge, version: str) -> None:
    signer = edge.client("s3", config=Config(signature_version=version, s3={"addressing_style": "path"}))
    given = {"acl": "public-read", "x-amz-meta-a": "ü", "success_action_status": "201", "Content-Type": "text/x"}
    made = signer.generate_presigned_post(
        "forms",
        "by-boto/${filename}",
        Fields=given,
        Conditions=[{name: value} for name, value in given.items()] + [["content-length-range", 1, 10]],
    )
    target = made["url"].removeprefix(edge.endpoint)
    answer = post(edge, list(made["fields"].items()), b"0123456789", target=target)
    assert (answer.status, answer.headers["location"]) == (201, "/forms/by-boto/img.part.0"), answer.text
    assert ElementTree.fromstring(answer.text).findtext("Key") == "by-boto/img.part.0"
    head = edge.client("s3").head_object(Bucket="forms", Key="by-boto/img.part.0")
    assert (head["ContentType"], head["ContentLength"]) == ("text/x", 10)
    assert code_of(post(edge, list(made["fields"].items()), b"0123456789a", target=target)) == "EntityTooLarge"
    assert code_of(post(edge, list(made["fields"].items()), b"", target=target)) == "EntityTooSmall"
    changed = [(name, value + "A" if "ignature" in name else value) for name, value in made["fields"].items()]
    assert code_of(post(edge, changed, target=target)) == "SignatureDoesNotMatch"


def test_a_session_may_sign_a_policy(edge: Edge) -> None:
    said = edge.client("sts").get_session_token()["Credentials"]
    policy = policy_of(BUNDLE_READ)
    changes = {"AWSAccessKeyId": said["AccessKeyId"], "Signature": signature_v2(said["SecretAccessKey"], policy)}
    token = {"x_amz_security_token": said["SessionToken"]}
    assert post(edge, fields_of(edge, policy, **changes, **token)).status == 204
    assert code_of(post(edge, fields_of(edge, policy, **changes))) == "InvalidAccessKeyId"
    assert code_of(post(edge, fields_of(edge, policy, **changes, x_amz_security_token="made up"))) == "InvalidToken"


@pytest.mark.parametrize(
    ("changes", "code", "word"),
    [
        ({"key": "other/img"}, "AccessDenied", "starts-with"),
        ({"acl": "public-read"}, "AccessDenied", "acl"),
        ({"acl": ""}, "AccessDenied", "acl"),
        ({"x_amz_meta_a": "1"}, "AccessDenied", "Extra input fields: x-amz-meta-a"),
        ({"Signature": "AAAA"}, "SignatureDoesNotMatch", "policy"),
        ({"Signature": ""}, "InvalidArgument", "Signature"),
        ({"AWSAccessKeyId": "AKIANOBODY"}, "InvalidAccessKeyId", ""),
        ({"key": ""}, "AccessDenied", "key"),
        ({"Policy": ""}, "AccessDenied", "no policy"),
    ],
)
def test_what_the_policy_does_not_allow_is_refused(edge: Edge, changes: dict[str, str], code: str, word: str) -> None:
    answer = post(edge, fields_of(edge, policy_of(BUNDLE_READ), **changes))
    assert code_of(answer) == code and word in answer.text
    assert "x-ignored" not in answer.text


def test_a_field_that_is_to_be_ignored_needs_no_condition(edge: Edge) -> None:
    assert post(edge, fields_of(edge, policy_of(BUNDLE_READ), x_ignore_me="1")).status == 204


def test_a_field_cannot_begin_another_header(edge: Edge) -> None:
    policy = policy_of([*BUNDLE_READ, ["starts-with", "$x-amz-meta-a", ""], ["starts-with", "$content-type", ""]])
    for changes in ({"x_amz_meta_a": "1\r\nSet-Cookie: a=b"}, {"Content_Type": "text/x\nX-A: b"}):
        assert code_of(post(edge, fields_of(edge, policy, **changes))) == "InvalidArgument"
    assert post(edge, fields_of(edge, policy, x_amz_meta_a="1")).status == 204


def test_a_policy_is_for_its_bucket_and_its_time(edge: Edge) -> None:
    edge.client("s3").create_bucket(Bucket="other-forms")
    fields = fields_of(edge, policy_of(BUNDLE_READ))
    assert code_of(post(edge, fields, target="/other-forms")) == "AccessDenied"
    answer = post(edge, fields_of(edge, policy_of(BUNDLE_READ, minutes=-1)))
    assert code_of(answer) == "AccessDenied" and "Policy expired" in answer.text
    assert code_of(post(edge, fields_of(edge, policy_of(BUNDLE_READ)), target="/forms/key")) == "MethodNotAllowed"


def test_a_policy_lets_nobody_write_where_its_signer_may_not(edge: Edge) -> None:
    stranger, _ = make_account(edge.services, "stranger")
    theirs = replace(edge, account=stranger)
    assert code_of(post(theirs, fields_of(theirs, policy_of(BUNDLE_READ)))) == "AccessDenied"


def test_a_form_that_is_broken_stores_nothing(edge: Edge) -> None:
    fields = fields_of(edge, policy_of(BUNDLE_READ), key="pre/broken")
    assert code_of(post(edge, fields, None)) == "InvalidArgument"
    assert code_of(post(edge, [*fields, ("acl", "private")])) == "MalformedPOSTRequest"
    long = [("x-ignore-a", "a" * 70_000), *fields]
    assert code_of(post(edge, long)) == "MaxPostPreDataLengthExceeded"
    body, content_type = multipart(fields, b"bytes" * 1000)
    for cut, kind in ((body[:-60], content_type), (body, "multipart/form-data"), (body, content_type + "x")):
        answer = edge.send("POST", "/forms", cut, {"content-type": kind})
        assert code_of(answer) in ("IncompleteBody", "MalformedPOSTRequest")
    listed = edge.client("s3").list_objects_v2(Bucket="forms", Prefix="pre/broken")
    assert listed["KeyCount"] == 0
