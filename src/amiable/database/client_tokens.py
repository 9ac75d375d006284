"""Queries on client tokens: (account, region, action, token) → what the call asked for and what it made."""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, delete, insert, select

from amiable.database.schema import client_token as T

KEPT: Final = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Key:
    """What a token is told by: the same word of another account, region or action is another token."""

    account_id: str
    region: str
    action: str
    token: str


@dataclass(frozen=True, slots=True)
class Remembered:
    """What a token stands for: SHA-256 of the request, and the ids it made."""

    request_hash: bytes
    resource_ids: tuple[str, ...]


def find_token(c: Connection, key: Key, *, now: datetime) -> Remembered | None:
    """What the token stands for, unless it is older than :data:`KEPT`."""
    its = [T.c[name] == value for name, value in asdict(key).items()]
    row = c.execute(select(T).where(*its, T.c.created_at > now - KEPT)).first()
    return None if row is None else Remembered(row.request_hash, tuple(row.resource_ids.split()))


def insert_token(c: Connection, key: Key, remembered: Remembered, *, now: datetime) -> None:
    """Remembers the token and forgets every one that is too old."""
    c.execute(delete(T).where(T.c.created_at <= now - KEPT))
    made = {"request_hash": remembered.request_hash, "resource_ids": " ".join(remembered.resource_ids)}
    c.execute(insert(T).values(**asdict(key), **made, created_at=now))
