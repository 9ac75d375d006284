"""S3 as boto3 speaks it today: real server, default checksums, transfer manager, presigned URLs."""

import io
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.support.server import Server

MIB = 1 << 20
ODD_KEYS = (
    "a/../b",
    "/leading",
    "a//b",
    "a%2Fb",
    "per cent %",
    "plus+plus",
    "ünï/ß",
    "q?x=y&z#h",
    ".",
    "..",
    "~",
    "trailing/",
)


@pytest.fixture(scope="module")
def s3(server: Server) -> Any:
    return server.client("s3")


@pytest.fixture(scope="module")
def stranger(server: Server) -> Any:
    """A second account's client."""
    import json

    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    found = server.credentials()
    url, data = f"{server.endpoint}/amiable/v1/accounts", b'{"Name": "stranger"}'
    request = AWSRequest("POST", url, data=data)
    SigV4Auth(Credentials(found["AccessKeyId"], found["SecretAccessKey"]), "amiable", "us-east-1").add_auth(request)
    sent = urllib.request.Request(url, data, dict(request.headers.items()), method="POST")
    with urllib.request.urlopen(sent) as answer:
        made = json.load(answer)
    return server.client("s3", made["AccountId"])


@pytest.fixture
def bucket(s3: Any, request: pytest.FixtureRequest) -> Iterator[str]:
    name = "b" + os.urandom(6).hex()
    s3.create_bucket(Bucket=name)
    yield name
    for upload in s3.list_multipart_uploads(Bucket=name).get("Uploads", []):
        s3.abort_multipart_upload(Bucket=name, Key=upload["Key"], UploadId=upload["UploadId"])
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=name):
        for found in page.get("Contents", []):
            s3.delete_object(Bucket=name, Key=found["Key"])
    s3.delete_bucket(Bucket=name)


def refusal(call: Any, *args: Any, **kwargs: Any) -> tuple[str, int]:
    """The code and status that a call is refused with."""
    with pytest.raises(ClientError) as caught:
        call(*args, **kwargs)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


@pytest.mark.proves("s3", "CreateBucket", "ListBuckets", "HeadBucket", "GetBucketLocation", "DeleteBucket")
def test_a_bucket_is_made_listed_and_deleted(s3: Any) -> None:
    s3.create_bucket(Bucket="made-and-gone")
    assert "made-and-gone" in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    assert s3.head_bucket(Bucket="made-and-gone")["BucketRegion"] == "us-east-1"
    assert s3.get_bucket_location(Bucket="made-and-gone")["LocationConstraint"] is None
    s3.create_bucket(Bucket="made-and-gone")
    s3.delete_bucket(Bucket="made-and-gone")
    assert refusal(s3.delete_bucket, Bucket="made-and-gone") == ("NoSuchBucket", 404)
    assert refusal(s3.head_bucket, Bucket="made-and-gone") == ("404", 404)


def test_a_bucket_in_another_region_is_refused(s3: Any) -> None:
    elsewhere = {"LocationConstraint": "eu-west-1"}
    assert refusal(s3.create_bucket, Bucket="elsewhere", CreateBucketConfiguration=elsewhere) == (
        "IllegalLocationConstraintException",
        400,
    )


def test_a_bucket_with_an_object_stays(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="x", Body=b"x")
    assert refusal(s3.delete_bucket, Bucket=bucket) == ("BucketNotEmpty", 409)


