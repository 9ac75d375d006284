"""ImportSnapshot and its job, in process: the bytes arrive, bad disks are refused by name, nothing half-done is seen."""

import errno
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs
from sqlalchemy import func, select

from amiable.api.ec2.import_snapshot import describe_import_snapshot_tasks, import_snapshot
from amiable.api.ec2.snapshots import delete_snapshot, describe_snapshots
from amiable.blocks.files import Files
from amiable.blocks.store import BlockStore
from amiable.database import jobs, schema
from amiable.jobs import block_sink
from amiable.jobs.context import JobContext
from amiable.jobs.registry import JOBS
from amiable.model.errors import (
    DryRunOperation,
    IdempotentParameterMismatch,
    InaccessibleStorageLocation,
    InvalidParameterCombination,
    InvalidParameterValue,
    Malformed,
    MissingParameter,
    NotFound,
    Refusal,
    UnsupportedOperation,
)
from amiable.model.principal import Principal
from amiable.model.units import BLOCK_BYTES, GIB
from amiable.server.worker import Workers
from amiable.services import Services
from amiable.wire.generated import ec2
from tests.support.buckets import make_bucket, put
from tests.support.work import run_jobs

SECTOR = 512


@pytest.fixture
def bucket(services: Services, principal: Principal) -> str:
    return make_bucket(services, principal)


def a_disk(blocks: int = 6) -> bytes:
    """Blocks of their own number, every second one zeros."""
    return b"".join(bytes([number if number % 2 else 0]) * BLOCK_BYTES for number in range(1, blocks + 1))


def request(bucket: str, key: str = "disk.raw", **fields: Any) -> ec2.ImportSnapshotRequest:
    container = ec2.SnapshotDiskContainer(format="raw", user_bucket=ec2.UserBucket(s3_bucket=bucket, s3_key=key))
    return ec2.ImportSnapshotRequest(**{"disk_container": container, **fields})


def detail(services: Services, principal: Principal, task_id: str | None) -> ec2.SnapshotTaskDetail:
    wanted = ec2.DescribeImportSnapshotTasksRequest(import_task_ids=[str(task_id)])
    tasks = describe_import_snapshot_tasks(services, principal, wanted).import_snapshot_tasks
    assert tasks is not None and len(tasks) == 1 and tasks[0].snapshot_task_detail is not None
    return tasks[0].snapshot_task_detail


def snapshots(services: Services, principal: Principal) -> list[ec2.Snapshot]:
    return describe_snapshots(services, principal, ec2.DescribeSnapshotsRequest()).snapshots or []


def rows(services: Services) -> tuple[int, int]:
    """Snapshot rows, internal ones too, and blocks that wait for a leaf."""
    with services.database.read() as c:
        counted = [
            c.execute(select(func.count()).select_from(t)).scalar_one() for t in (schema.snapshot, schema.pending_block)
        ]
    return counted[0], counted[1]


