"""Signature version 2 and sessions over a real port, with botocore's own old signers as the clients."""

import base64
import hashlib
import hmac
import socket
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from amiable.api import accounts
from amiable.database import accounts as rows
from tests.server.edge import Answer, Edge, running_edge
from tests.support.services import make_account, open_services

FORM = {"content-type": "application/x-www-form-urlencoded; charset=UTF-8"}
REGIONS = {"Action": "DescribeRegions", "Version": "2009-11-30"}


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with open_services(tmp_path_factory.mktemp("edge") / "data") as services:
        account, _ = make_account(services, "edge")
        with running_edge(services, account) as running:
            yield running


def code_of(answer: Answer) -> str:
    root = ElementTree.fromstring(answer.text)
    return next((element.text or "" for element in root.iter() if element.tag.rpartition("}")[2] == "Code"), "")


# ── S3: Authorization: AWS key:signature ────────────────────────────────────────────────────────────────────────────────


def old_client(edge: Edge, **options: Any) -> Any:
    config = Config(
        signature_version="s3",
        retries={"max_attempts": 0},
        s3={"addressing_style": "path"},
        request_checksum_calculation="when_required",
    )
    return edge.client("s3", config=config, **options)


def test_botocores_old_signer_does_everything_that_an_uploader_does(edge: Edge) -> None:
    s3 = old_client(edge)
    s3.create_bucket(Bucket="classic")
    assert "classic" in [found["Name"] for found in s3.list_buckets()["Buckets"]]
    body = b"part" * 1000
    md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
    for key in ("pre/img.part.00", "pre/img.part.01", "pre//odd key+ü"):
        put = s3.put_object(
            Bucket="classic", Key=key, Body=body, ACL="aws-exec-read", ContentMD5=md5, Metadata={"a": "b  c"}
        )
        assert put["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    listed = s3.list_objects(Bucket="classic", Prefix="pre/", Marker="pre/img.part.00", MaxKeys=5)
    assert [found["Key"] for found in listed["Contents"]] == ["pre/img.part.01"]
    assert s3.get_bucket_location(Bucket="classic")["LocationConstraint"] is None
    assert s3.get_object(Bucket="classic", Key="pre//odd key+ü")["Body"].read() == body
    grants = s3.get_object_acl(Bucket="classic", Key="pre/img.part.00")["Grants"]
    assert [grant["Permission"] for grant in grants] == ["FULL_CONTROL", "READ"]
    s3.copy_object(Bucket="classic", Key="to", CopySource="classic/pre/img.part.00", ACL="aws-exec-read")
    s3.delete_objects(Bucket="classic", Delete={"Objects": [{"Key": "to"}]})
    with pytest.raises(ClientError, match="BadDigest"):
        s3.put_object(Bucket="classic", Key="x", Body=b"other", ContentMD5=md5)
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        old_client(edge, aws_secret_access_key="wrong").list_buckets()
    with pytest.raises(ClientError, match="InvalidAccessKeyId"):
        old_client(edge, aws_access_key_id="AKIANOBODY").list_buckets()


def sign_s3(edge: Edge, method: str, resource: str, headers: dict[str, str], date: str) -> dict[str, str]:
    """Headers as euca2ools and ec2-ami-tools make them: the resource is the path as it is sent."""
    amz = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers) if name.startswith("x-amz-"))
    content = [headers.get(name, "") for name in ("content-md5", "content-type")]
    text = "\n".join((method, *content, "" if "x-amz-date" in headers else date, amz + resource))
    digest = hmac.new(edge.account.secret.encode(), text.encode(), hashlib.sha1).digest()
    sent = {} if "x-amz-date" in headers else {"date": date}
    return {**headers, **sent, "authorization": f"AWS {edge.account.access_key_id}:{base64.b64encode(digest).decode()}"}


def http_date(moment: datetime) -> str:
    return format_datetime(moment, usegmt=True)


BY_HAND = [
    ("PUT", "/by-hand", "/by-hand", b""),
    (
        "PUT",
        "/by-hand",
        "/by-hand",
        b"<CreateBucketConstraint><LocationConstraint>US</LocationConstraint></CreateBucketConstraint>",
    ),
    ("GET", "/by-hand?max-keys=0", "/by-hand", b""),
    ("GET", "/by-hand?location", "/by-hand?location", b""),
    ("GET", "/by-hand/?acl", "/by-hand/?acl", b""),
    ("PUT", "/by-hand/a%2Fimg.part.0", "/by-hand/a%2Fimg.part.0", b"bytes"),
    ("GET", "/by-hand/a/img.part.0", "/by-hand/a/img.part.0", b""),
    ("DELETE", "/by-hand/a/img.part.0", "/by-hand/a/img.part.0", b""),
    ("GET", "/", "/", b""),
]


