"""EBS direct: snapshots written and read block by block.

    StartSnapshot ─▶ pending ──PutSnapshotBlock…──▶ CompleteSnapshot ─▶ completed ─▶ ListSnapshotBlocks, GetSnapshotBlock, ListChangedBlocks
                        └─ timeout · wrong count · wrong aggregate ─▶ error

A snapshot of up to 64 GiB written is completed within the call; a larger one by the job ``complete-snapshot``.  Only the owning
account may write; it and the accounts that createVolumePermission names may read, and begin snapshots of their own with it.
Block tokens and page tokens are sealed by the installation, so they need no memory.
Source: EBS direct API reference 2019-11-02.
"""

from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import Connection

from amiable.api.ebs_changes import list_changed_blocks
from amiable.api.ebs_snapshots import invalid, not_found, owned, readable, usable
from amiable.api.ebs_tokens import (
    BLOCK,
    BLOCK_TOKEN_LIFE,
    PAGE,
    PAGE_TOKEN_LIFE,
    open_token,
    page_size,
    seal_token,
    unseal_page,
)
from amiable.api.idempotency import Repeatable
from amiable.database import blocks as rows
from amiable.database import jobs as queue
from amiable.database import product_codes, snapshots, tags
from amiable.model import ids
from amiable.model.errors import (
    EbsRefusal,
    IdempotentParameterMismatch,
    InvalidParameterValue,
    NotFound,
    Refusal,
    SnapshotNotPending,
)
from amiable.model.principal import Principal
from amiable.model.snapshot import COMPLETED, ERROR, PENDING, Snapshot
from amiable.model.units import BLOCK_BYTES, LEAF_BLOCKS
from amiable.model.volume_errors import SnapshotLimitExceeded
from amiable.rules import block_checksum
from amiable.rules.tags import check_tag, merge
from amiable.services import Services
from amiable.services.quota import check_snapshot_room
from amiable.wire.generated import ebs

VOLUME_GIB_MAX: Final = 65_536
TIMEOUT_MINUTES: Final = 60
INLINE_BLOCKS_MAX: Final = 64 * LEAF_BLOCKS
"""Written blocks that a call turns into leaves itself: about a second's work."""
INLINE_GIB_MAX: Final = 1024
"""How long the disk of a snapshot may be whose inherited map a call reads itself: about a second's work too."""


# ── StartSnapshot ───────────────────────────────────────────────────────────────────────────────────────────────────────


def start_snapshot(
    services: Services, principal: Principal, request: ebs.StartSnapshotRequest
) -> ebs.StartSnapshotResponse:
    """A new pending snapshot, with its parent's blocks where it has one; it takes blocks at once."""
    _check_start(request)
    given = _tags(request)
    with services.database.write() as c:
        once = Repeatable(services, principal, request)
        made = _recalled(c, once)
        if made is None:
            made = _start(c, services, principal, request)
            tags.put(c, tags.TaggedResource(principal.account_id, principal.region, made.id, "snapshot"), given)
            once.remember(c, [made.id])
    return ebs.StartSnapshotResponse(
        snapshot_id=made.id,
        owner_id=made.account_id,
        status=made.state,
        start_time=made.started_at,
        volume_size=made.size_gib,
        block_size=BLOCK_BYTES,
        description=made.description or None,
        parent_snapshot_id=made.parent_id,
        tags=[ebs.Tag(key=key, value=value) for key, value in given.items()] or None,
        sse_type="none",
    )


def _start(c: Connection, services: Services, principal: Principal, request: ebs.StartSnapshotRequest) -> Snapshot:
    now = services.now()
    made = Snapshot(
        id=services.mint(ids.SNAPSHOT),
        account_id=principal.account_id,
        region=principal.region,
        state=PENDING,
        size_gib=request.volume_size,
        description=request.description or "",
        parent_id=request.parent_snapshot_id,
        timeout_minutes=request.timeout or TIMEOUT_MINUTES,
        started_at=now,
        touched_at=now,
    )
    if request.parent_snapshot_id is not None:
        _check_parent(c, principal, request.parent_snapshot_id, request.volume_size)
    _check_room(services, c, principal)
    snapshots.insert_snapshot(c, made)
    if request.parent_snapshot_id is not None:
        services.blocks.inherit(c, made.id, request.parent_snapshot_id)
        product_codes.inherit_codes(c, made.id, source_ids=[request.parent_snapshot_id])
    return made


