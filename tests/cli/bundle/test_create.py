"""``amiable bundle create``: what it prints, what it refuses, what it asks of a server."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from amiable.bundle.manifest_xml import read_manifest
from amiable.cli.bundle.options import mappings
from amiable.cli.main import main
from amiable.model.errors import LocalRefusal
from amiable.model.manifest import Mapping
from tests.cli.bundle.bundles import KEYS, create, local


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


def test_a_key_for_an_assurance_that_is_left_out_is_refused(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert create(image, *local("--no-assurance", "--assurance-key", str(KEYS / "user.key"))) == 2
    assert "--no-assurance leaves nothing" in capsys.readouterr().err
    assert list(image.parent.glob("web.img.*")) == []


@pytest.mark.parametrize("verb", ["verify", "unbundle", "show"])
def test_a_manifest_that_is_not_there_is_an_error_of_input(verb: str, image: Path) -> None:
    assert main(["bundle", verb, "-m", str(image.parent / "none.manifest.xml")]) == 74


def test_a_missing_key_is_told_with_its_variable(
    image: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EC2_PRIVATE_KEY")
    assert create(image, *local()) == 2
    assert "set EC2_PRIVATE_KEY" in capsys.readouterr().err


def test_mappings_are_read_as_ec2_ami_tools_write_them() -> None:
    assert mappings("") == ()
    assert mappings("ami=sda1,root=/dev/sda1") == (Mapping("ami", "sda1"), Mapping("root", "/dev/sda1"))
    for wrong in ("ami", "ami=", "=sda1", "ami=sda1,ami=sda2"):
        with pytest.raises(LocalRefusal):
            mappings(wrong)


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


def create_from_input(folder: Path, source: Any, *more: str) -> "subprocess.CompletedProcess[bytes]":
    code = "import sys; from amiable.cli.main import main; sys.exit(main(sys.argv[1:]))"
    words = ["bundle", "create", "-i", "-", "-d", str(folder), "-r", "x86_64", *local(), *more]
    return subprocess.run(
        [sys.executable, "-c", code, *words], stdin=source, capture_output=True, check=False, timeout=120
    )


def test_standard_input_is_bundled_from_a_pipe_of_the_declared_size_or_a_file(image: Path, tmp_path: Path) -> None:
    for number, more in enumerate([("--image-size", str(image.stat().st_size)), ()]):
        with subprocess.Popen(["cat", str(image)], stdout=subprocess.PIPE) as cat, image.open("rb") as file:
            done = create_from_input(tmp_path, cat.stdout if more else file, "-p", f"piped{number}", *more)
        assert done.returncode == 0, done.stderr
        manifest = Path(done.stdout.decode().strip())
        assert manifest == tmp_path / f"piped{number}.manifest.xml"
        assert main(["bundle", "unbundle", "-m", str(manifest), "-d", str(tmp_path)]) == 0
        assert (tmp_path / f"piped{number}").read_bytes() == image.read_bytes()


def test_a_pipe_needs_its_size_and_every_input_a_name(image: Path, tmp_path: Path) -> None:
    with subprocess.Popen(["cat", str(image)], stdout=subprocess.PIPE) as cat:
        done = create_from_input(tmp_path, cat.stdout, "-p", "piped")
        assert cat.stdout is not None
        cat.stdout.close()
    assert done.returncode == 1
    assert b"must be declared\n\nhint: pass --image-size" in done.stderr
    assert create_from_input(tmp_path, subprocess.DEVNULL, "--image-size", "5").returncode == 2
    assert main(["bundle", "create", "-i", str(image), "-d", str(tmp_path), *local(), "--image-size", "5"]) == 2


def test_the_assurance_is_written_unless_it_is_not_wanted(image: Path) -> None:
    assert create(image, *local()) == 0
    assert (image.parent / "web.img.assurance.json").is_file()
    assert create(image, *local("-p", "plain", "--no-assurance")) == 0
    assert not (image.parent / "plain.assurance.json").exists()


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


def test_an_image_that_is_none_leaves_no_folder(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, absent = image.parent / "new" / "folder", image.parent / "absent.img"
    for path in (absent, image.parent):
        command = ["bundle", "create", "-i", str(path), "-d", str(folder), "-r", "x86_64", *local("-p", "web")]
        assert main(command) != 0
        assert capsys.readouterr().err.startswith("error: ")
        assert not folder.parent.exists()


def test_a_name_that_no_bundle_has_leaves_no_folder(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = image.parent / "new"
    assert main(["bundle", "create", "-i", str(image), "-d", str(folder), "-r", "x86_64", *local("-p", "a b")]) == 1
    assert "cannot be a bundle's name" in capsys.readouterr().err
    assert not folder.exists()
