"""What an account lets become public in a region."""

from typing import Final

from sqlalchemy import Connection, insert, select, update

from amiable.database.schema import account_region_setting as A
from amiable.model.block_public_access import BlockPublicAccess

_DEFAULT: Final = BlockPublicAccess()


def find(c: Connection, account_id: str, region: str) -> BlockPublicAccess:
    """The account's guard in the region; a new account's where nothing was said."""
    mine = (A.c.account_id == account_id) & (A.c.region == region)
    row = c.execute(select(A.c.image_block_public_access, A.c.snapshot_block_public_access).where(mine)).first()
    if row is None:
        return _DEFAULT
    return BlockPublicAccess(
        images=row.image_block_public_access or _DEFAULT.images,
        snapshots=row.snapshot_block_public_access or _DEFAULT.snapshots,
    )


def put(c: Connection, account_id: str, region: str, guard: BlockPublicAccess) -> None:
    """Puts the account's guard in the region; other settings of the account stay."""
    mine = (A.c.account_id == account_id) & (A.c.region == region)
    values = {"image_block_public_access": guard.images, "snapshot_block_public_access": guard.snapshots}
    if c.execute(update(A).where(mine).values(**values)).rowcount == 0:
        c.execute(insert(A).values(account_id=account_id, region=region, **values))
