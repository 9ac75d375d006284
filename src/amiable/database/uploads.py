"""Uploads in parts, and their parts."""

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, collate, delete, insert, select

from amiable.database.schema import multipart_part as P
from amiable.database.schema import multipart_upload as U
from amiable.model.bucket import ObjectHeaders, Part, Upload
from amiable.rules.bucket import successor


def find_upload(c: Connection, upload_id: str) -> Upload | None:
    """The upload of this id."""
    row = c.execute(select(U).where(U.c.id == upload_id)).first()
    return None if row is None else _upload(row)


@dataclass(frozen=True, slots=True)
class UploadSelection:
    """The bucket's uploads, by key and id, whose keys start with ``prefix`` and that stand behind a key, and behind an id of that key.

    Without an id, all uploads of the key are left behind.
    """

    bucket: str
    prefix: str = ""
    after_key: str = ""
    after_id: str = ""


def list_uploads(c: Connection, wanted: UploadSelection, *, limit: int) -> list[Upload]:
    """The first of the selected uploads."""
    after_id = wanted.after_id or "~"  # sorts after every id
    key = U.c.key if c.dialect.name == "sqlite" else collate(U.c.key, "C")
    behind = (key > wanted.after_key) | ((key == wanted.after_key) & (U.c.id > after_id))
    query = select(U).where(U.c.bucket == wanted.bucket, behind, key >= wanted.prefix)
    before = successor(wanted.prefix) if wanted.prefix else None
    if before is not None:
        query = query.where(key < before)
    return [_upload(row) for row in c.execute(query.order_by(key, U.c.id).limit(limit))]


def insert_upload(c: Connection, upload: Upload) -> None:
    """Adds the upload."""
    row = {
        "id": upload.id,
        "bucket": upload.bucket,
        "key": upload.key,
        "account_id": upload.account_id,
        "acl": upload.acl,
    }
    said = {"content_type": upload.headers.content_type, "headers": json.dumps(upload.headers.others)}
    checksum = {"checksum_algorithm": upload.checksum_algorithm, "checksum_type": upload.checksum_type}
    c.execute(insert(U).values(**row, **said, **checksum, created_at=upload.created_at))


def delete_upload(c: Connection, upload_id: str) -> list[str]:
    """Removes the upload and its parts; the files that no row names any more once this is committed."""
    files = list(c.execute(delete(P).where(P.c.upload_id == upload_id).returning(P.c.file)).scalars())
    c.execute(delete(U).where(U.c.id == upload_id))
    return files


def delete_uploads_of(c: Connection, bucket: str) -> list[str]:
    """Removes every upload into the bucket; the files that no row names any more once this is committed."""
    ids = list(c.execute(select(U.c.id).where(U.c.bucket == bucket)).scalars())
    return [file for upload_id in ids for file in delete_upload(c, upload_id)]


def put_part(c: Connection, upload_id: str, part: Part) -> str | None:
    """Inserts the part or replaces the one of its number; the file that no row names any more once this is committed."""
    old = c.execute(delete(P).where(P.c.upload_id == upload_id, P.c.number == part.number).returning(P.c.file)).scalar()
    row = {"upload_id": upload_id, "number": part.number, "file": part.file, "size_bytes": part.size_bytes}
    c.execute(insert(P).values(**row, etag=part.etag, checksum=part.checksum, modified_at=part.modified_at))
    return old


def parts_of(c: Connection, upload_id: str, *, after: int = 0, limit: int | None = None) -> list[Part]:
    """The upload's parts by number, behind number ``after``."""
    query = select(P).where(P.c.upload_id == upload_id, P.c.number > after).order_by(P.c.number).limit(limit)
    return [Part(r.number, r.file, r.size_bytes, r.etag, r.checksum, r.modified_at) for r in c.execute(query)]


def _upload(row: Row[Any]) -> Upload:
    return Upload(
        id=row.id,
        bucket=row.bucket,
        key=row.key,
        account_id=row.account_id,
        headers=ObjectHeaders(row.content_type, json.loads(row.headers)),
        checksum_algorithm=row.checksum_algorithm,
        checksum_type=row.checksum_type,
        acl=row.acl,
        created_at=row.created_at,
    )
