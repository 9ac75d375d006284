"""What a launch costs: RunInstances → QEMU, whatever the image's size; and twenty at once.  (→ guest userspace: ``bench/boot.py``.)

    python bench/launch.py [--rounds 10] [--many 20] [--json]

*Overhead*: from the call to the moment at which the instance's process is QEMU, of an image of 1 GiB and of one of 100 GiB, sparse, with
the same data, and of *plain* QEMU: ``qemu-img create`` of an overlay over the raw image of 100 GiB, and QEMU's exec; rounds interleave.
Each launch is the only one of its VPC, so it makes the VPC's network too.  *Many*: so many in one call (fewer where the memory that is
free would not do, and it says so), all to run and to reach their userspace, none lost and nothing left.
Under load the clock says little: the CPU seconds that the server and its helpers took are told beside it.
Exit status 1 where a bound is missed.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from amiable.model.units import GIB, MIB
from tests.support.guests import tiny_guest
from tests.support.journey import amiable, describe, terminate
from tests.support.server import Server

LOOK_SECONDS = 0.002
WAIT_SECONDS_MAX = 300.0
MANY_SECONDS_MAX = 1800.0
"""Two cores boot twenty guests; under load, slowly."""
GUEST_BYTES_MAX = 512 * MIB
"""What a guest of 256 MiB takes with its QEMU: 300 MiB are seen."""
OVERHEAD_MS_MAX = 300
SIZE_RATIO_MAX = 1.15
"""The large image's overhead by the small one's."""


def wait(
    what: Callable[[], bool], start: float, look_seconds: float = LOOK_SECONDS, seconds_max: float = WAIT_SECONDS_MAX
) -> float:
    """Seconds from ``start`` until ``what`` holds."""
    while time.monotonic() - start < seconds_max:
        if what():
            return time.monotonic() - start
        time.sleep(look_seconds)
    raise SystemExit(f"not after {seconds_max:.0f} s")


def is_qemu(server: Server, instance_id: str) -> bool:
    """Whether the instance's process is QEMU already, and not the launcher that becomes it."""
    with contextlib.suppress(OSError, ValueError):
        record = json.loads((server.data / "instances" / instance_id / "process.json").read_text())
        return runs_qemu(int(record["pid"]))
    return False


def runs_qemu(pid: int) -> bool:
    return "qemu" in Path(f"/proc/{pid}/comm").read_text()


def plain(image: Path, folder: Path) -> float:
    """An overlay by ``qemu-img`` and plain QEMU's exec over it: seconds."""
    overlay = folder / "plain.qcow2"
    start = time.monotonic()
    create = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(image), "-F", "raw", str(overlay)]
    subprocess.run(create, check=True)
    argv = ["qemu-system-x86_64", "-nodefaults", "-S", "-m", "256M", "-display", "none"]
    with subprocess.Popen([*argv, "-drive", f"if=virtio,format=qcow2,file={overlay}"]) as qemu:
        try:
            return wait(lambda: runs_qemu(qemu.pid), start)
        finally:
            qemu.kill()


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
    """``count`` instances in one call: how long until all are QEMU and in userspace, how many are lost, what the server's CPU took."""
    count = min(count, free_bytes() // GUEST_BYTES_MAX)
    before, start = cpu_seconds(server), time.monotonic()
    ids = run(ec2, image_id, count)
    answered = time.monotonic() - start
    seconds = wait(lambda: all(is_qemu(server, each) for each in ids), start, 0.05)
    wait(lambda: all(state != "pending" for state in states(ec2, ids)), start, 0.5)
    cpu = cpu_seconds(server) - before

    def is_settled() -> bool:
        return len(answering(ec2, ids)) == states(ec2, ids).count("running")

    userspace = wait(is_settled, start, 2, MANY_SECONDS_MAX)
    lost, memory = count - len(answering(ec2, ids)), sum(resident_bytes(server, each) for each in ids)
    ec2.terminate_instances(InstanceIds=ids, Force=True)
    ended = time.monotonic()
    wait(lambda: all(state == "terminated" for state in states(ec2, ids)), ended, 0.5)
    left = [path.name for path in (server.data / "instances").iterdir()]
    return {
        "count": count,
        "answered_s": round(answered, 2),
        "qemu_s": round(seconds, 2),
        "userspace_s": round(userspace, 1),
        "server_cpu_s": round(cpu, 2),
        "memory_mib": memory // MIB,
        "lost": lost,
        "left": left,
    }


def free_bytes() -> int:
    """Memory that can be had without swapping."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("/proc/meminfo does not say what is available")


def resident_bytes(server: Server, instance_id: str) -> int:
    """Memory of the instance's QEMU; 0 where it has ended."""
    with contextlib.suppress(OSError, ValueError):
        record = json.loads((server.data / "instances" / instance_id / "process.json").read_text())
        return int(Path(f"/proc/{record['pid']}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def answering(ec2: Any, ids: list[str]) -> list[str]:
    """Those whose guest reached its userspace: the status check of the instance passed."""
    found = ec2.describe_instance_status(InstanceIds=ids)["InstanceStatuses"]
    return [each["InstanceId"] for each in found if each["InstanceStatus"]["Status"] == "ok"]


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
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ("plain", *ids)}
    for number in range(wanted.rounds + 1):  # the first round starts the exporter, and warms every side
        round_of = [("plain", (plain(paths["100 GiB"], folder), 0.0))]
        round_of += [(name, overhead(server, ec2, image_id)) for name, image_id in ids.items()]
        for name, figures in round_of if number > 0 else []:
            taken[name].append(figures)
    for name, rows in taken.items():
        seconds = sorted(row[0] for row in rows)
        found[f"overhead {name}"] = {
            "best_ms": round(1000 * seconds[0]),
            "p50_ms": round(1000 * statistics.median(seconds)),
            "max_ms": round(1000 * seconds[-1]),
            "cpu_ms": round(1000 * statistics.median(row[1] for row in rows)),
        }
    if wanted.many:
        found["many"] = many(server, ec2, ids["1 GiB"], wanted.many)
    return found


def bounds(found: dict[str, Any], wanted: argparse.Namespace) -> list[tuple[str, bool]]:
    """What is asked for, in words with the figure, and whether it holds."""
    small, large = (found[f"overhead {name}"]["p50_ms"] for name in ("1 GiB", "100 GiB"))
    told = [
        (f"overhead p50 {max(small, large)} ms, at most {OVERHEAD_MS_MAX}", max(small, large) <= OVERHEAD_MS_MAX),
        (f"100 GiB by 1 GiB {large / small:.2f}, at most {SIZE_RATIO_MAX}", large / small <= SIZE_RATIO_MAX),
    ]
    if wanted.many:
        all_of = found["many"]
        told.append((f"{all_of['count']} at once, {wanted.many} asked for", all_of["count"] == wanted.many))
        told.append(
            (f"{all_of['lost']} lost, {len(all_of['left'])} left over", not all_of["lost"] and not all_of["left"])
        )
    return told


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
    told = bounds(found, wanted)
    if wanted.json:
        print(json.dumps({**found, "bounds": dict(told)}))
    else:
        print(f"load average {os.getloadavg()[0]:.1f}")
        for what, figures in found.items():
            print(f"{what:18} " + "  ".join(f"{key} {value}" for key, value in figures.items()))
        for words, holds in told:
            print(f"{'holds ' if holds else 'MISSED'}  {words}")
    if not all(holds for _, holds in told):
        sys.exit(1)


if __name__ == "__main__":
    main()
