"""The job that shuts a guest down for its image, where there is no machine: what it hands on, and what it leaves when it cannot."""

import json
import os
import socket
from typing import Any

import pytest

from amiable.database import instances, jobs, snapshots
from amiable.jobs import context as context_module
from amiable.jobs.context import JobContext, Later
from amiable.jobs.registry import JOBS
from amiable.rules.lifecycle import Event
from amiable.vm import tpm
from amiable.vm.launcher import boot_id, start_ticks
from amiable.vm.process import QEMU_RECORD
from tests.conformance.test_create_image import BOOTED, Hand, hands, owner
from tests.server.fake_machine import serving
from tests.support.work import run_jobs

__all__ = ["hands", "owner"]  # fixtures

KIND = "create-image"
ANSWER_SECONDS_MAX = 20


def picked(owner: Hand, kind: str) -> JobContext:
    """The one job of that kind that is due."""
    with owner.services.database.write() as c:
        host = owner.services.host
        job = jobs.pick(c, [kind], jobs.Lease("test:1", host, "t"), now=owner.services.now())
    assert job is not None
    return JobContext(owner.services, job)


def begun(owner: Hand, name: str) -> tuple[str, str, JobContext]:
    """A running instance, an image that is being made of it, and the picked job."""
    instance = owner.instance(events=BOOTED)
    image = owner.ec2.create_image(InstanceId=instance, Name=name)["ImageId"]
    context = picked(owner, KIND)
    assert context.job.key == f"{instance}:reboot", "the supervisor takes a power-off for the job's own"
    return instance, image, context


def finish(owner: Hand, context: JobContext) -> None:
    with owner.services.database.write() as c:
        jobs.finish(c, context.job, now=owner.services.now())


def image_of(owner: Hand, image: str) -> dict[str, Any]:
    found: dict[str, Any] = owner.ec2.describe_images(ImageIds=[image])["Images"][0]
    return found


def test_an_instance_that_was_stopped_meanwhile_is_imaged_as_it_lies(owner: Hand) -> None:
    instance, image, context = begun(owner, "stopped meanwhile")
    with owner.services.database.write() as c:
        for event in (Event.STOP_ASKED, Event.STOPPED):
            instances.set_state(c, instance, event, now=owner.services.now())
    JOBS[KIND].run(context)
    assert image_of(owner, image)["State"] == "pending"
    JOBS[KIND].run(context)  # twice is once
    finish(owner, context)
    run_jobs(owner.services)
    assert image_of(owner, image)["State"] == "available"


def test_the_guest_runs_on_while_another_snapshot_of_its_disks_is_being_made(
    owner: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context_module, "PATIENCE_SECONDS", 0.0)
    instance, image, context = begun(owner, "read by another")
    (owner.services.data / "instances" / instance).mkdir()
    volume = owner.volumes(instance)["/dev/sda1"].id
    other = owner.ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    with pytest.raises(Later):
        JOBS[KIND].run(context)
    assert "moment" not in context.data and image_of(owner, image)["State"] == "pending"
    with owner.services.database.write() as c:
        snapshots.fail(c, other, "over")
        for event in (Event.STOP_ASKED, Event.STOPPED):
            instances.set_state(c, instance, event, now=owner.services.now())
    JOBS[KIND].run(context)
    finish(owner, context)
    run_jobs(owner.services)
    assert image_of(owner, image)["State"] == "available"


def test_an_instance_that_was_terminated_meanwhile_fails_its_image(owner: Hand) -> None:
    instance, image, context = begun(owner, "terminated meanwhile")
    folder = owner.services.data / "instances" / instance
    folder.mkdir()
    for volume in owner.volumes(instance).values():
        (folder / f"{volume.id}.qcow2").write_bytes(b"")
    with owner.services.database.write() as c:
        for event in (Event.TERMINATE_ASKED, Event.TERMINATED):
            instances.set_state(c, instance, event, now=owner.services.now())
    JOBS[KIND].run(context)
    finish(owner, context)
    found = image_of(owner, image)
    assert found["State"] == "failed" and f"the instance {instance} was terminated" in found["StateReason"]["Message"]


