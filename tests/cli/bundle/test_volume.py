"""``amiable bundle volume``: flags, what is inherited from a metadata service, what is refused before any work."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from amiable.bundle.manifest_xml import read_manifest
from amiable.cli.main import main
from amiable.model.manifest import Mapping
from tests.cli.bundle.bundles import KEYS, local

TOKEN = "a-token"
FACTS = {
    "kernel-id": "aki-12345678",
    "ramdisk-id": "ari-12345678",
    "product-codes": "CODE1\nCODE2",
    "block-device-mapping/": "ami\nroot",
    "block-device-mapping/ami": "sda1",
    "block-device-mapping/root": "/dev/sda1",
    "ancestor-ami-ids": "ami-00000001",
    "ami-id": "ami-00000002",
}


@contextmanager
def metadata_service(*, tokens: bool) -> Iterator[str]:
    """A metadata service with FACTS; with ``tokens`` it answers only those who bring one."""

    class Answers(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.answer(200, TOKEN) if tokens else self.answer(405, "")

        def do_GET(self) -> None:
            if tokens and self.headers["X-aws-ec2-metadata-token"] != TOKEN:
                self.answer(401, "")
            else:
                text = FACTS.get(self.path.removeprefix("/latest/meta-data/"))
                self.answer(404, "") if text is None else self.answer(200, text)

        def answer(self, status: int, text: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root/etc").mkdir(parents=True)
    (tmp_path / "root/etc/passwd").write_text("root\n")
    (tmp_path / "root/etc/a.swp").write_text("swap")
    return tmp_path / "root"


def volume(root: Path, *more: str) -> int:
    form = [] if {"--partition", "--size"} & set(more) else ["-P", "none", "-s", "16"]
    return main(["bundle", "volume", "-v", str(root), *form, "-r", "x86_64", *more])


@pytest.mark.parametrize(
    ("folder", "words", "said"),
    [
        ("/nowhere", (), "/nowhere is no folder"),
        ("/etc/passwd", (), "/etc/passwd is no folder"),
        ("root", ("--script", "/etc/passwd"), "/etc/passwd is no program that can be run"),
        ("root", ("--label", "l" * 17), "a label has at most 16 bytes"),
        ("root", ("-p", "there"), "there.manifest.xml exists already"),
    ],
)
def test_what_cannot_be_is_refused_before_the_metadata_service_is_asked(
    folder: str, words: tuple[str, ...], said: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root.parent / "there.manifest.xml").touch()
    nobody = local("--metadata-endpoint", "http://127.0.0.1:9")
    assert volume(root.parent / folder, "-d", str(root.parent), *nobody, *words) != 0
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("tokens", [True, False])
def test_a_bundle_inherits_what_the_instance_was_launched_with(
    tokens: bool, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with metadata_service(tokens=tokens) as endpoint:
        assert volume(root, "-d", str(root.parent), *local("--metadata-endpoint", endpoint)) == 0
    said = capsys.readouterr()
    manifest = read_manifest(Path(said.out.strip()).read_bytes())
    assert (manifest.name, manifest.kernel_id, manifest.ramdisk_id) == ("image", "aki-12345678", "ari-12345678")
    assert manifest.product_codes == ("CODE1", "CODE2")
    assert manifest.block_device_mapping == (Mapping("ami", "sda1"), Mapping("root", "/dev/sda1"))
    assert manifest.ancestor_ami_ids == ("ami-00000001", "ami-00000002")
    assert "left out: /etc/a.swp: editor's file" in said.err
    assert sorted(path.name for path in root.parent.iterdir() if "image" not in path.name) == ["root"]


def test_what_is_given_beats_what_is_inherited(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--kernel", "aki-99999999", "-B", "", "--productcodes", "MINE", "-p", "web"]
    with metadata_service(tokens=True) as endpoint:
        assert volume(root, "-d", str(root.parent), *given, *local("--metadata-endpoint", endpoint)) == 0
    manifest = read_manifest(Path(capsys.readouterr().out.strip()).read_bytes())
    assert (manifest.name, manifest.kernel_id, manifest.ramdisk_id) == ("web", "aki-99999999", "ari-12345678")
    assert (manifest.block_device_mapping, manifest.product_codes) == ((), ("MINE",))


def test_where_no_metadata_service_answers_the_way_out_is_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with metadata_service(tokens=True) as endpoint:
        pass
    assert volume(root, "-d", str(root.parent), *local("--metadata-endpoint", endpoint)) == 69
    said = capsys.readouterr().err
    assert "metadata service" in said and "--no-inherit" in said
    assert [path.name for path in root.parent.iterdir()] == ["root"]


def test_a_bundle_of_a_volume_opens_again(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert volume(root, "-d", str(root.parent), "--no-inherit", *local()) == 0
    manifest = capsys.readouterr().out.strip()
    assert main(["bundle", "verify", manifest, "-k", str(KEYS / "ec2.key"), "--output", "json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["Image"], facts["Size"]) == ("sound", 16 << 20)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["-B", "sda1"], "no block device mapping"),
        (["-p", "no name"], "cannot be a bundle's name"),
        (["--kernel", "aki 1"], "cannot be a kernel"),
        (["-p", "taken"], "taken.manifest.xml exists already"),
    ],
)
def test_what_no_bundle_can_have_is_refused_before_the_image_is_made(
    more: list[str], words: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root.parent / "taken.manifest.xml").write_text("")
    assert volume(root, "-d", str(root.parent), "--no-inherit", *local(), *more) in (1, 2)
    said = capsys.readouterr().err
    assert words in said and "image: " not in said
    assert sorted(path.name for path in root.parent.iterdir()) == ["root", "taken.manifest.xml"]


def test_an_image_that_ec2_refuses_is_warned_of_before_it_is_made(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size = ("-P", "none", "--size", "10241")
    assert volume(root, *size, "-d", str(root.parent), "--no-inherit", *local("-p", "no name")) == 1
    assert "warning: the image has 10.0 GiB: ec2-bundle-image and EC2 refuse" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--fstab", "x", "--generate-fstab"], "exclude each other"),
        (["--exclude", "/elsewhere"], "does not lie below"),
        (["--fstab", "/nowhere/fstab"], "cannot be read"),
        (["--partition", "apm"], "apm"),
        (["--size", "1"], "size"),
        (["--size", "16777216"], "size"),
    ],
)
def test_flags_that_cannot_hold_are_refused(
    more: list[str], words: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert volume(root, "--image-only", str(root.parent / "image"), *more) in (2, 74)
    assert words in capsys.readouterr().err
    assert [path.name for path in root.parent.iterdir()] == ["root"]


def test_a_refusal_while_the_image_is_made_leaves_no_folder(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = root.parent / "new" / "folder"
    (root / "large").write_bytes(b"x" * (17 << 20))  # the image has 16 MiB
    assert volume(root, "-d", str(folder), "--no-inherit", *local()) != 0
    assert capsys.readouterr().err.startswith("error: ")
    assert not folder.parent.exists()


def test_excludes_may_be_several_with_commas_between(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b", "c"):
        (root / name).mkdir()
    words = ["-e", f"{root}/a,{root}/b", "-e", f"{root}/etc/pass*", "--image-only", str(root.parent / "image")]
    assert volume(root, *words) == 0
    said = capsys.readouterr()
    assert said.out == f"{root.parent / 'image'}\n"
    for path in ("/a", "/b", "/etc/passwd"):
        assert f"left out: {path}: --exclude" in said.err
    assert "/c:" not in said.err
