"""``amiable bundle publish`` against a real server: what is registered is the image, and a failure leaves nothing."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from sqlalchemy import select

from amiable.cli.bundle.publish import register_once
from amiable.database import schema
from amiable.model.units import BLOCK_BYTES, MIB
from tests.support import journey
from tests.support.server import Server, serving, shell_environment
from tests.support.services import open_services


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server of the test's own, for it is ended in the middle."""
    with serving(Server(tmp_path / "server" / "data")) as running:
        yield running


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A sparse disk that makes three parts."""
    path = tmp_path / "web.img"
    with path.open("wb") as file:
        file.write(os.urandom(25 * MIB))
        file.seek(47 * MIB)
        file.write(os.urandom(MIB // 2))
    return path


def content_of(data: Path, image_id: str, size_bytes: int) -> bytes:
    """The image's bytes as they lie in the installation, whose server has ended."""
    with open_services(data) as services:
        with services.database.read() as c:
            snapshot = c.execute(select(schema.image).where(schema.image.c.id == image_id)).one().root_snapshot_id
        blocks = [
            services.blocks.read(snapshot, index) or bytes(BLOCK_BYTES)
            for index in range(-(-size_bytes // BLOCK_BYTES))
        ]
    return b"".join(blocks)[:size_bytes]


def test_what_is_published_becomes_available_and_is_the_image(server: Server, disk: Path) -> None:
    words = ["bundle", "publish", "-i", str(disk), "-b", "images/v1", "-n", "web server", "--description", "from disk"]
    done = journey.amiable(server, *words, "-r", "x86_64", "-B", "ami=sda1,root=/dev/sda1", "--waiting", "1")
    image = done.stdout.strip()
    assert f"images/v1/web.img.manifest.xml\n\nnext: amiable launch {image}\n" in done.stderr
    (found,) = server.client("ec2").describe_images(ImageIds=[image])["Images"]
    assert (found["State"], found["Name"], found["Description"]) == ("available", "web server", "from disk")
    assert (found["VirtualizationType"], found["Architecture"]) == ("hvm", "x86_64")
    assert found["ImageLocation"] == "images/v1/web.img.manifest.xml"

    again = journey.amiable(server, *words, check=False)
    assert (again.returncode, again.stdout) == (1, "")
    assert "already in use" in again.stderr

    words[words.index("web server")] = "web server 2"
    refused = journey.amiable(server, *words, check=False)
    assert refused.returncode == 1
    assert "images/v1/web.img.manifest.xml exists already\n\nhint: --force" in refused.stderr

    server.stop()
    assert content_of(server.data, image, disk.stat().st_size) == disk.read_bytes()


def test_a_failed_registration_removes_what_was_uploaded_and_says_so(server: Server, disk: Path) -> None:
    words = ["bundle", "publish", "-i", str(disk), "-b", "images", "-u", "999999999999", "-r", "x86_64"]
    done = journey.amiable(server, *words, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "removed the 5 objects that were uploaded to images/" in done.stderr
    assert "error: " in done.stderr.splitlines()[-1] or "hint: " in done.stderr.splitlines()[-1]
    assert "Contents" not in server.client("s3").list_objects(Bucket="images")
    assert server.client("ec2").describe_images(Owners=["self"])["Images"] == []


def test_an_interrupted_publish_leaves_nothing(server: Server, tmp_path: Path) -> None:
    """The image comes through a pipe that stalls after two parts, so the interruption comes while parts leave."""
    words = ["bundle", "publish", "-i", "-", "-p", "web", "--image-size", str(64 * MIB), "-b", "images", "-r", "x86_64"]
    command = [sys.executable, "-m", "amiable.cli.main", *words]
    s3 = server.client("s3")
    s3.create_bucket(Bucket="images")
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=shell_environment(server), stdin=pipe, stdout=pipe, stderr=pipe) as running:
        assert running.stdin is not None
        running.stdin.write(os.urandom(25 * MIB))
        running.stdin.flush()
        journey.wait_until("a part in the bucket", lambda: s3.list_objects(Bucket="images").get("Contents"))
        running.send_signal(signal.SIGINT)
        status = running.wait(60)
        assert running.stderr is not None
        said = running.stderr.read().decode()
    assert status == 130
    assert "removed the " in said
    assert said.endswith("error: interrupted\n")
    assert "Contents" not in s3.list_objects(Bucket="images")


def test_a_kernel_is_published_too(server: Server, tmp_path: Path) -> None:
    kernel = tmp_path / "vmlinuz"
    kernel.write_bytes(b"MZ" + os.urandom(100_000))
    words = ["bundle", "publish", str(kernel), "-b", "kernels", "--type", "kernel", "-r", "x86_64", "--output", "json"]
    found = json.loads(journey.amiable(server, *words).stdout)
    assert (found["ImageType"], found["State"], found["ImageId"][:4]) == ("kernel", "available", "aki-")


class LostAnswer:
    """An EC2 whose first answer to RegisterImage got lost, so that botocore tried again and was refused."""

    def __init__(self, location: str) -> None:
        self.location = location

    def register_image(self, **_: object) -> dict[str, object]:
        raise ClientError({"Error": {"Code": "InvalidAMIName.Duplicate", "Message": "in use"}}, "RegisterImage")

    def describe_images(self, **_: object) -> dict[str, object]:
        return {"Images": [{"ImageId": "ami-1", "ImageLocation": self.location}]}


def test_an_image_whose_registration_was_answered_into_the_void_is_found_by_its_location() -> None:
    request = {"Name": "web", "ImageLocation": "images/web.manifest.xml"}
    assert register_once(LostAnswer("images/web.manifest.xml"), request) == "ami-1"
    with pytest.raises(ClientError, match="in use"):
        register_once(LostAnswer("others/web.manifest.xml"), request)
