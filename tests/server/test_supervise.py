"""Supervision of real guests: what ends a machine, and what does not, under a real server."""

import contextlib
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.guests import tiny_guest
from tests.support.journey import (
    amiable,
    console,
    describe,
    make_key,
    ssh,
    wait_for_console,
    wait_for_state,
    wait_until,
)
from tests.support.server import Server, processes_of, serving

pytestmark = pytest.mark.boot

READY = "amiable-tiny: ready"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Each guest with a holder of its own; routed ones: ``tests/acceptance/test_routed_journey.py``."""
    with serving(Server(tmp_path_factory.mktemp("s") / "data", arguments=("--network", "namespace"))) as running:
        yield running


@pytest.fixture(scope="module")
def image_id(server: Server) -> str:
    return amiable(server, "image", "import", str(tiny_guest().hvm), "--name", "tiny", "--output", "id").stdout.split()[
        -1
    ]


@pytest.fixture(scope="module")
def key(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path, public = make_key(tmp_path_factory.mktemp("key"))
    server.client("ec2").import_key_pair(KeyName="k", PublicKeyMaterial=public.encode())
    return path


@contextlib.contextmanager
def launched(server: Server, image_id: str, **options: Any) -> Iterator[str]:
    wanted = {"InstanceType": "amiable.tiny", "MinCount": 1, "MaxCount": 1, **options}
    if not wanted.pop("without_key", False):
        wanted["KeyName"] = "k"
    instance_id = str(server.client("ec2").run_instances(ImageId=image_id, **wanted)["Instances"][0]["InstanceId"])
    try:
        yield instance_id
    finally:
        if server.process is not None:
            server.client("ec2").terminate_instances(InstanceIds=[instance_id])
            wait_for_state(server, instance_id, "terminated")


def record(server: Server, instance_id: str, name: str = "process.json") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((server.data / "instances" / instance_id / name).read_text())
    return found


def reason(server: Server, instance_id: str) -> str:
    return str(describe(server.client("ec2"), instance_id).get("StateReason", {}).get("Message", ""))


def status(server: Server, instance_id: str) -> str:
    found = server.client("ec2").describe_instance_status(InstanceIds=[instance_id])["InstanceStatuses"][0]
    return str(found["InstanceStatus"]["Status"])


def test_a_guest_lives_through_reboot_and_power_off_and_a_killed_qemu(server: Server, image_id: str, key: Path) -> None:
    with launched(server, image_id) as instance_id:
        wait_for_state(server, instance_id, "running")
        first = ssh(server, instance_id, key, "cat /proc/sys/kernel/random/boot_id")
        qemu = record(server, instance_id)["pid"]
        assert status(server, instance_id) == "ok"
        server.client("ec2").reboot_instances(InstanceIds=[instance_id])
        wait_until("a beginning", lambda: True if status(server, instance_id) == "initializing" else None)

        def rebooted() -> bool | None:
            with contextlib.suppress(AssertionError):
                return True if ssh(server, instance_id, key, "cat /proc/sys/kernel/random/boot_id") != first else None
            return None

        wait_until("another boot", rebooted)
        wait_until("its metadata", lambda: status(server, instance_id) == "ok" or None)
        assert record(server, instance_id)["pid"] == qemu
        assert describe(server.client("ec2"), instance_id)["State"]["Name"] == "running"

        ssh(server, instance_id, key, "sync; (sleep 1; poweroff) >/dev/null 2>&1 &")
        wait_for_state(server, instance_id, "stopped")
        assert "Client.InstanceInitiatedShutdown" in reason(server, instance_id)
        assert not Path(f"/proc/{qemu}").exists()

        server.client("ec2").start_instances(InstanceIds=[instance_id])
        wait_for_state(server, instance_id, "running")
        os.kill(record(server, instance_id)["pid"], signal.SIGKILL)
        wait_for_state(server, instance_id, "stopped")
        assert reason(server, instance_id).startswith("Server.InternalError: QEMU ended")
    assert not (server.data / "instances" / instance_id).exists()
    assert list((server.data / "exports").iterdir()) == []


def restart_host(server: Server, instance_id: str) -> None:
    """What a restart of the host leaves: no process of the server's or an instance's, and records of another boot."""
    server.kill()
    for pid in processes_of(server.data):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_until("every process to end", lambda: None if processes_of(server.data) else True)
    path = server.data / "instances" / instance_id / "process.json"
    path.write_text(json.dumps({**record(server, instance_id), "boot_id": "an earlier boot"}))
    server.start()


def test_what_happens_while_no_server_lives_is_found_by_the_next(server: Server, image_id: str, key: Path) -> None:
    with launched(server, image_id) as kept, launched(server, image_id) as ended:
        for instance_id in (kept, ended):
            wait_for_console(server, instance_id, READY)
        before = record(server, kept)
        ssh(server, ended, key, "(sleep 6; poweroff) >/dev/null 2>&1 &")
        server.kill()
        time.sleep(10)
        server.start()
        wait_for_state(server, ended, "stopped")
        assert describe(server.client("ec2"), kept)["State"]["Name"] == "running"
        assert record(server, kept) == before
        assert kept in ssh(server, kept, key, "amiable-facts")
        ssh(server, kept, key, "echo kept >/marker; sync")
        restart_host(server, kept)
        found = wait_for_state(server, kept, "running")
        assert found["StateTransitionReason"].startswith("Server.HostRestarted (")
        assert record(server, kept)["pid"] != before["pid"] and record(server, kept)["boot"] == before["boot"] + 1
        assert describe(server.client("ec2"), ended)["State"]["Name"] == "stopped"
        assert "kept" in ssh(server, kept, key, "cat /marker")


def test_a_killed_exporter_is_started_again_and_its_guests_go_on(server: Server, image_id: str, key: Path) -> None:
    with launched(server, image_id) as instance_id:
        wait_for_console(server, instance_id, READY)
        exporter = json.loads((server.data / "exporter" / "process.json").read_text())["pid"]
        os.kill(exporter, signal.SIGKILL)
        told = ssh(server, instance_id, key, "cat /dev/vda | sha256sum; dmesg | grep -ci 'i/o error' || true").split()
        assert told[-1] == "0", told
        assert json.loads((server.data / "exporter" / "process.json").read_text())["pid"] != exporter


def test_a_killed_holder_is_started_again_and_its_guest_keeps_metadata_and_tunnel(
    server: Server, image_id: str, key: Path
) -> None:
    ask = ". /usr/lib/amiable/functions; rm -f /run/imds-token; imds meta-data/instance-id"
    with launched(server, image_id) as instance_id:
        wait_for_console(server, instance_id, READY)
        first = record(server, instance_id, "holder.json")["pid"]
        os.kill(first, signal.SIGKILL)
        assert instance_id in ssh(server, instance_id, key, ask)
        second = record(server, instance_id, "holder.json")["pid"]
        assert second != first
        server.kill()  # and with it the other end of the listening socket
        os.kill(second, signal.SIGKILL)
        server.start()
        assert instance_id in ssh(server, instance_id, key, ask)
        assert record(server, instance_id, "holder.json")["pid"] not in (first, second)


def test_where_no_namespace_can_be_made_a_guest_has_its_metadata_and_nothing_else(tmp_path: Path) -> None:
    server = Server(tmp_path / "d", arguments=("--network", "guestfwd")).start()
    try:
        image = amiable(
            server, "image", "import", str(tiny_guest().hvm), "--name", "tiny", "--output", "id"
        ).stdout.strip()
        script = "#!/bin/sh\n# nonce=n-4711\necho user-data-ran > /dev/console\n"
        with launched(server, image, UserData=script, without_key=True) as instance_id:
            text = wait_for_console(server, instance_id, READY)
            assert "user-data-ran" in text and f"instance-id {instance_id} nonce n-4711" in text
            assert not (server.data / "instances" / instance_id / "holder.json").exists()
            status = server.client("ec2").describe_instance_status(InstanceIds=[instance_id])["InstanceStatuses"][0]
            assert status["InstanceStatus"]["Status"] == "ok"

            refused = amiable(server, "instance", "tunnel", instance_id, "22", check=False)
            assert refused.returncode == 1 and "no network namespace" in refused.stderr
            told = amiable(server, "doctor", "--output", "json", check=False).stdout
            (network,) = [finding for finding in json.loads(told) if finding["what"] == "network"]
            assert network["words"].startswith("guestfwd, as set") and "lost: SSH" in network["words"]
            server.kill()
            server.start()
            assert describe(server.client("ec2"), instance_id)["State"]["Name"] == "running"
    finally:
        assert server.close() == []


def test_an_image_without_a_boot_loader_says_so(server: Server, key: Path) -> None:
    bare = amiable(
        server, "image", "import", str(tiny_guest().no_boot_loader), "--name", "bare", "--output", "id", check=False
    )
    assert bare.returncode == 0, bare.stderr
    with launched(server, bare.stdout.split()[-1]) as instance_id:
        wait_for_state(server, instance_id, "running")
        told = wait_until("a reason", lambda: reason(server, instance_id) or None)
        assert "no boot loader" in told and "No bootable device" in told
        assert "No bootable device" in console(server, instance_id)


def test_a_missing_qemu_ends_the_launch_with_its_name(tmp_path: Path) -> None:
    short = Path("/tmp") / f"amiable-{os.getpid()}-q"
    server = Server(short / "data", arguments=("--qemu", "qemu-system-nowhere")).start()
    try:
        image = amiable(
            server, "image", "import", str(tiny_guest().hvm), "--name", "tiny", "--output", "id"
        ).stdout.split()[-1]
        ec2 = server.client("ec2")
        run = ec2.run_instances(ImageId=image, InstanceType="amiable.tiny", MinCount=1, MaxCount=1)
        instance_id = run["Instances"][0]["InstanceId"]
        found = wait_for_state(server, instance_id, "terminated")
        assert found["StateReason"]["Code"] == "Server.InternalError"
        assert "qemu-system-nowhere is not installed" in found["StateReason"]["Message"]
        assert list((server.data / "instances").iterdir()) == []
        assert list((server.data / "exports").iterdir()) == []
    finally:
        assert server.close() == []
        shutil.rmtree(short)
