"""ListChangedBlocks: in which blocks two completed snapshots of one lineage differ.

Blocks are compared by their digests, and leaves of equal names not at all: two snapshots of a large disk that hardly changed are
compared as fast as small ones.  Of one lineage are a snapshot and what was begun with it, the snapshots of one volume, and those of a
volume and of what the volume was made of.  Source: EBS direct API reference, ListChangedBlocks.
"""

from amiable.api.ebs_snapshots import invalid, readable
from amiable.api.ebs_tokens import (
    BLOCK,
    BLOCK_TOKEN_LIFE,
    PAGE,
    PAGE_TOKEN_LIFE,
    page_size,
    seal_token,
    unseal_page,
)
from amiable.database.snapshots import lineage_of
from amiable.model.principal import Principal
from amiable.model.units import BLOCK_BYTES
from amiable.services import Services
from amiable.wire.generated import ebs


def list_changed_blocks(
    services: Services, principal: Principal, request: ebs.ListChangedBlocksRequest
) -> ebs.ListChangedBlocksResponse:
    """A page of 100 to 10,000 changed blocks, ascending; a token is absent where the block is not in that snapshot."""
    if request.first_snapshot_id is None:
        raise invalid("INVALID_PARAMETER_VALUE", "firstSnapshotId is missing: two snapshots are compared.")
    with services.database.read() as c:
        first = readable(c, principal, request.first_snapshot_id)
        second = readable(c, principal, request.second_snapshot_id)
        if not lineage_of(c, first) & lineage_of(c, second):
            raise invalid("UNRELATED_SNAPSHOTS", f"The snapshots {first.id} and {second.id} are not of one lineage.")
    both = f"{first.id} {second.id}"
    start = request.starting_block_index or 0
    if request.next_token:
        start = unseal_page(services, both, request.next_token)
    size = page_size(request.max_results)
    found = services.blocks.changed_blocks(first.id, second.id, start, size + 1)
    now = services.now()

    def token(snapshot_id: str, index: int, digest: bytes | None) -> str | None:
        return None if digest is None else seal_token(services, BLOCK, snapshot_id, index, now + BLOCK_TOKEN_LIFE)

    return ebs.ListChangedBlocksResponse(
        changed_blocks=[
            ebs.ChangedBlock(
                block_index=index,
                first_block_token=token(first.id, index, before),
                second_block_token=token(second.id, index, after),
            )
            for index, before, after in found[:size]
        ],
        expiry_time=now + BLOCK_TOKEN_LIFE,
        volume_size=second.size_gib,
        block_size=BLOCK_BYTES,
        next_token=seal_token(services, PAGE, both, found[size][0], now + PAGE_TOKEN_LIFE) if found[size:] else None,
    )