def test_requests_signed_over_the_path_as_sent_are_taken(edge: Edge) -> None:
    for method, target, resource, body in BY_HAND:
        headers = {"x-amz-acl": "aws-exec-read"} if target.endswith(".part.0") and method == "PUT" else {}
        answer = edge.send(method, target, body, sign_s3(edge, method, resource, headers, http_date(datetime.now(UTC))))
        assert answer.status in (200, 204), (method, target, answer.text)
        if target.endswith("/a/img.part.0") and method == "GET":
            assert answer.body == b"bytes"


def test_a_bucket_in_the_hosts_name_is_signed_before_the_path(edge: Edge) -> None:
    now = http_date(datetime.now(UTC))
    edge.send("PUT", "/virtual", headers=sign_s3(edge, "PUT", "/virtual", {}, now))
    headers = sign_s3(edge, "PUT", "/virtual/k", {}, now) | {"host": f"virtual.localhost:{edge.port}"}
    assert edge.send("PUT", "/k", b"1", headers).status == 200
    headers = sign_s3(edge, "PUT", "/k", {}, now) | {"host": f"virtual.localhost:{edge.port}"}
    assert code_of(edge.send("PUT", "/k", b"1", headers)) == "SignatureDoesNotMatch"


def test_a_date_16_minutes_off_is_refused_and_x_amz_date_counts_before_date(edge: Edge) -> None:
    now = datetime.now(UTC)
    for minutes in (-16, 16):
        date = http_date(now + timedelta(minutes=minutes))
        assert code_of(edge.send("GET", "/", headers=sign_s3(edge, "GET", "/", {}, date))) == "RequestTimeTooSkewed"
    headers = sign_s3(edge, "GET", "/", {"x-amz-date": http_date(now)}, "")
    assert edge.send("GET", "/", headers={**headers, "date": http_date(now - timedelta(days=1))}).status == 200


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"x-amz-acl": "public-read"}, "SignatureDoesNotMatch"),
        ({"content-type": "text/html"}, "SignatureDoesNotMatch"),
        ({"date": "yesterday"}, "AuthorizationHeaderMalformed"),
        ({"date": "Fri, 31 Dec 9999 23:59:59 -2300"}, "AuthorizationHeaderMalformed"),
        ({"authorization": "AWS nothing"}, "AuthorizationHeaderMalformed"),
        ({"x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}, "AuthorizationHeaderMalformed"),
    ],
)
def test_what_is_changed_after_signing_is_refused(edge: Edge, change: dict[str, str], code: str) -> None:
    headers = sign_s3(edge, "PUT", "/changed", {"x-amz-acl": "private"}, http_date(datetime.now(UTC)))
    assert code_of(edge.send("PUT", "/changed", b"", headers | change)) == code


def test_a_parameter_that_stands_for_a_header_is_refused_where_it_is_not_signed(edge: Edge) -> None:
    date = http_date(datetime.now(UTC))
    edge.send("PUT", "/hoisted", headers=sign_s3(edge, "PUT", "/hoisted", {}, date))
    headers = sign_s3(edge, "PUT", "/hoisted/k", {}, date)
    for query in ("x-amz-acl=public-read", "X-Amz-Meta-A=1", "x-amz-copy-source=/other/k"):
        assert code_of(edge.send("PUT", f"/hoisted/k?{query}", b"1", headers)) == "InvalidRequest"
    url = old_client(edge).generate_presigned_url(
        "put_object", Params={"Bucket": "hoisted", "Key": "k", "Metadata": {"a": "1\r\nb"}}
    )
    assert code_of(edge.send("PUT", url.removeprefix(edge.endpoint), b"1")) == "InvalidArgument"


def test_a_signature_for_s3_says_nothing_to_another_service(edge: Edge) -> None:
    headers = sign_s3(edge, "GET", "/", {}, http_date(datetime.now(UTC)))
    assert edge.send("GET", "/", headers=headers).status == 200
    for service in ("ec2", "sts", "iam", "amiable", "bootstrap"):
        scope = f"AKIA/20260101/us-east-1/{service}/aws4_request"
        answer = edge.send("GET", "/?" + urlencode({**REGIONS, "X-Amz-Credential": scope}), headers=headers)
        assert code_of(answer) == "InvalidRequest", answer.text


