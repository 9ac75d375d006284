"""Queries on client tokens: (account, region, action, token) → what the call asked for and what it made."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, delete, insert, select

from amiable.database.schema import client_token as T

KEPT: Final = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Remembered:
    """What a token stands for: SHA-256 of the request, and the ids it made."""

    request_hash: bytes
    resource_ids: tuple[str, ...]


def find_token(
    c: Connection, account_id: str, region: str, action: str, token: str, *, now: datetime
) -> Remembered | None:
    """What the token stands for, unless it is older than :data:`KEPT`."""
    key = (T.c.account_id == account_id, T.c.region == region, T.c.action == action, T.c.token == token)
    row = c.execute(select(T).where(*key, T.c.created_at > now - KEPT)).first()
    return None if row is None else Remembered(row.request_hash, tuple(row.resource_ids.split()))


def insert_token(
    c: Connection, account_id: str, region: str, action: str, token: str, remembered: Remembered, *, now: datetime
) -> None:
    """Remembers the token and forgets every one that is too old."""
    c.execute(delete(T).where(T.c.created_at <= now - KEPT))
    row = {"account_id": account_id, "region": region, "action": action, "token": token, "created_at": now}
    c.execute(
        insert(T).values(**row, request_hash=remembered.request_hash, resource_ids=" ".join(remembered.resource_ids))
    )
