"""Buckets: made, listed, looked at, deleted."""

from sqlalchemy import Connection

from amiable.database import buckets, objects, uploads
from amiable.model.bucket import BUCKETS_MAX, Bucket
from amiable.model.errors import S3Refusal
from amiable.model.principal import Principal
from amiable.rules.acl import GRANTS, Permission, Written, canned_of, may
from amiable.rules.bucket import check_bucket_name, region_of
from amiable.services import Services
from amiable.services.objects import access_denied, bucket_of, holding_of


def list_buckets(services: Services, principal: Principal) -> list[Bucket]:
    """The caller's buckets by name."""
    with services.database.read() as c:
        return buckets.list_buckets(c, principal.account_id)


def create_bucket(
    services: Services, principal: Principal, name: str, *, acl: str = "private", location: str = ""
) -> Bucket:
    """Makes the bucket; in us-east-1, as at AWS, making one's own again changes nothing."""
    check_bucket_name(name)
    check_acl(acl)
    region = region_of(location, principal.region, services.settings.regions)
    with services.database.write() as c:
        found = buckets.find_bucket(c, name)
        if found is not None:
            if found.account_id != principal.account_id:
                text = "The requested bucket name is not available. Please select a different name and try again."
                raise S3Refusal("BucketAlreadyExists", 409, text, BucketName=name)
            if region != "us-east-1":
                text = "Your previous request to create the named bucket succeeded and you already own it."
                raise S3Refusal("BucketAlreadyOwnedByYou", 409, text, BucketName=name)
            return found
        if buckets.count_buckets(c, principal.account_id) >= BUCKETS_MAX:
            raise S3Refusal("TooManyBuckets", 400, f"You have attempted to create more than {BUCKETS_MAX} buckets.")
        bucket = Bucket(name, principal.account_id, region, acl, services.now())
        buckets.insert_bucket(c, bucket)
        return bucket


def head_bucket(services: Services, principal: Principal, name: str) -> Bucket:
    """The bucket, if the caller may list it."""
    with services.database.read() as c:
        return listable(c, principal, name)


def bucket_location(services: Services, principal: Principal, name: str) -> str:
    """The bucket's region; asked by its owner."""
    with services.database.read() as c:
        return owned(c, principal, name).region


def bucket_acl(services: Services, principal: Principal, name: str) -> Bucket:
    """The bucket, if the caller may read its ACL."""
    with services.database.read() as c:
        return permitted(c, principal, name, Permission.READ_ACP)


def put_bucket_acl(services: Services, principal: Principal, name: str, acl: str | Written) -> None:
    """Replaces the bucket's ACL by a canned one, or by grants that are those of one."""
    with services.database.write() as c:
        owner = permitted(c, principal, name, Permission.WRITE_ACP).account_id
        buckets.set_bucket_acl(c, name, canned(acl, owner_id=owner, bucket_owner_id=owner))


def acl_for_new(services: Services, principal: Principal, name: str, acl: Written) -> str:
    """The canned ACL that ``acl`` is on what the caller makes in the bucket."""
    with services.database.read() as c:
        owner = bucket_of(c, name).account_id
    return canned(acl, owner_id=principal.account_id, bucket_owner_id=owner)


def canned(acl: str | Written, *, owner_id: str, bucket_owner_id: str) -> str:
    """The canned ACL of that name, or that grants the same; refuses others."""
    if isinstance(acl, Written):
        return canned_of(acl, owner_id=owner_id, bucket_owner_id=bucket_owner_id)
    check_acl(acl)
    return acl


def delete_bucket(services: Services, principal: Principal, name: str) -> None:
    """Deletes the empty bucket and aborts the uploads into it; raises BucketNotEmpty."""
    with services.database.write() as c:
        owned(c, principal, name)
        if objects.has_objects(c, name):
            raise S3Refusal("BucketNotEmpty", 409, "The bucket you tried to delete is not empty", BucketName=name)
        files = uploads.delete_uploads_of(c, name)
        buckets.delete_bucket(c, name)
    services.objects.delete(files)


def check_owner(services: Services, name: str, expected: str) -> None:
    """Refuses when the bucket is not ``expected``'s (``x-amz-expected-bucket-owner``)."""
    with services.database.read() as c:
        if bucket_of(c, name).account_id != expected:
            raise access_denied()


def check_acl(acl: str) -> None:
    """Refuses a name that is no canned ACL."""
    if acl not in GRANTS:
        text = f"{acl!r} is not a canned ACL. There are: {', '.join(GRANTS)}."
        raise S3Refusal("InvalidArgument", 400, text, ArgumentName="x-amz-acl", ArgumentValue=acl)


def listable(c: Connection, principal: Principal, name: str) -> Bucket:
    """The bucket, if the caller may list it."""
    return permitted(c, principal, name, Permission.READ)


def writable(c: Connection, principal: Principal, name: str) -> Bucket:
    """The bucket, if the caller may put objects into it and delete them."""
    return permitted(c, principal, name, Permission.WRITE)


def owned(c: Connection, principal: Principal, name: str) -> Bucket:
    """The bucket, if it is the caller's."""
    bucket = bucket_of(c, name)
    if bucket.account_id != principal.account_id:
        raise access_denied()
    return bucket


def permitted(c: Connection, principal: Principal, name: str, permission: Permission) -> Bucket:
    """The bucket, if the caller has the permission on it."""
    bucket = bucket_of(c, name)
    if not may(principal.account_id, permission, holding_of(bucket)):
        raise access_denied()
    return bucket
