"""Queries on key pairs."""

from dataclasses import asdict, fields
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select

from amiable.database.schema import key_pair as K
from amiable.model.key_pair import KeyPair

_NAMES = tuple(f.name for f in fields(KeyPair))


def insert_key_pair(c: Connection, pair: KeyPair) -> None:
    """Inserts it; the database refuses a second one of the same account, region and name."""
    c.execute(insert(K).values(**asdict(pair)))


def find_key_pair(c: Connection, account_id: str, region: str, name: str) -> KeyPair | None:
    """The account's key pair of that exact name."""
    row = c.execute(select(K).where(K.c.account_id == account_id, K.c.region == region, K.c.name == name)).first()
    return None if row is None else _key_pair(row)


def list_key_pairs(c: Connection, account_id: str, region: str) -> list[KeyPair]:
    """The account's key pairs, by name."""
    query = select(K).where(K.c.account_id == account_id, K.c.region == region).order_by(K.c.name)
    return [_key_pair(row) for row in c.execute(query)]


def count_key_pairs(c: Connection, account_id: str, region: str) -> int:
    """How many the account has."""
    query = select(func.count()).select_from(K).where(K.c.account_id == account_id, K.c.region == region)
    return int(c.execute(query).scalar_one())


def delete_key_pair(c: Connection, key_pair_id: str) -> None:
    """Deletes the row; instances keep the key they were launched with."""
    c.execute(delete(K).where(K.c.id == key_pair_id))


def _key_pair(row: Row[Any]) -> KeyPair:
    return KeyPair(**{name: getattr(row, name) for name in _NAMES})
