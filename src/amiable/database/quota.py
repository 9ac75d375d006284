"""What quotas count, taken in the transaction that would add to it."""

from sqlalchemy import Connection, func, select

from amiable.database.schema import snapshot as S


def count_snapshots(c: Connection, account_id: str, region: str) -> int:
    """How many snapshots the account has in the region: pending ones, those in error and those in the Recycle Bin too."""
    mine = (S.c.account_id == account_id) & (S.c.region == region) & S.c.is_internal.is_(False)
    return int(c.execute(select(func.count()).select_from(S).where(mine)).scalar_one())