def bytes_of(services: Services, snapshot_id: str | None, size: int) -> bytes:
    count = -(-size // BLOCK_BYTES)
    found = [services.blocks.read(str(snapshot_id), index) or bytes(BLOCK_BYTES) for index in range(count)]
    return b"".join(found)[:size]


def test_a_disk_arrives_byte_for_byte_and_only_whole(services: Services, principal: Principal, bucket: str) -> None:
    disk = a_disk() + b"tail" * 128
    put(services, principal, bucket, "disk.raw", disk)
    started = import_snapshot(services, principal, request(bucket, description="my disk"))
    assert started.snapshot_task_detail is not None and started.snapshot_task_detail.status == "active"
    assert snapshots(services, principal) == []
    run_jobs(services)
    done = detail(services, principal, started.import_task_id)
    assert (done.status, done.format, done.disk_image_size) == ("completed", "RAW", float(len(disk)))
    assert done.user_bucket == ec2.UserBucketDetails(s3_bucket=bucket, s3_key="disk.raw")
    [snapshot] = snapshots(services, principal)
    assert (snapshot.snapshot_id, snapshot.state, snapshot.progress) == (done.snapshot_id, "completed", "100%")
    assert (snapshot.volume_size, snapshot.description) == (1, "my disk")
    assert bytes_of(services, done.snapshot_id, len(disk)) == disk
    assert [index for index, _ in services.blocks.blocks_of(str(done.snapshot_id))] == [0, 2, 4, 6]


def test_a_url_names_the_object_as_well(services: Services, principal: Principal, bucket: str) -> None:
    put(services, principal, bucket, "a/b/disk.raw", a_disk(1))
    container = ec2.SnapshotDiskContainer(format="RAW", url=f"s3://{bucket}/a/b/disk.raw", description="by url")
    started = import_snapshot(services, principal, ec2.ImportSnapshotRequest(disk_container=container))
    run_jobs(services)
    done = detail(services, principal, started.import_task_id)
    assert (done.status, done.description) == ("completed", "by url")


def test_an_import_that_was_killed_goes_on_where_its_last_batch_ended(
    services: Services, principal: Principal, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(block_sink, "BATCH_BLOCKS", 1)
    disk = a_disk(9)
    put(services, principal, bucket, "disk.raw", disk)
    started = import_snapshot(services, principal, request(bucket))
    read_again: list[int] = []

    class Killed(BaseException):
        """kill -9, as far as a job can tell."""

    taken = 0
    write = services.blocks.write

    def write_thrice(*args: Any, **named: Any) -> list[bytes]:
        nonlocal taken
        taken += 1
        if taken == 4:
            raise Killed
        read_again.extend(index for index, _ in args[1])
        return write(*args, **named)

    monkeypatch.setattr(services.blocks, "write", write_thrice)
    with pytest.raises(Killed):
        Workers(services).run_one()
    assert snapshots(services, principal) == [] and rows(services) == (1, 3)
    with services.database.write() as c:
        c.execute(schema.job.update().values(lease_until=services.now().replace(year=2000)))
    run_jobs(services)
    assert read_again == [0, 2, 4, 6, 8]
    done = detail(services, principal, started.import_task_id)
    assert done.status == "completed" and bytes_of(services, done.snapshot_id, len(disk)) == disk
    assert rows(services) == (1, 0)


def test_an_import_killed_between_its_last_block_and_its_end_is_finished(
    services: Services, principal: Principal, bucket: str
) -> None:
    put(services, principal, bucket, "disk.raw", a_disk(2))
    started = import_snapshot(services, principal, request(bucket))
    workers = Workers(services)
    workers.run_one()
    with services.database.write() as c:  # everything was done but the last transaction
        c.execute(schema.import_snapshot_task.update().values(state="active", snapshot_id=None))
        c.execute(schema.snapshot.update().values(is_internal=True))
        c.execute(schema.job.update().values(state="queued"))
    run_jobs(services)
    assert detail(services, principal, started.import_task_id).status == "completed"
    assert len(snapshots(services, principal)) == 1


def mbr(sectors: int) -> bytes:
    """A partition table of one Linux partition from sector 2048 on."""
    entry = bytes([0x80, 0, 0, 0, 0x83, 0, 0, 0]) + (2048).to_bytes(4, "little") + sectors.to_bytes(4, "little")
    return bytes(446) + entry + bytes(48) + b"\x55\xaa"


QCOW2 = (
    b"QFI\xfb" + (3).to_bytes(4, "big") + (104).to_bytes(8, "big") + (9).to_bytes(4, "big") + bytes(84) + b"/etc/base"
)
VMDK = b"KDMV" + (1).to_bytes(4, "little") + bytes(1016)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (QCOW2 + bytes(1024 - len(QCOW2) % 512), "qcow2 image that names a backing file, '/etc/base'"),
        (VMDK, "VMDK"),
        (mbr(1_000_000) + bytes(100 * SECTOR), "cut short"),
        (a_disk(1)[:-100], "multiple of 512"),
    ],
)
def test_what_is_no_whole_raw_disk_ends_in_error_by_name_and_leaves_no_snapshot(
    services: Services, principal: Principal, bucket: str, body: bytes, words: str
) -> None:
    put(services, principal, bucket, "disk.raw", body)
    started = import_snapshot(services, principal, request(bucket))
    run_jobs(services)
    ended = detail(services, principal, started.import_task_id)
    assert ended.status == "error" and ended.snapshot_id is None
    assert words in str(ended.status_message) and "s3://a-bucket/disk.raw" in str(ended.status_message)
    assert rows(services) == (0, 0)


def test_an_object_that_is_shorter_than_its_row_says_is_refused_with_both_lengths(
    services: Services, principal: Principal, bucket: str
) -> None:
    put(services, principal, bucket, "disk.raw", a_disk(3), size_bytes=5 * BLOCK_BYTES)
    started = import_snapshot(services, principal, request(bucket))
    run_jobs(services)
    ended = detail(services, principal, started.import_task_id)
    assert ended.status == "error"
    assert f"ends after {3 * BLOCK_BYTES} of {5 * BLOCK_BYTES} bytes" in str(ended.status_message)
    assert rows(services) == (0, 0)