def test_a_job_that_is_given_up_fails_the_image_with_the_words(owner: Hand) -> None:
    _, image, context = begun(owner, "given up")
    JOBS[KIND].give_up(context, "five tries")
    finish(owner, context)
    found = image_of(owner, image)
    assert (found["State"], found["StateReason"]["Code"]) == ("failed", "Server.InternalError")
    assert found["StateReason"]["Message"] == "Server.InternalError: five tries"
    snapshot = owner.snapshot(found["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"])
    assert (snapshot["State"], snapshot["StateMessage"]) == ("error", "five tries")


def test_a_guest_that_takes_its_time_to_power_off_is_waited_for_and_fails_no_image(owner: Hand) -> None:
    instance, image, context = begun(owner, "slow to power off")
    folder = owner.services.data / "instances" / instance
    folder.mkdir(mode=0o700)
    record = {"pid": os.getpid(), "start_ticks": start_ticks(os.getpid()), "boot_id": boot_id()}
    (folder / QEMU_RECORD).write_text(json.dumps(record))

    def talk(client: socket.socket) -> None:
        client.settimeout(ANSWER_SECONDS_MAX)
        client.sendall(b'{"QMP": {}}\n')
        with client.makefile("rb") as lines:
            for _ in lines:
                client.sendall(b'{"return": {"status": "running"}}\n')

    with serving(folder, "qmp.sock", socket.SOCK_STREAM, talk):
        for _ in range(3):
            with pytest.raises(Later):
                JOBS[KIND].run(context)
    assert image_of(owner, image)["State"] == "pending"
    assert {"off_asked_at", "pressed_at"} <= context.data.keys()


def test_a_guest_whose_machine_would_end_at_the_reset_is_not_shut_down_for_its_image(owner: Hand) -> None:
    instance, image, context = begun(owner, "without a TPM")
    folder = owner.services.data / "instances" / instance
    folder.mkdir()
    (folder / tpm.RECORD).write_text(json.dumps({"pid": 1, "start_ticks": 0, "boot_id": boot_id()}))
    JOBS[KIND].run(context)
    found = image_of(owner, image)
    assert found["State"] == "failed" and "its TPM (swtpm) has ended" in found["StateReason"]["Message"]
    assert "off_asked_at" not in context.data, "nobody pressed the button"


# ── what leaves meanwhile ───────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_detached_before_the_moment_leaves_after_it(owner: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context_module, "PATIENCE_SECONDS", 0.0)
    instance, image, context = begun(owner, "detached meanwhile")
    volume = owner.volumes(instance)["/dev/sdf"].id
    owner.ec2.detach_volume(VolumeId=volume)
    leaving = picked(owner, "detach-volume")
    with pytest.raises(Later):
        JOBS["detach-volume"].run(leaving)
    with owner.services.database.write() as c:
        for event in (Event.STOP_ASKED, Event.STOPPED):
            instances.set_state(c, instance, event, now=owner.services.now())
    JOBS[KIND].run(context)
    assert "moment" in context.data, "it does not wait for what waits for it"
    finish(owner, context)
    JOBS["detach-volume"].run(leaving)
    finish(owner, leaving)
    run_jobs(owner.services)
    found = image_of(owner, image)
    assert (found["State"], len(found["BlockDeviceMappings"])) == ("available", 2)
    assert owner.ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["State"] == "available"


def test_what_is_detached_by_force_waits_for_no_moment(owner: Hand) -> None:
    instance, _, context = begun(owner, "detached by force")
    volume = owner.volumes(instance)["/dev/sdf"].id
    owner.ec2.detach_volume(VolumeId=volume, Force=True)
    leaving = picked(owner, "detach-volume")
    JOBS["detach-volume"].run(leaving)
    finish(owner, leaving)
    finish(owner, context)
    assert owner.ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["State"] == "available"


def test_what_is_leaving_already_is_in_no_image_and_no_set_of_snapshots(owner: Hand) -> None:
    instance = owner.instance()
    volume = owner.volumes(instance)["/dev/sdf"].id
    owner.ec2.detach_volume(VolumeId=volume)
    made = owner.ec2.create_snapshots(InstanceSpecification={"InstanceId": instance})["Snapshots"]
    image = owner.ec2.create_image(InstanceId=instance, Name="without what leaves")["ImageId"]
    run_jobs(owner.services)
    found = image_of(owner, image)
    assert [each["DeviceName"] for each in found["BlockDeviceMappings"]] == ["/dev/sda1"] and len(made) == 1
    assert found["State"] == "available" and volume not in {each["VolumeId"] for each in made}
