"""The job of a bundle task over the disk of a stopped instance, read by a real qemu-storage-daemon; no guest runs."""

import contextlib
import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest

from amiable.api.ec2.bundle_tasks import bundle_instance, cancel_bundle_task
from amiable.blocks.nbd_client import NbdClient
from amiable.bundle.assurance import read_beside
from amiable.bundle.dsse import load_trusted_keys
from amiable.bundle.manifest_xml import read_manifest, verify_signature
from amiable.bundle.parts import folder_opener
from amiable.bundle.unbundle import SealedBundle, open_image
from amiable.database import accounts, bundle_tasks, instances, jobs, objects, schema, volumes
from amiable.jobs import context as context_module
from amiable.jobs.bundle_instance import READINGS_MAX
from amiable.jobs.context import JobContext
from amiable.jobs.registry import JOBS
from amiable.model.bucket import Object
from amiable.model.bundle_task import BundleTask
from amiable.model.instance import Instance
from amiable.model.principal import Principal
from amiable.model.volume import Volume
from amiable.rules.bundle_task import Event as TaskEvent
from amiable.rules.hardware import disk_of
from amiable.rules.lifecycle import Event
from amiable.services import Services
from amiable.vm import disk_export, machine
from amiable.vm.directory import make_directory, open_directory
from amiable.vm.disk_export import Reading
from amiable.vm.process import QEMU_RECORD, identity_of
from amiable.wire.generated import ec2
from tests.jobs.test_machine_jobs import launch
from tests.support.buckets import make_bucket, put
from tests.support.clock import Clock
from tests.support.policies import make_policy, sign
from tests.support.services import make_account
from tests.support.work import run_jobs

MIB = 1 << 20
WRITTEN = ((0, 1, 3 * MIB), (100 * MIB, 2, MIB), ((1 << 30) - MIB, 3, MIB))
"""Offset, byte, length of what the disk holds; the rest are zeros."""


@dataclass
class Off:
    """A stopped instance whose disk holds ``WRITTEN``, its account, and what its task wrote."""

    services: Services
    principal: Principal
    secret: str
    certificate_pem: str
    instance: Instance
    volume: Volume

    def bundle(self, **changes: Any) -> BundleTask:
        policy = make_policy("a-bucket", "images/one", **changes)
        s3 = ec2.S3Storage(
            bucket="a-bucket",
            prefix="images/one",
            aws_access_key_id=self.principal.access_key_id,
            upload_policy=policy,
            upload_policy_signature=sign(policy, self.secret),
        )
        request = ec2.BundleInstanceRequest(instance_id=self.instance.id, storage=ec2.Storage(s3=s3))
        assert bundle_instance(self.services, self.principal, request).bundle_task
        return self.task()

    def task(self) -> BundleTask:
        with self.services.database.read() as c:
            return bundle_tasks.list_tasks(c, self.principal.account_id, self.principal.region)[-1]

    def written(self) -> dict[str, Object]:
        with self.services.database.read() as c:
            found = objects.objects_in(c, "a-bucket", objects.KeyRange(), limit=100)
        return {each.key: each for each in found}

    def files(self) -> int:
        return sum(1 for _ in (self.services.data / "objects").iterdir())


@pytest.fixture
def off(services: Services) -> Off:
    made, principal = make_account(services, "owner")
    instance = launch(services, principal)
    with services.database.write() as c:
        for event in (Event.BOOTED, Event.STOP_ASKED, Event.STOPPED):
            instances.set_state(c, instance.id, event, now=services.now())
        (volume,) = volumes.volumes_of(c, instance.id)
    make_directory(services.data, instance.id, range(200_000, 200_010))
    with open_directory(services.data, instance.id) as directory:
        machine.make_overlay(directory, disk_of(volume))
    overlay = services.data / "instances" / instance.id / f"{volume.id}.qcow2"
    words = [word for offset, byte, length in WRITTEN for word in ("-c", f"write -P {byte} {offset} {length}")]
    subprocess.run(["qemu-io", "-f", "qcow2", *words, str(overlay)], check=True, capture_output=True, timeout=60)
    make_bucket(services, principal)
    return Off(services, principal, made.secret, made.certificate_pem, instance, volume)


