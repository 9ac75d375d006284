"""A bundle from upload to image in the very requests of the classic tools: signature version 2, forms, sessions, odd keys.

Nothing here is signed by a library: what ec2-ami-tools, euca2ools and boto 2 put on the wire is written out.
"""

import base64
import hashlib
import hmac
import http.client
import json
import uuid
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

import pytest

from tests.acceptance.test_bad_bundles import ACCOUNT, CASES, EXPECTED, prepare
from tests.support import journey
from tests.support.server import Server

CASE = "good/euca34-four-parts"
FILES = sorted(path for path in (CASES / CASE).iterdir() if path.name != "expect.json")
END_SECONDS_MAX = 120.0


@dataclass(frozen=True)
class Tool:
    """One of the old tools, with the credentials that it was given."""

    server: Server
    key_id: str
    secret: str
    token: str | None = None

    @property
    def host(self) -> str:
        return urlsplit(self.server.endpoint).netloc

    def send(
        self, method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, str]:
        with closing(http.client.HTTPConnection(self.host, timeout=60)) as connection:
            connection.request(method, target, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def s3(self, method: str, target: str, body: bytes = b"", **amz: str) -> tuple[int, str]:
        """S3 REST: Authorization: AWS key:signature, over Date, Content-MD5 and the x-amz-* headers."""
        headers = {f"x-amz-{name.replace('_', '-')}": value for name, value in amz.items()}
        if self.token is not None:
            headers["x-amz-security-token"] = self.token
        date, md5 = formatdate(usegmt=True), base64.b64encode(hashlib.md5(body).digest()).decode() if body else ""
        path, _, query = target.partition("?")
        resource = path + ("?" + query if query in ("location", "acl") else "")
        amazon = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
        signature = self.sign("\n".join((method, md5, "", date, amazon + resource)), "sha1")
        headers |= {"date": date, "authorization": f"AWS {self.key_id}:{signature}"}
        return self.send(method, target, body, headers | ({"content-md5": md5} if md5 else {}))

    def ec2(self, action: str, algorithm: str = "sha256", **parameters: str) -> ElementTree.Element:
        """The query protocol: a GET whose query carries its own signature, as euca2ools 2 sends it."""
        said = {
            "Action": action,
            "Version": "2009-11-30",
            "AWSAccessKeyId": self.key_id,
            "SignatureVersion": "2",
            "SignatureMethod": f"Hmac{algorithm.upper()}",
            "Timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S"),
            **({"SecurityToken": self.token} if self.token else {}),
            **parameters,
        }
        query = "&".join(f"{name}={quote(said[name], safe='-_~')}" for name in sorted(said))
        signature = self.sign(f"GET\n{self.host}\n/\n{query}", algorithm)
        status, text = self.send("GET", f"/?{urlencode({**said, 'Signature': signature})}")
        assert status == 200, text
        return ElementTree.fromstring(text)

    def sign(self, text: str, algorithm: str) -> str:
        return base64.b64encode(hmac.new(self.secret.encode(), text.encode(), algorithm).digest()).decode()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("classic") / "data"
    prepare(data, "")
    running = Server(data).start()
    try:
        yield running
    finally:
        assert running.close() == []


@pytest.fixture(params=["key", "session"])
def tool(server: Server, request: pytest.FixtureRequest) -> Tool:
    """With a key, and with what ``-t`` and ``--security-token`` give."""
    found = server.credentials(ACCOUNT)
    if request.param == "key":
        return Tool(server, found["AccessKeyId"], found["SecretAccessKey"])
    said = server.client("sts", ACCOUNT).get_session_token(DurationSeconds=3600)["Credentials"]
    return Tool(server, said["AccessKeyId"], said["SecretAccessKey"], said["SessionToken"])


def text_of(root: ElementTree.Element, name: str) -> str:
    return next((one.text or "" for one in root.iter() if one.tag.rpartition("}")[2] == name), "")


def register(tool: Tool, location: str) -> str:
    """Registers and waits; the state that the image ends in."""
    words = {"Name": f"classic {uuid.uuid4().hex[:8]}", "ImageLocation": location, "VirtualizationType": "hvm"}
    image_id = text_of(tool.ec2("RegisterImage", "sha1", **words), "imageId")

    def ended() -> str | None:
        state = text_of(tool.ec2("DescribeImages", **{"ImageId.1": image_id}), "imageState")
        return None if state == "pending" else state

    return journey.wait_until(f"{image_id} to end", ended, END_SECONDS_MAX)


