"""House images: built by one command, found by the owner alias, launched by another account, changed, stopped and started again."""

import os
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from amiable.bundle.house.recipe import USER
from amiable.bundle.volume.disk import PLANS
from amiable.vm.appliance.programs import run
from tests.support import journey
from tests.support.boots import Note, boot_since
from tests.support.guests import facts_of, house_disk
from tests.support.server import Server

pytestmark = [pytest.mark.boot, pytest.mark.slow]

READY = "amiable: ready after "
BOOT_SECONDS_MAX = 900
ROOT_GIB = 3
ROOT_FEATURES = "sudo dumpe2fs -h $(findmnt -no SOURCE /) 2>/dev/null | grep -o needs_recovery"
QUESTIONS = """\
echo init=$(ps -p 1 -o comm=)
echo user=$(id -un)
echo root-user=$(sudo id -un)
echo host-name=$(hostname)
echo machine-id=$(cat /etc/machine-id)
echo nonces=$(cat /var/lib/nonces | wc -l)
echo nonce=$(tail -n 1 /var/lib/nonces)
echo root-bytes=$(df --output=size -B1 / | tail -n 1)
echo host-keys=$(ls /etc/ssh/ssh_host_*_key | wc -l)
echo boot=$(cat /proc/sys/kernel/random/boot_id)
echo failed=$(command -v systemctl >/dev/null && systemctl list-units --failed --plain --no-legend | wc -l)
"""


def wait_until_ready(server: Server, instance: str, account: str, before: str = "") -> str:
    """What the guest says of its start, once it says it; ``before``: what it said of the start before."""

    def look() -> str | None:
        _, found, rest = journey.console(server, instance, account).rpartition(READY)
        seconds = rest.split(" ")[0]
        return seconds if found and rest.startswith(f"{seconds} s") and seconds != before else None

    return journey.wait_until("the guest to be ready", look, BOOT_SECONDS_MAX)


def launch(ec2: Any, image: str, nonce: str) -> str:
    """An instance of three GiB whose user data adds ``nonce`` to a list."""
    made = ec2.run_instances(
        ImageId=image,
        InstanceType="t3.small",
        MinCount=1,
        MaxCount=1,
        KeyName="mine",
        UserData=f"#!/bin/sh\necho {nonce} >>/var/lib/nonces\n",
        BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": ROOT_GIB}}],
    )
    return str(made["Instances"][0]["InstanceId"])


@dataclass(frozen=True)
class Guest:
    """An instance that runs, whose it is, and the key to it."""

    server: Server
    account: str
    instance: str
    key: Path

    def run(self, *command: str) -> str:
        """What ``command`` prints in it."""
        return journey.ssh(self.server, self.instance, self.key, *command, account=self.account, login="admin")