@pytest.mark.proves("s3", "PutObject", "GetObject", "HeadObject")
def test_what_is_put_is_got_with_all_that_was_said_about_it(s3: Any, bucket: str) -> None:
    put = s3.put_object(
        Bucket=bucket,
        Key="k",
        Body=b"hello",
        ContentType="text/plain",
        CacheControl="no-cache",
        ContentEncoding="gzip",
        Metadata={"one": "1"},
    )
    assert put["ETag"] == '"5d41402abc4b2a76b9719d911017c592"'
    assert (put["ChecksumCRC32"], put["ChecksumType"]) == ("NhCmhg==", "FULL_OBJECT")
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert got["Body"].read() == b"hello"
    assert (got["ContentType"], got["CacheControl"], got["ContentEncoding"]) == ("text/plain", "no-cache", "gzip")
    assert (got["Metadata"], got["ChecksumCRC32"], got["ETag"]) == ({"one": "1"}, "NhCmhg==", put["ETag"])
    head = s3.head_object(Bucket=bucket, Key="k")
    assert (head["ContentLength"], head["Metadata"], head["ETag"]) == (5, {"one": "1"}, put["ETag"])
    assert "ChecksumCRC32" not in head


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_each_checksum_is_verified_and_given_back(s3: Any, bucket: str, algorithm: str) -> None:
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"123456789", ChecksumAlgorithm=algorithm)
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert got["Body"].read() == b"123456789"
    assert got[f"Checksum{algorithm}"] == put[f"Checksum{algorithm}"]
    wrong = s3.put_object(Bucket=bucket, Key="other", Body=b"other", ChecksumAlgorithm=algorithm)[
        f"Checksum{algorithm}"
    ]
    assert refusal(s3.put_object, Bucket=bucket, Key="k", Body=b"x", **{f"Checksum{algorithm}": wrong}) == (
        "BadDigest",
        400,
    )
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"123456789"


def test_a_wrong_md5_is_refused(s3: Any, bucket: str) -> None:
    assert refusal(s3.put_object, Bucket=bucket, Key="k", Body=b"x", ContentMD5="CY9rzUYh03PK3k6DJie09g==") == (
        "BadDigest",
        400,
    )
    assert refusal(s3.put_object, Bucket=bucket, Key="k", Body=b"x", ContentMD5="short") == ("InvalidDigest", 400)
    assert refusal(s3.get_object, Bucket=bucket, Key="k") == ("NoSuchKey", 404)


