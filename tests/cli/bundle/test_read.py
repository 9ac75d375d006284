"""``amiable bundle read``, and what ``verify`` and ``unbundle`` do with a sidecar."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from amiable.cli.main import main
from amiable.model.units import BLOCK_BYTES
from amiable.rules.content_digest import content_digest
from tests.cli.bundle.bundles import CASE, create, local


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    with path.open("wb") as file:
        file.truncate(6 << 20)
        os.pwrite(file.fileno(), b"first" * 1000, 0)
        os.pwrite(file.fileno(), b"later" * 100_000, 3 << 20)
    return path


def manifest_of(image: Path) -> str:
    return str(image.with_name("disk.img.manifest.xml"))


def sidecar_of(image: Path) -> Path:
    return image.with_name("disk.img.assurance.json")


def test_read_writes_the_bytes_that_were_asked_for(image: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert create(image, *local()) == 0
    capfdbinary.readouterr()
    assert main(["bundle", "read", "-m", manifest_of(image), "--offset", str((3 << 20) - 3), "--size", "9"]) == 0
    assert capfdbinary.readouterr().out == b"\0\0\0laterl"


def test_read_without_a_size_writes_the_whole_image_to_a_new_file(image: Path, tmp_path: Path) -> None:
    assert create(image, *local()) == 0
    out = tmp_path / "out"
    assert main(["bundle", "read", "-m", manifest_of(image), "-d", str(out)]) == 0
    assert out.read_bytes() == image.read_bytes()
    assert main(["bundle", "read", "-m", manifest_of(image), "-d", str(out)]) == 1


def test_read_needs_the_sidecar(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert create(image, *local("--no-assurance")) == 0
    assert not sidecar_of(image).exists()
    assert main(["bundle", "read", "-m", manifest_of(image)]) == 1
    assert "no assurance" in capsys.readouterr().err


def test_verify_says_what_the_sidecar_adds(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert create(image, *local()) == 0
    capsys.readouterr()
    assert main(["bundle", "verify", "-m", manifest_of(image), "--output", "json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert "bound by SHA-256" in shown["Assurance"]
    whole = image.read_bytes()
    blocks = [whole[at : at + BLOCK_BYTES] for at in range(0, len(whole), BLOCK_BYTES)]
    digests = [(index, hashlib.sha256(block).digest()) for index, block in enumerate(blocks)]
    assert shown["ContentDigest"] == content_digest(len(whole), digests).hex()
    assert main(["bundle", "verify", "-m", manifest_of(image), "--waive-assurance"]) == 0
    assert "not checked" in capsys.readouterr().out
    assert main(["bundle", "verify", str(CASE)]) == 0
    assert "SHA-1 only" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["verify", "unbundle"])
def test_a_sidecar_that_does_not_fit_is_refused_unless_it_is_waived(
    verb: str, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert create(image, *local()) == 0
    old = sidecar_of(image).read_bytes()
    assert create(image, *local("--force")) == 0
    sidecar_of(image).write_bytes(old)
    words = ["bundle", verb, "-m", manifest_of(image), *(["-d", str(tmp_path / "out")] if verb == "unbundle" else [])]
    assert main(words) == 1
    assert "belongs to another manifest" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([*words, "--waive-assurance"]) == 0


def test_an_ed25519_key_signs_and_its_public_key_verifies(
    image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = Ed25519PrivateKey.generate()
    private, public = tmp_path / "ed25519.key", tmp_path / "ed25519.pub"
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    public.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    assert create(image, *local("--assurance-key", str(private))) == 0
    assert main(["bundle", "verify", "-m", manifest_of(image), "--assurance-key", str(public)]) == 0
    assert main(["bundle", "verify", "-m", manifest_of(image)]) == 1
    assert "not signed by a key that is trusted" in capsys.readouterr().err
    sidecar_of(image).unlink()
    assert main(["bundle", "verify", "-m", manifest_of(image)]) == 0
    assert main(["bundle", "verify", "-m", manifest_of(image), "--assurance-key", str(public)]) == 1


def test_without_a_certificate_the_sidecar_is_not_read_and_that_is_said(
    image: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert create(image, *local()) == 0
    monkeypatch.delenv("EC2_CERT")
    assert main(["bundle", "verify", "-m", manifest_of(image), "--waive-signature"]) == 0
    assert "assurance was not read" in capsys.readouterr().err


def test_read_fetches_from_a_bucket_only_what_it_needs(
    image: Path, s3: Any, capfdbinary: pytest.CaptureFixture[bytes], sent: list[tuple[str, Any]]
) -> None:
    noise = os.urandom(12 << 20)
    with image.open("r+b") as file:
        os.pwrite(file.fileno(), noise, 6 << 20)
    assert create(image, *local()) == 0
    s3.create_bucket(Bucket="images")
    for path in image.parent.glob("disk.img.*"):
        s3.put_object(Bucket="images", Key=f"web/{path.name}", Body=path.read_bytes())
    sent.clear()
    capfdbinary.readouterr()
    words = ["bundle", "read", "-m", "disk.img.manifest.xml", "-b", "images/web"]
    assert main([*words, "--offset", str(7 << 20), "--size", "1000"]) == 0
    assert capfdbinary.readouterr().out == noise[1 << 20 : (1 << 20) + 1000]
    names = [path.removeprefix("GET images/web/disk.img.") for path, _ in sent]
    assert sorted(set(names)) == ["assurance.json", "manifest.xml", "part.00"] and len(names) <= 4
    s3.delete_object(Bucket="images", Key="web/disk.img.part.00")
    assert main([*words, "--offset", str(7 << 20), "--size", "1000"]) == 1
    s3.put_object(Bucket="images", Key="web/disk.img.part.00", Body=b"short")
    assert main([*words, "--offset", str(7 << 20), "--size", "1000"]) == 1
    s3.delete_object(Bucket="images", Key="web/disk.img.assurance.json")
    assert main(words) == 1
    told = capfdbinary.readouterr().err
    assert b"is missing" in told and b"ends before" in told and b"no assurance" in told