@pytest.mark.parametrize("is_right", [True, False])
def test_a_client_that_waits_to_be_told_sends_no_body_in_vain(edge: Edge, is_right: bool) -> None:
    date = http_date(datetime.now(UTC))
    edge.send("PUT", "/waiting", headers=sign_s3(edge, "PUT", "/waiting", {}, date))
    headers = sign_s3(edge, "PUT", "/waiting/k" if is_right else "/other/k", {}, date)
    headers |= {"host": f"127.0.0.1:{edge.port}", "content-length": "5", "expect": "100-continue"}
    head = "PUT /waiting/k HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"
    with socket.create_connection(("127.0.0.1", edge.port), timeout=30) as connection:
        connection.sendall(head.encode())
        first = connection.recv(65536)
        if is_right:
            assert first.startswith(b"HTTP/1.1 100 ")
            connection.sendall(b"12345")
            first = connection.recv(65536)
        assert first.startswith(b"HTTP/1.1 200 " if is_right else b"HTTP/1.1 403 ")


def test_a_body_is_held_to_the_hash_that_the_signature_covers(edge: Edge) -> None:
    now = http_date(datetime.now(UTC))
    edge.send("PUT", "/hashed", headers=sign_s3(edge, "PUT", "/hashed", {}, now))
    said = {"x-amz-content-sha256": hashlib.sha256(b"right").hexdigest()}
    headers = sign_s3(edge, "PUT", "/hashed/k", said, now)
    assert edge.send("PUT", "/hashed/k", b"right", headers).status == 200
    assert code_of(edge.send("PUT", "/hashed/k", b"wrong", headers)) == "XAmzContentSHA256Mismatch"


# ── the query protocol: a form that carries its signature ───────────────────────────────────────────────────────────────


def sign_form(
    edge: Edge, parameters: dict[str, str], *, method: str = "POST", algorithm: str = "HmacSHA256", **also: str
) -> str:
    """The form as boto 2 and euca2ools make it."""
    said = {
        **parameters,
        "AWSAccessKeyId": edge.account.access_key_id,
        "SignatureVersion": "2",
        "SignatureMethod": algorithm,
        "Timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        **also,
    }
    said = {name: value for name, value in said.items() if value}
    query = "&".join(f"{quote(name, safe='')}={quote(said[name], safe='-_~')}" for name in sorted(said))
    text = f"{method}\n127.0.0.1:{edge.port}\n/\n{query}"
    digest = hmac.new(edge.account.secret.encode(), text.encode(), algorithm.removeprefix("Hmac").lower()).digest()
    return urlencode({**said, "Signature": base64.b64encode(digest).decode()})


def test_botocores_version_2_signer_speaks_to_ec2_sts_and_iam(edge: Edge) -> None:
    config = Config(signature_version="v2", retries={"max_attempts": 0})
    assert edge.client("ec2", config=config).describe_regions()["Regions"][0]["RegionName"] == "us-east-1"
    filters = [{"Name": "name", "Values": ["a b", "ü*~&=", "c"]}]
    assert edge.client("ec2", config=config).describe_images(Filters=filters)["Images"] == []
    assert edge.client("sts", config=config).get_caller_identity()["Account"] == edge.account.account_id
    assert len(edge.client("iam", config=config).list_signing_certificates()["Certificates"]) == 1
    with pytest.raises(ClientError) as caught:
        edge.client("iam", config=config, aws_secret_access_key="wrong").list_signing_certificates()
    assert caught.value.response["Error"]["Code"] == "SignatureDoesNotMatch"