def check_its_agent_holds_it_still(guest: Guest, disk: Path) -> None:
    """An image without a reboot has a file whole that lay in the guest's memory, on a file system that has nothing to recover."""
    ec2, nonce = guest.server.client("ec2", guest.account), uuid.uuid4().hex
    assert guest.run(ROOT_FEATURES).strip() == "needs_recovery", "as long as it is written to"
    guest.run(f"for i in $(seq 2000); do echo {nonce} $i; done >unsynced")  # 30 s until ext4 gives it a place on disk
    made = ec2.create_image(InstanceId=guest.instance, Name="held still", NoReboot=True)["ImageId"]
    journey.wait_until("the image to be made", lambda: state_of(ec2, made) == "available" or None, BOOT_SECONDS_MAX)
    (found,) = ec2.describe_images(ImageIds=[made])["Images"]
    assert found["Tags"] == [{"Key": "amiable:consistency", "Value": "frozen"}], guest.server.log_text()[-3000:]
    snapshot = found["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    write_snapshot(guest.server.client("ebs", guest.account, max_pool_connections=8), snapshot, disk)
    place = f"{disk}?offset={PLANS['gpt'].root_offset_bytes}"
    assert "needs_recovery" not in run(["dumpe2fs", "-h", place]).stdout
    read = run(["debugfs", "-R", f"cat /home/{USER}/unsynced", place]).stdout
    assert read == "".join(f"{nonce} {number}\n" for number in range(1, 2001))
    disk.unlink()

    assert "thawed" in guest.run("echo thawed >thawed; sync; cat thawed")
    assert guest.run(ROOT_FEATURES).strip() == "needs_recovery"
    ec2.deregister_image(ImageId=made)
    ec2.delete_snapshot(SnapshotId=snapshot)


def state_of(ec2: Any, image: str) -> str:
    """The image's state."""
    return str(ec2.describe_images(ImageIds=[image])["Images"][0]["State"])


def write_snapshot(ebs: Any, snapshot: str, disk: Path) -> None:
    """Writes all blocks of a snapshot into a new file with holes."""
    request: dict[str, str] = {"SnapshotId": snapshot}
    with disk.open("xb") as file, ThreadPoolExecutor(4) as pool:
        while True:
            page = ebs.list_snapshot_blocks(**request)
            tokens = {each["BlockIndex"]: each["BlockToken"] for each in page["Blocks"]}
            wanted = [{"BlockIndex": index, "BlockToken": token} for index, token in tokens.items()]
            bodies = pool.map(
                lambda each: ebs.get_snapshot_block(SnapshotId=snapshot, **each)["BlockData"].read(), wanted
            )
            for index, body in zip(tokens, bodies, strict=True):
                os.pwrite(file.fileno(), body, index * page["BlockSize"])
            file.truncate(page["VolumeSize"] << 30)
            if "NextToken" not in page:
                return
            request["NextToken"] = page["NextToken"]


@pytest.mark.parametrize(("kind", "init"), [("small", "systemd"), ("small-sysv", "init")])
def test_a_house_image_is_launched_by_another_account_and_comes_back_after_the_power_button(
    server: Server, tmp_path: Path, note_boot: Note, kind: str, init: str
) -> None:
    built = journey.amiable(server, "image", "build", kind, "--disk", str(house_disk(kind))).stdout.strip()
    someone = journey.amiable(server, "account", "create", kind, "--output", "id").stdout.split()[0]
    ec2 = server.client("ec2", someone)
    wanted = [{"Name": "name", "Values": [f"{kind}-debian-12-*"]}]
    (found,) = ec2.describe_images(Owners=["amazon"], Filters=wanted)["Images"]
    assert found["ImageId"] == built and found["OwnerId"] != someone

    key, public = journey.make_key(tmp_path)
    ec2.import_key_pair(KeyName="mine", PublicKeyMaterial=public.encode())
    nonce = uuid.uuid4().hex
    began = time.monotonic()
    instance = launch(ec2, built, nonce)
    try:
        first = wait_until_ready(server, instance, someone)
        print(f"{kind}: ready after {first} s")
        facts = facts_of(journey.ssh(server, instance, key, QUESTIONS, account=someone, login="admin"))
        note_boot(boot_since(began, kind, "nitro", "legacy-bios", "SSH"))
        assert (facts["init"], facts["user"], facts["root-user"]) == (init, "admin", "root")
        assert facts["host-name"] == "ip-" + journey.describe(ec2, instance)["PrivateIpAddress"].replace(".", "-")
        assert (facts["nonces"], facts["nonce"]) == ("1", nonce)
        assert int(facts["root-bytes"]) > 0.9 * (ROOT_GIB << 30)
        assert facts["host-keys"] == "2" and facts["failed"] in ("0", "")

        check_its_agent_holds_it_still(Guest(server, someone, instance, key), tmp_path / "root.img")

        ec2.stop_instances(InstanceIds=[instance])
        journey.wait_for_state(server, instance, "stopped", someone)
        assert "reboot: Power down" in journey.console(server, instance, someone), (
            "the guest itself ended, not its machine"
        )
        ec2.start_instances(InstanceIds=[instance])
        wait_until_ready(server, instance, someone, before=first)
        again = facts_of(journey.ssh(server, instance, key, QUESTIONS, account=someone, login="admin"))
        assert again["boot"] != facts["boot"]
        assert (again["nonces"], again["nonce"]) == ("1", nonce), "user data runs once an instance"
        assert (again["host-name"], again["machine-id"]) == (facts["host-name"], facts["machine-id"])
    finally:
        journey.terminate(server, instance, someone)
