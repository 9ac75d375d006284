"""A bucket, an object, and an upload in parts.

Permission is a canned ACL: a name, kept as it was sent.  Keys are opaque: ``..``, a leading ``/`` and ``//`` mean nothing.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

KEY_BYTES_MAX: Final = 1024
OBJECT_BYTES_MAX: Final = 5 << 40
PUT_BYTES_MAX: Final = 5 << 30
"""What one PutObject or UploadPart may carry."""
PART_BYTES_MIN: Final = 5 << 20
"""Every part of an upload but its last."""
PARTS_MAX: Final = 10_000
KEYS_MAX: Final = 1000
"""Keys of one listing page, and of one DeleteObjects."""
METADATA_BYTES_MAX: Final = 2048
BUCKETS_MAX: Final = 1000
"""Buckets of one account."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket: its name is the installation's, its owner an account."""

    name: str
    account_id: str
    region: str
    acl: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Checksum:
    """A checksum beside the ETag: algorithm in capitals, value in base64, with ``-N`` behind it when it is one over N parts'."""

    algorithm: str
    value: str

    @property
    def type(self) -> str:
        return "COMPOSITE" if "-" in self.value else "FULL_OBJECT"


@dataclass(frozen=True, slots=True)
class ObjectHeaders:
    """What a writer says about an object and a reader is given back."""

    content_type: str = "binary/octet-stream"
    others: dict[str, str] = field(default_factory=dict)
    """Lower-case header names: x-amz-meta-*, cache-control, content-disposition, …"""


@dataclass(frozen=True, slots=True)
class Object:
    """An object: the facts about one immutable file of bytes."""

    bucket: str
    key: str
    file: str
    account_id: str
    size_bytes: int
    etag: str
    """Without quotes: the MD5 in hex, or MD5 of the parts' MD5s, ``-`` and their count."""
    headers: ObjectHeaders
    checksum: Checksum | None
    acl: str
    modified_at: datetime
    upload_id: str | None = None
    """The upload in parts that made it."""


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload in parts that is neither completed nor aborted."""

    id: str
    bucket: str
    key: str
    account_id: str
    headers: ObjectHeaders
    checksum_algorithm: str | None
    checksum_type: str | None
    acl: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Part:
    """One uploaded part."""

    number: int
    file: str
    size_bytes: int
    etag: str
    checksum: str | None
    modified_at: datetime