@pytest.mark.parametrize("algorithm", ["HmacSHA256", "HmacSHA1"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_form_by_hand_is_taken_in_query_or_body(edge: Edge, method: str, algorithm: str) -> None:
    form = sign_form(edge, REGIONS, method=method, algorithm=algorithm)
    answer = edge.send("GET", "/?" + form) if method == "GET" else edge.send("POST", "/", form.encode(), FORM)
    assert answer.status == 200 and "<regionName>us-east-1</regionName>" in answer.text


def test_expires_may_stand_for_the_time(edge: Edge) -> None:
    def at(**ahead: float) -> Answer:
        expires = (datetime.now(UTC) + timedelta(**ahead)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        return edge.send("POST", "/", sign_form(edge, REGIONS, Timestamp="", Expires=expires).encode(), FORM)

    assert at(minutes=5).status == 200
    assert code_of(at(minutes=-1)) == "RequestExpired"
    assert code_of(at(days=8)) == "RequestExpired"


@pytest.mark.parametrize(
    ("also", "code"),
    [
        ({"Timestamp": "2010-01-31T23:59:59Z"}, "RequestExpired"),
        ({"Timestamp": "now"}, "AuthFailure"),
        ({"SignatureVersion": "1"}, "AuthFailure"),
        ({"SignatureMethod": "HmacMD5"}, "AuthFailure"),
        ({"AWSAccessKeyId": "AKIANOBODY"}, "AuthFailure"),
        ({"Expires": "2099-01-31T23:59:59Z"}, "AuthFailure"),
        ({"SecurityToken": "made up"}, "AuthFailure"),
        ({"Colour": "red"}, "UnknownParameter"),
    ],
)
def test_a_form_that_is_wrong_is_refused(edge: Edge, also: dict[str, str], code: str) -> None:
    answer = edge.send("POST", "/", sign_form(edge, REGIONS, **also).encode(), FORM)
    assert code_of(answer) == code


def test_no_parameter_can_be_changed_added_or_doubled(edge: Edge) -> None:
    form = sign_form(edge, REGIONS)
    for changed in (
        form.replace("DescribeRegions", "DescribeVpcs"),
        form + "&DryRun=true",
        form + "&Action=DescribeVpcs",
        form.replace("SignatureMethod=HmacSHA256", "SignatureMethod=HmacSHA1"),
    ):
        assert code_of(edge.send("POST", "/", changed.encode(), FORM)) == "AuthFailure"
    assert code_of(edge.send("POST", "/?DryRun=true", form.encode(), FORM)) == "AuthFailure"
    assert code_of(edge.send("POST", "/", form.encode(), FORM | {"host": "elsewhere"})) == "AuthFailure"


@pytest.mark.parametrize(
    ("version", "action", "code"),
    [
        ("2011-06-15", "GetCallerIdentity", "SignatureDoesNotMatch"),
        ("2010-05-08", "ListSigningCertificates", "SignatureDoesNotMatch"),
    ],
)
def test_a_refusal_is_in_the_words_of_the_service_that_the_form_is_for(
    edge: Edge, version: str, action: str, code: str
) -> None:
    form = sign_form(edge, {"Action": action, "Version": version})
    answer = edge.send("POST", "/", form.encode(), FORM)
    assert answer.status == 200, answer.text
    answer = edge.send("POST", "/", (form + "&A=b").encode(), FORM)
    assert "<ErrorResponse" in answer.text and code_of(answer) == code


def test_an_unsigned_form_is_refused_as_before(edge: Edge) -> None:
    assert code_of(edge.send("POST", "/", urlencode(REGIONS).encode(), FORM)) == "AuthFailure"
    assert edge.send("GET", "/").status == 200


def test_an_installation_may_refuse_version_2_altogether(edge: Edge) -> None:
    services = replace(edge.services, settings=replace(edge.services.settings, signature_v2="off"))
    with running_edge(services, edge.account) as strict:
        date = http_date(datetime.now(UTC))
        answer = strict.send("GET", "/", headers=sign_s3(strict, "GET", "/", {}, date))
        assert code_of(answer) == "AuthorizationHeaderMalformed" and "AWS4-HMAC-SHA256" in answer.text
        assert code_of(strict.send("POST", "/", sign_form(strict, REGIONS).encode(), FORM)) == "AuthFailure"
        assert strict.client("s3").list_buckets()["ResponseMetadata"]["HTTPStatusCode"] == 200


# ── sessions ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def session_options(edge: Edge, **request: Any) -> dict[str, str]:
    said = edge.client("sts").get_session_token(**request)["Credentials"]
    return {
        "aws_access_key_id": said["AccessKeyId"],
        "aws_secret_access_key": said["SecretAccessKey"],
        "aws_session_token": said["SessionToken"],
    }


@pytest.mark.proves("sts", "GetSessionToken")
def test_a_session_speaks_for_its_account_in_every_protocol(edge: Edge) -> None:
    options = session_options(edge)
    assert edge.client("sts", **options).get_caller_identity()["Account"] == edge.account.account_id
    assert edge.client("ec2", **options).describe_regions()["Regions"]
    edge.client("ec2", config=Config(signature_version="v2"), **options).describe_regions()
    s3 = edge.client("s3", **options)
    s3.create_bucket(Bucket="of-a-session")
    old_client(edge, **options).put_object(Bucket="of-a-session", Key="k", Body=b"1", ACL="aws-exec-read")
    assert s3.get_object(Bucket="of-a-session", Key="k")["Body"].read() == b"1"
    for client in (s3, old_client(edge, **options)):
        url = client.generate_presigned_url("get_object", Params={"Bucket": "of-a-session", "Key": "k"})
        assert edge.send("GET", url.removeprefix(edge.endpoint)).body == b"1"


def test_a_session_makes_nothing_that_outlives_it(edge: Edge) -> None:
    options = session_options(edge)
    with pytest.raises(ClientError, match="AccessDenied"):
        edge.client("iam", **options).list_signing_certificates()
    for method, target in (("POST", "/amiable/v1/access-keys"), ("DELETE", "/amiable/v1/access-keys/AKIA1")):
        request = AWSRequest(method, edge.endpoint + target)
        SigV4Auth(Credentials(*options.values()), "amiable", "us-east-1").add_auth(request)
        answer = edge.send(method, target, headers=dict(request.headers.items()))
        assert answer.status == 403 and "UnauthorizedOperation" in answer.text
    request = AWSRequest("GET", edge.endpoint + "/amiable/v1/access-keys")
    SigV4Auth(Credentials(*options.values()), "amiable", "us-east-1").add_auth(request)
    assert edge.send("GET", "/amiable/v1/access-keys", headers=dict(request.headers.items())).status == 200


def test_a_session_cannot_ask_for_another_and_knows_no_mfa(edge: Edge) -> None:
    with pytest.raises(ClientError, match="session credentials"):
        edge.client("sts", **session_options(edge)).get_session_token()
    with pytest.raises(ClientError, match="MFA"):
        edge.client("sts").get_session_token(SerialNumber="arn:aws:iam::1:mfa/x", TokenCode="123456")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"aws_session_token": "made up"}, "InvalidToken"),
        ({"aws_session_token": base64.b64encode(bytes(200)).decode()}, "InvalidToken"),
        ({"aws_session_token": None}, "InvalidAccessKeyId"),
        ({"aws_secret_access_key": "wrong"}, "SignatureDoesNotMatch"),
        ({"aws_access_key_id": "ASIAOTHER"}, "InvalidToken"),
    ],
)
@pytest.mark.parametrize("maker", ["version 2", "version 4"])
def test_a_session_needs_its_own_key_secret_and_token(
    edge: Edge, change: dict[str, Any], code: str, maker: str
) -> None:
    options = {**session_options(edge), **change}
    client = old_client(edge, **options) if maker == "version 2" else edge.client("s3", **options)
    with pytest.raises(ClientError) as caught:
        client.list_buckets()
    assert caught.value.response["Error"]["Code"] == code


