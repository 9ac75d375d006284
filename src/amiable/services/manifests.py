"""A bundle's manifest and parts as the image service reads them from their bucket.

They are read as the service itself, not as who asks: what is ``aws-exec-read``, ``ec2-bundle-read`` or public.  A refusal says which object,
and as much of why as the account that asks may see for itself.
"""

from typing import Final

from sqlalchemy import Connection

from amiable.bundle.manifest_xml import MANIFEST_BYTES_MAX
from amiable.database import buckets, objects
from amiable.model.bucket import Object
from amiable.model.errors import InvalidManifest, InvalidParameterValue, S3Refusal
from amiable.model.manifest import Manifest
from amiable.rules.acl import SERVICE, Permission, may
from amiable.services import Services
from amiable.services.objects import holding_of, object_of, open_object

_UNTOLD: Final = "It says Forbidden, too, of what is missing from a bucket that you may not list."


def split_location(location: str) -> tuple[str, str]:
    """Bucket and key of ``bucket/path/image.manifest.xml``; refuses what is none."""
    bucket, _, key = location.partition("/")
    if not bucket or not key or ":" in bucket:
        raise InvalidParameterValue(
            parameter="ImageLocation", value=location, why="Expecting bucket/path/image.manifest.xml, without s3://."
        )
    return bucket, key


def part_key(manifest_key: str, filename: str) -> str:
    """The key of a part: beside its manifest."""
    folder, slash, _ = manifest_key.rpartition("/")
    return f"{folder}{slash}{filename}"


def read_manifest_object(services: Services, account_id: str, location: str, *, region: str) -> bytes:
    """The document at ``location``; refuses, by cause, what the image service may not read and what is too long."""
    bucket, key = split_location(location)
    _check_region(services, bucket, key, region)
    try:
        with open_object(services, account_id, bucket, key, as_service=True) as source:
            if source.size_bytes > MANIFEST_BYTES_MAX:
                raise InvalidManifest(
                    f"The object s3://{location} has {source.size_bytes} bytes; a manifest has {MANIFEST_BYTES_MAX} at most."
                )
            return source.stream.read()
    except S3Refusal as refusal:
        raise InvalidManifest(why_unreadable(services, account_id, location, refusal)) from None


def check_parts(services: Services, account_id: str, location: str, manifest: Manifest) -> None:
    """Refuses a bundle of which a part is missing, or is not the image service's to read; the bytes are looked at later."""
    bucket, key = split_location(location)
    keys = [part_key(key, part.filename) for part in manifest.parts]
    with services.database.read() as c:
        holder = buckets.find_bucket(c, bucket)
        found = objects.find_objects(c, bucket, keys)
    for each in keys:
        part = found.get(each)
        if holder is None or part is None or not may(SERVICE, Permission.READ, holding_of(holder, part)):
            refusal = S3Refusal("AccessDenied", 403, "Access Denied")
            why = why_unreadable(services, account_id, f"{bucket}/{each}", refusal)
            raise InvalidManifest(f"Part {each.rpartition('/')[2]}: {why}")


def why_unreadable(services: Services, account_id: str, location: str, refusal: S3Refusal) -> str:
    """What to tell ``account_id`` of an object of a bundle that the image service cannot read."""
    bucket, key = split_location(location)
    if refusal.code != "AccessDenied":
        return f"HTTP {refusal.status} ({refusal.code}) response for s3://{location}: {refusal.message}"
    with services.database.read() as c:
        try:
            holder, found = object_of(c, account_id, bucket, key)
        except S3Refusal as seen:
            if seen.code == "AccessDenied":
                return _forbidden(location, _UNTOLD)
            hint = _slash_hint(c, account_id, bucket, key) if seen.code == "NoSuchKey" else ""
            return f"HTTP {seen.status} ({seen.code}) response for s3://{location}: {seen.message}{hint}"
    if may(account_id, Permission.READ_ACP, holding_of(holder, found)):
        return _forbidden(location, f"Its ACL is {found.acl}.")
    return _forbidden(location, "" if may(account_id, Permission.READ, holding_of(holder)) else _UNTOLD)


def _forbidden(location: str, more: str) -> str:
    return (
        f"HTTP 403 (Forbidden) response for s3://{location}: check your S3 ACLs are correct; "
        f"the image service reads what is aws-exec-read, ec2-bundle-read or public. {more}"
    ).rstrip()


def _slash_hint(c: Connection, account_id: str, bucket: str, key: str) -> str:
    """Whether the key would name something without its needless slashes, which are part of it."""
    plain = "/".join(word for word in key.split("/") if word)
    if plain == key:
        return ""
    try:
        found: Object | None = object_of(c, account_id, bucket, plain)[1]
    except S3Refusal:
        found = None
    there = f"there is {bucket}/{plain}" if found else f"there is no {bucket}/{plain} either"
    return f" A double slash is part of a key ({key!r}); {there}."


def _check_region(services: Services, bucket: str, key: str, ours: str) -> None:
    """Refuses a bucket of another region than ``ours``."""
    with services.database.read() as c:
        found = buckets.find_bucket(c, bucket)
    if found is not None and found.region != ours:
        raise InvalidManifest(
            f"HTTP 301 (Moved Permanently) response for s3://{bucket}/{key}: the bucket is in {found.region}, "
            f"and images are registered in {ours} from buckets of that region."
        )
