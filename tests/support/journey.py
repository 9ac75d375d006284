"""The steps of a user's way from a disk to a shell, as the acceptance tests take them: the real command line, stock boto3."""

import base64
import hashlib
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from tests.support.server import Server, shell_environment

BOOT_SECONDS_MAX = 180
COMMAND_SECONDS_MAX = 300
PAUSE_SECONDS = 0.5
T = TypeVar("T")


def amiable(
    server: Server, *words: str, account: str | None = None, check: bool = True
) -> "subprocess.CompletedProcess[str]":
    """Runs ``amiable words…`` as ``account`` (default: the administrator)."""
    command = [sys.executable, "-m", "amiable.cli.main", *words]
    environment = shell_environment(server, account)
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=COMMAND_SECONDS_MAX, check=False
    )
    if check and done.returncode != 0:
        raise AssertionError(
            f"amiable {' '.join(words)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}\n{server.log_text()[-3000:]}"
        )
    return done


def wait_until(what: str, look: Callable[[], T | None], seconds_max: float = BOOT_SECONDS_MAX) -> T:
    """What ``look`` gives, once it is not None; fails with ``what`` after ``seconds_max``."""
    until = time.monotonic() + seconds_max
    while True:
        found = look()
        if found is not None:
            return found
        assert time.monotonic() < until, f"waited {seconds_max} s for {what}"
        time.sleep(PAUSE_SECONDS)


def describe(ec2: Any, instance_id: str) -> dict[str, Any]:
    """One instance as boto3 gives it."""
    found: dict[str, Any] = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]
    return found


def wait_for_state(server: Server, instance_id: str, state: str, account: str | None = None) -> dict[str, Any]:
    """The instance once it is in ``state``; an end in another final state fails at once."""
    ec2 = server.client("ec2", account)

    def look() -> dict[str, Any] | None:
        found = describe(ec2, instance_id)
        name = found["State"]["Name"]
        if name == state:
            return found
        if state == "running" and name in ("terminated", "stopped", "shutting-down"):
            raise AssertionError(f"{instance_id} is {name}: {found.get('StateReason')}\n{server.log_text()[-3000:]}")
        return None

    return wait_until(f"{instance_id} to be {state}", look)


def console(server: Server, instance_id: str, account: str | None = None) -> str:
    """The serial console's text."""
    return console_by(server.client("ec2", account), instance_id)


def console_by(ec2: Any, instance_id: str) -> str:
    """The serial console's text."""
    return str(ec2.get_console_output(InstanceId=instance_id, Latest=True).get("Output", ""))


def wait_for_console(
    server: Server, instance_id: str, text: str, account: str | None = None, seconds_max: float = BOOT_SECONDS_MAX
) -> str:
    """The console's text once it holds ``text``."""

    ec2 = server.client("ec2", account)

    def look() -> str | None:
        found = console_by(ec2, instance_id)
        return found if text in found else None

    try:
        return wait_until(f"{text!r} on the console", look, seconds_max)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{console_by(ec2, instance_id)[-3000:]}") from None


def make_key(folder: Path) -> tuple[Path, str]:
    """A fresh Ed25519 key pair: the private key's file and the public key's line."""
    path = folder / "id"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(path)], check=True, timeout=60
    )
    return path, path.with_suffix(".pub").read_text().strip()


def ssh(
    server: Server, instance_id: str, key: Path, *command: str, account: str | None = None, login: str = "root"
) -> str:
    """What ``command`` prints in the guest, by ``amiable instance ssh``."""
    words = [
        "instance",
        "ssh",
        instance_id,
        "--login",
        login,
        "--identity",
        str(key),
        "--wait",
        str(BOOT_SECONDS_MAX),
        "--",
        *command,
    ]
    return amiable(server, *words, account=account).stdout


def facts(server: Server, instance_id: str, key: Path, account: str | None = None) -> dict[str, str]:
    """What the tiny guest tells of itself: instance-id, nonce, root device, kernel, …"""
    lines = ssh(server, instance_id, key, "amiable-facts", account=account).splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def snapshot_digest(server: Server, snapshot_id: str) -> str:
    """SHA-256 over all bytes of a snapshot, read by GetSnapshotBlock; blocks that were never written count as zeros."""
    ebs = server.client("ebs", max_pool_connections=8)
    digest, position, token, size_gib = hashlib.sha256(), 0, None, 0
    while True:
        page = ebs.list_snapshot_blocks(SnapshotId=snapshot_id, **({"NextToken": token} if token else {}))
        size_gib = page["VolumeSize"]
        for block in page["Blocks"]:
            for _ in range(block["BlockIndex"] - position):
                digest.update(bytes(page["BlockSize"]))
            answer = ebs.get_snapshot_block(
                SnapshotId=snapshot_id, BlockIndex=block["BlockIndex"], BlockToken=block["BlockToken"]
            )
            body = answer["BlockData"].read()
            assert base64.b64encode(hashlib.sha256(body).digest()).decode() == answer["Checksum"]
            digest.update(body)
            position = block["BlockIndex"] + 1
        token = page.get("NextToken")
        if token is None:
            break
    for _ in range(size_gib * 2048 - position):
        digest.update(bytes(524_288))
    return digest.hexdigest()


def root_snapshot(server: Server, image_id: str) -> str:
    """The snapshot of an image's root."""
    found = server.client("ec2").describe_images(ImageIds=[image_id])["Images"][0]
    return str(found["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"])


def terminate(server: Server, instance_id: str, account: str | None = None) -> None:
    """Ends an instance and waits until it is terminated."""
    server.client("ec2", account).terminate_instances(InstanceIds=[instance_id])
    wait_for_state(server, instance_id, "terminated", account)
