"""A raw disk becomes a snapshot over EBS direct: StartSnapshot, PutSnapshotBlock by eight workers, CompleteSnapshot.

Holes are skipped unread, zero blocks unsent.  The LINEAR checksum is SHA-256 over the raw digests of the blocks that were sent, in
ascending order.  Works against any endpoint.
"""

import base64
import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, BinaryIO

from amiable.blocks.formats import guess_format, refusal_words, remark
from amiable.cli.client import Credentials, client, wait_for
from amiable.cli.output import Progress, say
from amiable.model.errors import LocalRefusal
from amiable.model.units import BLOCK_BYTES, gib_ceil
from amiable.rules.partition_table import HEAD_BYTES, complaint

WORKERS = 8
IN_FLIGHT_MAX = 4 * WORKERS
COMPLETE_SECONDS_MAX = 600.0
TAIL_BYTES = 64 * 1024
_ZERO = bytes(BLOCK_BYTES)


def upload_snapshot(file: Path, description: str, *, credentials: Credentials | None = None) -> str:
    """The id of a completed snapshot of ``file``; refuses what is not a raw disk.  On an error no snapshot remains."""
    with file.open("rb") as opened:
        size = os.lseek(opened.fileno(), 0, os.SEEK_END)
        check_raw(opened, size, file.name)
        ebs = client("ebs", credentials=credentials, max_pool_connections=WORKERS)
        ec2 = client("ec2", credentials=credentials)
        snapshot = ebs.start_snapshot(VolumeSize=gib_ceil(size), Description=description[:255])["SnapshotId"]
        then = "stays pending; it expires by itself"
        try:
            digests = put_blocks(ebs, snapshot, opened, size)
            then = f"stays; to delete it: amiable snapshot delete {snapshot} --yes"
            complete(ebs, ec2, snapshot, digests)
        except BaseException:  # Ctrl-C too: nothing half-written stays
            delete_after_failure(ec2, snapshot, then)
            raise
    return str(snapshot)


def delete_after_failure(ec2: Any, snapshot: str, then: str) -> None:
    """Deletes ``snapshot``; where that fails too, says what ``then`` becomes of it and leaves the first error to be told."""
    from amiable.bundle.whole_answers import FAILURES

    try:
        ec2.delete_snapshot(SnapshotId=snapshot)
    except FAILURES:
        say(f"{snapshot} {then}")


def check_raw(opened: BinaryIO, size: int, name: str) -> None:
    """Refuses an empty or cut file, and a disk of another format given as raw, by what its own bytes say; notes what is odd."""
    opened.seek(0)
    head = opened.read(max(HEAD_BYTES, TAIL_BYTES))
    opened.seek(max(0, size - TAIL_BYTES))
    tail = opened.read(TAIL_BYTES)
    seen = guess_format(head, tail, size)
    if seen is not None:
        raise LocalRefusal(
            f"{name} is not a raw disk: {refusal_words(seen, head)}",
            hint="make it raw first, for instance with: qemu-img convert -f FORMAT -O raw",
        )
    wrong = complaint(head, size)
    if wrong is not None:
        raise LocalRefusal(f"{name}: {wrong}", hint="fetch or write it again")
    noted = remark(head, tail, size)
    if noted is not None:
        say(f"note: {name}: {noted}")


def put_blocks(ebs: Any, snapshot: str, opened: BinaryIO, size: int) -> dict[int, bytes]:
    """Sends every block that is not zero; index → raw SHA-256 digest."""
    digests: dict[int, bytes] = {}
    with Progress("upload", size) as progress, ThreadPoolExecutor(WORKERS) as pool:
        flying: set[Future[tuple[int, bytes, int]]] = set()
        done_to = 0
        for index, body in blocks_of(opened, size):
            progress.advance(index * BLOCK_BYTES - done_to)
            done_to = index * BLOCK_BYTES
            flying.add(pool.submit(put_one, ebs, snapshot, index, body))
            if len(flying) >= IN_FLIGHT_MAX:
                flying = collect(flying, digests)
        while flying:
            flying = collect(flying, digests)
        progress.advance(size - done_to)
    return digests


def blocks_of(opened: BinaryIO, size: int) -> Iterator[tuple[int, bytes]]:
    """Index and bytes (the last padded with zeros) of each block that holds data and is not all zero."""
    index, count = 0, -(-size // BLOCK_BYTES)
    while index < count:
        try:
            data = os.lseek(opened.fileno(), index * BLOCK_BYTES, os.SEEK_DATA)
        except OSError:  # nothing but a hole from here on
            return
        index = max(index, data // BLOCK_BYTES)
        body = os.pread(opened.fileno(), BLOCK_BYTES, index * BLOCK_BYTES).ljust(BLOCK_BYTES, b"\0")
        if body != _ZERO:
            yield index, body
        index += 1


def put_one(ebs: Any, snapshot: str, index: int, body: bytes) -> tuple[int, bytes, int]:
    """Sends one block with its checksum."""
    digest = hashlib.sha256(body).digest()
    ebs.put_snapshot_block(
        SnapshotId=snapshot,
        BlockIndex=index,
        BlockData=body,
        DataLength=BLOCK_BYTES,
        Checksum=base64.b64encode(digest).decode(),
        ChecksumAlgorithm="SHA256",
    )
    return index, digest, len(body)


def collect(
    flying: set[Future[tuple[int, bytes, int]]], digests: dict[int, bytes]
) -> set[Future[tuple[int, bytes, int]]]:
    """Waits for at least one; keeps the digests; raises what a worker raised; returns those still under way."""
    done, left = wait(flying, return_when=FIRST_COMPLETED)
    for future in done:
        index, digest, _ = future.result()
        digests[index] = digest
    return left


def complete(ebs: Any, ec2: Any, snapshot: str, digests: dict[int, bytes]) -> None:
    """Completes the snapshot, checked over all of it, and waits until it is."""
    linear = hashlib.sha256(b"".join(digests[index] for index in sorted(digests))).digest()
    ebs.complete_snapshot(
        SnapshotId=snapshot,
        ChangedBlocksCount=len(digests),
        Checksum=base64.b64encode(linear).decode(),
        ChecksumAlgorithm="SHA256",
        ChecksumAggregationMethod="LINEAR",
    )

    def look() -> bool | None:
        found = ec2.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"][0]
        if found["State"] == "error":
            raise LocalRefusal(f"{snapshot} failed: {found.get('StateMessage', 'no reason given')}")
        return True if found["State"] == "completed" else None

    wait_for(f"{snapshot} to be completed", look, COMPLETE_SECONDS_MAX)