def assert_whole(off: Off, folder: Path) -> None:
    """The bundle's objects, put into the folder, hold what the disk holds."""
    for key, each in off.written().items():
        with off.services.objects.read(each.file) as file:
            (folder / key.rpartition("/")[2]).write_bytes(file.read())
    manifest = read_manifest((folder / "one.manifest.xml").read_bytes())
    got: dict[int, int] = {}

    def sink(offset: int, data: bytes) -> None:
        assert len(set(data)) == 1
        got[data[0]] = got.get(data[0], 0) + len(data)

    open_image(SealedBundle(manifest, folder_opener(folder)), off.services.installation.bundling_key_pem, sink)
    assert {byte: length for byte, length in got.items() if byte} == {byte: length for _, byte, length in WRITTEN}
    assert got.get(0, 0) < MIB, "holes are not read"


def test_the_bundle_holds_the_disk_and_says_what_the_instance_was(off: Off, tmp_path: Path) -> None:
    task = off.bundle()
    assert run_jobs(off.services) == 1
    task = off.task()
    assert (task.state, task.progress_percent, task.error) == ("complete", 100, None)
    found = off.written()
    parts = {f"images/one.part.{n:02d}" for n in range(len(found) - 2)}
    assert set(found) == {"images/one.manifest.xml", "images/one.assurance.json", *parts}
    assert {(each.acl, each.account_id) for each in found.values()} == {("ec2-bundle-read", off.principal.account_id)}
    assert_whole(off, tmp_path)
    manifest = read_manifest((tmp_path / "one.manifest.xml").read_bytes())
    verify_signature(manifest, off.certificate_pem)
    trusted = load_trusted_keys(off.certificate_pem.encode())
    assert read_beside(tmp_path / "one.manifest.xml", manifest, trusted) is not None
    assert (manifest.size_bytes, manifest.account_id) == (1 << 30, off.principal.account_id)
    assert (manifest.architecture, manifest.kernel_id) == (off.instance.architecture, off.instance.kernel_id)
    assert manifest.ancestor_ami_ids == (off.instance.image_id,)
    mapped = {each.virtual: each.device for each in manifest.block_device_mapping}
    assert mapped == {"ami": "sda1", "root": "/dev/sda1"}


def test_nothing_runs_and_nothing_lies_in_the_directory_afterwards(off: Off) -> None:
    folder = off.services.data / "instances" / off.instance.id
    before = {path.name for path in folder.iterdir()}
    tag = off.bundle().id.partition("-")[2]
    (folder / f"copies-{tag}-0.qcow2").write_bytes(b"left by a run over the instance while it ran")
    run_jobs(off.services)
    assert {path.name for path in folder.iterdir()} - before <= {"qemu.log"}


def test_what_the_policy_forbids_halfway_fails_the_task_and_removes_the_parts(off: Off) -> None:
    off.bundle(more=(["content-length-range", 8000, 20 * MIB],))  # the parts fit, the manifest does not
    run_jobs(off.services)
    task = off.task()
    assert task.state == "failed" and task.error is not None and task.error.code == "Client.EntityTooSmall"
    assert off.written() == {} and off.files() == 0


def test_a_policy_ends_with_the_key_that_signed_it(off: Off) -> None:
    off.bundle()
    with off.services.database.write() as c:
        accounts.delete_access_key(c, account_id=off.principal.account_id, key_id=off.principal.access_key_id)
    run_jobs(off.services)
    task = off.task()
    assert task.state == "failed" and task.error is not None and task.error.code == "Client.InvalidAccessKeyId"
    assert off.written() == {} and off.files() == 0


def test_a_policy_that_runs_out_meanwhile_fails_the_task(off: Off) -> None:
    off.bundle(hours=1)
    run_jobs(replace(off.services, clock=lambda: datetime.now(UTC) + timedelta(hours=2)))
    task = off.task()
    assert task.state == "failed" and task.error is not None and "Policy expired" in task.error.message
    assert off.written() == {} and off.files() == 0


def test_a_key_that_was_taken_meanwhile_is_not_replaced(off: Off) -> None:
    off.bundle()
    put(off.services, off.principal, "a-bucket", "images/one.manifest.xml", b"somebody else's")
    run_jobs(off.services)
    task = off.task()
    assert task.state == "failed" and task.error is not None and "already" in task.error.message
    assert set(off.written()) == {"images/one.manifest.xml"} and off.files() == 1


