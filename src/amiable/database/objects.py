"""Objects: one row a key, naming the file with its bytes.

Keys sort by their UTF-8 bytes, as S3 lists them: SQLite's own order, and the ``C`` collation elsewhere.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, collate, delete, insert, select, update

from amiable.database.schema import object_ as O
from amiable.database.tags import batches
from amiable.model.bucket import Checksum, Object, ObjectHeaders


def find_object(c: Connection, bucket: str, key: str) -> Object | None:
    """The object of this key."""
    row = c.execute(select(O).where(O.c.bucket == bucket, O.c.key == key)).first()
    return None if row is None else _object(row)


def find_objects(c: Connection, bucket: str, keys: Sequence[str]) -> dict[str, Object]:
    """The objects of these keys, by key; those that are there."""
    found: dict[str, Object] = {}
    for some in batches(keys):
        rows = c.execute(select(O).where(O.c.bucket == bucket, O.c.key.in_(some)))
        found.update((row.key, _object(row)) for row in rows)
    return found


def put_object(c: Connection, new: Object) -> str | None:
    """Inserts the object or replaces the one of its key; the file that no row names any more once this is committed."""
    old = delete_object(c, new.bucket, new.key)
    row = {
        "bucket": new.bucket,
        "key": new.key,
        "file": new.file,
        "account_id": new.account_id,
        "size_bytes": new.size_bytes,
    }
    said = {"etag": new.etag, "content_type": new.headers.content_type, "headers": json.dumps(new.headers.others)}
    checksum = {"checksum_algorithm": new.checksum.algorithm, "checksum": new.checksum.value} if new.checksum else {}
    c.execute(
        insert(O).values(**row, **said, **checksum, acl=new.acl, modified_at=new.modified_at, upload_id=new.upload_id)
    )
    return old


def delete_object(c: Connection, bucket: str, key: str) -> str | None:
    """Removes the row of this key; the file that no row names any more once this is committed."""
    return c.execute(delete(O).where(O.c.bucket == bucket, O.c.key == key).returning(O.c.file)).scalar()


def set_object_acl(c: Connection, bucket: str, key: str, acl: str) -> None:
    """Replaces the object's canned ACL."""
    c.execute(update(O).where(O.c.bucket == bucket, O.c.key == key).values(acl=acl))


def has_objects(c: Connection, bucket: str) -> bool:
    """Whether the bucket holds anything."""
    return c.execute(select(O.c.key).where(O.c.bucket == bucket).limit(1)).first() is not None


@dataclass(frozen=True, slots=True)
class KeyRange:
    """The keys with ``first`` ≤ key, ``after`` < key, and key < ``before`` (None: whatever comes)."""

    first: str = ""
    after: str = ""
    before: str | None = None


def objects_in(c: Connection, bucket: str, keys: KeyRange, *, limit: int) -> list[Object]:
    """The first of the bucket's objects with these keys, in key order."""
    key = _bytewise(c)
    query = select(O).where(O.c.bucket == bucket, key >= keys.first, key > keys.after)
    if keys.before is not None:
        query = query.where(key < keys.before)
    return [_object(row) for row in c.execute(query.order_by(key).limit(limit))]


def _bytewise(c: Connection) -> ColumnElement[str]:
    return O.c.key if c.dialect.name == "sqlite" else collate(O.c.key, "C")


def _object(row: Row[Any]) -> Object:
    return Object(
        bucket=row.bucket,
        key=row.key,
        file=row.file,
        account_id=row.account_id,
        size_bytes=row.size_bytes,
        etag=row.etag,
        headers=ObjectHeaders(row.content_type, json.loads(row.headers)),
        checksum=Checksum(row.checksum_algorithm, row.checksum) if row.checksum else None,
        acl=row.acl,
        modified_at=row.modified_at,
        upload_id=row.upload_id,
    )
