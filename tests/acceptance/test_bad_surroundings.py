"""What the host may lack: space, a free port, a directory of one's own, QEMU.  Each is named, with a hint, and nothing is left."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support import journey
from tests.support.guests import tiny_guest
from tests.support.holdings import holdings
from tests.support.ordinary_user import ordinary_server
from tests.support.server import Server, serving

MIB = 1 << 20
END_SECONDS_MAX = 240.0
IO, UNAVAILABLE = 74, 69


def refused_start(server: Server, listen: str = "127.0.0.1:0") -> tuple[int, str]:
    """Exit code and words of a start that must not succeed."""
    command = [*server.prefix, server.python, "-m", "amiable.cli.main", "serve", "--data", str(server.data)]
    done = subprocess.run(
        [*command, "--listen", listen, "--accelerator", "tcg"],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **server.environment},
        check=False,
    )
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert [line for line in lines if line.startswith("error: ")], done.stderr
    assert lines[-1].startswith("hint: "), done.stderr
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


# ── ports and directories ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_busy_port_is_named_and_nothing_of_the_start_runs_on(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        code, words = refused_start(Server(tmp_path / "data"), f"127.0.0.1:{port}")
    assert code == UNAVAILABLE
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in words and "--listen" in words
    assert list(tmp_path.iterdir()) == []
    server = Server(tmp_path / "data").start()  # the same directory serves once the port is another
    assert server.close() == []


def test_a_second_server_on_the_same_data_directory_is_refused_and_the_first_goes_on(server: Server) -> None:
    code, words = refused_start(server)
    assert code == UNAVAILABLE
    assert server.process is not None
    assert f"already running on {server.data} (process {server.process.pid})" in words and "--data" in words
    assert (server.data / "server.json").exists()
    assert server.client("sts").get_caller_identity()["Account"]


def test_a_data_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with ordinary_server() as server:
        closed = server.data.parent / "closed"
        closed.mkdir(mode=0o555)
        code, words = refused_start(replace(server, data=closed / "data"))
    assert code == IO
    assert f"the data directory {closed / 'data'} cannot be used: Permission denied" in words and "--data" in words
    (tmp_path / "file").touch()
    code, words = refused_start(Server(tmp_path / "file" / "data"))
    assert (code, "Not a directory" in words) == (IO, True)


# ── QEMU ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def small_disk(folder: Path, size_bytes: int = MIB) -> Path:
    disk = folder / "disk.img"
    disk.write_bytes(os.urandom(size_bytes))
    return disk


def test_a_missing_qemu_ends_the_launch_with_its_name_and_doctor_tells(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = "/nonexistent/qemu-system-x86_64"
    with serving(Server(tmp_path_factory.mktemp("s") / "data", arguments=("--qemu", absent))) as server:
        image = journey.amiable(server, "image", "import", str(small_disk(tmp_path)), "--name", "small").stdout.strip()
        before = holdings(server)
        ec2 = server.client("ec2")
        run = {"ImageId": image, "InstanceType": "amiable.tiny", "MinCount": 1, "MaxCount": 1}
        instance = ec2.run_instances(**run)["Instances"][0]["InstanceId"]
        found = journey.wait_for_state(server, instance, "terminated")
        assert found["StateReason"]["Code"].startswith("Server.")
        assert absent in found["StateReason"]["Message"]
        assert (
            "not installed" in found["StateReason"]["Message"] and "apt-get install" in found["StateReason"]["Message"]
        )
        assert holdings(server) == before
        waited = journey.amiable(server, "launch", image, "--wait", check=False)
        assert waited.returncode != 0 and absent in waited.stderr
        asked = journey.amiable(server, "doctor", check=False)
        assert asked.returncode == 1 and f"{absent} is not installed: no launch can succeed" in asked.stdout
        monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
        looked = journey.amiable(server, "doctor", check=False)
    assert looked.returncode == 1
    line = next(line for line in looked.stdout.splitlines() if "qemu-system-x86_64" in line)
    assert line.startswith("broken") and "not installed" in line
    assert "hint: apt-get install qemu-system-x86" in looked.stdout


# ── a full disk ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def small_file_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system of 128 MiB; gone after the test."""
    place = tmp_path_factory.mktemp("disk")
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system takes root")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128m", "none", str(place)], check=True, timeout=60)
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True, timeout=60)


def fill(place: Path, but_bytes: int) -> Path:
    """Takes all of the disk ``but_bytes``; the file to remove again."""
    ballast = place / "ballast"
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(place).free - but_bytes)
    return ballast


