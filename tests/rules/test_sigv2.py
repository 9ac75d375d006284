"""Version 2 presigned queries, with botocore as the signer."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config

from amiable.model.errors import Unauthenticated
from amiable.rules import sigv2
from amiable.rules.sigv4 import UNSIGNED_PAYLOAD, Request

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
NOW = datetime.now(UTC)


def presigned(operation: str, **parameters: Any) -> Request:
    config = Config(signature_version="s3", s3={"addressing_style": "path"})
    s3 = boto3.client(
        "s3",
        region_name="us-east-1",
        endpoint_url="http://127.0.0.1:2006",
        config=config,
        aws_access_key_id="AKIAKEY",
        aws_secret_access_key=SECRET,
    )
    url = urlsplit(s3.generate_presigned_url(operation, Params={"Bucket": "bucket", **parameters}, ExpiresIn=60))
    s3.close()
    method = {"get": "GET", "put": "PUT", "list": "GET", "upload": "PUT"}[operation.partition("_")[0]]
    return Request(method, url.path, url.query, [("host", "127.0.0.1:2006")])


@pytest.mark.parametrize(
    ("operation", "parameters"),
    [
        ("get_object", {"Key": "k"}),
        ("get_object", {"Key": "a//b ü+%", "ResponseContentType": "text/x y", "VersionId": "a/b+c"}),
        ("put_object", {"Key": "k", "ContentType": "text/plain", "ACL": "public-read", "Metadata": {"a": "b c"}}),
        ("upload_part", {"Key": "k", "UploadId": "u", "PartNumber": 3}),
        ("list_objects_v2", {"Prefix": "x/"}),
    ],
)
def test_what_botocore_signs_is_verified(operation: str, parameters: dict[str, Any]) -> None:
    request = presigned(operation, **parameters)
    claim = sigv2.find_claim(request, "us-east-1")
    assert claim is not None and claim.scope.access_key_id == "AKIAKEY" and sigv2.is_of_version_2(claim)
    assert sigv2.verify(request, claim, SECRET, NOW).payload == UNSIGNED_PAYLOAD
    with pytest.raises(Unauthenticated) as caught:
        sigv2.verify(request, claim, SECRET + "x", NOW)
    assert caught.value.kind == "wrong-signature"


@pytest.mark.parametrize("change", [("k?", "l?"), ("public-read", "private"), ("text%2Fplain", "text%2Fhtml")])
def test_a_changed_request_is_refused(change: tuple[str, str]) -> None:
    request = presigned("put_object", Key="k", ContentType="text/plain", ACL="public-read")
    path, _, query = f"{request.raw_path}?{request.raw_query}".replace(*change).partition("?")
    changed = Request("PUT", path, query, request.headers)
    assert (changed.raw_path, changed.raw_query) != (request.raw_path, request.raw_query)
    claim = sigv2.find_claim(changed, "us-east-1")
    assert claim is not None
    with pytest.raises(Unauthenticated) as caught:
        sigv2.verify(changed, claim, SECRET, NOW)
    assert caught.value.kind == "wrong-signature"


def test_a_header_that_was_not_signed_is_refused() -> None:
    request = presigned("put_object", Key="k")
    claim = sigv2.find_claim(request, "us-east-1")
    assert claim is not None
    more = Request("PUT", request.raw_path, request.raw_query, [*request.headers, ("x-amz-acl", "public-read")])
    with pytest.raises(Unauthenticated):
        sigv2.verify(more, claim, SECRET, NOW)


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("{}", [("x-amz-acl", "public-read")]),
        ("{}", [("content-type", "text/html")]),
        ("X-Amz-Acl=public-read&{}", []),
        ("{}&X-Amz-Acl=public-read", []),
        ("{}&acl", []),
        ("{}&%61cl=", []),
        ("{}&upload%49d=u", []),
    ],
)
def test_nothing_that_counts_can_be_put_beside_what_was_signed(query: str, headers: list[tuple[str, str]]) -> None:
    request = presigned("put_object", Key="k", ContentType="text/plain", ACL="private")
    changed = Request("PUT", request.raw_path, query.format(request.raw_query), [*request.headers, *headers])
    claim = sigv2.find_claim(changed, "us-east-1")
    assert claim is not None
    with pytest.raises(Unauthenticated) as caught:
        sigv2.verify(changed, claim, SECRET, NOW)
    assert caught.value.kind == "wrong-signature"


def test_a_header_may_be_sent_as_it_stands_in_the_query() -> None:
    request = presigned("put_object", Key="k", ContentType="text/plain", ACL="private")
    sent = [*request.headers, ("content-type", "text/plain"), ("x-amz-acl", "private")]
    same = Request("PUT", request.raw_path, request.raw_query, sent)
    claim = sigv2.find_claim(same, "us-east-1")
    assert claim is not None
    assert sigv2.verify(same, claim, SECRET, NOW).payload == UNSIGNED_PAYLOAD


def test_a_query_expires() -> None:
    request = presigned("get_object", Key="k")
    claim = sigv2.find_claim(request, "us-east-1")
    assert claim is not None
    with pytest.raises(Unauthenticated) as caught:
        sigv2.verify(request, claim, SECRET, datetime.now(UTC) + timedelta(minutes=2))
    assert caught.value.kind == "expired"


@pytest.mark.parametrize(
    "query",
    [
        "Signature=x",
        "AWSAccessKeyId=a&Signature=x",
        "AWSAccessKeyId=a&Signature=x&Expires=soon",
        "AWSAccessKeyId=a&Signature=x&Expires=99999999999999999999",
        "AWSAccessKeyId=a&Signature=x&Expires=" + "9" * 5000,
        "AWSAccessKeyId=a&AWSAccessKeyId=b&Signature=x&Expires=1",
    ],
)
def test_half_a_claim_is_malformed(query: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        sigv2.find_claim(Request("GET", "/b/k", query, []), "us-east-1")
    assert caught.value.kind == "malformed"


def test_without_a_signature_there_is_no_claim() -> None:
    assert sigv2.find_claim(Request("GET", "/b/k", "prefix=x", []), "us-east-1") is None
