"""The same way with the stock aws command line, word for word as a user types it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import journey
from tests.support.guests import tiny_guest
from tests.support.server import Server, shell_environment

AWS = Path(sys.executable).with_name("aws")


def aws(server: Server, *words: str, account: str | None = None, check: bool = True) -> Any:
    """The JSON that ``aws words…`` prints; its complaint as text where ``check`` is off."""
    command = [str(AWS), "--output", "json", *words]
    done = subprocess.run(
        command, capture_output=True, text=True, env=shell_environment(server, account), timeout=300, check=False
    )
    if not check:
        return done.stderr
    assert done.returncode == 0, f"aws {' '.join(words)}: {done.stderr}\n{server.log_text()[-2000:]}"
    return json.loads(done.stdout) if done.stdout.startswith(("{", "[")) else {}


@pytest.mark.boot
def test_import_register_share_run_console_terminate_with_the_aws_command_line(server: Server, tmp_path: Path) -> None:
    second = journey.amiable(server, "account", "create", "colleague", "--output", "id").stdout.strip()
    aws(server, "s3", "mb", "s3://disks")
    aws(server, "s3", "cp", "--no-progress", str(tiny_guest().hvm), "s3://disks/tiny.img")
    container = json.dumps({"Format": "RAW", "UserBucket": {"S3Bucket": "disks", "S3Key": "tiny.img"}})
    task = aws(server, "ec2", "import-snapshot", "--description", "tiny", "--disk-container", container)["ImportTaskId"]

    def imported() -> str | None:
        detail = aws(server, "ec2", "describe-import-snapshot-tasks", "--import-task-ids", task)["ImportSnapshotTasks"][
            0
        ]["SnapshotTaskDetail"]
        assert detail["Status"] in ("active", "completed"), detail
        return str(detail["SnapshotId"]) if detail["Status"] == "completed" else None

    snapshot = journey.wait_until("the import", imported)
    mapping = json.dumps([{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": snapshot}}])
    words = ("--architecture", "x86_64", "--virtualization-type", "hvm", "--root-device-name", "/dev/sda1")
    image = aws(server, "ec2", "register-image", "--name", "tiny by aws", *words, "--block-device-mappings", mapping)[
        "ImageId"
    ]
    listed = aws(server, "ec2", "describe-images", "--owners", "self", "--filters", "Name=name,Values=tiny*aws")[
        "Images"
    ]
    assert [row["ImageId"] for row in listed] == [image]

    refused = aws(
        server,
        "ec2",
        "run-instances",
        "--image-id",
        image,
        "--instance-type",
        "amiable.tiny",
        account=second,
        check=False,
    )
    assert "AuthFailure" in refused
    dry = aws(server, "ec2", "deregister-image", "--image-id", image, "--dry-run", check=False)
    assert "DryRunOperation" in dry
    aws(
        server,
        "ec2",
        "modify-image-attribute",
        "--image-id",
        image,
        "--launch-permission",
        f"Add=[{{UserId={second}}}]",
    )
    run = ("--image-id", image, "--instance-type", "amiable.tiny", "--count", "1")
    instance = aws(server, "ec2", "run-instances", *run, account=second)["Instances"][0]["InstanceId"]
    aws(server, "ec2", "wait", "instance-running", "--instance-ids", instance, account=second)
    journey.wait_for_console(server, instance, instance, second)
    output = aws(server, "ec2", "get-console-output", "--instance-id", instance, "--latest", account=second)["Output"]
    assert instance in output
    ended = aws(server, "ec2", "terminate-instances", "--instance-ids", instance, account=second)[
        "TerminatingInstances"
    ][0]
    assert ended["PreviousState"]["Name"] == "running"
    aws(server, "ec2", "wait", "instance-terminated", "--instance-ids", instance, account=second)
    aws(server, "ec2", "deregister-image", "--image-id", image)
    aws(server, "ec2", "delete-snapshot", "--snapshot-id", snapshot)
    assert "InvalidSnapshot.NotFound" in aws(
        server, "ec2", "describe-snapshots", "--snapshot-ids", snapshot, check=False
    )