def code_of(error: "pytest.ExceptionInfo[ClientError]") -> str:
    return str(error.value.response["Error"]["Code"])


def import_to_its_end(ec2: Any) -> dict[str, Any]:
    """What the task says of s3://disks/disk once it has ended."""
    container = {"Format": "RAW", "UserBucket": {"S3Bucket": "disks", "S3Key": "disk"}}
    task = ec2.import_snapshot(DiskContainer=container)["ImportTaskId"]

    def ended() -> dict[str, Any] | None:
        found = ec2.describe_import_snapshot_tasks(ImportTaskIds=[task])["ImportSnapshotTasks"][0]
        detail: dict[str, Any] = found["SnapshotTaskDetail"]
        return detail if detail["Status"] != "active" else None

    return journey.wait_until("the import to end", ended, END_SECONDS_MAX)


def test_a_start_on_a_full_disk_is_refused(small_file_system: Path) -> None:
    for but_bytes in (20 * MIB, 0):
        ballast = fill(small_file_system, but_bytes)
        code, words = refused_start(Server(small_file_system / "data"))
        assert code == IO
        assert str(small_file_system / "data") in words
        assert "is full" in words or "No space left on device" in words
        assert not (small_file_system / "data" / "amiable.db").exists()
        ballast.unlink()


def test_an_import_into_a_full_disk_is_refused_by_name_and_works_once_there_is_space(
    small_file_system: Path, tmp_path: Path
) -> None:
    disk = small_disk(tmp_path, 16 * MIB)
    with serving(Server(small_file_system / "data")) as server:
        ec2, s3, ebs = server.client("ec2"), server.client("s3"), server.client("ebs")
        s3.create_bucket(Bucket="disks")
        s3.put_object(Bucket="disks", Key="disk", Body=disk.read_bytes())
        before = holdings(server)
        ballast = fill(small_file_system, 3 * MIB)

        done = journey.amiable(server, "image", "import", str(disk), "--name", "large", check=False)
        assert (done.returncode, done.stdout) == (74, "")
        assert "The disk of the server's data directory is full" in done.stderr and "\nhint: make space" in done.stderr
        assert import_to_its_end(ec2)["StatusMessage"].endswith("The disk of the server's data directory is full.")
        with pytest.raises(ClientError) as refused:
            s3.put_object(Bucket="disks", Key="other", Body=disk.read_bytes())
        assert code_of(refused) == "InsufficientVolumeCapacity"
        assert holdings(server) == before

        ballast.unlink()
        ballast = fill(small_file_system, 0)
        with pytest.raises(ClientError) as refused:
            ec2.create_key_pair(KeyName="no-room")
        assert code_of(refused) == "InsufficientVolumeCapacity"
        with pytest.raises(ClientError) as refused:
            ebs.start_snapshot(VolumeSize=1)
        assert code_of(refused) == "ServiceQuotaExceededException"
        assert ec2.describe_images()["Images"] == []  # reading goes on
        assert ec2.describe_key_pairs()["KeyPairs"] == []
        assert holdings(server) == before

        ballast.unlink()
        assert import_to_its_end(ec2)["Status"] == "completed"
        image = journey.amiable(server, "image", "import", str(disk), "--name", "large").stdout.strip()
        assert journey.snapshot_digest(server, journey.root_snapshot(server, image))
        assert "Traceback" not in server.log_text()


@pytest.mark.boot
def test_a_guest_that_runs_out_of_space_stands_still_with_a_reason_and_goes_on(small_file_system: Path) -> None:
    with serving(Server(small_file_system / "data")) as server:
        ec2 = server.client("ec2")
        image = journey.amiable(server, "image", "import", str(tiny_guest().hvm), "--name", "tiny").stdout.strip()
        ballast = fill(small_file_system, MIB)
        run = {"ImageId": image, "InstanceType": "amiable.tiny", "MinCount": 1, "MaxCount": 1}
        instance = ec2.run_instances(**run)["Instances"][0]["InstanceId"]

        def reason() -> str | None:
            found: str | None = journey.describe(ec2, instance).get("StateReason", {}).get("Message")
            return None if found == "pending" else found

        assert "disk of the server's data directory is full" in journey.wait_until(
            "a reason", reason, END_SECONDS_MAX
        ), server.log_text()
        assert journey.describe(ec2, instance)["State"]["Name"] == "running"
        assert "amiable-tiny: ready" not in journey.console(server, instance)

        ballast.unlink()
        journey.wait_until("the guest to go on", lambda: True if reason() is None else None)
        journey.wait_for_console(server, instance, "amiable-tiny: ready")
        journey.terminate(server, instance)
