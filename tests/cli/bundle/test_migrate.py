"""``amiable bundle migrate`` against a real server: from another cloud to here, from here to another, in buckets."""

import gzip
import os
from pathlib import Path

import pytest

from amiable.bundle.manifest_xml import read_manifest, verify_signature
from amiable.cli.bundle.connection import Connection
from amiable.model.units import MIB
from tests.cli.bundle.bundles import KEYS
from tests.rules.elf import elf, notes, pv_notes
from tests.support.journey import amiable
from tests.support.server import Server

OLD_PV_GRUB = "aki-919dcaf8"


@pytest.fixture(scope="module")
def pv_grub(server: Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A kernel of the server's own that says that it is PV-GRUB for bare disks."""
    path = tmp_path_factory.mktemp("k") / "grub"
    path.write_bytes(gzip.compress(elf(64, segment=notes(pv_notes()))))
    return amiable(server, "kernel", "add", "--kernel", str(path), "--pv-grub", "hd0", "--output", "id").stdout.strip()


@pytest.fixture
def foreign(server: Server, tmp_path: Path) -> Path:
    """The manifest of a bundle that was made for another cloud and names its PV-GRUB."""
    image = tmp_path / "web.img"
    image.write_bytes(os.urandom(MIB))
    words = ["-d", str(tmp_path), "-r", "x86_64", "--ec2cert", str(KEYS / "ec2.crt"), "--kernel", OLD_PV_GRUB]
    return Path(amiable(server, "bundle", "create", "-i", str(image), *words).stdout.strip())


def test_a_foreign_bundle_on_disk_fits_this_cloud_and_can_be_registered(
    server: Server, foreign: Path, pv_grub: str
) -> None:
    done = amiable(server, "bundle", "migrate", "-m", str(foreign))
    assert done.stdout == f"{foreign}\n"
    assert f"{OLD_PV_GRUB} is pv-grub-hd0 for x86_64, and so is {pv_grub}" in done.stderr
    assert read_manifest(Path(f"{foreign}.bak").read_bytes()).kernel_id == OLD_PV_GRUB
    location = amiable(server, "bundle", "upload", "-m", str(foreign), "-b", "migrated").stdout.strip()
    ec2 = server.client("ec2")
    image = ec2.register_image(Name="migrated", ImageLocation=location, VirtualizationType="paravirtual")["ImageId"]
    ec2.get_waiter("image_available").wait(ImageIds=[image], WaiterConfig={"Delay": 1, "MaxAttempts": 120})
    assert ec2.describe_images(ImageIds=[image])["Images"][0]["KernelId"] == pv_grub


def test_in_buckets_the_server_does_the_work(server: Server, foreign: Path, pv_grub: str) -> None:
    amiable(server, "bundle", "upload", "-m", str(foreign), "-b", "from/old")
    done = amiable(server, "bundle", "migrate", "-m", foreign.name, "-b", "from/old", "-d", "onto/new")
    assert done.stdout == "onto/new/web.img.manifest.xml\n"
    keys = [row["Key"] for row in server.client("s3").list_objects(Bucket="onto")["Contents"]]
    assert keys == ["new/web.img.assurance.json", "new/web.img.manifest.xml", "new/web.img.part.00"]
    out = foreign.parent / "out"
    amiable(server, "bundle", "download", "-b", "onto/new", "-p", "web.img", "-d", str(out))
    assert read_manifest((out / foreign.name).read_bytes()).kernel_id == pv_grub
    amiable(server, "bundle", "verify", str(out / foreign.name))
    assert foreign.read_bytes() != (out / foreign.name).read_bytes()
    usage = amiable(server, "bundle", "migrate", "-m", foreign.name, "-b", "from/old", check=False)
    assert usage.returncode == 2


def test_a_bundle_of_this_cloud_goes_to_another(server: Server, foreign: Path) -> None:
    to = ["--kernel", "aki-12345678", "--ec2cert", str(KEYS / "other.crt"), "-u", "1111-2222-3333"]
    amiable(server, "bundle", "migrate", "-m", str(foreign), *to)
    found = read_manifest(foreign.read_bytes())
    assert (found.kernel_id, found.account_id) == ("aki-12345678", "111122223333")
    certificate = server.data / "accounts" / server.credentials()["AccountId"] / "signing.pem"
    verify_signature(found, certificate.read_bytes())
    out = foreign.parent / "out"
    amiable(server, "bundle", "unbundle", str(foreign), "-k", str(KEYS / "other.key"), "-d", str(out))
    assert out.read_bytes() == (foreign.parent / "web.img").read_bytes()


def test_a_kernel_that_nothing_stands_for_is_exit_6_and_changes_nothing(server: Server, foreign: Path) -> None:
    foreign.unlink()
    image, certificate = foreign.parent / "web.img", str(KEYS / "ec2.crt")
    words = ["-d", str(foreign.parent), "-r", "x86_64", "--ec2cert", certificate, "--kernel", "aki-00c0ffee", "--force"]
    amiable(server, "bundle", "create", "-i", str(image), *words)
    before = foreign.read_bytes()
    done = amiable(server, "bundle", "migrate", "-m", str(foreign), check=False)
    assert done.returncode == 6
    assert "error: nothing at the target stands for aki-00c0ffee\n\nhint: --kernel" in done.stderr
    asked = amiable(server, "bundle", "migrate", "-m", str(foreign), "--source-url", server.endpoint, check=False)
    assert asked.returncode == 6
    nowhere = ["--source-url", "http://127.0.0.1:9"]
    assert amiable(server, "bundle", "migrate", "-m", str(foreign), *nowhere, check=False).returncode == 7
    assert foreign.read_bytes() == before
    assert not Path(f"{foreign}.bak").exists()

    other = ["--source-url", server.endpoint, "--source-profile", "no-such-profile"]
    stranger = amiable(server, "bundle", "migrate", "-m", str(foreign), *other, check=False)
    assert stranger.returncode == 2
    assert "no-such-profile" in stranger.stderr and "hint: aws configure --profile" in stranger.stderr

    dry = amiable(server, "bundle", "migrate", "-m", str(foreign), "--no-mapping", check=False)
    assert dry.returncode == 1
    assert "would remove aki-00c0ffee from the manifest\n\nhint: add --yes" in dry.stderr
    assert foreign.read_bytes() == before
    amiable(server, "bundle", "migrate", "-m", str(foreign), "--no-mapping", "-y")
    assert read_manifest(foreign.read_bytes()).kernel_id is None


def test_a_manifest_that_was_changed_is_not_signed_again(server: Server, foreign: Path) -> None:
    foreign.write_bytes(foreign.read_bytes().replace(b"x86_64", b"i386"))
    done = amiable(server, "bundle", "migrate", "-m", str(foreign), "--kernel", "aki-12345678", check=False)
    assert done.returncode == 1
    assert "it was changed after signing" in done.stderr


def test_the_source_is_asked_as_the_profile_that_is_named_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "credentials").write_text("[there]\naws_access_key_id = THERE\naws_secret_access_key = secret\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "HERE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    connection = Connection(region="us-east-1", access_key="FLAG", secret_key="secret")
    asked = [connection.ec2("http://127.0.0.1:9", None, profile) for profile in (None, "there")]
    assert [client._request_signer._credentials.access_key for client in asked] == ["FLAG", "THERE"]
