"""CreateImage of a volume of which little was changed, against a full copy of it by ``qemu-img convert``, in turn.

    python bench/create_image.py [--rounds 3] [--size 10] [--data 2] [--dirty 256 1024] [--json]

The volume has SIZE GiB over a snapshot that holds DATA GiB of random bytes; before each pair of runs DIRTY MiB of new random bytes are
written into its overlay.  *image*: from the CreateImage call on the stopped instance to ``available``, the store's syncs included.
*convert*: ``qemu-img convert`` of the same overlay over the same exporter into a qcow2 file, without a sync.  No guest runs.  Exit status 1 where the bound of the smallest DIRTY is missed.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from amiable.api.ec2.create_image import create_image
from amiable.database import images, instances, schema, volumes
from amiable.jobs.machine import export, unexport
from amiable.model.instance import Instance
from amiable.model.principal import Principal
from amiable.model.units import BLOCK_BYTES, BLOCKS_PER_GIB, GIB, MIB
from amiable.model.volume import Volume
from amiable.rules.hardware import disk_of
from amiable.rules.lifecycle import Event
from amiable.services import Services
from amiable.vm import machine
from amiable.vm.directory import make_directory, open_directory
from amiable.wire.generated import ec2
from tests.api.ec2.launching import make_snapshot
from tests.jobs.test_machine_jobs import launch
from tests.support.exporters import stop_exporter
from tests.support.services import make_account, open_services
from tests.support.work import run_jobs

WRITE_BLOCKS = 128
TIMES_FASTER_MIN = 5.0
"""Where 256 MiB of 10 GiB were changed."""


@dataclass(frozen=True)
class Stage:
    """A stopped instance with one volume over a full snapshot."""

    services: Services
    principal: Principal
    instance: Instance
    volume: Volume

    @property
    def folder(self) -> Path:
        return self.services.data / "instances" / self.instance.id


def make_base(services: Services, principal: Principal, *, size_gib: int, data_gib: int) -> str:
    """A completed snapshot whose first ``data_gib`` are random."""
    base = make_snapshot(services, principal, size_gib=size_gib, state="pending", completed_at=None)
    for start in range(0, data_gib * BLOCKS_PER_GIB, WRITE_BLOCKS):
        services.blocks.write(base, [(start + number, os.urandom(BLOCK_BYTES)) for number in range(WRITE_BLOCKS)])
    services.blocks.complete(base)
    return base


def make_stage(services: Services, *, size_gib: int, data_gib: int) -> Stage:
    """The instance, its overlay empty."""
    _, principal = make_account(services, "bench")
    base = make_base(services, principal, size_gib=size_gib, data_gib=data_gib)
    instance = launch(services, principal, root_device_type="ebs", root_device_name="/dev/sda1")
    with services.database.write() as c:
        c.execute(schema.volume.update().values(snapshot_id=base, size_gib=size_gib, size_bytes=size_gib * GIB))
        for event in (Event.BOOTED, Event.STOP_ASKED, Event.STOPPED):
            instances.set_state(c, instance.id, event, now=services.now())
        (volume,) = volumes.volumes_of(c, instance.id)
    make_directory(services.data, instance.id, range(200_000, 200_010))
    return Stage(services, principal, instance, volume)


def dirty(stage: Stage, mib: int) -> None:
    """A new overlay with ``mib`` of random bytes in it, spread in pieces of 1 MiB."""
    (stage.folder / f"{stage.volume.id}.qcow2").unlink(missing_ok=True)
    with open_directory(stage.services.data, stage.instance.id) as directory:
        machine.make_overlay(directory, disk_of(stage.volume))
        export(stage.services, directory, stage.volume)
    stride = stage.volume.size_bytes // mib // MIB * MIB
    pieces = stage.folder / "pieces"
    commands: list[str] = []
    for number in range(mib):
        piece = pieces.with_name(f"pieces-{number}")
        piece.write_bytes(os.urandom(MIB))
        commands += ["-c", f"write -s {piece.name} {number * stride} 1M"]
    subprocess.run(
        ["qemu-io", "-f", "qcow2", *commands, f"{stage.volume.id}.qcow2"],
        cwd=stage.folder,
        check=True,
        capture_output=True,
    )
    for number in range(mib):
        pieces.with_name(f"pieces-{number}").unlink()
    os.sync()


def image_seconds(stage: Stage, name: str) -> float:
    """From the call to available."""
    unexport(stage.services, (stage.volume,))
    start = time.monotonic()
    request = ec2.CreateImageRequest(instance_id=stage.instance.id, name=name)
    image_id = create_image(stage.services, stage.principal, request).image_id
    run_jobs(stage.services)
    seconds = time.monotonic() - start
    with stage.services.database.read() as c:
        image = images.get(c, stage.instance.region, str(image_id), viewer=stage.principal.account_id)
    if image is None or image.state != "available":
        raise SystemExit(f"the image is not available: {image and image.state_reason}")
    return seconds


def convert_seconds(stage: Stage) -> float:
    """A full copy by ``qemu-img convert``."""
    with open_directory(stage.services.data, stage.instance.id) as directory:
        export(stage.services, directory, stage.volume)
    copy = stage.folder / "copy.qcow2"
    start = time.monotonic()
    words = ["qemu-img", "convert", "-f", "qcow2", "-O", "qcow2", f"{stage.volume.id}.qcow2", copy.name]
    subprocess.run(words, cwd=stage.folder, check=True)
    seconds = time.monotonic() - start
    copy.unlink()
    return seconds


def measure(stage: Stage, mib: int, rounds: int) -> dict[str, float]:
    """Medians of so many pairs of runs."""
    made, copied = [], []
    for number in range(rounds):
        dirty(stage, mib)
        made.append(image_seconds(stage, f"bench {mib} {number}"))
        copied.append(convert_seconds(stage))
    image, convert = statistics.median(made), statistics.median(copied)
    return {"dirty_mib": mib, "image_seconds": image, "convert_seconds": convert, "times_faster": convert / image}


def main() -> None:
    """Prints one line for each amount of changed data."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, default=10)
    parser.add_argument("--data", type=int, default=2)
    parser.add_argument("--dirty", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="amiable-bench-") as folder,
        open_services(Path(folder) / "data") as services,
    ):
        try:
            stage = make_stage(services, size_gib=asked.size, data_gib=asked.data)
            found = [measure(stage, mib, asked.rounds) for mib in asked.dirty]
        finally:
            stop_exporter(services.data)
    if asked.json:
        print(json.dumps(found))
        return
    print(f"load average {os.getloadavg()[0]:.1f}")
    print(f"a volume of {asked.size} GiB over {asked.data} GiB of data; medians of {asked.rounds}")
    for each in found:
        print(
            f"{each['dirty_mib']:.0f} MiB changed: image {each['image_seconds']:.2f} s, "
            f"qemu-img convert {each['convert_seconds']:.2f} s: {each['times_faster']:.1f} times faster"
        )
    least = min(found, key=lambda each: each["dirty_mib"])
    holds = least["times_faster"] >= TIMES_FASTER_MIN
    words = (
        f"{least['dirty_mib']:.0f} MiB changed: {least['times_faster']:.1f} times faster, at least {TIMES_FASTER_MIN:g}"
    )
    print(f"{'holds ' if holds else 'MISSED'}  {words}")
    if not holds:
        sys.exit(1)


if __name__ == "__main__":
    main()
