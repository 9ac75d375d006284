"""A wrong key or certificate is told by its file's name, before anything is done with it."""

import subprocess
from pathlib import Path

import pytest

from amiable.cli.main import main
from tests.cli.bundle.bundles import CASE, KEYS


def made(path: Path, *command: str) -> Path:
    """The file that ``command`` makes at ``path``, its last word."""
    subprocess.run([*command, str(path)], check=True, capture_output=True, timeout=60)
    return path


def told(capsys: pytest.CaptureFixture[str], *words: str, code: int = 1) -> str:
    """What ``bundle verify`` of a sound bundle refuses with."""
    assert main(["bundle", "verify", "-m", str(CASE), *words]) == code
    said = capsys.readouterr()
    assert said.out == ""
    return said.err


def test_key_and_certificate_swapped_are_each_named(capsys: pytest.CaptureFixture[str]) -> None:
    key, certificate = str(KEYS / "user.key"), str(KEYS / "user.crt")
    assert f"error: {certificate} holds no private key\n\nhint: " in told(capsys, "-k", certificate)
    assert f"error: {key} holds no certificate\n\nhint: " in told(capsys, "-c", key)
    assert f"error: {key} holds neither a public key nor a certificate\n" in told(capsys, "--assurance-key", key)


def test_the_clouds_certificate_is_told_from_the_users(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = tmp_path / "disk"
    image.write_bytes(b"x" * 4096)
    key = str(KEYS / "ec2.key")
    words = ["-i", str(image), "-d", str(tmp_path / "b"), "-r", "x86_64", "-u", "123456789012", "--ec2cert", key]
    assert main(["bundle", "create", *words]) == 1
    assert f"error: {key} holds no certificate" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_a_key_under_a_passphrase_and_one_of_openssh_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    encrypted = made(
        tmp_path / "encrypted",
        "openssl",
        "pkey",
        "-in",
        str(KEYS / "user.key"),
        "-aes128",
        "-passout",
        "pass:x",
        "-out",
    )
    assert f"error: {encrypted} is protected by a passphrase\n\nhint: openssl pkey -in " in told(
        capsys, "-k", str(encrypted)
    )
    ssh = made(tmp_path / "id_rsa", "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f")
    assert f"error: {ssh} is a key for SSH" in told(capsys, "-k", str(ssh))


def test_a_file_that_is_not_there_is_told_with_what_it_should_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"error: private key {tmp_path}/none cannot be read: No such file" in told(
        capsys, "-k", f"{tmp_path}/none", code=74
    )
    assert f"error: certificate {tmp_path} cannot be read: Is a directory" in told(capsys, "-c", str(tmp_path), code=74)
