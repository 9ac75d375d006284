"""Snapshots of volumes at rest, read by a real qemu-storage-daemon over a real exporter; no guest runs."""

import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from amiable.api.ec2.create_image import create_image
from amiable.api.ec2.create_snapshots import create_snapshot
from amiable.blocks.store import BlockStore
from amiable.database import images, instances, jobs, schema, snapshots, tags, volumes
from amiable.jobs import moments, take_snapshots, terminate
from amiable.jobs.changed_blocks import BATCH_BLOCKS
from amiable.jobs.context import Interrupted, JobContext
from amiable.jobs.machine import export
from amiable.model.block_map import ZERO_BLOCK
from amiable.model.instance import Instance
from amiable.model.principal import Principal
from amiable.model.snapshot import Snapshot
from amiable.model.units import BLOCK_BYTES
from amiable.model.volume import Volume
from amiable.rules.hardware import disk_of
from amiable.rules.lifecycle import Event
from amiable.services import Services, volume_work
from amiable.vm import disk_export, machine
from amiable.vm.directory import make_directory, open_directory
from amiable.wire.generated import ec2
from tests.api.ec2.launching import make_snapshot
from tests.jobs.test_machine_jobs import context as machine_context
from tests.jobs.test_machine_jobs import launch
from tests.support.exporters import exported_volumes, stop_exporter
from tests.support.services import make_account
from tests.support.work import run_jobs

OLD = bytes([7]) * BLOCK_BYTES


@dataclass
class Still:
    """A stopped instance whose one volume lies over a snapshot with bytes 7 in the blocks 0, 1, 2 and 2000."""

    services: Services
    principal: Principal
    instance: Instance
    volume: Volume

    @property
    def folder(self) -> Any:
        return self.services.data / "instances" / self.instance.id

    def io(self, *commands: str) -> None:
        """Writes into the volume as its machine would."""
        with open_directory(self.services.data, self.instance.id) as directory:
            export(self.services, directory, self.volume)
        words = [word for command in commands for word in ("-c", command)]
        argv = ["qemu-io", "-f", "qcow2", *words, f"{self.volume.id}.qcow2"]
        done = subprocess.run(argv, cwd=self.folder, check=True, capture_output=True, text=True, timeout=60)
        assert "error" not in done.stdout + done.stderr, done

    def ask(self) -> str:
        """CreateSnapshot; the id."""
        made = create_snapshot(self.services, self.principal, ec2.CreateSnapshotRequest(volume_id=self.volume.id))
        assert made.snapshot_id is not None
        return made.snapshot_id

    def snapshot(self, snapshot_id: str) -> Snapshot:
        with self.services.database.read() as c:
            found = snapshots.get(c, snapshot_id)
        assert found is not None
        return found

    def blocks(self, snapshot_id: str) -> dict[int, bytes]:
        """The bytes of all blocks that are present."""
        found = {}
        for index, _ in self.services.blocks.blocks_of(snapshot_id):
            data = self.services.blocks.read(snapshot_id, index)
            assert data is not None
            found[index] = data
        return found

    def context(self, kind: str = take_snapshots.KIND) -> JobContext:
        """The job that waits, picked."""
        with self.services.database.write() as c:
            job = jobs.pick(c, [kind], jobs.Lease("test:1", self.services.host, "t"), now=self.services.now())
        assert job is not None
        return JobContext(self.services, job)


@pytest.fixture
def still(services: Services) -> Iterator[Still]:
    _, principal = make_account(services, "owner")
    base = make_snapshot(services, principal, size_gib=1, state="pending", completed_at=None)
    services.blocks.write(base, [(index, OLD) for index in (0, 1, 2, 2000)])
    services.blocks.complete(base)
    instance = launch(services, principal, root_device_type="ebs", root_device_name="/dev/sda1")
    with services.database.write() as c:
        c.execute(schema.volume.update().values(snapshot_id=base))
        for event in (Event.BOOTED, Event.STOP_ASKED, Event.STOPPED):
            instances.set_state(c, instance.id, event, now=services.now())
        (volume,) = volumes.volumes_of(c, instance.id)
    make_directory(services.data, instance.id, range(200_000, 200_010))
    with open_directory(services.data, instance.id) as directory:
        machine.make_overlay(directory, disk_of(volume))
    yield Still(services, principal, instance, volume)
    stop_exporter(services.data)