def test_keys_are_literal(s3: Any, bucket: str) -> None:
    for key in ODD_KEYS:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    for key in ODD_KEYS:
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
    listed = [found["Key"] for found in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert listed == sorted(ODD_KEYS, key=str.encode)


def test_a_key_has_1024_bytes_at_most(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="ü" * 512, Body=b"")
    assert refusal(s3.put_object, Bucket=bucket, Key="ü" * 512 + "x", Body=b"") == ("KeyTooLongError", 400)


@pytest.mark.parametrize(
    ("asked", "bytes_", "content_range"),
    [
        ("bytes=0-0", b"0", "bytes 0-0/10"),
        ("bytes=3-", b"3456789", "bytes 3-9/10"),
        ("bytes=-3", b"789", "bytes 7-9/10"),
        ("bytes=8-99", b"89", "bytes 8-9/10"),
        ("bytes=-99", b"0123456789", "bytes 0-9/10"),
    ],
)
def test_ranges(s3: Any, bucket: str, asked: str, bytes_: bytes, content_range: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    got = s3.get_object(Bucket=bucket, Key="k", Range=asked)
    assert (got["Body"].read(), got["ContentRange"], got["ResponseMetadata"]["HTTPStatusCode"]) == (
        bytes_,
        content_range,
        206,
    )


def test_a_range_beyond_the_end_is_refused(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    assert refusal(s3.get_object, Bucket=bucket, Key="k", Range="bytes=10-") == ("InvalidRange", 416)
    assert s3.get_object(Bucket=bucket, Key="k", Range="bytes=5-2")["Body"].read() == b"0123456789"


def test_conditions_of_reads_and_writes_hold(s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"one", IfNoneMatch="*")["ETag"]
    assert refusal(s3.put_object, Bucket=bucket, Key="k", Body=b"two", IfNoneMatch="*") == ("PreconditionFailed", 412)
    assert refusal(s3.put_object, Bucket=bucket, Key="k", Body=b"two", IfMatch='"other"') == ("PreconditionFailed", 412)
    assert refusal(s3.get_object, Bucket=bucket, Key="k", IfNoneMatch=etag) == ("304", 304)
    assert refusal(s3.get_object, Bucket=bucket, Key="k", IfMatch='"other"') == ("PreconditionFailed", 412)
    modified = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    assert refusal(s3.head_object, Bucket=bucket, Key="k", IfModifiedSince=modified) == ("304", 304)
    assert s3.get_object(Bucket=bucket, Key="k", IfUnmodifiedSince=modified)["Body"].read() == b"one"
    s3.put_object(Bucket=bucket, Key="k", Body=b"two", IfMatch=etag)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"two"


def test_the_transfer_manager_uploads_and_downloads_in_parts(s3: Any, bucket: str) -> None:
    body = os.urandom(13 * MIB + 5)
    config = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)
    s3.upload_fileobj(io.BytesIO(body), bucket, "big", Config=config, ExtraArgs={"Metadata": {"a": "b"}})
    head = s3.head_object(Bucket=bucket, Key="big", ChecksumMode="ENABLED")
    assert head["ETag"].endswith('-3"') and head["ChecksumCRC32"].endswith("-3") and head["Metadata"] == {"a": "b"}
    into = io.BytesIO()
    s3.download_fileobj(bucket, "big", into, Config=config)
    assert into.getvalue() == body
    s3.copy({"Bucket": bucket, "Key": "big"}, bucket, "copy", Config=config)
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == body


@pytest.mark.proves("s3", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "ListParts")
def test_parts_are_checked_when_an_upload_is_completed(s3: Any, bucket: str) -> None:
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    etags = [
        s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=number, Body=body)["ETag"]
        for number, body in ((1, b"small"), (2, b"last"))
    ]
    parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
    where = {"Bucket": bucket, "Key": "k", "UploadId": upload}
    complete = s3.complete_multipart_upload
    assert refusal(complete, **where, MultipartUpload={"Parts": parts}) == ("EntityTooSmall", 400)
    assert refusal(complete, **where, MultipartUpload={"Parts": parts[::-1]}) == ("InvalidPartOrder", 400)
    assert refusal(complete, **where, MultipartUpload={"Parts": [{"PartNumber": 3, "ETag": etags[0]}]}) == (
        "InvalidPart",
        400,
    )
    assert refusal(complete, **where, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etags[1]}]}) == (
        "InvalidPart",
        400,
    )
    assert refusal(s3.upload_part, **where, PartNumber=10_001, Body=b"") == ("InvalidArgument", 400)
    assert [part["PartNumber"] for part in s3.list_parts(**where)["Parts"]] == [1, 2]
    done = complete(**where, MultipartUpload={"Parts": parts[1:]})
    assert done["ETag"].endswith('-1"')
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"last"
    assert refusal(complete, **where, MultipartUpload={"Parts": parts}) == ("NoSuchUpload", 404)


def test_a_completion_whose_answer_was_lost_is_answered_again_while_its_object_stands(s3: Any, bucket: str) -> None:
    where = {"Bucket": bucket, "Key": "k"}
    where["UploadId"] = s3.create_multipart_upload(**where, ChecksumAlgorithm="SHA256")["UploadId"]
    etag = s3.upload_part(**where, PartNumber=1, Body=b"last", ChecksumAlgorithm="SHA256")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    complete = s3.complete_multipart_upload
    first = complete(**where, MultipartUpload=parts, IfNoneMatch="*")
    again = complete(**where, MultipartUpload=parts, IfNoneMatch="*")
    assert first.pop("ResponseMetadata") and again.pop("ResponseMetadata") and first == again
    for others in ({"Parts": [{"PartNumber": 1, "ETag": "x"}]}, {"Parts": [{"PartNumber": 1, "ETag": "00" * 16}]}):
        assert refusal(complete, **where, MultipartUpload=others) == ("NoSuchUpload", 404)
    assert refusal(complete, **{**where, "UploadId": "another"}, MultipartUpload=parts) == ("NoSuchUpload", 404)
    assert refusal(s3.abort_multipart_upload, **where) == ("NoSuchUpload", 404)
    s3.copy_object(Bucket=bucket, Key="k", CopySource=f"{bucket}/k", MetadataDirective="REPLACE")
    assert refusal(complete, **where, MultipartUpload=parts) == ("NoSuchUpload", 404)