def _check_room(services: Services, c: Connection, principal: Principal) -> None:
    try:
        check_snapshot_room(services, c, principal)
    except SnapshotLimitExceeded as refusal:
        why = "DEPENDENCY_SERVICE_QUOTA_EXCEEDED"
        raise EbsRefusal("ServiceQuotaExceededException", why, refusal.message) from None


def _check_start(request: ebs.StartSnapshotRequest) -> None:
    if not 1 <= request.volume_size <= VOLUME_GIB_MAX:
        raise invalid("INVALID_VOLUME_SIZE", f"VolumeSize is {request.volume_size}; it is 1 to {VOLUME_GIB_MAX} GiB.")
    if request.timeout is not None and not 10 <= request.timeout <= 4320:
        raise invalid("INVALID_PARAMETER_VALUE", f"Timeout is {request.timeout}; it is 10 to 4320 minutes.")
    if request.parent_snapshot_id is not None and (request.encrypted is not None or request.kms_key_arn is not None):
        raise invalid("INVALID_PARAMETER_VALUE", "Encrypted and KmsKeyArn cannot be given with ParentSnapshotId.")
    if request.encrypted or request.kms_key_arn is not None:
        raise invalid("INVALID_PARAMETER_VALUE", "Encrypted snapshots are not implemented by Amiable.")


def _check_parent(c: Connection, principal: Principal, parent_id: str, size_gib: int) -> None:
    parent = usable(c, principal, parent_id)
    if parent.state != COMPLETED:
        raise invalid("INVALID_SNAPSHOT_ID", f"The parent snapshot {parent_id} is {parent.state}, not completed.")
    if size_gib < parent.size_gib:
        raise invalid(
            "INVALID_VOLUME_SIZE", f"VolumeSize is {size_gib} GiB; the parent snapshot has {parent.size_gib} GiB."
        )


def _tags(request: ebs.StartSnapshotRequest) -> dict[str, str]:
    given: dict[str, str] = {}
    try:
        for tag in request.tags or []:
            key, value = tag.key or "", tag.value or ""
            check_tag(key, value)
            if key in given:
                raise invalid("INVALID_TAG", f"The tag key {key!r} is given more than once.")
            given[key] = value
        return merge({}, given)
    except EbsRefusal:
        raise
    except Refusal as refusal:
        raise invalid("INVALID_TAG", refusal.message) from None


def _recalled(c: Connection, once: Repeatable) -> Snapshot | None:
    """The snapshot that the client token made before."""
    try:
        made = once.recall(c)
    except IdempotentParameterMismatch as mismatch:
        raise EbsRefusal("ConflictException", None, mismatch.message) from None
    except InvalidParameterValue as wrong:
        raise invalid("INVALID_PARAMETER_VALUE", wrong.message) from None
    return None if made is None else snapshots.get(c, made[0])


# ── PutSnapshotBlock ────────────────────────────────────────────────────────────────────────────────────────────────────


def put_snapshot_block(
    services: Services, principal: Principal, request: ebs.PutSnapshotBlockRequest
) -> ebs.PutSnapshotBlockResponse:
    """Writes one block; durable, with its place in the snapshot, once this returns."""
    with services.database.read() as c:
        snapshot = owned(c, principal, request.snapshot_id)
    _check_writable(services, snapshot)
    digest = _check_block(request, snapshot)
    try:
        services.blocks.write(snapshot.id, [(request.block_index, request.block_data)], digests=[digest])
    except SnapshotNotPending as refusal:
        raise invalid("INVALID_SNAPSHOT_ID", refusal.message) from None
    except NotFound:
        raise not_found(snapshot.id) from None
    return ebs.PutSnapshotBlockResponse(checksum=request.checksum, checksum_algorithm=request.checksum_algorithm)


