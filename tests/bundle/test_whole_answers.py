"""A broken-off answer is a lost connection, whichever service and however far it came; a whole one stays what it is."""

from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError
from botocore.parsers import ResponseParserError

from amiable.bundle.bucket_ranges import bucket_ranges
from amiable.bundle.delete import keys_of_name
from amiable.bundle.download import fetch_bytes
from amiable.bundle.form_upload import FormUploads, Permit
from amiable.bundle.transfer import Place, bucket_region, is_transient, list_held
from amiable.bundle.whole_answers import FAILURES, read_body, whole_answers
from amiable.model.errors import LocalRefusal
from tests.bundle.clients import impatient
from tests.support.toy_server import BROKEN_OFF, HALF_XML, OK, answer, toy_server

EMPTY_LIST = b'<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>'
ONE_OBJECT = EMPTY_LIST.replace(b"</List", b"<Contents><Key>a.part.0</Key><Size>3</Size></Contents></List")
CALLS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "query of EC2": ("ec2", "describe_regions", {}),
    "query of STS": ("sts", "get_caller_identity", {}),
    "list of S3": ("s3", "list_objects", {"Bucket": "b"}),
    "place of a bucket": ("s3", "get_bucket_location", {"Bucket": "b"}),
    "upload": ("s3", "put_object", {"Bucket": "b", "Key": "k", "Body": b"x"}),
    "JSON of EBS": ("ebs", "list_snapshot_blocks", {"SnapshotId": "snap-12345678"}),
    "JSON of SSM": ("ssm", "get_parameter", {"Name": "/a"}),
}


def client(service: str, endpoint: str, attempts_max: int = 1) -> Any:
    config = Config(
        retries={"mode": "standard", "total_max_attempts": attempts_max},
        s3={"addressing_style": "path"},
        request_checksum_calculation="when_required",
    )
    words = {"region_name": "us-east-1", "aws_access_key_id": "a", "aws_secret_access_key": "b"}
    make: Any = boto3.client  # its overloads know each service by a literal
    return whole_answers(make(service, endpoint_url=endpoint, config=config, **words))


@pytest.mark.parametrize("broken", BROKEN_OFF)
@pytest.mark.parametrize("called", CALLS)
def test_an_answer_that_breaks_off_is_a_lost_connection(called: str, broken: str) -> None:
    service, operation, request = CALLS[called]
    with toy_server(BROKEN_OFF[broken]) as server:
        with pytest.raises(ConnectionClosedError) as caught:
            getattr(client(service, server.endpoint), operation)(**request)
        assert is_transient(caught.value) and isinstance(caught.value, FAILURES)


RANGE = answer(b"0123456789", "Content-Range: bytes 5-14/20")


@pytest.mark.parametrize("whole, begun", [(answer(b"x" * 1000), BROKEN_OFF["half a body"]), (RANGE, RANGE[:-3])])
def test_a_download_that_breaks_off_is_tried_again_and_never_taken_for_a_short_one(whole: bytes, begun: bytes) -> None:
    with toy_server(BROKEN_OFF["half a head"], begun, begun, whole) as server:
        s3 = client("s3", server.endpoint)
        pauses: list[float] = []
        if whole is RANGE:
            read = bucket_ranges(s3, Place("b"), impatient(pauses))
            assert read("k", 5, 10) == b"0123456789"
        else:
            assert fetch_bytes(s3, Place("b"), "k", 2000, impatient(pauses)) == b"x" * 1000
        assert len(pauses) == 3 and server.asked == 4


def test_a_body_is_read_as_far_as_is_asked() -> None:
    with toy_server(BROKEN_OFF["half a body"]) as server:
        s3 = client("s3", server.endpoint)
        assert read_body(s3.get_object(Bucket="b", Key="k")["Body"], len(HALF_XML)) == HALF_XML
        with pytest.raises(FAILURES) as caught:
            read_body(s3.get_object(Bucket="b", Key="k")["Body"], len(HALF_XML) + 1)
        assert is_transient(caught.value)