def test_a_whole_objects_crc_is_made_from_its_parts(s3: Any, bucket: str) -> None:
    body = os.urandom(5 * MIB + 3)
    whole = s3.put_object(Bucket=bucket, Key="whole", Body=body, ChecksumAlgorithm="CRC64NVME")["ChecksumCRC64NVME"]
    upload = s3.create_multipart_upload(
        Bucket=bucket, Key="k", ChecksumAlgorithm="CRC64NVME", ChecksumType="FULL_OBJECT"
    )
    where = {"Bucket": bucket, "Key": "k", "UploadId": upload["UploadId"]}
    parts = []
    for number, piece in ((1, body[: 5 * MIB]), (2, body[5 * MIB :])):
        part = s3.upload_part(**where, PartNumber=number, Body=piece, ChecksumAlgorithm="CRC64NVME")
        parts.append({"PartNumber": number, "ETag": part["ETag"], "ChecksumCRC64NVME": part["ChecksumCRC64NVME"]})
    wrong = {"ChecksumCRC64NVME": "AAAAAAAAAAA=", "ChecksumType": "FULL_OBJECT"}
    assert refusal(s3.complete_multipart_upload, **where, MultipartUpload={"Parts": parts}, **wrong) == (
        "BadDigest",
        400,
    )
    done = s3.complete_multipart_upload(**where, MultipartUpload={"Parts": parts}, ChecksumCRC64NVME=whole)
    assert done["ChecksumCRC64NVME"] == whole


@pytest.mark.proves("s3", "AbortMultipartUpload", "ListMultipartUploads")
def test_an_aborted_upload_leaves_no_file(s3: Any, bucket: str, server: Server) -> None:
    before = set((server.data / "objects").iterdir())
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=b"x")
    assert set((server.data / "objects").iterdir()) != before
    assert [found["UploadId"] for found in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == [upload]
    s3.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=upload)
    assert set((server.data / "objects").iterdir()) == before


@pytest.mark.proves("s3", "DeleteObject")
def test_a_replaced_or_deleted_object_leaves_no_file(s3: Any, bucket: str, server: Server) -> None:
    before = set((server.data / "objects").iterdir())
    for body in (b"one", b"two"):
        s3.put_object(Bucket=bucket, Key="k", Body=body)
    assert len(set((server.data / "objects").iterdir()) - before) == 1
    s3.delete_object(Bucket=bucket, Key="k")
    s3.delete_object(Bucket=bucket, Key="k")
    assert set((server.data / "objects").iterdir()) == before


