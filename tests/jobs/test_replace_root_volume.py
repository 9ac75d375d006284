"""The job of a replace root volume task without a machine: the instance's own jobs are played, and every way they may end."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sqlalchemy import Connection, event

from amiable.database import instances, jobs, metering, product_codes, root_replacements, volumes
from amiable.jobs.context import JobContext
from amiable.jobs.registry import JOBS
from amiable.model.instance import State
from amiable.model.product import ProductCode
from amiable.model.root_replacement import ReplacementState
from amiable.model.volume import Volume
from amiable.rules.lifecycle import Event
from amiable.services import volume_work
from tests.conformance.test_create_image import BOOTED, HERE, ONE, Hand, hands, owner, refused
from tests.support.work import run_jobs

__all__ = ["hands", "owner"]  # fixtures

KIND = "replace-root-volume"
LONG_AGO, FAR_OFF = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


@dataclass
class Playing(threading.Event):
    """Stands for the job's ``stop``: at each look the instance takes the next of these steps."""

    owner: Hand
    instance_id: str
    events: list[Event] = field(default_factory=list)
    meanwhile: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        super().__init__()

    def wait(self, timeout: float | None = None) -> bool:
        if self.meanwhile is not None:
            self.meanwhile()
            self.meanwhile = None
        event = self.events.pop(0)
        with self.owner.services.database.write() as c:
            instances.set_state(c, self.instance_id, event, now=self.owner.services.now())
        return False


def picked(owner: Hand) -> JobContext:
    with owner.services.database.write() as c:
        host = owner.services.host
        job = jobs.pick(c, [KIND], jobs.Lease("test:1", host, "t"), now=owner.services.now())
    assert job is not None
    return JobContext(owner.services, job)


def play(owner: Hand, instance_id: str, *events: Event, meanwhile: Callable[[], None] | None = None) -> None:
    """Runs the job while the instance goes through these events."""
    context = picked(owner)
    context.stop = Playing(owner, instance_id, list(events), meanwhile)
    JOBS[KIND].run(context)
    with owner.services.database.write() as c:
        jobs.finish(c, context.job, now=owner.services.now())


