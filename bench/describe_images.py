"""DescribeImages with 1,000 images: Amiable's server against moto's, the same boto3 client, interleaved in one run.

Prints wall milliseconds a call and CPU milliseconds of the server process a call, as medians, and the ratios.
"""

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support.server import Server

IMAGES = 1000
ROUNDS = 9
START_SECONDS_MAX = 60
TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system time of ``pid`` so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def start_moto() -> tuple["subprocess.Popen[bytes]", str]:
    """moto's server on a free port of loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "MOTO_EC2_LOAD_DEFAULT_AMIS": "false"}
    command = [str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    until = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process, f"http://127.0.0.1:{port}"
        time.sleep(0.1)
    raise SystemExit("moto's server did not start")


def client(endpoint: str, service: str) -> Any:
    """A boto3 client of moto."""
    words = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    return boto3.session.Session(**words).client(
        service, endpoint_url=endpoint, config=Config(retries={"max_attempts": 0}, read_timeout=300)
    )


def fill_moto(ec2: Any) -> None:
    """1,000 images of one volume's snapshot."""
    volume = ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    register(ec2, ec2.create_snapshot(VolumeId=volume)["SnapshotId"])


def fill_amiable(server: Server) -> None:
    """1,000 images of one empty snapshot."""
    ebs, ec2 = server.client("ebs"), server.client("ec2")
    snapshot = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    ebs.complete_snapshot(SnapshotId=snapshot, ChangedBlocksCount=0)
    ec2.get_waiter("snapshot_completed").wait(SnapshotIds=[snapshot], WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    register(ec2, snapshot)


def register(ec2: Any, snapshot: str) -> None:
    """Registers the images."""
    for number in range(IMAGES):
        mapping = [{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": snapshot}}]
        words = {
            "Architecture": "x86_64",
            "VirtualizationType": "hvm",
            "RootDeviceName": "/dev/sda1",
            "Description": "bench",
        }
        ec2.register_image(Name=f"image {number}", BlockDeviceMappings=mapping, **words)


def measure(ec2: Any, pid: int) -> tuple[float, float]:
    """Wall and server CPU milliseconds of one call."""
    cpu, wall = cpu_seconds(pid), time.perf_counter()
    count = len(ec2.describe_images(Owners=["self"])["Images"])
    assert count == IMAGES, count
    return 1000 * (time.perf_counter() - wall), 1000 * (cpu_seconds(pid) - cpu)


def main() -> None:
    """Fills both, measures in turn, prints."""
    moto, endpoint = start_moto()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "d").start()
        try:
            assert server.process is not None
            ours, theirs = server.client("ec2"), client(endpoint, "ec2")
            fill_moto(theirs)
            fill_amiable(server)
            figures: dict[str, list[tuple[float, float]]] = {"amiable": [], "moto": []}
            for _ in range(ROUNDS):
                figures["amiable"].append(measure(ours, server.process.pid))
                figures["moto"].append(measure(theirs, moto.pid))
        finally:
            server.close()
            moto.terminate()
            moto.wait(60)
    medians = {
        name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in figures.items()
    }
    for name, (wall, cpu) in medians.items():
        print(
            f"DescribeImages, {IMAGES} images, {name}: {wall:.0f} ms wall (client included), {cpu:.0f} ms CPU of the server"
        )
    wall, cpu = (medians["moto"][column] / max(1.0, medians["amiable"][column]) for column in (0, 1))
    print(f"moto / amiable: {wall:.1f} x wall, {cpu:.1f} x CPU of the server")


if __name__ == "__main__":
    main()