@pytest.mark.proves("s3", "ListObjects", "ListObjectsV2")
def test_pages_and_delimiters_list_every_key_once(s3: Any, bucket: str) -> None:
    keys = [f"{folder}/{n}" for folder in ("a", "b", "c d") for n in range(3)] + ["top", "zed"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    for operation in ("list_objects_v2", "list_objects"):
        pages = s3.get_paginator(operation).paginate(Bucket=bucket, PaginationConfig={"PageSize": 2})
        assert [found["Key"] for page in pages for found in page.get("Contents", [])] == keys
        pages = list(
            s3.get_paginator(operation).paginate(Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": 2})
        )
        assert [p["Prefix"] for page in pages for p in page.get("CommonPrefixes", [])] == ["a/", "b/", "c d/"]
        assert [found["Key"] for page in pages for found in page.get("Contents", [])] == ["top", "zed"]
    found = s3.list_objects_v2(Bucket=bucket, Prefix="b/", StartAfter="b/0", FetchOwner=True)
    assert [one["Key"] for one in found["Contents"]] == ["b/1", "b/2"] and found["Contents"][0]["Owner"]["ID"]
    assert s3.list_objects_v2(Bucket=bucket, MaxKeys=0)["IsTruncated"] is False
    assert refusal(s3.list_objects_v2, Bucket=bucket, ContinuationToken="!") == ("InvalidArgument", 400)
    assert refusal(s3.list_objects_v2, Bucket=bucket, MaxKeys=-1) == ("InvalidArgument", 400)


@pytest.mark.proves("s3", "DeleteObjects")
def test_many_objects_are_deleted_at_once(s3: Any, bucket: str) -> None:
    for key in ("a", "b & <c>"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    wanted = [{"Key": "a"}, {"Key": "b & <c>"}, {"Key": "absent"}]
    done = s3.delete_objects(Bucket=bucket, Delete={"Objects": wanted})
    assert [found["Key"] for found in done["Deleted"]] == ["a", "b & <c>", "absent"]
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    assert "Deleted" not in s3.delete_objects(Bucket=bucket, Delete={"Objects": wanted, "Quiet": True})
    assert refusal(s3.delete_objects, Bucket=bucket, Delete={"Objects": [{"Key": f"{n}"} for n in range(1001)]}) == (
        "MalformedXML",
        400,
    )


@pytest.mark.proves("s3", "CopyObject")
def test_a_copy_keeps_or_replaces_what_was_said(s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="from", Body=b"body", Metadata={"a": "1"}, ContentType="text/x")["ETag"]
    copied = s3.copy_object(Bucket=bucket, Key="to", CopySource={"Bucket": bucket, "Key": "from"})
    assert copied["CopyObjectResult"]["ETag"] == etag
    assert s3.head_object(Bucket=bucket, Key="to")["Metadata"] == {"a": "1"}
    source = {"Bucket": bucket, "Key": "to"}
    assert refusal(s3.copy_object, Bucket=bucket, Key="to", CopySource=source) == ("InvalidRequest", 400)
    s3.copy_object(Bucket=bucket, Key="to", CopySource=source, MetadataDirective="REPLACE", Metadata={"b": "2"})
    s3.delete_object(Bucket=bucket, Key="from")
    got = s3.get_object(Bucket=bucket, Key="to")
    assert (got["Metadata"], got["Body"].read()) == ({"b": "2"}, b"body")
    assert refusal(s3.copy_object, Bucket=bucket, Key="x", CopySource={"Bucket": bucket, "Key": "from"}) == (
        "NoSuchKey",
        404,
    )


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_presigned_urls_get_and_put(server: Server, s3: Any, bucket: str, version: str) -> None:
    found = server.credentials()
    signer = boto3.client(
        "s3",
        region_name="us-east-1",
        endpoint_url=server.endpoint,
        aws_access_key_id=found["AccessKeyId"],
        aws_secret_access_key=found["SecretAccessKey"],
        config=Config(signature_version=version, s3={"addressing_style": "path"}),
    )
    key = "a//b ü+%2F"
    put = signer.generate_presigned_url(
        "put_object", Params={"Bucket": bucket, "Key": key, "ContentType": "text/plain"}
    )
    sent = urllib.request.Request(put, b"presigned", {"Content-Type": "text/plain"}, method="PUT")
    with urllib.request.urlopen(sent) as answer:
        assert answer.status == 200
    params = {"Bucket": bucket, "Key": key, "ResponseContentType": "text/other"}
    url = signer.generate_presigned_url("get_object", Params=params)
    with urllib.request.urlopen(url) as answer:
        assert (answer.read(), answer.headers["Content-Type"]) == (b"presigned", "text/other")
    assert s3.head_object(Bucket=bucket, Key=key)["ContentType"] == "text/plain"
    expired = signer.generate_presigned_url("get_object", Params=params, ExpiresIn=-1 if version == "s3" else 604_801)
    for wrong in (url.replace("text%2Fother", "text%2Fhtml"), url.replace("Signature=", "Signature=A"), expired):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(wrong)
        assert caught.value.code in (400, 403)
        caught.value.close()
    signer.close()


def test_another_account_is_denied_what_no_acl_grants(s3: Any, stranger: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"mine")
    s3.put_object(Bucket=bucket, Key="open", Body=b"ours", ACL="public-read")
    s3.put_object(Bucket=bucket, Key="service", Body=b"theirs", ACL="aws-exec-read")
    for call in (
        stranger.list_objects_v2,
        stranger.list_multipart_uploads,
        stranger.get_bucket_acl,
        stranger.delete_bucket,
    ):
        assert refusal(call, Bucket=bucket) == ("AccessDenied", 403)
    for key in ("k", "service", "absent"):
        assert refusal(stranger.get_object, Bucket=bucket, Key=key) == ("AccessDenied", 403)
    assert refusal(stranger.put_object, Bucket=bucket, Key="k", Body=b"") == ("AccessDenied", 403)
    assert refusal(stranger.delete_object, Bucket=bucket, Key="k") == ("AccessDenied", 403)
    assert refusal(stranger.create_bucket, Bucket=bucket) == ("BucketAlreadyExists", 409)
    assert stranger.get_object(Bucket=bucket, Key="open")["Body"].read() == b"ours"
    s3.put_object_acl(Bucket=bucket, Key="k", ACL="authenticated-read")
    assert stranger.get_object(Bucket=bucket, Key="k")["Body"].read() == b"mine"
    assert bucket not in [found["Name"] for found in stranger.list_buckets()["Buckets"]]


def test_the_expected_owner_must_be_the_owner(s3: Any, server: Server, bucket: str) -> None:
    mine = server.credentials()["AccountId"]
    s3.list_objects_v2(Bucket=bucket, ExpectedBucketOwner=mine)
    assert refusal(s3.list_objects_v2, Bucket=bucket, ExpectedBucketOwner="000000000000") == ("AccessDenied", 403)


def test_acls_are_spelled_as_grants(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"", ACL="aws-exec-read")
    owner, service = s3.get_object_acl(Bucket=bucket, Key="k")["Grants"]
    assert owner["Permission"] == "FULL_CONTROL"
    assert (service["Grantee"]["ID"], service["Permission"]) == (
        "6aa5a366c34c1cbe25dc49211496e913e0351eb0e8c37aa3477e40942ec6b97c",
        "READ",
    )
    assert refusal(s3.put_object, Bucket=bucket, Key="k", Body=b"", ACL="nobody") == ("InvalidArgument", 400)
    with pytest.raises(ClientError, match=r"'nobody' is not a canned ACL\. There are: private, public-read,"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"", ACL="nobody")


def test_what_is_not_done_says_so(s3: Any, bucket: str) -> None:
    for call in (s3.get_bucket_policy, s3.get_bucket_versioning, s3.get_bucket_tagging):
        assert refusal(call, Bucket=bucket) == ("NotImplemented", 501)
    assert refusal(s3.put_object, Bucket=bucket, Key="k", Body=b"", ServerSideEncryption="AES256") == (
        "NotImplemented",
        501,
    )
    assert refusal(s3.put_object, Bucket=bucket, Key="k", Body=b"", Tagging="a=b") == ("NotImplemented", 501)
    assert refusal(s3.get_object, Bucket=bucket, Key="k", VersionId="v") == ("NotImplemented", 501)
    assert refusal(s3.put_object, Bucket=bucket, Key="k", Body=b"", StorageClass="GLACIER") == (
        "InvalidStorageClass",
        400,
    )


def test_metadata_has_2_kib(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"", Metadata={"a": "x" * 2047})
    assert refusal(s3.put_object, Bucket=bucket, Key="k", Body=b"", Metadata={"a": "x" * 2048}) == (
        "MetadataTooLarge",
        400,
    )


def test_a_refused_body_leaves_the_connection_in_order(server: Server) -> None:
    s3 = server.client("s3", read_timeout=20, max_pool_connections=1)
    for _ in range(3):
        assert refusal(s3.put_object, Bucket="there-is-no-such-bucket", Key="k", Body=bytes(9 * MIB)) == (
            "NoSuchBucket",
            404,
        )
        s3.list_buckets()