def ask(owner: Hand, instance_id: str, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = owner.ec2.create_replace_root_volume_task(InstanceId=instance_id, **more)
    task: dict[str, Any] = found["ReplaceRootVolumeTask"]
    return task


def tell(owner: Hand, task: dict[str, Any]) -> dict[str, Any]:
    ids = [task["ReplaceRootVolumeTaskId"]]
    found: dict[str, Any] = owner.ec2.describe_replace_root_volume_tasks(ReplaceRootVolumeTaskIds=ids)
    (one,) = found["ReplaceRootVolumeTasks"]
    return dict(one)


def root(owner: Hand, instance_id: str) -> Volume:
    return owner.volumes(instance_id)["/dev/sda1"]


@pytest.fixture(autouse=True)
def _no_task_waits(owner: Hand) -> Iterator[None]:
    yield
    with owner.services.database.write() as c:
        c.exec_driver_sql("DELETE FROM job")
        c.exec_driver_sql("UPDATE root_replacement SET state = 'failed' WHERE state IN ('pending', 'in-progress')")


@pytest.mark.proves("ec2", "CreateReplaceRootVolumeTask", "DescribeReplaceRootVolumeTasks")
def test_the_root_becomes_what_it_was_at_launch_and_the_old_one_is_kept_detached(owner: Hand) -> None:
    instance = owner.instance(events=BOOTED)
    old = root(owner, instance)
    tags = [{"ResourceType": "replace-root-volume-task", "Tags": [{"Key": "k", "Value": "v"}]}]
    task = ask(owner, instance, TagSpecifications=tags, ClientToken="again")
    assert task["TaskState"] == "pending" and ask(owner, instance, TagSpecifications=tags, ClientToken="again") == task
    play(owner, instance, Event.STOPPED, Event.BOOTED)
    told = tell(owner, task)
    assert (told["TaskState"], told["InstanceId"], told["Tags"]) == ("succeeded", instance, tags[0]["Tags"])
    assert told["CompleteTime"] >= told["StartTime"]
    new = root(owner, instance)
    assert new.id != old.id and new.snapshot_id == old.snapshot_id
    assert (new.size_gib, new.delete_on_termination) == (old.size_gib, True)
    (kept,) = owner.ec2.describe_volumes(VolumeIds=[old.id])["Volumes"]
    assert (kept["State"], kept["Attachments"]) == ("available", [])


@pytest.mark.proves("ec2", "CreateReplaceRootVolumeTask")
def test_an_image_or_a_snapshot_of_a_root_is_put_in_and_the_old_root_deleted(owner: Hand) -> None:
    instance = owner.instance(events=BOOTED)
    old = root(owner, instance)
    image = owner.image()
    task = ask(owner, instance, ImageId=image, DeleteReplacedRootVolume=True)
    play(owner, instance, Event.STOPPED, Event.BOOTED)
    assert (tell(owner, task)["TaskState"], tell(owner, task)["ImageId"]) == ("succeeded", image)
    assert owner.ec2.describe_volumes(VolumeIds=[old.id])["Volumes"][0]["State"] == "deleting"
    run_jobs(owner.services)
    with refused("InvalidVolume.NotFound", old.id):
        owner.ec2.describe_volumes(VolumeIds=[old.id])
    made = owner.disk((0, ONE), size_gib=3, volume_id=root(owner, instance).id)
    task = ask(owner, instance, SnapshotId=made)
    play(owner, instance, Event.STOPPED, Event.BOOTED)
    new = root(owner, instance)
    assert (tell(owner, task)["SnapshotId"], new.snapshot_id, new.size_gib) == (made, made, 3)


@pytest.mark.parametrize("end", [Event.BOOTED, Event.START_FAILED], ids=lambda it: it.value)
def test_the_codes_of_a_new_root_are_the_instances_and_are_metered_where_it_starts(owner: Hand, end: Event) -> None:
    instance = owner.instance(events=BOOTED)
    snapshot_id = root(owner, instance).snapshot_id
    assert snapshot_id is not None
    with owner.services.database.write() as c:  # it comes by a code after the launch
        product_codes.put_codes(c, snapshot_id, (ProductCode("774F4FF8"),))
    task = ask(owner, instance)
    play(owner, instance, Event.STOPPED, end)
    with owner.services.database.write() as c:
        codes = (ProductCode("774F4FF8"),) if end is Event.BOOTED else ()
        assert product_codes.codes_of(c, instance) == codes
        runs = metering.list_runs(c, codes=["774F4FF8"], after=LONG_AGO, before=FAR_OFF)
        assert [run.instance_id for run in runs if run.instance_id == instance] == [instance] * len(codes)
        product_codes.forget_codes(c, snapshot_id)
    assert tell(owner, task)["TaskState"] == ("succeeded" if codes else "failed")


def test_a_replaced_root_stays_until_the_snapshot_that_is_being_made_of_it_is_there(owner: Hand) -> None:
    """The way back: a snapshot of the root, then another root in its place, the old one to be deleted."""
    instance = owner.instance(events=BOOTED)
    old = root(owner, instance)
    way_back = owner.ec2.create_snapshot(VolumeId=old.id)["SnapshotId"]
    task = ask(owner, instance, DeleteReplacedRootVolume=True)
    play(owner, instance, Event.STOPPED, Event.BOOTED)
    assert tell(owner, task)["TaskState"] == "succeeded"
    run_jobs(owner.services)
    assert owner.snapshot(way_back)["State"] == "completed"
    kept = owner.ebs.list_snapshot_blocks(SnapshotId=way_back)["Blocks"]
    assert [each["BlockIndex"] for each in kept] == [0, 4095]
    with owner.services.database.read() as c:
        deleting = volumes.get_volume(c, old.id)
    if deleting is not None:  # its own job came before the snapshot's: the supervisor asks again
        with owner.services.database.write() as c:
            volume_work.enqueue_moving(c, owner.services)
        run_jobs(owner.services)
    with refused("InvalidVolume.NotFound", old.id):
        owner.ec2.describe_volumes(VolumeIds=[old.id])


def test_an_image_that_the_accounts_settings_hide_is_no_root_either(hands: tuple[Hand, Hand]) -> None:
    owner, other = hands
    instance = owner.instance(events=BOOTED)
    image = other.image()
    other.ec2.modify_image_attribute(ImageId=image, LaunchPermission={"Add": [{"UserId": owner.account_id}]})
    with refused("DryRunOperation", "would have succeeded"):
        ask(owner, instance, ImageId=image, DryRun=True)
    owner.ec2.enable_allowed_images_settings(AllowedImagesSettingsState="enabled")
    try:
        with refused("InvalidAMIID.NotFound", image):
            ask(owner, instance, ImageId=image)
    finally:
        owner.ec2.disable_allowed_images_settings()


def test_a_dry_run_with_the_token_of_a_task_tells_of_no_task(owner: Hand) -> None:
    instance = owner.instance(events=BOOTED)
    ask(owner, instance, ClientToken="once")
    with refused("DryRunOperation", "would have succeeded"):
        ask(owner, instance, ClientToken="once", DryRun=True)


@pytest.mark.proves("ec2", "DescribeReplaceRootVolumeTasks")
def test_a_root_that_does_not_start_is_taken_out_again(owner: Hand) -> None:
    instance = owner.instance(events=BOOTED)
    old = root(owner, instance)
    task = ask(owner, instance)
    play(owner, instance, Event.STOPPED, Event.START_FAILED)
    assert tell(owner, task)["TaskState"] == "failed"
    assert root(owner, instance).id == old.id and root(owner, instance).delete_on_termination
    with owner.services.database.read() as c:
        found = instances.get_instance(c, instance)
        made = root_replacements.list_tasks(c, owner.account_id, HERE, ids=[task["ReplaceRootVolumeTaskId"]])
        assert volumes.get_volume(c, made[0].new_volume_id) is None
    assert found is not None and found.state is State.PENDING, "it is started with its old root"


@pytest.mark.parametrize("end", [Event.BOOTED, Event.START_FAILED], ids=lambda it: it.value)
def test_no_row_frees_a_volume_whose_file_the_instances_end_would_take(owner: Hand, end: Event) -> None:
    instance = owner.instance(events=BOOTED)
    old = root(owner, instance)
    folder = owner.services.data / "instances" / instance
    folder.mkdir(mode=0o700)
    (folder / f"{old.id}.qcow2").write_bytes(b"all that the guest wrote")
    task = ask(owner, instance)
    freed: dict[str, set[str]] = {}

    def look(c: Connection) -> None:
        free = c.exec_driver_sql("SELECT id FROM volume WHERE state = 'available'").scalars()
        freed.update({each: {path.name for path in folder.iterdir()} for each in free if each not in freed})

    event.listen(owner.services.database.engine, "commit", look)
    try:
        play(owner, instance, Event.STOPPED, end)
    finally:
        event.remove(owner.services.database.engine, "commit", look)
    assert tell(owner, task)["TaskState"] == ("succeeded" if end is Event.BOOTED else "failed")
    assert old.id in freed and all(f"{each}.qcow2" not in names for each, names in freed.items())
    kept = owner.services.data / "volumes" if end is Event.BOOTED else folder
    assert (kept / f"{old.id}.qcow2").read_bytes() == b"all that the guest wrote"


def test_an_instance_that_goes_meanwhile_fails_the_task_and_leaves_no_volume(owner: Hand) -> None:
    instance = owner.instance(events=BOOTED)
    task = ask(owner, instance)
    play(owner, instance, Event.TERMINATE_ASKED)
    with owner.services.database.read() as c:
        (found,) = root_replacements.list_tasks(c, owner.account_id, HERE, ids=[task["ReplaceRootVolumeTaskId"]])
        assert found.state is ReplacementState.FAILED
        assert volumes.get_volume(c, found.new_volume_id) is None
    assert root(owner, instance).id == found.old_volume_id


def test_a_root_of_an_image_that_is_being_made_is_replaced_after_the_moment(owner: Hand) -> None:
    instance = owner.instance(events=BOOTED)
    image = owner.ec2.create_image(InstanceId=instance, Name="of the old root", NoReboot=True)["ImageId"]
    task = ask(owner, instance)
    old = root(owner, instance)
    looks: list[str] = []

    class Waiting(Playing):
        def wait(self, timeout: float | None = None) -> bool:
            if self.events == [Event.BOOTED] and not looks:
                looks.append(root(owner, instance).id)
                with owner.services.database.write() as c:
                    c.exec_driver_sql("DELETE FROM job WHERE kind = 'take-snapshots'")
                return False
            return super().wait(timeout)

    context = picked(owner)
    context.stop = Waiting(owner, instance, [Event.STOPPED, Event.BOOTED])
    JOBS[KIND].run(context)
    assert (looks, tell(owner, task)["TaskState"]) == ([old.id], "succeeded")
    owner.ec2.deregister_image(ImageId=image)


def test_a_stop_that_the_task_would_undo_is_refused_until_it_has_ended(owner: Hand) -> None:
    instance = owner.instance(events=BOOTED)
    task = ask(owner, instance)
    seen: list[str] = []

    def stop() -> None:
        with refused("IncorrectInstanceState", instance):
            owner.ec2.stop_instances(InstanceIds=[instance])
        seen.append(
            owner.ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]["State"]["Name"]
        )

    class Stopping(Playing):
        def wait(self, timeout: float | None = None) -> bool:
            stop()
            super().wait(timeout)
            stop()
            return False

    context = picked(owner)
    context.stop = Stopping(owner, instance, [Event.STOPPED, Event.BOOTED])
    JOBS[KIND].run(context)
    assert (seen, tell(owner, task)["TaskState"]) == (["stopping", "stopped", "pending", "running"], "succeeded")
    (stopping,) = owner.ec2.stop_instances(InstanceIds=[instance])["StoppingInstances"]
    assert stopping["CurrentState"]["Name"] == "stopping"