def test_a_broken_off_form_is_a_lost_connection() -> None:
    with toy_server(BROKEN_OFF["half a body"]) as server:
        uploads = FormUploads(server.endpoint, Permit("p", "s", "a"))
        with pytest.raises(ConnectionClosedError):
            uploads.put_object(Bucket="b", Key="k", Body=b"x", ACL="private")
        uploads.close()


@pytest.mark.parametrize("broken", BROKEN_OFF)
def test_a_bucket_whose_list_breaks_off_is_asked_again_and_not_taken_for_empty(broken: str) -> None:
    with toy_server(BROKEN_OFF[broken], answer(ONE_OBJECT)) as server:
        pauses: list[float] = []
        assert list(list_held(client("s3", server.endpoint), "b", "", impatient(pauses))) == ["a.part.0"]
        assert len(pauses) == 1 and server.asked == 2
    with toy_server(BROKEN_OFF[broken], answer(ONE_OBJECT)) as server:
        assert keys_of_name(client("s3", server.endpoint), Place("b"), "a", impatient()) == ["a.part.0"]


def test_botocore_tries_a_broken_off_answer_again_as_any_lost_connection() -> None:
    whole = answer(b"<DescribeRegionsResponse><regionInfo/></DescribeRegionsResponse>")
    with toy_server(BROKEN_OFF["no body"], whole) as server:
        assert client("ec2", server.endpoint, attempts_max=2).describe_regions()["Regions"] == []
        assert server.asked == 2


WHOLE = {
    "its length told": answer(EMPTY_LIST),
    "in chunks": OK + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(EMPTY_LIST), EMPTY_LIST),
    "ended with the connection": OK + b"Connection: close\r\n\r\n" + EMPTY_LIST,
    "ended with the connection, silently": OK + b"\r\n" + EMPTY_LIST,
    "of an old server": OK.replace(b"1.1", b"1.0") + b"\r\n" + EMPTY_LIST,
}
EMPTY = {
    "no length": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
    "of an old server": b"HTTP/1.0 200 OK\r\n\r\n",
    "length nought": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    "without content": b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
}


@pytest.mark.parametrize("told", WHOLE)
def test_a_whole_answer_is_taken(told: str) -> None:
    with toy_server(WHOLE[told]) as server:
        assert client("s3", server.endpoint).list_objects(Bucket="b")["IsTruncated"] is False


@pytest.mark.parametrize("told", EMPTY)
def test_an_answer_that_has_no_body_is_taken(told: str) -> None:
    with toy_server(EMPTY[told]) as server:
        client("s3", server.endpoint).delete_object(Bucket="b", Key="k")


def test_the_length_of_a_head_answer_is_that_of_what_it_does_not_send() -> None:
    with toy_server(OK + b"Content-Length: 1000\r\nConnection: close\r\n\r\n") as server:
        assert client("s3", server.endpoint).head_object(Bucket="b", Key="k")["ContentLength"] == 1000


def test_a_refusal_stays_one() -> None:
    body = b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
    with toy_server(answer(body).replace(b"200 OK", b"403 No")) as server:
        with pytest.raises(ClientError) as caught:
            client("s3", server.endpoint).list_objects(Bucket="b")
        assert caught.value.response["Error"]["Code"] == "AccessDenied" and not is_transient(caught.value)


def test_a_whole_answer_of_something_else_is_no_lost_connection() -> None:
    with toy_server(answer(HALF_XML)) as server:
        with pytest.raises(ResponseParserError) as caught:
            client("ec2", server.endpoint).describe_regions()
        assert isinstance(caught.value, FAILURES)
        with pytest.raises(LocalRefusal, match="no S3 server"):
            bucket_region(client("s3", server.endpoint), "b", impatient())


def test_botocore_still_takes_what_breaks_off() -> None:
    """Once this fails, the module has nothing left to do."""
    with toy_server(BROKEN_OFF["no body"]) as server:
        made = boto3.client(
            "s3", endpoint_url=server.endpoint, region_name="x", aws_access_key_id="a", aws_secret_access_key="b"
        )
        assert "Contents" not in made.list_objects(Bucket="b")
