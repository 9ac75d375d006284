"""A bundle with its assurance: published, read at random out of the bucket, registered; and refused where its sidecar lies."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.support import journey
from tests.support.server import Server, shell_environment

MIB = 1 << 20
SIZE = 24 * MIB


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    with path.open("wb") as file:
        file.truncate(SIZE)
        os.pwrite(file.fileno(), os.urandom(12 * MIB), MIB)
        os.pwrite(file.fileno(), b"the end", SIZE - 7)
    return path


def read(server: Server, *words: str) -> bytes:
    """What ``amiable bundle read`` writes to standard output."""
    command = [sys.executable, "-m", "amiable.cli.main", "bundle", "read", *words]
    return subprocess.run(command, env=shell_environment(server), capture_output=True, check=True, timeout=60).stdout


def test_a_bundle_is_read_out_of_its_bucket_and_registered_by_its_sidecar(server: Server, image: Path) -> None:
    ec2, s3 = server.client("ec2"), server.client("s3")
    folder = image.parent / "bundle"
    journey.amiable(server, "bundle", "create", "-i", str(image), "-d", str(folder), "-r", "x86_64")
    location = journey.amiable(
        server, "bundle", "upload", "-m", str(folder / "disk.img.manifest.xml"), "-b", "assured/one"
    ).stdout.strip()
    held = {found["Key"] for found in s3.list_objects(Bucket="assured", Prefix="one/")["Contents"]}
    assert "one/disk.img.assurance.json" in held

    data = image.read_bytes()
    words = ["-m", "disk.img.manifest.xml", "-b", "assured/one"]
    assert read(server, *words, "--offset", str(10 * MIB - 5), "--size", str(MIB)) == data[10 * MIB - 5 : 11 * MIB - 5]
    assert read(server, *words, "--offset", str(SIZE - 9)) == b"\0\0the end"

    image_id = ec2.register_image(Name="assured", ImageLocation=location, VirtualizationType="hvm")["ImageId"]
    ec2.get_waiter("image_available").wait(ImageIds=[image_id], WaiterConfig={"Delay": 1, "MaxAttempts": 60})

    # The sidecar of another bundle of the same account: its signature is good, and it does not fit.
    journey.amiable(server, "bundle", "create", "-i", str(image), "-d", str(folder), "-r", "x86_64", "--force")
    other = (folder / "disk.img.assurance.json").read_bytes()
    s3.put_object(Bucket="assured", Key="one/disk.img.assurance.json", Body=other, ACL="aws-exec-read")
    with pytest.raises(ClientError) as refused:
        ec2.register_image(Name="again", ImageLocation=location, VirtualizationType="hvm")
    assert refused.value.response["Error"]["Code"] == "InvalidManifest"
    assert "belongs to another manifest" in refused.value.response["Error"]["Message"]
