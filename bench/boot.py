"""RunInstances → guest userspace, against plain ``qemu-system`` on the same disk, and a large sparse image against the tiny one.

    python bench/boot.py [--rounds 3] [--large] [--json]

Userspace is reached when the guest's SSH daemon says its first word (both sides are asked ten times a second through QEMU's port
forward).  The plain side is QEMU with the same machine, a qcow2 overlay over the raw image, no server, no metadata service.  Rounds interleave; before the first round each side
boots once, so that both find the disk in the page cache.  ``--large`` adds an image of 100 GiB, sparse, with 2 GiB of data: its launch
is to be as fast.  Also told: how much the instance's directory holds at that moment.
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

from amiable.model.units import GIB, MIB, human_bytes
from amiable.vm import machine, network
from amiable.vm.directory import open_directory
from amiable.vm.machine import MachineFailed
from amiable.vm.network import NetworkFailed
from tests.support.guests import tiny_guest
from tests.support.journey import amiable, terminate
from tests.support.server import Server

BANNER = b"SSH-2.0"
ASK_SECONDS = 0.1
ANSWER_SECONDS_MAX = 1.0
BOOT_SECONDS_MAX = 300
LARGE_BYTES = 100 * GIB
LARGE_DATA_BYTES = 2 * GIB


def wait_for_banner(connect: Callable[[], socket.socket], start: float) -> float:
    """Seconds from ``start`` until a connection says the banner."""
    while time.monotonic() - start < BOOT_SECONDS_MAX:
        with contextlib.suppress(OSError, NetworkFailed, MachineFailed), connect() as guest:
            guest.settimeout(ANSWER_SECONDS_MAX)
            if guest.recv(64).startswith(BANNER):
                return time.monotonic() - start
        time.sleep(ASK_SECONDS)
    raise SystemExit(f"no guest after {BOOT_SECONDS_MAX} s")


def boot_plain(image: Path, folder: Path) -> float:
    """One plain QEMU."""
    overlay = folder / "plain.qcow2"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    start = time.monotonic()
    create = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(image), "-F", "raw", str(overlay)]
    subprocess.run(create, check=True)
    argv = ["qemu-system-x86_64", "-nodefaults", "-machine", "q35", "-accel", "tcg,thread=multi,tb-size=256"]
    argv += ["-cpu", "max,la57=off", "-m", "256M", "-display", "none", "-serial", f"file:{folder / 'plain.log'}"]
    argv += ["-drive", f"if=virtio,format=qcow2,file={overlay}"]
    argv += ["-nic", f"user,model=virtio-net-pci,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22"]
    with subprocess.Popen(argv) as qemu:
        try:
            return wait_for_banner(lambda: socket.create_connection(("127.0.0.1", port)), start)
        finally:
            qemu.kill()


def boot_ours(server: Server, ec2: Any, image_id: str) -> tuple[float, int]:
    """One instance: seconds from the call, and how many bytes its directory took."""
    start = time.monotonic()
    run = ec2.run_instances(ImageId=image_id, InstanceType="amiable.tiny", MinCount=1, MaxCount=1)
    instance = run["Instances"][0]

    def connect() -> socket.socket:
        with open_directory(server.data, instance["InstanceId"]) as directory:
            qemu = machine.find_machine(directory)
            if qemu is None:
                raise MachineFailed("not yet")
            with machine.monitor(directory, qemu) as qmp:
                port = network.forwarded_port(qmp, 22, instance["PrivateIpAddress"])
            with network.Holder(directory) as holder:
                return holder.connect(port)

    seconds = wait_for_banner(connect, start)
    folder = server.data / "instances" / instance["InstanceId"]
    grown = sum(path.stat().st_blocks * 512 for path in folder.iterdir())
    terminate(server, instance["InstanceId"])
    return seconds, grown


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
    flags.add_argument("--large", action="store_true")
    flags.add_argument("--json", action="store_true")
    wanted = flags.parse_args()
    image = tiny_guest().hvm
    with tempfile.TemporaryDirectory(prefix="amiable-bench-") as name:
        folder = Path(name)
        server = Server(folder / "data").start()
        try:
            found = measure(server, image, folder, wanted.rounds, with_large=wanted.large)
        finally:
            server.close()
    if wanted.json:
        print(json.dumps(found))
        return
    for side, values in found.items():
        print(
            f"{side:24} {'  '.join(f'{second:6.2f} s' for second in values['seconds'])}   median {values['median']:.2f} s",
            end="",
        )
        print(f"   directory {human_bytes(values['grown_bytes'])}" if values["grown_bytes"] else "")


def measure(server: Server, image: Path, folder: Path, rounds: int, *, with_large: bool) -> dict[str, Any]:
    """Side → seconds of each round, their median, and the directory's size."""
    ec2 = server.client("ec2")
    images = {"amiable": add_image(server, image, "tiny")}
    if with_large:
        images["amiable, 100 GiB image"] = add_image(server, make_large(image, folder), "large")
    seconds: dict[str, list[float]] = {"plain qemu": [], **{side: [] for side in images}}
    grown = dict.fromkeys(seconds, 0)
    for number in range(rounds + 1):  # the first round warms both sides
        taken = {"plain qemu": (boot_plain(image, folder), 0)}
        taken |= {side: boot_ours(server, ec2, image_id) for side, image_id in images.items()}
        for side, (second, size_bytes) in taken.items():
            if number > 0:
                seconds[side].append(second)
                grown[side] = max(grown[side], size_bytes)
    return {
        side: {"seconds": values, "median": statistics.median(values), "grown_bytes": grown[side]}
        for side, values in seconds.items()
    }


def add_image(server: Server, path: Path, name: str) -> str:
    """Imports; the image's id."""
    return amiable(server, "image", "import", str(path), "--name", name, "--output", "id").stdout.split()[-1]


if __name__ == "__main__":
    main()
