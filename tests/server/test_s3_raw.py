"""S3 below what boto3 lets one say: signed and unsigned chunks, trailers, hostile framing, hostile XML."""

import base64
import hashlib
import hmac
import http.client
import os
import re
import socket
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.journey import wait_until
from tests.support.server import Server

EMPTY = hashlib.sha256(b"").hexdigest()
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_TRAILER = SIGNED + "-TRAILER"


def crc32(body: bytes) -> str:
    return base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()


@dataclass
class Signer:
    """SigV4 by hand, from the documentation alone; the chain of chunk signatures included."""

    server: Server
    s3: Any
    now: datetime

    def __post_init__(self) -> None:
        found = self.server.credentials()
        self.key_id = found["AccessKeyId"]
        self.time, date = self.now.strftime("%Y%m%dT%H%M%SZ"), self.now.strftime("%Y%m%d")
        self.scope = f"{date}/us-east-1/s3/aws4_request"
        key = b"AWS4" + found["SecretAccessKey"].encode()
        for word in (date, "us-east-1", "s3", "aws4_request"):
            key = hmac.new(key, word.encode(), hashlib.sha256).digest()
        self.key = key
        self.previous = ""

    def sign(self, text: str) -> str:
        self.previous = hmac.new(self.key, text.encode(), hashlib.sha256).hexdigest()
        return self.previous

    def headers(self, method: str, path: str, payload: str, query: str = "", **others: str) -> dict[str, str]:
        headers = {name.replace("_", "-"): value for name, value in others.items()}
        headers |= {
            "host": urlsplit(self.server.endpoint).netloc,
            "x-amz-date": self.time,
            "x-amz-content-sha256": payload,
        }
        signed = sorted(name for name in headers if name == "host" or name.startswith("x-amz-"))
        lines = "".join(f"{name}:{headers[name]}\n" for name in signed)
        canonical = "\n".join((method, path, query, lines, ";".join(signed), payload))
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        signature = self.sign(f"AWS4-HMAC-SHA256\n{self.time}\n{self.scope}\n{digest}")
        credential = f"Credential={self.key_id}/{self.scope}, SignedHeaders={';'.join(signed)}, Signature={signature}"
        return headers | {"authorization": f"AWS4-HMAC-SHA256 {credential}"}

    def chunk(self, data: bytes) -> bytes:
        digest = hashlib.sha256(data).hexdigest()
        text = f"AWS4-HMAC-SHA256-PAYLOAD\n{self.time}\n{self.scope}\n{self.previous}\n{EMPTY}\n{digest}"
        return f"{len(data):x};chunk-signature={self.sign(text)}\r\n".encode() + (data + b"\r\n" if data else b"")

    def trailer(self, name: str, value: str) -> bytes:
        digest = hashlib.sha256(f"{name}:{value}\n".encode()).hexdigest()
        signature = self.sign(f"AWS4-HMAC-SHA256-TRAILER\n{self.time}\n{self.scope}\n{self.previous}\n{digest}")
        return f"{name}:{value}\r\nx-amz-trailer-signature:{signature}\r\n\r\n".encode()


@pytest.fixture(scope="module")
def s3(server: Server) -> Any:
    return server.client("s3")


@pytest.fixture
def signer(server: Server, s3: Any) -> Signer:
    return Signer(server, s3, datetime.now(UTC))


@pytest.fixture
def bucket(s3: Any) -> Iterator[str]:
    name = "raw" + os.urandom(6).hex()
    s3.create_bucket(Bucket=name)
    yield name
    for found in s3.list_objects_v2(Bucket=name).get("Contents", []):
        s3.delete_object(Bucket=name, Key=found["Key"])
    s3.delete_bucket(Bucket=name)