def _check_block(request: ebs.PutSnapshotBlockRequest, snapshot: Snapshot) -> bytes:
    """The block's digest, once everything that was said about it holds."""
    if request.data_length != BLOCK_BYTES:
        raise invalid(
            "INVALID_PARAMETER_VALUE", f"x-amz-Data-Length is {request.data_length}; it is always {BLOCK_BYTES}."
        )
    if len(request.block_data) != BLOCK_BYTES:
        raise invalid("INVALID_BLOCK", f"The body has {len(request.block_data)} bytes; a block has {BLOCK_BYTES}.")
    if not 0 <= request.block_index < snapshot.block_count:
        last = snapshot.block_count - 1
        raise invalid(
            "INVALID_BLOCK",
            f"Block index {request.block_index} is outside the volume of {snapshot.size_gib} GiB (0 to {last}).",
        )
    if request.checksum_algorithm != "SHA256":
        raise invalid(
            "INVALID_PARAMETER_VALUE", f"x-amz-Checksum-Algorithm is {request.checksum_algorithm}; it is SHA256."
        )
    digest = sha256(request.block_data).digest()
    if not block_checksum.agrees(request.checksum, digest):
        raise invalid(
            "INVALID_PARAMETER_VALUE", f"The checksum of block {request.block_index} does not match its data."
        )
    return digest


# ── CompleteSnapshot ────────────────────────────────────────────────────────────────────────────────────────────────────


def complete_snapshot(
    services: Services, principal: Principal, request: ebs.CompleteSnapshotRequest
) -> ebs.CompleteSnapshotResponse:
    """Seals the snapshot, once count and aggregate agree, and completes it; a wrong one puts it into error."""
    with services.database.read() as c:
        snapshot = owned(c, principal, request.snapshot_id)
    if snapshot.state == COMPLETED:
        return ebs.CompleteSnapshotResponse(status=COMPLETED)
    if snapshot.changed_block_count is None or snapshot.state == ERROR:
        _check_writable(services, snapshot)
        _check_aggregate_headers(request)
    if _seal(services, request):
        services.wake()
        return ebs.CompleteSnapshotResponse(status=PENDING)
    try:
        services.blocks.complete(snapshot.id)
    except SnapshotNotPending as refusal:
        raise invalid("INVALID_SNAPSHOT_ID", refusal.message) from None
    return ebs.CompleteSnapshotResponse(status=COMPLETED)


def _seal(services: Services, request: ebs.CompleteSnapshotRequest) -> bool:
    """Ends the writing in one transaction with the checks; whether the rest is left to a job.

    It is for a snapshot of many blocks of its own, and for a large one that inherits: its whole map is read for its digest.
    """
    with services.database.write() as c:
        snapshot = snapshots.get(c, request.snapshot_id)
        if snapshot is None:
            raise not_found(request.snapshot_id)
        if snapshot.changed_block_count is not None:  # an earlier call came so far: go on from there
            count, wrong = snapshot.changed_block_count, None
        else:
            count = rows.pending_count(c, snapshot.id)
            wrong = _disagreement(c, request, count)
            if wrong is not None:
                snapshots.fail(c, snapshot.id, wrong)
            else:
                snapshots.seal(c, snapshot.id, count)
        is_long = count > INLINE_BLOCKS_MAX or (snapshot.parent_id is not None and snapshot.size_gib > INLINE_GIB_MAX)
        if wrong is None and is_long:
            key = f"{snapshot.id}:complete"
            queue.enqueue(c, queue.NewJob("complete-snapshot", key, {"snapshot_id": snapshot.id}), now=services.now())
    if wrong is not None:
        raise invalid("INVALID_PARAMETER_VALUE", wrong)
    return is_long


def _disagreement(c: Connection, request: ebs.CompleteSnapshotRequest, count: int) -> str | None:
    if request.changed_blocks_count != count:
        return f"x-amz-ChangedBlocksCount is {request.changed_blocks_count}, but {count} blocks were written."
    if request.checksum is None:
        return None
    aggregate = block_checksum.linear(rows.pending_digests(c, request.snapshot_id))
    if not block_checksum.agrees(request.checksum, aggregate):
        return f"The aggregated checksum does not match the blocks that were written; theirs is {block_checksum.encode(aggregate)}."
    return None


