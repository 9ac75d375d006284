"""Objects as operations and jobs read them: the disk of ImportSnapshot, the manifest and the parts of RegisterImage."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from sqlalchemy import Connection

from amiable.database import buckets, objects
from amiable.model.bucket import Bucket, Object
from amiable.model.errors import S3Refusal
from amiable.rules.acl import SERVICE, Holding, Permission, may
from amiable.services import Services


@dataclass(frozen=True, slots=True)
class OpenObject:
    """An object held open: deleting or replacing it meanwhile changes nothing for this reader."""

    size_bytes: int
    etag: str
    stream: BinaryIO
    """Seekable, at 0."""


@contextmanager
def open_object(
    services: Services, account_id: str, bucket: str, key: str, *, as_service: bool = False
) -> Iterator[OpenObject]:
    """The object, open while the block lasts.  Raises S3Refusal: NoSuchBucket, NoSuchKey or AccessDenied.

    It is read as the account ``account_id``; with ``as_service`` as the image service itself, which reads what
    ``aws-exec-read``, ``ec2-bundle-read`` or a public ACL lets it, whoever owns it.
    """
    caller = SERVICE if as_service else account_id
    with services.database.read() as c:
        _, found = readable(c, caller, bucket, key)
    with open_file(services, found) as stream:
        yield OpenObject(found.size_bytes, found.etag, stream)


def open_file(services: Services, found: Object) -> BinaryIO:
    """The object's bytes; NoSuchKey when it was deleted since its row was read."""
    try:
        return services.objects.read(found.file)
    except FileNotFoundError:
        raise no_such_key(found.key) from None


def readable(c: Connection, caller: str, bucket: str, key: str) -> tuple[Bucket, Object]:
    """Bucket and object, if ``caller`` may get it; a missing key is told only to who may list the bucket."""
    holder, found = object_of(c, caller, bucket, key)
    if not may(caller, Permission.READ, holding_of(holder, found)):
        raise access_denied()
    return holder, found


def object_of(c: Connection, caller: str, bucket: str, key: str) -> tuple[Bucket, Object]:
    """Bucket and object, whatever ``caller`` may do with it; a missing key is told only to who may list the bucket."""
    holder = bucket_of(c, bucket)
    found = objects.find_object(c, bucket, key)
    if found is None:
        raise no_such_key(key) if may(caller, Permission.READ, holding_of(holder)) else access_denied()
    return holder, found


def bucket_of(c: Connection, name: str) -> Bucket:
    """The bucket; raises NoSuchBucket."""
    found = buckets.find_bucket(c, name)
    if found is None:
        raise S3Refusal("NoSuchBucket", 404, "The specified bucket does not exist", BucketName=name)
    return found


def holding_of(bucket: Bucket, found: Object | None = None) -> Holding:
    """Whose the bucket, or an object in it, is, as the ACL rules want it."""
    if found is None:
        return Holding(bucket.account_id, bucket.acl, bucket.account_id)
    return Holding(found.account_id, found.acl, bucket.account_id)


def access_denied() -> S3Refusal:
    """Access Denied."""
    return S3Refusal("AccessDenied", 403, "Access Denied")


def no_such_key(key: str) -> S3Refusal:
    """NoSuchKey, naming it."""
    return S3Refusal("NoSuchKey", 404, "The specified key does not exist.", Key=key)