def test_ec2_upload_bundle_and_ec2_register(tool: Tool) -> None:
    bucket, prefix = f"ami-tools-{uuid.uuid4().hex[:8]}", "images/2009"
    assert tool.s3("GET", f"/{bucket}?location")[0] == 404
    constraint = b"<CreateBucketConstraint><LocationConstraint>US</LocationConstraint></CreateBucketConstraint>"
    assert tool.s3("PUT", f"/{bucket}", constraint)[0] == 200
    status, text = tool.s3("GET", f"/{bucket}?location")
    assert status == 200 and "LocationConstraint" in text
    for path in FILES:  # the key's slashes are escaped, as Ruby's CGI.escape does
        key = quote(f"{prefix}/{path.name}", safe="")
        status, text = tool.s3("PUT", f"/{bucket}/{key}", path.read_bytes(), acl="aws-exec-read")
        assert status == 200, text
    manifest = EXPECTED[CASE]["manifest"]
    assert register(tool, f"{bucket}/{prefix}/{manifest}") == "available"
    # ec2-delete-bundle: listed by prefix, deleted, the bucket with them
    status, text = tool.s3("GET", f"/{bucket}?prefix={quote(prefix, safe='')}&max-keys=1000")
    keys = [one.text or "" for one in ElementTree.fromstring(text).iter() if one.tag.rpartition("}")[2] == "Key"]
    assert sorted(keys) == [f"{prefix}/{path.name}" for path in FILES]
    for found in keys:
        assert tool.s3("DELETE", f"/{bucket}/{found}")[0] == 204
    assert tool.s3("DELETE", f"/{bucket}")[0] == 204


def test_ec2_migrate_bundle_copies_on_the_server(tool: Tool) -> None:
    source, target = (f"{word}-{uuid.uuid4().hex[:8]}" for word in ("from", "to"))
    for bucket in (source, target):
        assert tool.s3("PUT", f"/{bucket}")[0] == 200
    for path in FILES:
        assert tool.s3("PUT", f"/{source}/{path.name}", path.read_bytes())[0] == 200
        copied = tool.s3("PUT", f"/{target}/{path.name}", acl="aws-exec-read", copy_source=f"/{source}/{path.name}")
        assert copied[0] == 200, copied[1]
    manifest = EXPECTED[CASE]["manifest"]
    assert register(tool, f"/{target}/{manifest}") == "available"


def post(tool: Tool, bucket: str, fields: dict[str, str], file: bytes) -> tuple[int, str]:
    boundary = uuid.uuid4().hex
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'.encode()
    body = b"".join(parts) + head + file + f"\r\n--{boundary}--\r\n".encode()
    return tool.send("POST", f"/{bucket}", body, {"content-type": f"multipart/form-data; boundary={boundary}"})


def test_euca_upload_bundle_with_an_upload_policy(tool: Tool) -> None:
    bucket = f"policy-{uuid.uuid4().hex[:8]}"
    assert tool.s3("PUT", f"/{bucket}")[0] == 200
    expiration = (datetime.now(UTC) + timedelta(hours=24)).strftime("%Y-%m-%dT%H:%M:%SZ")
    conditions = [{"acl": "ec2-bundle-read"}, {"bucket": bucket}, ["starts-with", "$key", "pre"]]
    policy = base64.b64encode(json.dumps({"conditions": conditions, "expiration": expiration}).encode()).decode()
    fields = {"acl": "ec2-bundle-read", "Policy": policy, "Signature": tool.sign(policy, "sha1")}
    fields |= {"AWSAccessKeyId": tool.key_id, **({"x-amz-security-token": tool.token} if tool.token else {})}
    for path in FILES:
        status, text = post(tool, bucket, {**fields, "key": f"pre/{path.name}"}, path.read_bytes())
        assert status == 204, text
    assert post(tool, bucket, {**fields, "key": "elsewhere"}, b"x")[0] == 403
    assert register(tool, f"{bucket}/pre/{EXPECTED[CASE]['manifest']}") == "available"


def test_a_bucket_that_is_not_writable_is_access_denied(server: Server, tool: Tool, tmp_path: Path) -> None:
    made = journey.amiable(server, "account", "create", "stranger" + uuid.uuid4().hex[:6], "--output", "json")
    found = json.loads(made.stdout)
    stranger = Tool(server, found["AccessKeyId"], found["SecretAccessKey"])
    bucket = f"mine-{uuid.uuid4().hex[:8]}"
    assert tool.s3("PUT", f"/{bucket}")[0] == 200
    status, text = stranger.s3("PUT", f"/{bucket}/k", b"1", acl="aws-exec-read")
    assert status == 403 and "<Code>AccessDenied</Code>" in text
