"""What runs does not notice a server that ends: reads are served, metadata is answered late, and the next server has it all again."""

import hashlib
import os
import shutil
import signal
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support import journey
from tests.support.guests import tiny_guest
from tests.support.server import Server, processes_of

AWAY_SECONDS = 120
BLOCK = 524_288
NOISY_BLOCKS = 50


def exporter_reads(server: Server, since: datetime, until: datetime) -> int:
    """Blocks that the exporter's log says it served between two moments."""
    count = 0
    for line in (server.data / "exporter" / "log").read_text().splitlines():
        if " block " in line:
            moment = datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S,%f").astimezone()
            count += since <= moment <= until
    return count


@pytest.mark.boot
def test_a_guest_reads_new_blocks_while_no_server_lives_and_is_managed_again_afterwards(tmp_path: Path) -> None:
    server = Server(tmp_path / "d").start()
    try:
        disk, first, noise = disk_with_unread_blocks(tmp_path)
        image = journey.amiable(server, "image", "import", str(disk), "--name", "outliving").stdout.strip()
        key, public = journey.make_key(tmp_path)
        ec2 = server.client("ec2")
        ec2.import_key_pair(KeyName="k", PublicKeyMaterial=public.encode())
        script = read_slowly_script(first)
        run = {
            "ImageId": image,
            "InstanceType": "amiable.tiny",
            "MinCount": 1,
            "MaxCount": 1,
            "KeyName": "k",
            "UserData": script,
        }
        instance = ec2.run_instances(**run)["Instances"][0]["InstanceId"]
        journey.wait_for_state(server, instance, "running")
        journey.wait_for_console(server, instance, "slow-read: begins")
        pids = processes_of(server.data)

        server.stop(signal.SIGTERM)
        left = datetime.now(UTC)
        time.sleep(AWAY_SECONDS)
        back = datetime.now(UTC)
        assert exporter_reads(server, left, back) > 0, "the exporter served nothing while no server lived"
        server.start()

        still = processes_of(server.data)
        assert {pid for pid, words in pids.items() if "qemu-system" in words} <= set(still), (
            "QEMU did not live through it"
        )
        text = journey.wait_for_console(server, instance, f"slow-read: ends {noise}")
        assert "slow-read: metadata answered" in text and "I/O error" not in text
        told = journey.facts(server, instance, key)
        assert told["instance-id"] == instance

        # the exporter killed: restarted, and the guest goes on
        exporter = [pid for pid, words in processes_of(server.data).items() if "exporter" in words]
        assert exporter, processes_of(server.data)
        for pid in exporter:
            os.kill(pid, signal.SIGKILL)
        journey.ssh(
            server,
            instance,
            key,
            "echo 3 > /proc/sys/vm/drop_caches; find / -xdev -type f -exec cat {} + > /dev/null && echo read",
        )
        again = [pid for pid, words in processes_of(server.data).items() if "exporter" in words]
        assert again and not set(again) & set(exporter)
        assert "I/O error" not in journey.console(server, instance)

        # QEMU killed: the instance is stopped, and says why
        qemu = [pid for pid, words in processes_of(server.data).items() if "qemu-system" in words]
        for pid in qemu:
            os.kill(pid, signal.SIGKILL)
        stopped = journey.wait_for_state(server, instance, "stopped")
        assert stopped["StateReason"]["Code"].startswith("Server.")
        ec2.start_instances(InstanceIds=[instance])
        journey.wait_for_state(server, instance, "running")
        journey.ssh(server, instance, key, "poweroff")
        off = journey.wait_for_state(server, instance, "stopped")
        assert off["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
        journey.terminate(server, instance)
        assert not any("qemu-system" in words or "holder" in words for words in processes_of(server.data).values())
    finally:
        server.close()


def disk_with_unread_blocks(folder: Path) -> tuple[Path, int, str]:
    """The tiny guest's disk with fifty blocks of noise behind its end: the disk, the first noisy block, the noise's SHA-256."""
    disk = folder / "noisy.img"
    shutil.copyfile(tiny_guest().hvm, disk)
    first = -(-disk.stat().st_size // BLOCK)
    noise = os.urandom(NOISY_BLOCKS * BLOCK)
    with disk.open("r+b") as file:
        file.seek(first * BLOCK)
        file.write(noise)
    return disk, first, hashlib.sha256(noise).hexdigest()


def read_slowly_script(first: int) -> str:
    """User data that reads the noise block by block for over three minutes, asks for metadata meanwhile, and tells what it read."""
    return f"""#!/bin/sh
cat > /run/slow-read <<'END'
. /usr/lib/amiable/functions
disk=/dev/$(root_disk)
echo "slow-read: begins"
n=0
while [ $n -lt {NOISY_BLOCKS} ]; do
  dd if=$disk bs={BLOCK} skip=$(({first} + n)) count=1 2> /dev/null || echo "slow-read: block $n failed"
  n=$((n + 1)); sleep 3
  if [ $n = 8 ]; then
    rm -f /run/imds-token
    [ "$(imds meta-data/instance-id)" = "$(cat /var/lib/amiable/instance-id)" ] && echo "slow-read: metadata answered" > /dev/console
  fi
done | sha256sum | sed "s/^/slow-read: ends /"
END
sh /run/slow-read > /dev/console 2>&1 &
"""