def test_a_snapshot_begins_with_its_volumes_base_and_reads_only_what_was_changed(
    still: Still, monkeypatch: pytest.MonkeyPatch
) -> None:
    mib = 1 << 20
    still.io(
        "write -P 9 0 4k",
        f"write -z {BLOCK_BYTES} {BLOCK_BYTES}",
        f"write -P 5 {100 * mib} 512k",
        f"write -z {200 * mib} 1M",
    )
    written: list[int] = []
    real = BlockStore.write

    def noting(self: BlockStore, snapshot_id: str, blocks: Any, *rest: Any, **more: Any) -> Any:
        written.extend(index for index, _ in blocks)
        return real(self, snapshot_id, blocks, *rest, **more)

    monkeypatch.setattr(BlockStore, "write", noting)
    made = still.ask()
    assert still.snapshot(made).state == "pending"
    run_jobs(still.services)
    found = still.snapshot(made)
    assert (found.state, found.progress_percent, found.changed_block_count) == ("completed", 100, 3)
    assert written == [0, 1, 200], "blocks of zeros over nothing are not even written"
    held = still.blocks(made)
    assert held == {0: bytes([9]) * 4096 + OLD[4096:], 1: ZERO_BLOCK, 2: OLD, 200: bytes([5]) * BLOCK_BYTES, 2000: OLD}
    names = {path.name for path in still.folder.iterdir()}
    assert not any(name.startswith(("disks", "copies")) for name in names), names
    assert exported_volumes(still.services.data) == []


def test_a_second_snapshot_holds_what_came_since(still: Still) -> None:
    still.io("write -P 9 0 4k")
    first = still.ask()
    run_jobs(still.services)
    still.io("write -P 3 512k 4k")
    second = still.ask()
    run_jobs(still.services)
    assert still.blocks(first)[1] == OLD and still.blocks(second)[1][:4096] == bytes([3]) * 4096
    assert still.blocks(second)[0] == still.blocks(first)[0]


def stopping_after(context: JobContext, reads: int) -> Callable[[], None]:
    """What lets the server end before so many reads more."""
    left = [reads]

    def look() -> None:
        left[0] -= 1
        if left[0] < 0:
            context.stop.set()

    return look


def test_a_job_that_was_interrupted_goes_on_where_it_was(still: Still, monkeypatch: pytest.MonkeyPatch) -> None:
    still.io(f"write -P 4 0 {(BATCH_BLOCKS + 10) * BLOCK_BYTES}")
    made = still.ask()
    context = still.context()
    look, real = stopping_after(context, 1), JobContext.go_on

    def go_on(self: JobContext) -> None:
        look()
        real(self)

    with monkeypatch.context() as patch:
        patch.setattr(JobContext, "go_on", go_on)
        with pytest.raises(Interrupted):
            take_snapshots.take_snapshots(context)
    assert context.data["next"] == {made: BATCH_BLOCKS} and still.snapshot(made).progress_percent == 3
    with open_directory(still.services.data, still.instance.id) as directory:
        assert disk_export.is_read_still(directory), "the moment lasts"
    context.stop.clear()
    take_snapshots.take_snapshots(context)
    assert still.snapshot(made).state == "completed"
    assert set(still.blocks(made)) == {*range(BATCH_BLOCKS + 10), 2000}


def image_of(still: Still, name: str) -> str:
    request = ec2.CreateImageRequest(instance_id=still.instance.id, name=name)
    made = create_image(still.services, still.principal, request).image_id
    assert made is not None
    return made


def test_a_moment_that_was_lost_fails_a_clean_image_and_is_taken_anew_for_a_snapshot(still: Still) -> None:
    image, other = image_of(still, "clean"), still.ask()
    context = still.context()
    moment = take_snapshots.take_moment(context)
    moments.let_go(still.services, moment, [still.volume])
    with still.services.database.write() as c:  # it was started and stopped while nobody looked
        for event in (Event.START_ASKED, Event.BOOTED, Event.STOP_ASKED, Event.STOPPED):
            instances.set_state(c, still.instance.id, event, now=still.services.now())
    take_snapshots.take_snapshots(context)
    with still.services.database.read() as c:
        found = images.get(c, still.instance.region, image, viewer=still.principal.account_id)
    assert found is not None and found.state == "failed" and found.state_reason is not None
    assert "was lost with the end of what served its disks" in found.state_reason.message
    run_jobs(still.services)
    assert still.snapshot(other).state == "completed"


@pytest.mark.parametrize(
    ("is_running", "is_frozen", "is_off", "label"),
    [
        (True, False, False, "crash-consistent"),
        (True, True, False, "frozen"),
        (True, False, True, None),
        (False, False, False, None),
    ],
    ids=["under its guest", "frozen", "shut down for it", "stopped"],
)
def test_an_image_made_under_a_running_guest_says_how_whole_it_is(
    still: Still, is_running: bool, is_frozen: bool, is_off: bool, label: str | None
) -> None:
    image = image_of(still, "labelled")
    context = still.context()
    tag = moments.tag_of(context.data["items"][0][1])
    names = (still.volume.id,)
    moment = moments.Moment(tag, names, still.instance.id, is_running=is_running, is_frozen=is_frozen)
    assert moments.Moment.of_data(moment.as_data()) == moment
    with still.services.database.write() as c:
        take_snapshots.begin(still.services, c, context.data, moment, is_off=is_off)
        made = context.data["items"][0][1]
        found = tags.tags_of(c, still.principal.account_id, [image, made])
    assert found == ({} if label is None else {each: {"amiable:consistency": label} for each in (image, made)})