def test_a_job_that_was_killed_removes_its_parts_and_begins_again(off: Off) -> None:
    task = off.bundle()
    with off.services.database.write() as c:
        bundle_tasks.move(c, task, TaskEvent.BEGAN, now=off.services.now())
        job = schema.job
        data = c.execute(job.select().where(job.c.kind == "bundle-instance")).one().data
        c.execute(job.update().values(data=data[:-1] + ', "parts": 3, "last_part": "one.part.0002"}'))
    for number in range(3):
        put(off.services, off.principal, "a-bucket", f"images/one.part.{number:04d}", b"of the run before")
    put(off.services, off.principal, "a-bucket", "images/one.part.0003", b"not ours")
    run_jobs(off.services)
    assert off.task().state == "complete"
    assert "images/one.part.0003" in off.written() and "images/one.part.0002" not in off.written()


class Interrupting(NbdClient):
    """A client at whose first reads something happens: one thing for each, in turn."""

    happenings: ClassVar[list[Callable[[], object]]] = []

    def read_into(self, *arguments: Any) -> Any:
        if self.happenings:
            self.happenings.pop(0)()
        return super().read_into(*arguments)


@pytest.fixture
def happenings(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
    """What is to happen while the disk is read."""
    monkeypatch.setattr(Interrupting, "happenings", [])
    monkeypatch.setattr("amiable.jobs.bundle_instance.NbdClient", Interrupting)
    return Interrupting.happenings


def kill_server_of(off: Off, task: BundleTask) -> None:
    with open_directory(off.services.data, off.instance.id) as directory:
        found = disk_export.find_still(directory, tag=task.id.partition("-")[2])
    assert found is not None and found.end(wait_seconds=60)


def test_a_disk_whose_server_ends_is_read_again_from_its_beginning(
    off: Off, tmp_path: Path, happenings: list[Callable[[], object]]
) -> None:
    task = off.bundle()
    happenings += [lambda: kill_server_of(off, task)] * (READINGS_MAX - 1)
    run_jobs(off.services)
    assert off.task().state == "complete" and not happenings
    assert_whole(off, tmp_path)


def test_a_disk_whose_server_ends_each_time_fails_its_task_and_leaves_nothing(
    off: Off, happenings: list[Callable[[], object]]
) -> None:
    task = off.bundle()
    happenings += [lambda: kill_server_of(off, task)] * READINGS_MAX
    run_jobs(off.services)
    task = off.task()
    assert task.state == "failed" and task.error is not None and "could not be read to its end" in task.error.message
    assert off.written() == {} and off.files() == 0


def test_a_guest_whose_qemu_ends_while_it_is_read_is_bundled_once_it_is_off(
    off: Off, tmp_path: Path, happenings: list[Callable[[], object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context_module, "PATIENCE_SECONDS", 0.0)
    later = Clock(off.services.now())
    services = replace(off.services, clock=later)

    def happen(*events: Event) -> None:
        with services.database.write() as c:
            for each in events:
                instances.set_state(c, off.instance.id, each, now=later())

    def run() -> str:
        later.pass_(seconds=2)
        run_jobs(services)
        return off.task().state

    happen(Event.START_ASKED, Event.BOOTED)
    with qemu_of(off) as qemu:
        replace(off, services=services).bundle()
        happenings += [lambda: identity_of(qemu.pid).end(wait_seconds=60)]
        assert run() == "bundling", "nobody has seen yet that it ended"
        assert not happenings
        happen(Event.PROCESS_DIED)
        assert run() == "waiting-for-shutdown"
        happen(Event.STOPPED)
        assert run() == "complete"
    assert_whole(off, tmp_path)


@contextlib.contextmanager
def qemu_of(off: Off) -> Iterator["subprocess.Popen[bytes]"]:
    """The instance's QEMU as its record names it; no guest."""
    folder = off.services.data / "instances" / off.instance.id
    file = {"driver": "file", "filename": f"{off.volume.id}.qcow2"}
    words = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-machine", "q35", "-accel", "tcg", "-m", "64M"]
    words += ["-display", "none", "-qmp", "unix:qmp.sock,server=on,wait=off"]
    words += ["-blockdev", json.dumps({"driver": "qcow2", "node-name": "disk0", "file": file})]
    words += ["-device", "virtio-blk-pci,id=volume0,drive=disk0"]
    with subprocess.Popen(words, cwd=folder) as running:
        try:
            found = identity_of(running.pid)
            about = {"pid": found.pid, "start_ticks": found.start_ticks, "boot_id": found.boot_id}
            (folder / QEMU_RECORD).write_text(json.dumps(about))
            with open_directory(off.services.data, off.instance.id) as directory:
                with machine.monitor(directory, found, wait_seconds=60):
                    pass
            yield running
        finally:
            running.kill()


def test_a_cancelled_task_fails_as_cancelled_and_leaves_nothing(off: Off) -> None:
    task = off.bundle()
    cancel_bundle_task(off.services, off.principal, ec2.CancelBundleTaskRequest(bundle_id=task.id))
    run_jobs(off.services)
    task = off.task()
    assert task.state == "failed" and task.error is not None and task.error.code == "Client.Cancelled"
    assert off.written() == {} and off.files() == 0


def test_what_a_killed_run_left_at_the_disk_ends_with_a_task_that_is_cancelled_then(off: Off) -> None:
    task = off.bundle()
    with open_directory(off.services.data, off.instance.id) as directory:
        reading = Reading(task.id.partition("-")[2], (disk_of(off.volume),))
        server = disk_export.hold_still(directory, reading)  # the run before, as it were
        assert server.is_alive() and disk_export.is_read_still(directory)
        cancel_bundle_task(off.services, off.principal, ec2.CancelBundleTaskRequest(bundle_id=task.id))
        run_jobs(off.services)
        assert off.task().state == "failed" and not server.is_alive()
        assert disk_export.still_tags(directory) == []


def test_a_task_that_is_cancelled_while_it_reads_ends_and_leaves_the_instance(
    off: Off, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = off.bundle()
    real = disk_export.hold_still

    def cancelled_meanwhile(*arguments: Any) -> Any:
        cancel_bundle_task(off.services, off.principal, ec2.CancelBundleTaskRequest(bundle_id=task.id))
        return real(*arguments)

    monkeypatch.setattr(disk_export, "hold_still", cancelled_meanwhile)
    run_jobs(off.services)
    task = off.task()
    assert task.state == "failed" and task.error is not None and task.error.code == "Client.Cancelled"
    assert off.written() == {} and off.files() == 0
    with off.services.database.read() as c:
        found = instances.get_instance(c, off.instance.id)
    assert found is not None and found.state == "stopped"


def test_a_cancellation_is_noticed_with_the_next_report(off: Off, monkeypatch: pytest.MonkeyPatch) -> None:
    task = off.bundle()
    monkeypatch.setattr("amiable.jobs.bundle_instance.REPORT_SECONDS", 0.0)
    real = bundle_tasks.report
    seen: list[int] = []

    def cancelled_behind_the_first(*arguments: Any, **words: Any) -> None:
        real(*arguments, **words)
        if not seen:
            old = bundle_tasks.get_task(arguments[0], task.id)
            assert old is not None
            bundle_tasks.move(arguments[0], old, TaskEvent.CANCEL_ASKED, now=off.services.now())
        seen.append(words["progress_percent"])

    monkeypatch.setattr(bundle_tasks, "report", cancelled_behind_the_first)
    run_jobs(off.services)
    task = off.task()
    assert len(seen) == 1 and task.error is not None and task.error.code == "Client.Cancelled"
    assert off.written() == {} and off.files() == 0


def test_an_overlay_that_points_to_another_file_is_not_opened(off: Off) -> None:
    overlay = off.services.data / "instances" / off.instance.id / f"{off.volume.id}.qcow2"
    with overlay.open("r+b") as file:
        file.seek(72)
        file.write((4).to_bytes(8, "big"))
    off.bundle()
    run_jobs(off.services)
    task = off.task()
    assert task.state == "failed" and task.error is not None and "is not as it was made" in task.error.message


def test_an_instance_that_went_away_fails_its_task_with_the_reason(off: Off) -> None:
    off.bundle()
    with off.services.database.write() as c:
        instances.set_state(c, off.instance.id, Event.TERMINATE_ASKED, now=off.services.now())
    run_jobs(off.services)
    task = off.task()
    assert task.state == "failed" and task.error is not None
    assert "neither running nor stopped" in task.error.message and "shutting-down" in task.error.message


def test_a_task_that_is_given_up_says_why(off: Off) -> None:
    task = off.bundle()
    with off.services.database.write() as c:
        job = jobs.pick(c, ["bundle-instance"], jobs.Lease("test:1", off.services.host, "t"), now=off.services.now())
    assert job is not None
    JOBS["bundle-instance"].give_up(JobContext(off.services, job), "The disk is full.")
    task = off.task()
    assert task.state == "failed" and task.error is not None and task.error.message == "The disk is full."
