"""Ansible's collection amazon.aws, unchanged: groups, keys, instances, volumes, snapshots and images, made, asked about and taken away.

``ansible-playbook`` is a program of an environment of its own (scripts/setup.sh test); its modules run with this environment's boto3.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.test_boto3_journey import import_by_ebs_direct, register
from tests.support import journey
from tests.support.guests import tiny_guest
from tests.support.server import Server, shell_environment

PLAYBOOK = Path(__file__).with_name("ansible.yml")
NETWORK_PLAYBOOK = Path(__file__).with_name("ansible_network.yml")
PROGRAM = Path(sys.prefix).parent / ".venv-ansible" / "bin" / "ansible-playbook"
ANSIBLE_SECONDS_MAX = 900


def run_playbook(server: Server, folder: Path, playbook: Path = PLAYBOOK, **variables: Any) -> dict[str, Any]:
    """The playbook's facts, as its last task wrote them."""
    facts = folder / "facts.json"
    words = {**variables, "facts_file": str(facts), "python": sys.executable}
    environment = {
        **shell_environment(server),
        "HOME": str(folder),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
        "ANSIBLE_NOCOLOR": "1",
        "LC_ALL": "C.UTF-8",
    }
    program = os.environ.get("AMIABLE_ANSIBLE_PLAYBOOK", str(PROGRAM))
    done = subprocess.run(
        [program, "-i", "localhost,", "-c", "local", "-e", json.dumps(words), str(playbook)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=ANSIBLE_SECONDS_MAX,
        check=False,
        cwd=folder,
    )
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr}\n{server.log_text()[-3000:]}"
    found: dict[str, Any] = json.loads(facts.read_text())
    return found


@pytest.mark.boot
@pytest.mark.slow
def test_a_playbook_makes_an_image_of_an_instance_and_cleans_up(server: Server, tmp_path: Path) -> None:
    ec2 = server.client("ec2")
    image = register(ec2, import_by_ebs_direct(server, tiny_guest().hvm), "tiny for ansible")
    key, public = journey.make_key(tmp_path)
    found = run_playbook(server, tmp_path, source_image=image, public_key=public)
    assert found["second_run_changed"] is False, "what is there already is left alone"
    [made] = ec2.describe_images(ImageIds=[found["image_id"]])["Images"]
    assert made["State"] == "available" and made["Name"] == "ansible-made"
    assert {"Key": "Made", "Value": "by ansible"} in made["Tags"]
    devices = {each["DeviceName"]: each["Ebs"] for each in made["BlockDeviceMappings"]}
    assert set(devices) == {"/dev/sda1", "/dev/sdf"} and devices["/dev/sdf"]["VolumeSize"] == 2
    assert found["snapshot"]["state"] == "completed"
    assert journey.describe(ec2, found["instance_id"])["State"]["Name"] == "terminated"
    assert ec2.describe_volumes()["Volumes"] == []
    ec2.import_key_pair(KeyName="after", PublicKeyMaterial=public.encode())
    launched = ec2.run_instances(
        ImageId=made["ImageId"], MinCount=1, MaxCount=1, InstanceType="amiable.tiny", KeyName="after"
    )["Instances"][0]["InstanceId"]
    assert "2147483648" in journey.ssh(
        server, launched, key, "cat /sys/block/*/size | while read n; do echo $((n*512)); done"
    )
    ec2.terminate_instances(InstanceIds=[launched])
    journey.wait_for_state(server, launched, "terminated")


def test_a_playbook_makes_a_network_and_takes_it_away(server: Server, tmp_path: Path) -> None:
    ec2 = server.client("ec2")
    before = ec2.describe_vpcs()["Vpcs"]
    found = run_playbook(server, tmp_path, NETWORK_PLAYBOOK)
    assert found["again"] == [False, False, False], "what is there already is left alone"
    assert found["interface"]["association"]["public_ip"] == found["public_ip"]
    assert [each["group_id"] for each in found["interface"]["groups"]] == [found["group"]]
    assert ec2.describe_vpcs()["Vpcs"] == before
    assert ec2.describe_addresses()["Addresses"] == []
