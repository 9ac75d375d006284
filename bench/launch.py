"""What a launch costs: RunInstances → QEMU, whatever the image's size; and twenty at once.  (→ guest userspace: ``bench/boot.py``.)

    python bench/launch.py [--rounds 10] [--many 20] [--json]

*Overhead*: from the call to the moment at which the instance's process is QEMU, of an image of 1 GiB and of one of 100 GiB, sparse, with
the same data; rounds interleave.  *Many*: so many in one call, all to run.
Under load the clock says little: the CPU seconds that the server and its helpers took are told beside it.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from amiable.model.units import GIB
from tests.support.guests import tiny_guest
from tests.support.journey import amiable, describe, terminate
from tests.support.server import Server

LOOK_SECONDS = 0.002
WAIT_SECONDS_MAX = 300.0


def wait(what: Callable[[], bool], start: float, look_seconds: float = LOOK_SECONDS) -> float:
    """Seconds from ``start`` until ``what`` holds."""
    while time.monotonic() - start < WAIT_SECONDS_MAX:
        if what():
            return time.monotonic() - start
        time.sleep(look_seconds)
    raise SystemExit(f"not after {WAIT_SECONDS_MAX:.0f} s")


def is_qemu(server: Server, instance_id: str) -> bool:
    """Whether the instance's process is QEMU already, and not the launcher that becomes it."""
    with contextlib.suppress(OSError, ValueError):
        record = json.loads((server.data / "instances" / instance_id / "process.json").read_text())
        return "qemu" in Path(f"/proc/{record['pid']}/comm").read_text()
    return False


def cpu_seconds(server: Server) -> float:
    """CPU time of the server and of its children that have ended."""
    assert server.process is not None
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def run(ec2: Any, image_id: str, count: int = 1) -> list[str]:
    answer = ec2.run_instances(ImageId=image_id, InstanceType="amiable.tiny", MinCount=count, MaxCount=count)
    return [each["InstanceId"] for each in answer["Instances"]]


def overhead(server: Server, ec2: Any, image_id: str) -> tuple[float, float]:
    """One launch, to QEMU: seconds, CPU seconds."""
    before, start = cpu_seconds(server), time.monotonic()
    (instance_id,) = run(ec2, image_id)
    seconds = wait(lambda: is_qemu(server, instance_id), start)
    wait(lambda: describe(ec2, instance_id)["State"]["Name"] == "running", start, 0.02)
    cpu = cpu_seconds(server) - before
    terminate(server, instance_id)
    return seconds, cpu


def many(server: Server, ec2: Any, image_id: str, count: int) -> dict[str, Any]:
    """``count`` instances in one call: how long until all are QEMU, how many are lost, what the server's CPU took."""
    before, start = cpu_seconds(server), time.monotonic()
    ids = run(ec2, image_id, count)
    answered = time.monotonic() - start
    seconds = wait(lambda: all(is_qemu(server, each) for each in ids), start, 0.05)
    wait(lambda: all(state != "pending" for state in states(ec2, ids)), start, 0.5)
    lost = sum(state != "running" for state in states(ec2, ids))
    cpu = cpu_seconds(server) - before
    ec2.terminate_instances(InstanceIds=ids, Force=True)
    wait(lambda: all(state == "terminated" for state in states(ec2, ids)), start, 0.5)
    left = [path.name for path in (server.data / "instances").iterdir()]
    return {"count": count, "answered": answered, "seconds": seconds, "cpu": cpu, "lost": lost, "left": left}


def states(ec2: Any, ids: list[str]) -> list[str]:
    answer = ec2.describe_instances(InstanceIds=ids)["Reservations"]
    return [each["State"]["Name"] for reservation in answer for each in reservation["Instances"]]


def make_sparse(image: Path, folder: Path, name: str, size_bytes: int) -> Path:
    """A copy of the image, so long; the file system takes no room for the rest."""
    made = folder / name
    shutil.copyfile(image, made)
    os.truncate(made, size_bytes)
    return made


def measure(server: Server, folder: Path, wanted: argparse.Namespace) -> dict[str, Any]:
    ec2 = server.client("ec2")
    paths = {
        name: make_sparse(tiny_guest().hvm, folder, f"{size}.img", size * GIB)
        for name, size in (("1 GiB", 1), ("100 GiB", 100))
    }
    ids = {
        name: amiable(server, "image", "import", str(path), "--name", name, "--output", "id").stdout.split()[-1]
        for name, path in paths.items()
    }
    found: dict[str, Any] = {}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ids}
    for number in range(wanted.rounds + 1):  # the first round starts the exporter, and warms every side
        for name, image_id in ids.items():
            figures = overhead(server, ec2, image_id)
            if number > 0:
                taken[name].append(figures)
    for name, rows in taken.items():
        seconds = sorted(row[0] for row in rows)
        found[f"overhead {name}"] = {
            "p50_ms": round(1000 * statistics.median(seconds)),
            "max_ms": round(1000 * seconds[-1]),
            "cpu_ms": round(1000 * statistics.median(row[1] for row in rows)),
        }
    if wanted.many:
        found["many"] = many(server, ec2, ids["1 GiB"], wanted.many)
    return found


def main() -> None:
    """Runs and prints."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--rounds", type=int, default=10)
    flags.add_argument("--many", type=int, default=20)
    flags.add_argument("--json", action="store_true")
    wanted = flags.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the server and its guests are ended all the same
    with tempfile.TemporaryDirectory(prefix="amiable-bench-") as name:
        server = Server(Path(name) / "data").start()
        try:
            found = measure(server, Path(name), wanted)
        finally:
            server.close()
    if wanted.json:
        print(json.dumps(found))
        return
    print(f"load average {os.getloadavg()[0]:.1f}")
    for what, figures in found.items():
        print(f"{what:18} " + "  ".join(f"{key} {value}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
