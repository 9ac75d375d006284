"""A full Debian 12 with cloud-init: it must take this for EC2 by itself, with no kernel parameter and no seed that says so."""

import time
import uuid
from pathlib import Path

import pytest

from tests.support import journey
from tests.support.boots import Note, boot_since
from tests.support.guests import debian_guest, facts_of
from tests.support.server import Server

BOOT_SECONDS_MAX = 900
ROOT_GIB = 3

QUESTIONS = """\
echo status=$(cloud-init status | sed -n 's/^status: //p')
echo cloud-id=$(cloud-id)
echo platform=$(cloud-init query platform)
echo instance-id=$(cloud-init query instance_id)
echo nonce=$(cat /var/lib/nonce)
echo root=$(findmnt -n -o SOURCE /)
echo root-bytes=$(df --output=size -B1 / | tail -n 1)
echo kernel=$(uname -r)
echo command-line=$(cat /proc/cmdline)
echo seeds=$(ls /var/lib/cloud/seed | wc -l)
echo found=$(grep '^Found single datasource' /run/cloud-init/ds-identify.log)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("boot_mode", "instance_type"),
    [("legacy-bios", "t2.micro"), pytest.param("uefi", "amiable.1c1g", marks=pytest.mark.matrix)],
)
def test_debian_finds_the_ec2_data_source_by_itself(
    server: Server, tmp_path: Path, note_boot: Note, boot_mode: str, instance_type: str
) -> None:
    guest = debian_guest()
    ec2 = server.client("ec2")
    words = ("--boot-mode", boot_mode)
    image = journey.amiable(server, "image", "import", str(guest.hvm), "--name", boot_mode, *words).stdout.strip()
    key, public = journey.make_key(tmp_path)
    ec2.import_key_pair(KeyName=boot_mode, PublicKeyMaterial=public.encode())
    nonce = uuid.uuid4().hex
    began = time.monotonic()
    instance = ec2.run_instances(
        ImageId=image,
        InstanceType=instance_type,
        MinCount=1,
        MaxCount=1,
        KeyName=boot_mode,
        UserData=f"#!/bin/sh\necho {nonce} >/var/lib/nonce\n",
        BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": ROOT_GIB}}],
    )["Instances"][0]["InstanceId"]
    try:
        journey.wait_for_console(server, instance, "Datasource DataSourceEc2", seconds_max=BOOT_SECONDS_MAX)
        facts = facts_of(journey.ssh(server, instance, key, QUESTIONS, login="debian"))
        note_boot(boot_since(began, "Debian 12", "virtio", boot_mode, "cloud-init done, SSH"))
        assert facts["status"] == "done"
        assert facts["cloud-id"] == "aws"
        assert facts["platform"] == "ec2"
        assert facts["found"] == "Found single datasource: Ec2"
        assert facts["instance-id"] == instance
        assert facts["nonce"] == nonce
        assert facts["root"] in ("/dev/vda1", "/dev/nvme0n1p1")
        assert int(facts["root-bytes"]) > 0.9 * (ROOT_GIB << 30)
        assert facts["kernel"] == guest.kernel_version
        assert facts["seeds"] == "0"
        assert not {"ds", "ci.ds", "ci.datasource"} & {word.split("=")[0] for word in facts["command-line"].split()}
    finally:
        journey.terminate(server, instance)
