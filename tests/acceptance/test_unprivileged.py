"""The whole way by an ordinary user: serve, import, launch, log in, terminate; no root anywhere."""

import os
import uuid
from pathlib import Path

import pytest

from tests.support import journey
from tests.support.guests import tiny_guest
from tests.support.holdings import holdings
from tests.support.ordinary_user import UID, ordinary_server
from tests.support.server import processes_of


@pytest.mark.boot
def test_an_ordinary_user_imports_launches_logs_in_and_terminates(tmp_path: Path) -> None:
    with ordinary_server() as server:
        server.start()
        ec2 = server.client("ec2")
        image = journey.amiable(server, "image", "import", str(tiny_guest().hvm), "--name", "tiny").stdout.strip()
        before, digest = holdings(server), journey.snapshot_digest(server, journey.root_snapshot(server, image))
        key, public = journey.make_key(tmp_path)
        ec2.import_key_pair(KeyName="mine", PublicKeyMaterial=public.encode())
        nonce = uuid.uuid4().hex
        run = {"ImageId": image, "InstanceType": "amiable.tiny", "MinCount": 1, "MaxCount": 1, "KeyName": "mine"}
        instance = ec2.run_instances(**run, UserData=f"#!/bin/sh\n# nonce={nonce}\n")["Instances"][0]["InstanceId"]
        journey.wait_for_state(server, instance, "running")

        told = journey.facts(server, instance, key)
        assert (told["instance-id"], told["nonce"]) == (instance, nonce)
        running = processes_of(server.data)
        assert any("qemu-system" in words for words in running.values())
        wanted = UID if os.geteuid() == 0 else os.geteuid()
        assert {Path(f"/proc/{pid}").stat().st_uid for pid in running} == {wanted}
        assert all(_capabilities(pid) == 0 for pid, words in running.items() if "qemu-system" in words)

        journey.ssh(server, instance, key, "echo marker > /marker; sync")
        journey.terminate(server, instance)
        assert journey.snapshot_digest(server, journey.root_snapshot(server, image)) == digest
        assert holdings(server) == before
        assert [words for words in processes_of(server.data).values() if "qemu" in words] == []


def _capabilities(pid: int) -> int:
    """The effective capabilities of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("CapEff:")).split()[1], 16)
