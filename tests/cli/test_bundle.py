"""``amiable bundle``: what it prints, what it refuses, and what arrives in a bucket."""

import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import boto3
import pytest
from botocore.httpsession import URLLib3Session
from moto.server import ThreadedMotoServer

from amiable.bundle.manifest_xml import read_manifest
from amiable.cli import bundle
from amiable.cli.main import main
from amiable.model.errors import LocalRefusal
from amiable.model.manifest import Mapping
from tests.support.cases import cases_dir

KEYS = cases_dir() / "bundles" / "keys"
CASE = cases_dir() / "bundles" / "good" / "euca34-four-parts" / "small.img.manifest.xml"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("AWS_", "EC2_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("EC2_CERT", str(KEYS / "user.crt"))
    monkeypatch.setenv("EC2_PRIVATE_KEY", str(KEYS / "user.key"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "web.img"
    path.write_bytes(os.urandom(1 << 20) + bytes(1 << 20))
    return path


def create(image: Path, *more: str) -> int:
    words = ["bundle", "create", "-i", str(image), "-d", str(image.parent), "-r", "x86_64", "--type", "kernel"]
    return main([*words, *more])


def local(*more: str) -> tuple[str, ...]:
    return ("-u", "1234-5678-9012", "--ec2cert", str(KEYS / "ec2.crt"), *more)


def test_create_verify_unbundle_in_the_shell_s_manners(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert create(image, *local("-B", "ami=sda1,root=/dev/sda1", "--kernel", "aki-12345678")) == 0
    said = capsys.readouterr()
    manifest = Path(said.out.strip())
    assert manifest == image.parent / "web.img.manifest.xml"
    assert f"next: amiable bundle upload -m {manifest} -b BUCKET" in said.err

    assert main(["bundle", "verify", str(manifest), "--output", "json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["OwnerId"] == "123456789012"
    assert facts["BlockDeviceMapping"] == "ami=sda1,root=/dev/sda1"
    assert (facts["Signature"], facts["Image"]) == ("valid", "sound")

    out = image.parent / "out"
    out.mkdir()
    assert main(["bundle", "unbundle", "-m", str(manifest), "-d", str(out), "-k", str(KEYS / "ec2.key")]) == 0
    assert capsys.readouterr().out == f"{out / 'web.img'}\n"
    assert (out / "web.img").read_bytes() == image.read_bytes()
    assert main(["bundle", "unbundle", "-m", str(manifest), "-d", str(out)]) == 1
    assert "hint: --force replaces it" in capsys.readouterr().err
    assert main(["bundle", "unbundle", "-m", str(manifest), "-d", str(out), "--force"]) == 0


def test_verify_without_a_key_says_what_it_did_not_look_at(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EC2_PRIVATE_KEY")
    assert main(["bundle", "verify", str(CASE)]) == 0
    assert "not opened: no private key" in capsys.readouterr().out


def test_a_refusal_is_an_error_a_blank_line_and_a_hint(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["bundle", "unbundle", str(CASE), "-k", str(KEYS / "other.key"), "-d", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: The private key does not open this bundle")
    assert "\n\nhint: " in said.err
    assert list(tmp_path.iterdir()) == []


def test_an_unsigned_bundle_opens_only_where_that_is_waived(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    unsigned = CASE.parents[1] / "euca34-unsigned" / "small.img.manifest.xml"
    words = ["bundle", "unbundle", str(unsigned), "-d", str(tmp_path)]
    assert main(words) == 1
    assert "not signed" in capsys.readouterr().err
    assert main([*words, "--waive-signature"]) == 0
    assert (tmp_path / "small.img").stat().st_size == 142000


def test_a_missing_key_is_told_with_its_variable(
    image: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EC2_PRIVATE_KEY")
    assert create(image, *local()) == 2
    assert "set EC2_PRIVATE_KEY" in capsys.readouterr().err


def test_mappings_are_read_as_ec2_ami_tools_write_them() -> None:
    assert bundle.mappings("") == ()
    assert bundle.mappings("ami=sda1,root=/dev/sda1") == (Mapping("ami", "sda1"), Mapping("root", "/dev/sda1"))
    for wrong in ("ami", "ami=", "=sda1", "ami=sda1,ami=sda2"):
        with pytest.raises(LocalRefusal):
            bundle.mappings(wrong)


@pytest.mark.parametrize("verb", ["create", "unbundle"])
def test_where_no_room_is_left_the_place_is_named_and_nothing_remains(image: Path, verb: str) -> None:
    """A limit on the size of files stands in for a full disk."""
    if verb == "unbundle":
        assert create(image, *local()) == 0
    before = sorted(image.parent.iterdir())
    words = {
        "create": ["create", "-i", str(image), "-d", str(image.parent), "--type", "kernel", *local()],
        "unbundle": ["unbundle", "-m", f"{image}.manifest.xml", "-d", str(image.parent / "out")],
    }
    code = "import resource, sys; from amiable.cli.main import main;"
    code += "resource.setrlimit(resource.RLIMIT_FSIZE, (700_000, 700_000)); sys.exit(main(['bundle', *sys.argv[1:]]))"
    done = subprocess.run([sys.executable, "-c", code, *words[verb]], capture_output=True, check=False, timeout=120)
    assert done.returncode == 74
    assert done.stderr.decode().startswith(f"error: {image.parent}")
    assert "cannot be written: File too large\n\nhint: make room" in done.stderr.decode()
    assert sorted(image.parent.iterdir()) == before


class Cloud(BaseHTTPRequestHandler):
    """Answers what ``create`` asks of a server: the account, the bundling certificate."""

    seen: ClassVar[list[tuple[str, str]]] = []

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers["Authorization"]))
        self.answer(json.dumps({"Certificate": (KEYS / "ec2.crt").read_text()}))

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(
            '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
            "<Arn>arn:aws:iam::210987654321:root</Arn><UserId>210987654321</UserId><Account>210987654321</Account>"
            "</GetCallerIdentityResult></GetCallerIdentityResponse>"
        )

    def answer(self, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    Cloud.seen.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Cloud) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        yield server
        server.shutdown()
        thread.join()


def test_account_and_certificate_are_asked_of_the_server(
    image: Path, cloud: ThreadingHTTPServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert create(image) == 0
    manifest = Path(capsys.readouterr().out.strip())
    assert read_manifest(manifest.read_bytes()).account_id == "210987654321"
    ((path, authorization),) = Cloud.seen
    assert path == "/amiable/v1/bundling-certificate"
    assert "/us-east-1/amiable/aws4_request" in authorization
    out = image.parent / "out"
    assert main(["bundle", "unbundle", str(manifest), "-k", str(KEYS / "ec2.key"), "-d", str(out)]) == 0


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    client = boto3.client("s3", endpoint_url=f"http://{host}:{port}")
    yield client
    client.close()
    server.stop()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """(method and path, canned ACL) of every request that leaves; moto does not know Amazon's own ACL."""
    requests: list[tuple[str, Any]] = []
    send = URLLib3Session.send

    def record(self: URLLib3Session, request: Any) -> Any:
        acl = request.headers.get("x-amz-acl")
        path = request.url.partition("?")[0].split("/", 3)[3]
        requests.append((f"{request.method} {path}", acl.decode() if isinstance(acl, bytes) else acl))
        return send(self, request)

    monkeypatch.setattr(URLLib3Session, "send", record)
    return requests


def test_upload_makes_the_bucket_and_lets_the_service_read(
    s3: Any, sent: list[tuple[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bundle", "upload", "-m", str(CASE), "-b", "images/web//v1/"]) == 0
    said = capsys.readouterr()
    assert said.out == "images/web/v1/small.img.manifest.xml\n"
    assert "--image-location images/web/v1/small.img.manifest.xml" in said.err
    assert sent[:2] == [("HEAD images", None), ("PUT images", None)]
    assert {acl for _, acl in sent[2:]} == {"aws-exec-read"}
    assert sent[-1][0] == "PUT images/web/v1/small.img.manifest.xml"
    assert len(sent) == 7
    keys = {row["Key"]: row for row in s3.list_objects_v2(Bucket="images")["Contents"]}
    parts = {f"web/v1/small.img.part.{index:02d}" for index in range(4)}
    assert set(keys) == {"web/v1/small.img.manifest.xml", *parts}
    for key in keys:
        body = s3.get_object(Bucket="images", Key=key)["Body"].read()
        assert body == (CASE.parent / key.rpartition("/")[2]).read_bytes()
    assert main(["bundle", "upload", "-m", str(CASE), "-b", "images", "--acl", "private"]) == 0
    assert capsys.readouterr().out == "images/small.img.manifest.xml\n"


def test_a_damaged_bundle_is_not_uploaded(s3: Any, capsys: pytest.CaptureFixture[str]) -> None:
    damaged = CASE.parents[2] / "bad" / "part-bit-flipped" / "small.img.manifest.xml"
    assert main(["bundle", "upload", "-m", str(damaged), "-b", "damaged"]) == 1
    assert "small.img.part.01 (16384 bytes) is damaged" in capsys.readouterr().err
    assert "small.img.manifest.xml" not in {
        row["Key"] for row in s3.list_objects_v2(Bucket="damaged").get("Contents", [])
    }


HELP_CPU_SECONDS_MAX = 0.45
"""The promise is 150 ms on a quiet machine; CPU time is measured, and a slow one is given three times that."""


def test_help_starts_at_once_and_loads_none_of_the_heavy() -> None:
    code = (
        "import sys; from amiable.cli.main import main; main(['bundle', '--help']);"
        "print([name for name in ('boto3', 'botocore', 'cryptography', 'isal', 'sqlalchemy') if name in sys.modules], file=sys.stderr)"
    )
    before = children_cpu_seconds()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60)
    used = children_cpu_seconds() - before
    assert done.stderr.decode().splitlines()[-1] == "[]"
    assert b"create" in done.stdout
    assert used < HELP_CPU_SECONDS_MAX


def children_cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
