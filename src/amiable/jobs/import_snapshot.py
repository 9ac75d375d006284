"""import-snapshot: a raw disk from an object into a snapshot; data {"task_id", "snapshot_id"?, "etag"?, "next_index"?}.

    object ─▶ header guard ─▶ blocks, in batches ─▶ completed snapshot ═ shown, task completed

The snapshot is internal until it is whole.  Each batch checkpoints the next index in its own transaction, so a job that was killed
goes on where the last batch ended.  Whatever is wrong with the disk ends the task with ``error``, a message that names it, and
leaves no snapshot.
"""

from typing import BinaryIO, Final

from sqlalchemy import Connection

from amiable.blocks.formats import guess_format, refusal_words, remark
from amiable.database import import_tasks, snapshots
from amiable.jobs.block_sink import BlockSink
from amiable.jobs.context import JobContext
from amiable.jobs.internal_snapshot import begin
from amiable.model.errors import Refusal
from amiable.model.import_task import ImportState, ImportTask
from amiable.model.units import BLOCK_BYTES, KIB
from amiable.rules.partition_table import HEAD_BYTES, complaint
from amiable.services.objects import OpenObject, open_object

TAIL_BYTES: Final = 64 * KIB
"""Some formats are known by what stands at their end."""


class DiskRefused(Refusal):
    """The disk in the object is not what was announced; the text is the task's message."""

    code = "ClientError"


def import_snapshot(context: JobContext) -> None:
    """Runs the import to its end."""
    with context.services.database.read() as c:
        task = import_tasks.get(c, context.data["task_id"])
    if task is None or task.state is not ImportState.ACTIVE:
        return
    try:
        with open_object(context.services, task.account_id, task.bucket, task.object_key) as source:
            words = _check(context, task, source)
            _copy(context, task, source)
        _publish(context, task, words)
    except Refusal as refusal:
        side = "ServerError" if refusal.status >= 500 else "ClientError"
        give_up(context, f"{side}: s3://{task.bucket}/{task.object_key}: {refusal.message}")


def give_up(context: JobContext, message: str) -> None:
    """Ends the task with ``error`` and removes what was copied."""
    with context.services.database.write() as c:
        import_tasks.fail(c, context.data["task_id"], message)
        snapshot_id = context.data.get("snapshot_id")
        snapshot = snapshots.get(c, snapshot_id) if snapshot_id else None
        if snapshot is not None and snapshot.is_internal:
            context.services.blocks.drop(c, snapshot.id)
            snapshots.delete_row(c, snapshot.id)


def _check(context: JobContext, task: ImportTask, source: OpenObject) -> str:
    """What there is to say about the disk, mostly nothing.

    Refuses what is not a raw disk, what was cut short, and what is no longer the object that the import began with.
    """
    if task.size_bytes is not None and source.size_bytes != task.size_bytes:
        raise DiskRefused(
            f"the object changed: it had {task.size_bytes} bytes when the import was asked for and has {source.size_bytes} now"
        )
    if context.data.get("etag", source.etag) != source.etag:
        raise DiskRefused("the object was replaced while it was imported")
    head = source.stream.read(max(TAIL_BYTES, HEAD_BYTES))
    source.stream.seek(max(0, source.size_bytes - TAIL_BYTES))
    tail = source.stream.read(TAIL_BYTES)
    seen = guess_format(head, tail, source.size_bytes)
    if seen is not None:
        raise DiskRefused(f"it was given as RAW and is not: {refusal_words(seen, head)}")
    wrong = complaint(head, source.size_bytes)
    if wrong is not None:
        raise DiskRefused(wrong)
    return remark(head, tail, source.size_bytes) or ""


def _copy(context: JobContext, task: ImportTask, source: OpenObject) -> None:
    if "snapshot_id" not in context.data:
        begin(
            context,
            account_id=task.account_id,
            region=task.region,
            size_bytes=source.size_bytes,
            description=task.description,
            etag=source.etag,
            next_index=0,
        )
    snapshot_id: str = context.data["snapshot_id"]

    def checkpoint(c: Connection, following: int) -> None:
        percent = min(99, 100 * following * BLOCK_BYTES // source.size_bytes)
        import_tasks.report(c, task.id, progress_percent=percent, message="importing")
        context.save(c, {**context.data, "next_index": following}, percent)

    with context.services.database.read() as c:
        snapshot = snapshots.get(c, snapshot_id)
    assert snapshot is not None, "the snapshot is made in the transaction that names it"
    if snapshot.changed_block_count is None:  # not sealed: an earlier run may have ended while completing
        offset = context.data.get("next_index", 0) * BLOCK_BYTES
        sink = BlockSink(context.services.blocks, snapshot_id, checkpoint)
        _stream(context, source.stream, offset, source.size_bytes, sink)
        sink.finish()
    context.services.blocks.complete(snapshot_id)


def _stream(context: JobContext, stream: BinaryIO, offset: int, size_bytes: int, sink: BlockSink) -> None:
    stream.seek(offset)
    while offset < size_bytes:
        context.go_on()
        data = stream.read(min(BLOCK_BYTES, size_bytes - offset))
        if not data:
            raise DiskRefused(f"the object is cut short: it ends after {offset} of {size_bytes} bytes")
        sink.write(offset, data)
        offset += len(data)


def _publish(context: JobContext, task: ImportTask, words: str) -> None:
    with context.services.database.write() as c:
        snapshots.publish(c, context.data["snapshot_id"])
        import_tasks.complete(c, task.id, context.data["snapshot_id"], words)
        context.save(c, progress_percent=100)
