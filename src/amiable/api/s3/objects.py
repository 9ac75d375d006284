"""Objects: put, got, copied, deleted.

A put is durable before its row; the file that a put or a delete leaves without a row goes after the commit.  A reader holds its
file open, so replacing or deleting the object under it changes nothing for it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from amiable.api.s3.buckets import canned, check_acl, writable
from amiable.api.s3.receive import Incoming, kept, receive
from amiable.database import objects
from amiable.model.bucket import Bucket, Object, ObjectHeaders
from amiable.model.errors import S3Refusal
from amiable.model.principal import Principal
from amiable.rules.acl import Permission, Written, may
from amiable.rules.bucket import check_key
from amiable.rules.conditions import Conditions, Verdict, check_write, judge, precondition_failed
from amiable.services import Services
from amiable.services.objects import access_denied, bucket_of, holding_of, no_such_key, object_of, readable


@dataclass(frozen=True, slots=True)
class Put:
    """PutObject without its body."""

    bucket: str
    key: str
    headers: ObjectHeaders = field(default_factory=ObjectHeaders)
    acl: str = "private"
    conditions: Conditions = field(default_factory=Conditions)


@dataclass(frozen=True, slots=True)
class Copy:
    """CopyObject: ``target`` says where to; its headers count where ``replaces_headers``."""

    source_bucket: str
    source_key: str
    target: Put
    replaces_headers: bool
    source_conditions: Conditions = field(default_factory=Conditions)


@dataclass(frozen=True, slots=True)
class Deletion:
    """What became of one key of DeleteObjects."""

    key: str
    refusal: S3Refusal | None


def put_object(services: Services, principal: Principal, request: Put, incoming: Incoming) -> Object:
    """Stores the object; replaces what the key named."""
    check_key(request.key)
    check_acl(request.acl)
    with services.database.read() as c:
        _check_put(c, principal, request)
    received = receive(services, incoming)
    stored = Object(
        bucket=request.bucket,
        key=request.key,
        file=received.file,
        account_id=principal.account_id,
        size_bytes=received.size_bytes,
        etag=received.etag,
        headers=request.headers,
        checksum=received.checksum,
        acl=request.acl,
        modified_at=services.now(),
    )
    commit_object(services, principal, request, stored)
    return stored


def commit_object(
    services: Services,
    principal: Principal,
    request: Put,
    stored: Object,
    *,
    also: Callable[[Connection], list[str]] | None = None,
) -> None:
    """Writes the row of a durable file, if permission and conditions hold (still); removes the file otherwise.

    ``also`` runs in the same transaction and returns more files that no row names any more after it.
    """
    with kept(services, stored.file), services.database.write() as c:
        _check_put(c, principal, request)
        gone = also(c) if also is not None else []
        old = objects.put_object(c, stored)
    services.objects.delete(gone if old is None else [*gone, old])


def get_object(
    services: Services, principal: Principal, bucket: str, key: str, conditions: Conditions
) -> tuple[Object, Verdict]:
    """The object, if the caller may read it and no condition fails; NOT_MODIFIED is the caller's to answer."""
    with services.database.read() as c:
        _, found = readable(c, principal.account_id, bucket, key)
    verdict = judge(conditions, etag=found.etag, modified_at=found.modified_at)
    if verdict is Verdict.FAILED:
        raise precondition_failed("If-Match" if conditions.if_match is not None else "If-Unmodified-Since")
    return found, verdict


def object_acl(services: Services, principal: Principal, bucket: str, key: str) -> tuple[Bucket, Object]:
    """Bucket and object, if the caller may read the object's ACL."""
    with services.database.read() as c:
        return _permitted(c, principal, bucket, key, Permission.READ_ACP)


def put_object_acl(services: Services, principal: Principal, bucket: str, key: str, acl: str | Written) -> None:
    """Replaces the object's ACL by a canned one, or by grants that are those of one."""
    with services.database.write() as c:
        holder, found = _permitted(c, principal, bucket, key, Permission.WRITE_ACP)
        name = canned(acl, owner_id=found.account_id, bucket_owner_id=holder.account_id)
        objects.set_object_acl(c, bucket, key, name)


def delete_object(services: Services, principal: Principal, bucket: str, key: str, conditions: Conditions) -> None:
    """Deletes the object; nothing to delete is no error."""
    check_key(key)
    with services.database.write() as c:
        writable(c, principal, bucket)
        if conditions.if_match is not None:
            found = objects.find_object(c, bucket, key)
            check_write(conditions, found.etag if found else None)
        file = objects.delete_object(c, bucket, key)
    if file is not None:
        services.objects.delete([file])


def delete_objects(services: Services, principal: Principal, bucket: str, keys: Sequence[str]) -> list[Deletion]:
    """Deletes each key, all in one commit; what is wrong with one key stops no other."""
    done: list[Deletion] = []
    files: list[str] = []
    with services.database.write() as c:
        writable(c, principal, bucket)
        for key in keys:
            try:
                check_key(key)
            except S3Refusal as refusal:
                done.append(Deletion(key, refusal))
                continue
            file = objects.delete_object(c, bucket, key)
            files += [file] if file is not None else []
            done.append(Deletion(key, None))
    services.objects.delete(files)
    return done


def copy_object(services: Services, principal: Principal, request: Copy) -> Object:
    """Copies an object without reading it: two rows, each with a file of its own name, share the bytes on disk."""
    target = request.target
    check_key(target.key)
    check_acl(target.acl)
    with services.database.read() as c:
        _check_put(c, principal, target)
        _, source = readable(c, principal.account_id, request.source_bucket, request.source_key)
    check_source(request.source_conditions, source)
    if (source.bucket, source.key) == (target.bucket, target.key) and not request.replaces_headers:
        text = "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata."
        raise S3Refusal("InvalidRequest", 400, text)
    try:
        file = services.objects.link(source.file, now=services.now())
    except FileNotFoundError:
        raise no_such_key(source.key) from None
    headers = target.headers if request.replaces_headers else source.headers
    copy = replace(
        source, bucket=target.bucket, key=target.key, file=file, account_id=principal.account_id, headers=headers
    )
    copy = replace(copy, acl=target.acl, modified_at=services.now(), upload_id=None)
    commit_object(services, principal, target, copy)
    return copy


def check_source(conditions: Conditions, source: Object) -> None:
    """Refuses a copy whose source does not meet its conditions; "not modified" is a refusal here."""
    if judge(conditions, etag=source.etag, modified_at=source.modified_at) is not Verdict.PROCEED:
        raise precondition_failed("x-amz-copy-source-If-")


def _check_put(c: Connection, principal: Principal, request: Put) -> None:
    writable(c, principal, request.bucket)
    if request.conditions != Conditions():
        found = objects.find_object(c, request.bucket, request.key)
        check_write(request.conditions, found.etag if found else None)


def _permitted(
    c: Connection, principal: Principal, bucket: str, key: str, permission: Permission
) -> tuple[Bucket, Object]:
    bucket_of(c, bucket)
    holder, found = object_of(c, principal.account_id, bucket, key)
    if not may(principal.account_id, permission, holding_of(holder, found)):
        raise access_denied()
    return holder, found
