"""Objects put straight into the facts, for tests of what reads them."""

from collections.abc import Iterable

from amiable.database import buckets, objects
from amiable.model.bucket import Bucket, Object, ObjectHeaders
from amiable.model.principal import Principal
from amiable.services import Services


def make_bucket(services: Services, owner: Principal, name: str = "a-bucket") -> str:
    """A private bucket."""
    with services.database.write() as c:
        buckets.insert_bucket(c, Bucket(name, owner.account_id, owner.region, "private", services.now()))
    return name


def put(
    services: Services,
    owner: Principal,
    bucket: str,
    key: str,
    body: bytes | Iterable[bytes],
    *,
    acl: str = "private",
    size_bytes: int | None = None,
) -> Object:
    """An object; ``size_bytes`` lies about its length where given."""
    chunks = [body] if isinstance(body, bytes) else body
    file = services.objects.write(chunks, now=services.now())
    made = Object(
        bucket=bucket,
        key=key,
        file=file.id,
        account_id=owner.account_id,
        size_bytes=file.size_bytes if size_bytes is None else size_bytes,
        etag=file.md5.hex(),
        headers=ObjectHeaders(),
        checksum=None,
        acl=acl,
        modified_at=services.now(),
    )
    with services.database.write() as c:
        objects.put_object(c, made)
    return made