def test_an_object_that_is_gone_or_another_when_the_job_runs_is_refused(
    services: Services, principal: Principal, bucket: str
) -> None:
    put(services, principal, bucket, "disk.raw", a_disk(2))
    started = import_snapshot(services, principal, request(bucket))
    put(services, principal, bucket, "disk.raw", a_disk(3))
    run_jobs(services)
    assert "changed" in str(detail(services, principal, started.import_task_id).status_message)
    again = import_snapshot(services, principal, request(bucket))
    with services.database.write() as c:
        c.execute(schema.object_.delete())
    run_jobs(services)
    assert detail(services, principal, again.import_task_id).status == "error"
    assert rows(services) == (0, 0)


def test_a_job_that_is_given_up_leaves_no_snapshot(services: Services, principal: Principal, bucket: str) -> None:
    put(services, principal, bucket, "disk.raw", a_disk(2))
    started = import_snapshot(services, principal, request(bucket))
    with services.database.write() as c:
        job = jobs.pick(c, ["import-snapshot"], jobs.Lease("t:1", "t", "t"), now=services.now())
    assert job is not None
    JOBS["import-snapshot"].give_up(JobContext(services, job), "the disk burned")
    ended = detail(services, principal, started.import_task_id)
    assert (ended.status, ended.status_message) == ("error", "the disk burned")


def test_a_client_token_makes_one_task(services: Services, principal: Principal, bucket: str) -> None:
    put(services, principal, bucket, "disk.raw", a_disk(1))
    asked = request(bucket, client_token="once")
    with pytest.raises(DryRunOperation):
        import_snapshot(services, principal, structs.replace(asked, dry_run=True))
    first = import_snapshot(services, principal, asked)
    run_jobs(services)
    with services.database.write() as c:
        c.execute(schema.object_.delete())
    second = import_snapshot(services, principal, asked)
    assert second.import_task_id == first.import_task_id
    assert second.snapshot_task_detail is not None and second.snapshot_task_detail.status == "completed"
    with pytest.raises(IdempotentParameterMismatch):
        import_snapshot(services, principal, structs.replace(asked, description="another"))


