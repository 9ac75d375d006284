"""The classic way: AKI and ARI, a bundle in S3, RegisterImage by manifest, a paravirtual boot; a kernel of one's own choice."""

import uuid
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.support import journey
from tests.support.guests import tiny_guest
from tests.support.server import Server


@pytest.mark.boot
def test_a_bundled_image_boots_from_its_kernel_and_from_another_chosen_at_launch(
    server: Server, tmp_path: Path
) -> None:
    guest = tiny_guest()
    ec2 = server.client("ec2")
    added = journey.amiable(
        server,
        "kernel",
        "add",
        "--kernel",
        str(guest.kernel),
        "--ramdisk",
        str(guest.ramdisk),
        "--name",
        "tiny",
        "--output",
        "id",
    )
    aki, ari = added.stdout.split()
    assert aki.startswith("aki-") and ari.startswith("ari-")
    other = journey.amiable(
        server, "kernel", "add", "--kernel", str(guest.other_kernel), "--name", "other", "--output", "id"
    ).stdout.strip()
    other_ari = journey.amiable(
        server, "kernel", "add", "--ramdisk", str(guest.other_ramdisk), "--name", "other-rd", "--output", "id"
    ).stdout.strip()

    folder = tmp_path / "bundle"
    words = [
        "--image",
        str(guest.pv),
        "--destination",
        str(folder),
        "--prefix",
        "tiny",
        "--kernel",
        aki,
        "--ramdisk",
        ari,
    ]
    journey.amiable(server, "bundle", "create", *words, "--arch", "x86_64")
    location = journey.amiable(
        server, "bundle", "upload", str(folder / "tiny.manifest.xml"), "--bucket", "bundles/tiny"
    ).stdout.strip()
    assert location == "bundles/tiny/tiny.manifest.xml"
    image = ec2.register_image(Name="classic tiny", ImageLocation=location, VirtualizationType="paravirtual")["ImageId"]
    ec2.get_waiter("image_available").wait(ImageIds=[image], WaiterConfig={"Delay": 1, "MaxAttempts": 120})
    found = ec2.describe_images(ImageIds=[image])["Images"][0]
    assert (found["KernelId"], found["RamdiskId"], found["RootDeviceType"]) == (aki, ari, "instance-store")
    assert found["ImageLocation"] == location and found["Architecture"] == "x86_64"

    key, public = journey.make_key(tmp_path)
    ec2.import_key_pair(KeyName="classic", PublicKeyMaterial=public.encode())
    nonce = uuid.uuid4().hex
    run = {"ImageId": image, "InstanceType": "amiable.tiny", "MinCount": 1, "MaxCount": 1, "KeyName": "classic"}
    run["UserData"] = f"#!/bin/sh\n# nonce={nonce}\n"
    first = ec2.run_instances(**run)["Instances"][0]["InstanceId"]
    journey.wait_for_state(server, first, "running")
    told = journey.facts(server, first, key)
    assert (told["instance-id"], told["nonce"], told["kernel"]) == (first, nonce, guest.kernel_version)
    assert (told["kernel-id"], told["ramdisk-id"]) == (aki, ari)
    with pytest.raises(ClientError) as refused:
        ec2.stop_instances(InstanceIds=[first])
    assert refused.value.response["Error"]["Code"] == "UnsupportedOperation"
    journey.terminate(server, first)

    second = ec2.run_instances(**run, KernelId=other, RamdiskId=other_ari)["Instances"][0]["InstanceId"]
    journey.wait_for_state(server, second, "running")
    told = journey.facts(server, second, key)
    assert told["kernel"] == guest.other_kernel_version != guest.kernel_version
    assert (told["kernel-id"], told["ramdisk-id"]) == (other, other_ari)
    journey.terminate(server, second)
