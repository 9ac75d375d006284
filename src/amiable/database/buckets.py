"""Buckets."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from amiable.database.schema import bucket as B
from amiable.model.bucket import Bucket


def find_bucket(c: Connection, name: str) -> Bucket | None:
    """The bucket of this name, whoever owns it."""
    row = c.execute(select(B).where(B.c.name == name)).first()
    return None if row is None else _bucket(row)


def list_buckets(c: Connection, account_id: str) -> list[Bucket]:
    """The account's buckets by name."""
    return [_bucket(row) for row in c.execute(select(B).where(B.c.account_id == account_id).order_by(B.c.name))]


def count_buckets(c: Connection, account_id: str) -> int:
    """How many buckets the account has."""
    return c.execute(select(func.count()).where(B.c.account_id == account_id)).scalar_one()


def insert_bucket(c: Connection, bucket: Bucket) -> None:
    """Adds the bucket."""
    row = {"name": bucket.name, "account_id": bucket.account_id, "region": bucket.region, "acl": bucket.acl}
    c.execute(insert(B).values(**row, created_at=bucket.created_at))


def set_bucket_acl(c: Connection, name: str, acl: str) -> None:
    """Replaces the bucket's canned ACL."""
    c.execute(update(B).where(B.c.name == name).values(acl=acl))


def delete_bucket(c: Connection, name: str) -> None:
    """Removes the bucket, which must be empty."""
    c.execute(delete(B).where(B.c.name == name))


def _bucket(row: Row[Any]) -> Bucket:
    created_at: datetime = row.created_at
    return Bucket(name=row.name, account_id=row.account_id, region=row.region, acl=row.acl, created_at=created_at)
