"""RunInstances → guest userspace, against plain ``qemu-system`` on the same disk, and a large sparse image against the tiny one.

    python bench/boot.py [--rounds 3] [--small] [--json]

Userspace is reached when the guest's SSH daemon says its first word (both sides are asked ten times a second: the plain one through
QEMU's port forward, ours through its tap where the server's network is *routed*, else through its port forward).  The plain side is QEMU
with the same machine, memory and processor, a qcow2 overlay over the raw image, and the network device that ``-nic`` gives (its boot ROM
with it): no screen, no hot-plug slots, no source of entropy, no port for an agent, no server, no metadata service.  Rounds interleave; before the first round
each side boots once, so that both find the disk in the page cache.  A third side is an image of 100 GiB, sparse, with 2 GiB of data (left out by
``--small``): its launch is to be as fast as the tiny one's.  Its volume is a gp3 of 2,000 MiB/s: a gp2 of 100 GiB is held to 128 MiB/s, as on
EC2, and a guest that makes its file system as long as that disk fills tables with zeros for seven seconds more.

Also told, against the boot's working set (the distinct blocks of 512 KiB that a plain boot touches, from an overlay with copy-on-read):
the bytes that the exporter fetched from packs, and how much the instance's directory holds when userspace is reached.
Exit status 1 where a bound is missed.
"""

import argparse
import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from amiable.model.units import BLOCK_BYTES, GIB, MIB, human_bytes
from amiable.vm import fabric, machine, network
from amiable.vm.directory import open_directory
from amiable.vm.machine import MachineFailed
from amiable.vm.network import NetworkFailed
from tests.support.guests import tiny_guest
from tests.support.journey import amiable, describe, terminate
from tests.support.server import Server

BANNER = b"SSH-2.0"
ASK_SECONDS = 0.1
ANSWER_SECONDS_MAX = 1.0
ANSWER_TO_DIAL_SECONDS_MAX = 0.3
BOOT_SECONDS_MAX = 300
LARGE_BYTES = 100 * GIB
LARGE_DATA_BYTES = 2 * GIB
FAST = {"VolumeType": "gp3", "Iops": 8000, "Throughput": 2000}
RATIO_MAX = 1.15
"""Ours by plain, of the medians."""
PLAIN = (
    *("qemu-system-x86_64", "-nodefaults", "-machine", "q35", "-accel", "tcg,thread=multi,tb-size=256"),
    *("-cpu", "max,la57=off", "-m", "256M", "-display", "none"),
)


def wait_for_banner(connect: Callable[[], socket.socket], start: float) -> float:
    """Seconds from ``start`` until a connection says the banner."""
    while time.monotonic() - start < BOOT_SECONDS_MAX:
        with contextlib.suppress(OSError, NetworkFailed, MachineFailed), connect() as guest:
            guest.settimeout(ANSWER_SECONDS_MAX)
            if guest.recv(64).startswith(BANNER):
                return time.monotonic() - start
        time.sleep(ASK_SECONDS)
    raise SystemExit(f"no guest after {BOOT_SECONDS_MAX} s")


def dial(way: socket.socket, address: str) -> socket.socket:
    """Connects to the guest's SSH port, or gives up at once: the kernel would ask a guest that is not up again only after seconds."""
    try:
        way.settimeout(ANSWER_TO_DIAL_SECONDS_MAX)
        way.connect((address, 22))
    except OSError:
        way.close()
        raise
    return way


def boot_plain(image: Path, folder: Path) -> float:
    """One plain QEMU."""
    overlay = folder / "plain.qcow2"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    start = time.monotonic()
    create = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(image), "-F", "raw", str(overlay)]
    subprocess.run(create, check=True)
    argv = [*PLAIN, "-serial", f"file:{folder / 'plain.log'}"]
    argv += ["-drive", f"if=virtio,format=qcow2,file={overlay}"]
    argv += ["-nic", f"user,model=virtio-net-pci,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22"]
    with subprocess.Popen(argv) as qemu:
        try:
            return wait_for_banner(lambda: socket.create_connection(("127.0.0.1", port)), start)
        finally:
            qemu.kill()