def send(server: Server, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(urlsplit(server.endpoint).netloc, timeout=60)
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in {"content-length": str(len(body)), **headers}.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def code(answer: tuple[int, bytes]) -> tuple[int, str]:
    found = re.search(rb"<Code>(\w+)</Code>", answer[1])
    return answer[0], found[1].decode() if found else ""


def put_unsigned(
    signer: Signer, bucket: str, body: bytes, *, size: int, trailer: str = "x-amz-checksum-crc32"
) -> tuple[int, bytes]:
    path = f"/{bucket}/k"
    headers = signer.headers(
        "PUT",
        path,
        UNSIGNED_TRAILER,
        content_encoding="aws-chunked",
        x_amz_trailer=trailer,
        x_amz_decoded_content_length=str(size),
    )
    return send(signer.server, "PUT", path, headers, body)


def nothing_is_there(signer: Signer, bucket: str) -> bool:
    return "Contents" not in signer.s3.list_objects_v2(Bucket=bucket)


def test_unsigned_chunks_with_a_trailing_crc(signer: Signer, bucket: str) -> None:
    body = f"5\r\nhello\r\n6\r\n world\r\n0\r\nx-amz-checksum-crc32:{crc32(b'hello world')}\r\n\r\n".encode()
    assert put_unsigned(signer, bucket, body, size=11)[0] == 200
    got = signer.s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert (got["Body"].read(), got["ChecksumCRC32"]) == (b"hello world", crc32(b"hello world"))
    assert "ContentEncoding" not in got


GOOD = f"0\r\nx-amz-checksum-crc32:{crc32(b'hello')}\r\n\r\n"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (f"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:{crc32(b'other')}\r\n\r\n", (400, "BadDigest")),
        ("5\r\nhello\r\n0\r\n\r\n", (400, "MalformedTrailerError")),
        ("5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AAA=\r\n\r\n", (400, "MalformedTrailerError")),
        (f"5\r\nhello\r\n0\r\nx-amz-checksum-crc32c:{crc32(b'hello')}\r\n\r\n", (400, "MalformedTrailerError")),
        ("5\r\nhello\r\n0\r\nno colon\r\n\r\n", (400, "MalformedTrailerError")),
        ("5\r\nhello\r\n0\r\n" + "a:b\r\n" * 2 + "\r\n", (400, "MalformedTrailerError")),
        ("-5\r\nhello\r\n" + GOOD, (400, "InvalidRequest")),
        ("0x5\r\nhello\r\n" + GOOD, (400, "InvalidRequest")),
        ("\r\nhello\r\n" + GOOD, (400, "InvalidRequest")),
        ("ffffffffffffffff\r\nhello\r\n" + GOOD, (400, "InvalidRequest")),
        ("fffffffffffffffff\r\nhello\r\n" + GOOD, (400, "InvalidRequest")),
        ("4\r\nhello\r\n" + GOOD, (400, "InvalidRequest")),
        ("6\r\nhello\r\n" + GOOD, (400, "InvalidRequest")),
        ("5\r\nhello\r\n" + GOOD + "more", (400, "InvalidRequest")),
        ("5;chunk-signature=" + "0" * 64 + "\r\nhello\r\n" + GOOD, (400, "InvalidRequest")),
        ("5\r\nhello\r\n", (400, "IncompleteBody")),
        ("5\r\nhel", (400, "IncompleteBody")),
        ("", (400, "IncompleteBody")),
        ("1" * 100_000, (400, "InvalidRequest")),
        (f"4\r\nhell\r\n0\r\nx-amz-checksum-crc32:{crc32(b'hell')}\r\n\r\n", (400, "IncompleteBody")),
        (f"6\r\nhello!\r\n0\r\nx-amz-checksum-crc32:{crc32(b'hello!')}\r\n\r\n", (400, "InvalidRequest")),
    ],
)
def test_bad_framing_is_refused_and_stores_nothing(
    signer: Signer, bucket: str, body: str, expected: tuple[int, str]
) -> None:
    before = set((signer.server.data / "objects").iterdir())
    assert code(put_unsigned(signer, bucket, body.encode(), size=5)) == expected
    assert nothing_is_there(signer, bucket)
    assert set((signer.server.data / "objects").iterdir()) == before


@pytest.mark.parametrize(
    "trailer", ["x-amz-checksum-crc32, x-amz-checksum-sha1", "authorization", "x-amz-checksum-algorithm"]
)
def test_a_trailer_that_is_no_checksum_is_refused(signer: Signer, bucket: str, trailer: str) -> None:
    assert put_unsigned(signer, bucket, ("5\r\nhello\r\n" + GOOD).encode(), size=5, trailer=trailer)[0] in (400, 501)
    assert nothing_is_there(signer, bucket)


def put_signed(
    signer: Signer, bucket: str, pieces: list[bytes], *, trailing: str | None, tamper: str = ""
) -> tuple[int, bytes]:
    path, size = f"/{bucket}/k", str(sum(map(len, pieces)))
    extra = {"x_amz_trailer": "x-amz-checksum-crc32"} if trailing is not None else {}
    payload = SIGNED if trailing is None else SIGNED_TRAILER
    headers = signer.headers(
        "PUT", path, payload, content_encoding="aws-chunked", x_amz_decoded_content_length=size, **extra
    )
    chunks = [signer.chunk(piece) for piece in (*pieces, b"")]
    if tamper == "swap":
        chunks[0], chunks[1] = chunks[1], chunks[0]
    if tamper == "flip":
        chunks[0] = chunks[0].replace(b"aaaa", b"aaab")
    if tamper == "drop":
        del chunks[0]
    body = b"".join(chunks)
    body += b"\r\n" if trailing is None else signer.trailer("x-amz-checksum-crc32", trailing)
    if tamper == "trailer":
        body = body.replace(trailing.encode() if trailing else b"", crc32(b"other").encode())
    return send(signer.server, "PUT", path, headers, body)