@pytest.mark.parametrize(
    ("changes", "refusal", "words"),
    [
        ({"disk_container": None}, MissingParameter, "DiskContainer"),
        ({"disk_container": ec2.SnapshotDiskContainer(format="raw")}, MissingParameter, "S3Bucket"),
        ({"disk_container": ec2.SnapshotDiskContainer(url="s3://b/k")}, MissingParameter, "Format"),
        ({"disk_container": ec2.SnapshotDiskContainer(format="qcow2", url="s3://b/k")}, UnsupportedOperation, "QCOW2"),
        ({"disk_container": ec2.SnapshotDiskContainer(format="vmdk", url="s3://b/k")}, UnsupportedOperation, "VMDK"),
        ({"disk_container": ec2.SnapshotDiskContainer(format="floppy", url="s3://b/k")}, InvalidParameterValue, "floppy"),
        ({"disk_container": ec2.SnapshotDiskContainer(format="raw", url="https://b/k")}, InvalidParameterValue, "https"),
        (
            {"disk_container": ec2.SnapshotDiskContainer(format="raw", url="s3://b/k", user_bucket=ec2.UserBucket())},
            InvalidParameterCombination,
            "both",
        ),
        ({"disk_container": ec2.SnapshotDiskContainer(format="raw", url="s3://b/k")}, InaccessibleStorageLocation, "NoSuchBucket"),
        ({"encrypted": True}, UnsupportedOperation, "Encrypted"),
        ({"kms_key_id": "k"}, UnsupportedOperation, "Encrypted"),
        ({"client_token": "x" * 65}, InvalidParameterValue, "ClientToken"),
        ({"client_token": "x" * 65, "dry_run": True}, InvalidParameterValue, "ClientToken"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_in_the_call(
    services: Services, principal: Principal, bucket: str, changes: dict[str, Any], refusal: type[Refusal], words: str
) -> None:
    put(services, principal, bucket, "disk.raw", a_disk(1))
    with pytest.raises(refusal, match=words):
        import_snapshot(services, principal, request(bucket, **changes))


def test_another_accounts_private_object_an_empty_and_an_enormous_one_are_refused(
    services: Services, principal: Principal, other_principal: Principal, bucket: str
) -> None:
    put(services, principal, bucket, "disk.raw", a_disk(1))
    with pytest.raises(InaccessibleStorageLocation, match="AccessDenied"):
        import_snapshot(services, other_principal, request(bucket))
    put(services, principal, bucket, "empty.raw", b"")
    with pytest.raises(InvalidParameterValue, match="is empty"):
        import_snapshot(services, principal, request(bucket, "empty.raw"))
    put(services, principal, bucket, "huge.raw", b"x", size_bytes=65_536 * GIB + 512)
    with pytest.raises(Refusal, match="65536 GiB at most") as refused:
        import_snapshot(services, principal, request(bucket, "huge.raw"))
    assert refused.value.code == "DiskImageSizeTooLarge"


def test_tasks_are_their_accounts_own_and_filter_by_state_and_tag(
    services: Services, principal: Principal, other_principal: Principal, bucket: str
) -> None:
    put(services, principal, bucket, "disk.raw", a_disk(1))
    tags = [ec2.TagSpecification(resource_type="import-snapshot-task", tags=[ec2.Tag(key="job", value="nightly")])]
    first = import_snapshot(services, principal, request(bucket, tag_specifications=tags))
    run_jobs(services)
    second = import_snapshot(services, principal, request(bucket))

    def ids(who: Principal, *filters: ec2.Filter) -> list[str | None]:
        wanted = ec2.DescribeImportSnapshotTasksRequest(filters=list(filters) or None)
        return [
            task.import_task_id
            for task in describe_import_snapshot_tasks(services, who, wanted).import_snapshot_tasks or []
        ]

    assert set(ids(principal)) == {first.import_task_id, second.import_task_id}
    assert ids(principal, ec2.Filter(name="task-state", values=["active"])) == [second.import_task_id]
    assert ids(principal, ec2.Filter(name="tag:job", values=["night*"])) == [first.import_task_id]
    assert ids(other_principal) == [] and ids(replace(principal, region="eu-west-1")) == []
    with pytest.raises(NotFound) as missing:
        detail(services, other_principal, first.import_task_id)
    assert missing.value.code == "InvalidConversionTaskId"
    with pytest.raises(Malformed):
        detail(services, principal, "import-ami-12345678")


def test_an_imported_snapshot_can_be_deleted_and_imported_again(
    services: Services, principal: Principal, bucket: str
) -> None:
    put(services, principal, bucket, "disk.raw", a_disk(2))
    for _ in range(2):
        started = import_snapshot(services, principal, request(bucket))
        run_jobs(services)
        snapshot_id = detail(services, principal, started.import_task_id).snapshot_id
        delete_snapshot(services, principal, ec2.DeleteSnapshotRequest(snapshot_id=str(snapshot_id)))
        assert rows(services) == (0, 0)


def test_a_checkpoint_is_plain_json(services: Services, principal: Principal, bucket: str) -> None:
    put(services, principal, bucket, "disk.raw", a_disk(4))
    import_snapshot(services, principal, request(bucket))
    run_jobs(services)
    with services.database.read() as c:
        data = json.loads(c.execute(select(schema.job.c.data)).scalar_one())
    assert set(data) == {"task_id", "snapshot_id", "etag", "next_index"} and data["next_index"] == 4


def chunks(count: int) -> Iterator[bytes]:
    for number in range(count):
        yield bytes([number % 251 + 1]) * BLOCK_BYTES


def test_more_than_one_batch_arrives(services: Services, principal: Principal, bucket: str) -> None:
    count = block_sink.BATCH_BLOCKS * 2 + 3
    put(services, principal, bucket, "disk.raw", chunks(count))
    started = import_snapshot(services, principal, request(bucket))
    run_jobs(services)
    done = detail(services, principal, started.import_task_id)
    assert bytes_of(services, done.snapshot_id, count * BLOCK_BYTES) == b"".join(chunks(count))


class FullDisk(Files):
    """A disk without room for another byte."""

    def write(self, descriptor: int, body: bytes, offset: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_ends_the_import_by_name_and_leaves_no_snapshot(
    services: Services, principal: Principal, bucket: str
) -> None:
    put(services, principal, bucket, "disk.raw", a_disk(2))
    store = BlockStore.open(services.database, services.data / "full", files=FullDisk())
    full = replace(services, blocks=store)
    try:
        started = import_snapshot(full, principal, request(bucket))
        run_jobs(full)
        ended = detail(full, principal, started.import_task_id)
        assert ended.status == "error" and "full" in str(ended.status_message).lower()
        assert rows(services) == (0, 0)
    finally:
        store.close()