def working_set(image: Path, folder: Path) -> tuple[int, int]:
    """Bytes of the distinct 512 KiB blocks that a boot up to the banner touches: of those that hold data, and of all."""
    overlay, log = folder / "traced.qcow2", folder / "traced.log"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    create = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(image), "-F", "raw", str(overlay)]
    subprocess.run(create, check=True)
    argv = [*PLAIN, "-serial", f"file:{log}", "-drive", f"if=virtio,format=qcow2,copy-on-read=on,file={overlay}"]
    argv += ["-nic", f"user,model=virtio-net-pci,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22", "-monitor", "stdio"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as qemu:
        try:
            wait_for_banner(lambda: socket.create_connection(("127.0.0.1", port)), time.monotonic())
            qemu.communicate("quit\n", timeout=60)
        finally:
            qemu.kill()
    told = subprocess.run(
        ["qemu-img", "map", "-f", "qcow2", "--output=json", str(overlay)], check=True, capture_output=True, text=True
    )
    blocks: set[int] = set()
    for extent in json.loads(told.stdout):
        if extent["depth"] == 0 and extent["data"]:
            blocks.update(
                range(extent["start"] // BLOCK_BYTES, -(-(extent["start"] + extent["length"]) // BLOCK_BYTES))
            )
    with image.open("rb") as file:
        holding = sum(1 for block in blocks if holds_data(file.fileno(), block))
    return holding * BLOCK_BYTES, len(blocks) * BLOCK_BYTES


def holds_data(descriptor: int, block: int) -> bool:
    """Whether a block of the raw image has any byte that is not zero."""
    return any(os.pread(descriptor, BLOCK_BYTES, block * BLOCK_BYTES))


def fetched_bytes(server: Server, volume_id: str) -> int:
    """What the exporter has fetched from packs for a volume, by its log."""
    lines = (server.data / "exporter" / "log").read_text().splitlines()
    return BLOCK_BYTES * sum(1 for line in lines if f" {volume_id} block " in line)


def boot_ours(server: Server, ec2: Any, image_id: str, volume: dict[str, Any]) -> tuple[float, int, int]:
    """One instance: seconds from the call, bytes that its directory took, bytes fetched for it."""
    start = time.monotonic()
    mapping = [{"DeviceName": "/dev/sda1", "Ebs": volume}] if volume else []
    run = ec2.run_instances(
        ImageId=image_id, InstanceType="amiable.tiny", MinCount=1, MaxCount=1, BlockDeviceMappings=mapping
    )
    instance = run["Instances"][0]

    def connect() -> socket.socket:
        with open_directory(server.data, instance["InstanceId"]) as directory:
            qemu = machine.find_machine(directory)
            if qemu is None:
                raise MachineFailed("not yet")
            link = fabric.link_of(qemu)
            if link is not None:
                with fabric.open_fabric(server.data, link.vpc_id) as folder, fabric.Agent(folder) as agent:
                    way = agent.way(link.tap)
                return dial(way, link.address)
            with machine.monitor(directory, qemu) as qmp:
                port = network.forwarded_port(qmp, 22, instance["PrivateIpAddress"])
            with network.Holder(directory) as holder:
                return holder.connect(port)

    seconds = wait_for_banner(connect, start)
    folder = server.data / "instances" / instance["InstanceId"]
    grown = sum(path.stat().st_blocks * 512 for path in folder.iterdir())
    volume_id = describe(ec2, instance["InstanceId"])["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    fetched = fetched_bytes(server, volume_id)
    terminate(server, instance["InstanceId"])
    return seconds, grown, fetched


def make_large(image: Path, folder: Path) -> Path:
    """The image with 2 GiB of noise far behind its end, 100 GiB long."""
    large = folder / "large.img"
    shutil.copyfile(image, large)
    with large.open("r+b") as file:
        file.truncate(LARGE_BYTES)
        file.seek(50 * GIB)
        for _ in range(LARGE_DATA_BYTES // (4 * MIB)):
            file.write(os.urandom(4 * MIB))
    return large


def main() -> None:
    """Runs and prints."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--rounds", type=int, default=3)
    flags.add_argument("--small", action="store_true", help="leave the 100 GiB image out")
    flags.add_argument("--json", action="store_true")
    wanted = flags.parse_args()
    with tempfile.TemporaryDirectory(prefix="amiable-bench-") as name:
        folder = Path(name)
        images = {"tiny": tiny_guest().hvm}
        if not wanted.small:
            images["100 GiB"] = make_large(tiny_guest().hvm, folder)
        server = Server(folder / "data").start()
        try:
            found = measure(server, images, folder, wanted.rounds)
        finally:
            server.close()
    ratios = {name: found[f"amiable {name}"]["median"] / found[f"plain {name}"]["median"] for name in images}
    if wanted.json:
        print(json.dumps({**found, "ratios": ratios}))
    else:
        tell(found)
        for name, ratio in ratios.items():
            words = f"call to userspace of {name}: {ratio:.2f} x plain, at most {RATIO_MAX}"
            print(f"{'holds ' if ratio <= RATIO_MAX else 'MISSED'}  {words}")
    if max(ratios.values()) > RATIO_MAX:
        sys.exit(1)


def tell(found: dict[str, Any]) -> None:
    """A line a side, and what ours fetched and grew."""
    print(f"load average {os.getloadavg()[0]:.1f}")
    for side, values in found.items():
        rounds = "  ".join(f"{second:6.2f} s" for second in values["seconds"])
        plain = found["plain " + side.partition(" ")[2]]
        print(f"{side:14} {rounds}   median {values['median']:.2f} s, {values['median'] / plain['median']:.2f} x plain")
        for what, kind in (("fetched", "data"), ("grown", "touched")):
            if values[f"{what}_bytes"]:
                size, wanted_bytes = values[f"{what}_bytes"], plain[f"{kind}_bytes"]
                words = f"{what} {human_bytes(size)}, {size / wanted_bytes:.2f} x the working set of {human_bytes(wanted_bytes)}"
                print(f"{'':14} {words}")


def measure(server: Server, images: dict[str, Path], folder: Path, rounds: int) -> dict[str, Any]:
    """Side → seconds of each round, their median, the most that was fetched and that the directory grew; plain's working set."""
    ec2 = server.client("ec2")
    ids = {name: add_image(server, path, name) for name, path in images.items()}
    taken: dict[str, list[tuple[float, int, int]]] = {
        f"{kind} {name}": [] for kind in ("plain", "amiable") for name in images
    }
    for number in range(rounds + 1):  # the first round warms every side
        for name, path in images.items():
            for side, figures in (
                (f"plain {name}", (boot_plain(path, folder), 0, 0)),
                (f"amiable {name}", boot_ours(server, ec2, ids[name], {} if name == "tiny" else FAST)),
            ):
                if number > 0:
                    taken[side].append(figures)
    found: dict[str, Any] = {
        side: {
            "seconds": [seconds for seconds, _, _ in rows],
            "median": statistics.median(seconds for seconds, _, _ in rows),
            "grown_bytes": max(grown for _, grown, _ in rows),
            "fetched_bytes": max(fetched for _, _, fetched in rows),
        }
        for side, rows in taken.items()
    }
    for name, path in images.items():
        data, touched = working_set(path, folder)
        found[f"plain {name}"] |= {"data_bytes": data, "touched_bytes": touched}
    return found


def add_image(server: Server, path: Path, name: str) -> str:
    """Imports; the image's id."""
    return amiable(server, "image", "import", str(path), "--name", name, "--output", "id").stdout.split()[-1]


if __name__ == "__main__":
    main()