def test_signed_chunks(signer: Signer, bucket: str) -> None:
    pieces = [b"a" * 8192, b"b" * 8192, b"c"]
    assert put_signed(signer, bucket, pieces, trailing=None)[0] == 200
    assert signer.s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"".join(pieces)


def test_signed_chunks_with_a_signed_trailer(signer: Signer, bucket: str) -> None:
    pieces = [b"a" * 8192, b"b"]
    assert put_signed(signer, bucket, pieces, trailing=crc32(b"".join(pieces)))[0] == 200
    assert signer.s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"".join(pieces)


@pytest.mark.parametrize("tamper", ["swap", "flip", "drop", "trailer"])
def test_a_chunk_or_trailer_that_was_tampered_with_is_refused(signer: Signer, bucket: str, tamper: str) -> None:
    pieces = [b"a" * 8192, b"b" * 8192]
    trailing = crc32(b"".join(pieces)) if tamper == "trailer" else None
    assert code(put_signed(signer, bucket, pieces, trailing=trailing, tamper=tamper)) == (403, "SignatureDoesNotMatch")
    assert nothing_is_there(signer, bucket)


def test_a_signed_trailer_with_a_wrong_checksum_is_refused(signer: Signer, bucket: str) -> None:
    assert code(put_signed(signer, bucket, [b"a"], trailing=crc32(b"b"))) == (400, "BadDigest")


def test_a_body_that_is_not_the_signed_one_is_refused(signer: Signer, bucket: str) -> None:
    headers = signer.headers("PUT", f"/{bucket}/k", hashlib.sha256(b"hello").hexdigest())
    assert code(send(signer.server, "PUT", f"/{bucket}/k", headers, b"hallo")) == (400, "XAmzContentSHA256Mismatch")
    assert nothing_is_there(signer, bucket)


def test_a_put_needs_a_length(signer: Signer, bucket: str) -> None:
    headers = signer.headers("PUT", f"/{bucket}/k", "UNSIGNED-PAYLOAD") | {"transfer-encoding": "chunked"}
    connection = http.client.HTTPConnection(urlsplit(signer.server.endpoint).netloc, timeout=60)
    connection.request("PUT", f"/{bucket}/k", b"0\r\n\r\n", headers)
    answer = connection.getresponse()
    assert code((answer.status, answer.read())) == (411, "MissingContentLength")
    connection.close()


def test_a_put_beyond_5_gib_is_refused_before_its_body(signer: Signer, bucket: str) -> None:
    path = f"/{bucket}/k"
    headers = signer.headers("PUT", path, "UNSIGNED-PAYLOAD") | {
        "content-length": str((5 << 30) + 1),
        "expect": "100-continue",
    }
    assert code(send(signer.server, "PUT", path, headers)) == (400, "EntityTooLarge")


def test_a_client_that_asks_is_told_to_continue(signer: Signer, bucket: str) -> None:
    path = f"/{bucket}/k"
    headers = signer.headers("PUT", path, "UNSIGNED-PAYLOAD") | {"content-length": "5", "expect": "100-continue"}
    host, port = urlsplit(signer.server.endpoint).netloc.split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        connection.sendall(f"PUT {path} HTTP/1.1\r\n{lines}\r\n".encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"hello")
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")


def test_an_upload_that_breaks_off_leaves_nothing(signer: Signer, bucket: str) -> None:
    before = set((signer.server.data / "objects").iterdir())
    path = f"/{bucket}/k"
    headers = signer.headers("PUT", path, "UNSIGNED-PAYLOAD") | {"content-length": "1000000"}
    host, port = urlsplit(signer.server.endpoint).netloc.split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        connection.sendall(f"PUT {path} HTTP/1.1\r\n{lines}\r\n".encode() + b"x" * 500_000)
    assert nothing_is_there(signer, bucket)

    def is_gone() -> bool | None:
        return set((signer.server.data / "objects").iterdir()) <= before or None

    wait_until("the server to end the broken request", is_gone)


BILLION = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]><Delete><Object><Key>&b;</Key></Object></Delete>'
OUTSIDE = '<!DOCTYPE x SYSTEM "file:///etc/passwd"><Delete><Object><Key>x</Key></Object></Delete>'


@pytest.mark.parametrize(
    "body",
    [
        BILLION,
        OUTSIDE,
        "",
        "<Delete>",
        "<Other/>",
        "<Delete/>",
        "<Delete><Object/></Delete>",
        "<Delete><Object><Key>a</Key><Key>b</Key></Object></Delete>",
        "<a>" * 100_000,
        "<Delete>" + "<Object><Key>a</Key></Object>" * 1001 + "</Delete>",
        '<?xml version="1.0" encoding="utf-16"?><Delete><Object><Key>a</Key></Object></Delete>',
    ],
)
def test_hostile_xml_is_refused(signer: Signer, bucket: str, body: str) -> None:
    raw = body.encode()
    md5 = base64.b64encode(hashlib.md5(raw).digest()).decode()
    headers = signer.headers("POST", f"/{bucket}", hashlib.sha256(raw).hexdigest(), "delete=", content_md5=md5)
    assert code(send(signer.server, "POST", f"/{bucket}?delete", headers, raw)) == (400, "MalformedXML")


