"""Debian's Packer, unchanged: amazon-ebs launches, provisions over SSH, stops, makes an image, tags it, cleans up; the image boots.

It speaks to the server by its public settings alone (an endpoint, keys, a region), and to the guest by SSH at its private address.
"""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from amiable.model.hardware import NetworkKind
from amiable.vm.network_kind import prove
from tests.acceptance.test_boto3_journey import import_by_ebs_direct, register
from tests.support import journey
from tests.support.guests import tiny_guest
from tests.support.ordinary_user import ordinary_server
from tests.support.server import Server, shell_environment

PACKER_SECONDS_MAX = 900
PROXY_SECONDS_MAX = 60
CIDR = "10.73.0.0/24"


@contextmanager
def socks_proxy(server: Server) -> Iterator[tuple[str, str]]:
    """``amiable proxy`` on a free port: host and port."""
    command = [sys.executable, "-m", "amiable.cli.main", "proxy", "--listen", "127.0.0.1:0"]
    proxy = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=shell_environment(server))
    try:
        assert proxy.stdout is not None
        host, port = proxy.stdout.readline().strip().rsplit(":", 1)
        yield host, port
    finally:
        proxy.terminate()
        proxy.wait(PROXY_SECONDS_MAX)
        assert proxy.stdout is not None
        proxy.stdout.close()


def template(server: Server, image_id: str, name: str, way: dict[str, Any]) -> dict[str, Any]:
    """A Packer template as its users write them; ``way`` says how the guest is dialled."""
    found = server.credentials()
    builder = {
        "type": "amazon-ebs",
        "access_key": found["AccessKeyId"],
        "secret_key": found["SecretAccessKey"],
        "region": "us-east-1",
        "custom_endpoint_ec2": server.endpoint,
        "skip_metadata_api_check": True,
        "source_ami": image_id,
        "instance_type": "amiable.tiny",
        "ssh_username": "root",
        "ssh_timeout": "5m",
        "ami_name": name,
        "ami_description": "made by Packer",
        "tags": {"Made": "by packer", "Base": "{{ .SourceAMI }}"},
        "snapshot_tags": {"Of": name},
        "run_tags": {"Name": "builder"},
        **way,
    }
    words = ["echo made-by-packer > /etc/marker", "sha256sum /etc/marker"]
    return {"builders": [builder], "provisioners": [{"type": "shell", "inline": words}]}


def run_packer(server: Server, folder: Path, body: dict[str, Any]) -> str:
    """``packer build``; its output."""
    path = folder / "template.json"
    path.write_text(json.dumps(body, indent=2))
    environment = {
        **shell_environment(server),
        "CHECKPOINT_DISABLE": "1",
        "PACKER_CONFIG_DIR": str(folder),
        "HOME": str(folder),
        "PACKER_LOG": "1",
        "PACKER_LOG_PATH": str(folder / "packer.log"),
        "AWS_MAX_ATTEMPTS": "120",
        "AWS_POLL_DELAY_SECONDS": "1",
    }
    command = ["packer", "build", "-color=false", str(path)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=PACKER_SECONDS_MAX, check=False, cwd=folder
    )
    log = (folder / "packer.log").read_text()[-6000:] if (folder / "packer.log").exists() else ""
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{log}\n{server.log_text()[-3000:]}"
    return done.stdout


def check_made(server: Server, name: str, source: str) -> str:
    """The image is there with its tags and its snapshot's, and of the build nothing else is left; its id."""
    ec2 = server.client("ec2")
    [image] = ec2.describe_images(Owners=["self"], Filters=[{"Name": "name", "Values": [name]}])["Images"]
    assert image["State"] == "available" and image["Description"] == "made by Packer"
    assert {(each["Key"], each["Value"]) for each in image["Tags"]} == {("Made", "by packer"), ("Base", source)}
    [mapping] = image["BlockDeviceMappings"]
    [snapshot] = ec2.describe_snapshots(SnapshotIds=[mapping["Ebs"]["SnapshotId"]])["Snapshots"]
    assert {"Key": "Of", "Value": name} in snapshot["Tags"]
    assert ec2.describe_key_pairs()["KeyPairs"] == []
    assert {each["GroupName"] for each in ec2.describe_security_groups()["SecurityGroups"]} == {"default"}
    assert ec2.describe_volumes()["Volumes"] == []
    states = {
        each["State"]["Name"]
        for reservation in ec2.describe_instances()["Reservations"]
        for each in reservation["Instances"]
    }
    assert states == {"terminated"}
    return str(image["ImageId"])


def check_boots(server: Server, folder: Path, image: str) -> None:
    """An instance of the image has an identity of its own and the provisioner's file."""
    ec2 = server.client("ec2")
    key, public = journey.make_key(folder)
    ec2.import_key_pair(KeyName="after", PublicKeyMaterial=public.encode())
    launched = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, InstanceType="amiable.tiny", KeyName="after")[
        "Instances"
    ][0]["InstanceId"]
    assert journey.ssh(server, launched, key, "cat", "/etc/marker").strip() == "made-by-packer"
    assert journey.facts(server, launched, key)["instance-id"] == launched
    ec2.terminate_instances(InstanceIds=[launched])
    journey.wait_for_state(server, launched, "terminated")


@pytest.mark.boot
@pytest.mark.slow
@pytest.mark.proves("ec2", "CreateImage", "RunInstances", "StopInstances", "CreateSecurityGroup", "CreateKeyPair")
def test_packer_of_an_ordinary_user_makes_an_image_through_the_proxy(tmp_path: Path) -> None:
    with ordinary_server() as server:
        server.start()
        source = register(server.client("ec2"), import_by_ebs_direct(server, tiny_guest().hvm), "tiny for packer")
        name = f"packed {uuid.uuid4().hex[:8]}"
        with socks_proxy(server) as (host, port):
            way = {"ssh_interface": "private_ip", "ssh_proxy_host": host, "ssh_proxy_port": int(port)}
            said = run_packer(server, tmp_path, template(server, source, name, way))
        assert "Builds finished" in said
        check_boots(server, tmp_path, check_made(server, name, source))


@pytest.mark.boot
@pytest.mark.slow
def test_packer_of_root_dials_the_private_address(server: Server, tmp_path: Path) -> None:
    found = prove()
    if os.geteuid() != 0 or found.kind is not NetworkKind.ROUTED:  # then the host has no way in, and it is said why
        assert found.kind is NetworkKind.ROUTED or f"{found.kind} (" in found.words
        return
    ec2 = server.client("ec2")
    vpc = ec2.create_vpc(CidrBlock=CIDR)["Vpc"]["VpcId"]  # the default one's addresses may be another server's here
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=CIDR)["Subnet"]["SubnetId"]
    source = register(ec2, import_by_ebs_direct(server, tiny_guest().hvm), "tiny for packer")
    name = f"packed {uuid.uuid4().hex[:8]}"
    way = {"ssh_interface": "private_ip", "vpc_id": vpc, "subnet_id": subnet}
    said = run_packer(server, tmp_path, template(server, source, name, way))
    assert "Builds finished" in said
    check_made(server, name, source)