def test_a_token_with_an_ordinary_key_is_refused(edge: Edge) -> None:
    with pytest.raises(ClientError, match="InvalidToken"):
        edge.client("s3", aws_session_token=session_options(edge)["aws_session_token"]).list_buckets()


def test_a_session_ends_with_its_time_and_with_the_key_that_began_it(edge: Edge) -> None:
    later = replace(edge.services, clock=lambda: datetime.now(UTC) - timedelta(minutes=14))
    with running_edge(later, edge.account) as before:
        options = session_options(before, DurationSeconds=900)
        assert before.client("s3", **options).list_buckets()
    with running_edge(
        replace(edge.services, clock=lambda: datetime.now(UTC) + timedelta(minutes=10)), edge.account
    ) as after:
        for service, code in (("s3", "ExpiredToken"), ("sts", "ExpiredToken"), ("ec2", "RequestExpired")):
            client = after.client(service, **options)
            call = {"s3": "list_buckets", "sts": "get_caller_identity", "ec2": "describe_regions"}[service]
            with pytest.raises(ClientError) as caught:
                getattr(client, call)()
            assert caught.value.response["Error"]["Code"] == code
    key = accounts.create_access_key(edge.services, edge.account.account_id)
    options = session_options(replace(edge, account=replace(edge.account, access_key_id=key.id, secret=key.secret)))
    assert edge.client("s3", **options).list_buckets()
    with edge.services.database.write() as c:
        rows.delete_access_key(c, account_id=edge.account.account_id, key_id=key.id)
    with pytest.raises(ClientError, match="InvalidToken"):
        edge.client("s3", **options).list_buckets()


def test_a_token_can_be_asked_to_be_long(edge: Edge) -> None:
    assert len(session_options(edge, DurationSeconds=900)["aws_session_token"]) < 500
    options = session_options(edge, MinimumSessionTokenSize=4096)
    assert len(options["aws_session_token"]) >= 4096
    assert edge.client("sts", **options).get_caller_identity()["Account"] == edge.account.account_id