def test_an_upload_has_10000_parts_at_most(signer: Signer, bucket: str) -> None:
    s3 = signer.s3
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    part = "<Part><PartNumber>{}</PartNumber><ETag>x</ETag></Part>"
    for count, expected in ((10_000, "InvalidPart"), (10_001, "MalformedXML")):
        raw = (
            "<CompleteMultipartUpload>"
            + "".join(part.format(n) for n in range(1, count + 1))
            + "</CompleteMultipartUpload>"
        ).encode()
        headers = signer.headers("POST", f"/{bucket}/k", hashlib.sha256(raw).hexdigest(), f"uploadId={upload}")
        assert code(send(signer.server, "POST", f"/{bucket}/k?uploadId={upload}", headers, raw)) == (400, expected)
    s3.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=upload)


@pytest.mark.parametrize(
    "body",
    [
        '<CreateBucketConfiguration xmlns="http://doc.s3.amazonaws.com/2006-03-01"><LocationConstraint>us-east-1</LocationConstraint></CreateBucketConfiguration>',
        "<CreateBucketConstraint><LocationConstraint>us-east-1</LocationConstraint></CreateBucketConstraint>",
    ],
    ids=["euca2ools", "ec2-ami-tools"],
)
def test_buckets_are_made_as_the_old_tools_ask(signer: Signer, body: str) -> None:
    name = "old" + os.urandom(6).hex()
    headers = signer.headers("PUT", f"/{name}", hashlib.sha256(body.encode()).hexdigest())
    assert send(signer.server, "PUT", f"/{name}", headers, body.encode())[0] == 200
    signer.s3.delete_bucket(Bucket=name)


@pytest.mark.parametrize("name", ["UP", "ab", "a..b", "a_b", "1.2.3.4", "-ab", "ab-", "xn--a", "a" * 64])
def test_a_bucket_name_that_is_none_is_refused(signer: Signer, name: str) -> None:
    headers = signer.headers("PUT", f"/{name}", EMPTY)
    assert code(send(signer.server, "PUT", f"/{name}", headers)) == (400, "InvalidBucketName")


def test_a_key_that_is_not_utf_8_is_refused(signer: Signer, bucket: str) -> None:
    headers = signer.headers("PUT", f"/{bucket}/%FF", EMPTY)
    assert code(send(signer.server, "PUT", f"/{bucket}/%FF", headers)) == (400, "InvalidURI")


def test_without_a_signature_nothing_is_read(signer: Signer, bucket: str) -> None:
    signer.s3.put_object(Bucket=bucket, Key="k", Body=b"x", ACL="public-read")
    host = {"host": urlsplit(signer.server.endpoint).netloc}
    assert code(send(signer.server, "GET", f"/{bucket}/k", host)) == (403, "AccessDenied")
    assert code(send(signer.server, "PUT", f"/{bucket}/k", host, b"y")) == (403, "AccessDenied")


def test_huge_headers_are_refused(signer: Signer, bucket: str) -> None:
    headers = signer.headers("GET", f"/{bucket}/k", EMPTY) | {"x-other": "x" * 70_000}
    assert send(signer.server, "GET", f"/{bucket}/k", headers)[0] in (400, 413, 431)


def test_other_methods_and_subresources_are_not_implemented(signer: Signer, bucket: str) -> None:
    headers = signer.headers("GET", f"/{bucket}", EMPTY, "made-up=")
    assert code(send(signer.server, "GET", f"/{bucket}?made-up", headers)) == (501, "NotImplemented")
    headers = signer.headers("PATCH", f"/{bucket}", EMPTY)
    assert code(send(signer.server, "PATCH", f"/{bucket}", headers)) == (405, "MethodNotAllowed")


def test_a_bucket_named_by_the_host_is_found(signer: Signer, bucket: str) -> None:
    signer.s3.put_object(Bucket=bucket, Key="k", Body=b"virtual")
    port = urlsplit(signer.server.endpoint).port
    hosted = Signer(signer.server, signer.s3, signer.now)
    path_style = hosted.server.endpoint
    try:
        hosted.server.endpoint = f"http://{bucket}.localhost:{port}"
        headers = hosted.headers("GET", "/k", EMPTY)
    finally:
        hosted.server.endpoint = path_style
    assert send(signer.server, "GET", "/k", headers) == (200, b"virtual")