def _check_aggregate_headers(request: ebs.CompleteSnapshotRequest) -> None:
    given = (request.checksum, request.checksum_algorithm, request.checksum_aggregation_method)
    if any(given) and not all(given):
        raise invalid(
            "INVALID_PARAMETER_VALUE",
            "x-amz-Checksum, its algorithm and its aggregation method come together or not at all.",
        )
    if request.checksum_algorithm not in (None, "SHA256"):
        raise invalid(
            "INVALID_PARAMETER_VALUE", f"x-amz-Checksum-Algorithm is {request.checksum_algorithm}; it is SHA256."
        )
    if request.checksum_aggregation_method not in (None, "LINEAR"):
        raise invalid("INVALID_PARAMETER_VALUE", "x-amz-Checksum-Aggregation-Method is LINEAR.")


# ── ListSnapshotBlocks, GetSnapshotBlock ────────────────────────────────────────────────────────────────────────────────


def list_snapshot_blocks(
    services: Services, principal: Principal, request: ebs.ListSnapshotBlocksRequest
) -> ebs.ListSnapshotBlocksResponse:
    """The written blocks, ascending, each with a token to get it by; a page of 100 to 10,000."""
    with services.database.read() as c:
        snapshot = readable(c, principal, request.snapshot_id)
    start = request.starting_block_index or 0
    if request.next_token:
        start = unseal_page(services, snapshot.id, request.next_token)
    size = page_size(request.max_results)
    found = services.blocks.blocks_of(snapshot.id, start, size + 1)
    now = services.now()
    next_token = None
    if len(found) > size:
        next_token = seal_token(services, PAGE, snapshot.id, found[size][0], now + PAGE_TOKEN_LIFE)
    return ebs.ListSnapshotBlocksResponse(
        blocks=[
            ebs.Block(
                block_index=index, block_token=seal_token(services, BLOCK, snapshot.id, index, now + BLOCK_TOKEN_LIFE)
            )
            for index, _ in found[:size]
        ],
        expiry_time=now + BLOCK_TOKEN_LIFE,
        volume_size=snapshot.size_gib,
        block_size=BLOCK_BYTES,
        next_token=next_token,
    )


def get_snapshot_block(
    services: Services, principal: Principal, request: ebs.GetSnapshotBlockRequest
) -> ebs.GetSnapshotBlockResponse:
    """One block's bytes, verified, and their checksum."""
    with services.database.read() as c:
        snapshot = readable(c, principal, request.snapshot_id)
    _check_block_token(services, snapshot.id, request.block_index, request.block_token)
    data = services.blocks.read(snapshot.id, request.block_index)
    if data is None:
        raise invalid("INVALID_BLOCK", f"Block {request.block_index} was never written into {snapshot.id}.")
    checksum = block_checksum.encode(sha256(data).digest())
    return ebs.GetSnapshotBlockResponse(
        data_length=len(data), block_data=data, checksum=checksum, checksum_algorithm="SHA256"
    )


# ── tokens ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _check_block_token(services: Services, snapshot_id: str, index: int, text: str) -> None:
    token = open_token(services, BLOCK, text)
    if token is None or (token.snapshot_id, token.index) != (snapshot_id, index):
        raise invalid(
            "INVALID_BLOCK_TOKEN", "The block token is not valid for this snapshot and block, or has expired."
        )


# ── in which state ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _check_writable(services: Services, snapshot: Snapshot) -> None:
    if snapshot.volume_id is not None:
        why = f"The snapshot {snapshot.id} is made of the volume {snapshot.volume_id}: it takes no block."
        raise invalid("INVALID_SNAPSHOT_ID", why)
    if snapshot.has_timed_out(services.now()):
        with services.database.write() as c:
            snapshots.fail(c, snapshot.id, "No block came within the snapshot's timeout.")
        message = f"No block came for {snapshot.id} within {snapshot.timeout_minutes} minutes."
        raise invalid("WRITE_REQUEST_TIMEOUT", message)
    if snapshot.state != PENDING or snapshot.changed_block_count is not None:
        state = "being completed" if snapshot.state == PENDING else snapshot.state
        raise invalid("INVALID_SNAPSHOT_ID", f"The snapshot {snapshot.id} is {state}: it takes no block.")


OPERATIONS: Final[dict[str, Callable[[Services, Principal, Any], Any]]] = {
    "StartSnapshot": start_snapshot,
    "PutSnapshotBlock": put_snapshot_block,
    "CompleteSnapshot": complete_snapshot,
    "ListSnapshotBlocks": list_snapshot_blocks,
    "ListChangedBlocks": list_changed_blocks,
    "GetSnapshotBlock": get_snapshot_block,
}