@pytest.mark.proves("ec2", "CreateReplaceRootVolumeTask")
def test_what_is_no_root_of_the_instance_is_refused_by_name(owner: Hand) -> None:
    instance = owner.instance(events=BOOTED)
    image, other = owner.image(), owner.disk((0, ONE))
    with refused("InvalidParameterCombination", "SnapshotId and ImageId cannot be used together"):
        ask(owner, instance, SnapshotId=other, ImageId=image)
    with refused("InvalidParameterValue", "It was not made of a root volume of this instance"):
        ask(owner, instance, SnapshotId=other)
    with refused("InvalidSnapshot.NotFound", "snap-00000000000000001"):
        ask(owner, instance, SnapshotId="snap-00000000000000001")
    with refused("InvalidAMIID.NotFound", "ami-00000000000000001"):
        ask(owner, instance, ImageId="ami-00000000000000001")
    with refused("InvalidParameterValue", "Its architecture must be those of the instance: x86_64, not i386"):
        ask(owner, instance, ImageId=owner.image(architecture="i386"))
    with refused("UnsupportedOperation", "VolumeInitializationRate"):
        ask(owner, instance, VolumeInitializationRate=100)
    with refused("DryRunOperation", "would have succeeded"):
        ask(owner, instance, DryRun=True)
    first = ask(owner, instance)
    with refused("IncorrectState", f"being replaced by the task {first['ReplaceRootVolumeTaskId']}"):
        ask(owner, instance)
    stopped = owner.instance()
    with refused("IncorrectInstanceState", "given another root volume"):
        ask(owner, stopped)


@pytest.mark.proves("ec2", "DescribeReplaceRootVolumeTasks")
def test_tasks_are_listed_in_pages_and_by_filters_and_one_that_is_not_there_is_refused(owner: Hand) -> None:
    instance = owner.instance(events=BOOTED)
    task = ask(owner, instance)
    pages = owner.ec2.get_paginator("describe_replace_root_volume_tasks").paginate(PaginationConfig={"PageSize": 1})
    listed = [each["ReplaceRootVolumeTaskId"] for page in pages for each in page["ReplaceRootVolumeTasks"]]
    assert task["ReplaceRootVolumeTaskId"] in listed and listed == sorted(set(listed))
    filters = [{"Name": "instance-id", "Values": [instance]}]
    (found,) = owner.ec2.describe_replace_root_volume_tasks(Filters=filters)["ReplaceRootVolumeTasks"]
    assert found == task
    for wrong in ("replacevol-00000000000000001", "replacevol-zz"):
        with pytest.raises(ClientError, match="InvalidReplaceRootVolumeTaskId"):
            owner.ec2.describe_replace_root_volume_tasks(ReplaceRootVolumeTaskIds=[wrong])