def test_snapshots_of_volumes_alone_and_images_that_are_gone_get_no_label(still: Still) -> None:
    still.ask()
    context = still.context()
    moment = moments.Moment("0", (still.volume.id,), still.instance.id, is_running=True)
    with still.services.database.write() as c:
        take_snapshots.begin(still.services, c, context.data, moment)
        gone = {**context.data, "image_id": "ami-0123456789abcdef0", "region": still.instance.region}
        take_snapshots.begin(still.services, c, gone, moment)
        assert tags.tags_of(c, still.principal.account_id, [context.data["items"][0][1], gone["image_id"]]) == {}


def test_a_disk_that_is_not_as_it_was_made_fails_the_snapshot_with_the_words(still: Still) -> None:
    made = still.ask()
    (still.folder / f"{still.volume.id}.qcow2").write_bytes(b"no disk at all" * 100)
    run_jobs(still.services)
    found = still.snapshot(made)
    assert found.state == "error" and "is not as it was made" in str(found.state_message)


def test_a_boot_waits_while_a_disk_is_read(still: Still) -> None:
    still.ask()
    context = still.context()
    moment = take_snapshots.take_moment(context)

    class Stop(threading.Event):
        """Lets go of the moment at the second look."""

        looks = 0

        def wait(self, timeout: float | None = None) -> bool:
            self.looks += 1
            if self.looks == 2:
                moments.let_go(still.services, moment, [still.volume])
            return False

    context.stop = stop = Stop()
    moments.wait_until_unread(context, still.instance.id)
    assert stop.looks == 2


def test_a_moment_of_a_qemu_that_has_ended_leaves_nothing(still: Still) -> None:
    made = still.ask()
    context = still.context()
    moment = moments.Moment(moments.tag_of(made), (still.volume.id,), still.instance.id, is_running=True)
    context.checkpoint({**context.data, "moment": moment.as_data(), "next": {}})
    for name in ("disks.nbd", f"copies-{moment.tag}-0.qcow2"):
        (still.folder / name).write_bytes(b"left by a QEMU that was killed")
    take_snapshots.take_snapshots(context)
    assert still.snapshot(made).state == "completed", "it was taken anew, of the disk at rest"
    assert not any(path.name.startswith(("disks", "copies")) for path in still.folder.iterdir())


def terminated(still: Still) -> None:
    with still.services.database.write() as c:
        instances.set_state(c, still.instance.id, Event.TERMINATE_ASKED, now=still.services.now())
    terminate.terminate(machine_context(still.services, "terminate", still.instance))


def test_a_snapshot_comes_of_a_volume_whose_instance_was_terminated_meanwhile(still: Still) -> None:
    """Backed up, then ended: the volume goes with its instance, but not before its snapshot is there."""
    still.io("write -P 9 512k 512k")
    backup = still.ask()
    terminated(still)
    with still.services.database.read() as c:
        left = volumes.get_volume(c, still.volume.id)
    assert left is not None and (left.state, left.instance_id) == ("deleting", None)
    run_jobs(still.services)
    assert still.snapshot(backup).state == "completed"
    assert still.blocks(backup) == {0: OLD, 1: bytes([9]) * BLOCK_BYTES, 2: OLD, 2000: OLD}
    with still.services.database.write() as c:
        volume_work.enqueue_moving(c, still.services)
    run_jobs(still.services)
    with still.services.database.read() as c:
        assert volumes.get_volume(c, still.volume.id) is None


def test_a_snapshot_goes_on_where_what_served_its_moment_has_ended(still: Still) -> None:
    still.io("write -P 9 512k 512k")
    backup = still.ask()
    context = still.context()
    moment = take_snapshots.take_moment(context)
    terminated(still)
    assert not moments.lasts(still.services, moment, [still.volume])
    take_snapshots.take_snapshots(context)
    assert still.snapshot(backup).state == "completed"
    assert still.blocks(backup)[1] == bytes([9]) * BLOCK_BYTES


def test_a_volume_that_is_gone_makes_no_snapshot_that_looks_whole(still: Still) -> None:
    backup = still.ask()
    with still.services.database.write() as c:
        volumes.delete_volume(c, still.volume.id)
    run_jobs(still.services)
    found = still.snapshot(backup)
    assert found.state == "error" and f"The volume {still.volume.id} was deleted" in (found.state_message or "")
