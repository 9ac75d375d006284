"""From a root directory to an instance: bundle volume, upload, RegisterImage, RunInstances, and the guest asks for its metadata."""

import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from tests.support import journey
from tests.support.guests import debian_guest, tiny_guest
from tests.support.server import Server, shell_environment
from tests.support.trees import as_root, root_directory

DEBIAN_SECONDS_MAX = 900
BUNDLE_SECONDS_MAX = 300


def bundle_volume(server: Server, root: Path, folder: Path, *words: str) -> str:
    """The ImageLocation of ``root``, bundled and uploaded."""
    command = [*as_root(), sys.executable, "-m", "amiable.cli.main", "bundle", "volume", "--volume", str(root)]
    command += ["--no-inherit", "--arch", "x86_64", "--destination", str(folder), "--prefix", folder.name, *words]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=shell_environment(server, None),
        timeout=BUNDLE_SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    manifest = done.stdout.strip()
    return journey.amiable(server, "bundle", "upload", manifest, "--bucket", "volumes").stdout.strip()


def launch(server: Server, location: str, user_data: str, **more: str) -> str:
    """An instance of the image at ``location``."""
    ec2 = server.client("ec2")
    image = ec2.register_image(Name=uuid.uuid4().hex, ImageLocation=location, **more)["ImageId"]
    ec2.get_waiter("image_available").wait(ImageIds=[image], WaiterConfig={"Delay": 1, "MaxAttempts": 120})
    run = {"ImageId": image, "InstanceType": "t2.micro", "MinCount": 1, "MaxCount": 1, "UserData": user_data}
    return str(ec2.run_instances(**run)["Instances"][0]["InstanceId"])


@pytest.mark.slow
def test_a_debian_root_directory_becomes_an_instance_that_runs_its_user_data(server: Server, tmp_path: Path) -> None:
    nonce = uuid.uuid4().hex
    with root_directory(debian_guest().hvm, tmp_path) as root:
        location = bundle_volume(server, root, tmp_path / "debian", "-P", "gpt", "-s", "2048")
    instance = launch(server, location, f"#!/bin/sh\necho {nonce} >/dev/console\n", VirtualizationType="hvm")
    try:
        journey.wait_for_console(server, instance, nonce, seconds_max=DEBIAN_SECONDS_MAX)
    finally:
        journey.terminate(server, instance)


@pytest.mark.boot
def test_a_bare_root_boots_with_the_kernel_that_its_manifest_names(server: Server, tmp_path: Path) -> None:
    guest, nonce = tiny_guest(), uuid.uuid4().hex
    words = ["--kernel", str(guest.kernel), "--ramdisk", str(guest.ramdisk), "--name", "tiny", "--output", "id"]
    aki, ari = journey.amiable(server, "kernel", "add", *words).stdout.split()
    with root_directory(guest.hvm, tmp_path) as root:
        more = ["-P", "none", "-s", "200", "--kernel", aki, "--ramdisk", ari, "-B", "ami=sda1,root=/dev/sda1"]
        location = bundle_volume(server, root, tmp_path / "bare", *more)
    instance = launch(server, location, f"nonce={nonce}\n", VirtualizationType="paravirtual")
    try:
        journey.wait_for_console(server, instance, f"amiable-tiny: instance-id {instance} nonce {nonce}")
    finally:
        journey.terminate(server, instance)
