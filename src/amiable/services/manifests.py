"""A bundle's manifest as the image service reads it from its bucket."""

from amiable.bundle.manifest_xml import MANIFEST_BYTES_MAX
from amiable.model.errors import InvalidManifest, InvalidParameterValue, S3Refusal
from amiable.services import Services
from amiable.services.objects import open_object


def split_location(location: str) -> tuple[str, str]:
    """Bucket and key of ``bucket/path/image.manifest.xml``; refuses what is none."""
    bucket, _, key = location.partition("/")
    if not bucket or not key:
        raise InvalidParameterValue(
            parameter="ImageLocation", value=location, why="Expecting bucket/path/image.manifest.xml."
        )
    return bucket, key


def read_manifest_object(services: Services, account_id: str, location: str) -> bytes:
    """The document at ``location``; refuses, by cause, what the image service may not read and what is too long."""
    bucket, key = split_location(location)
    try:
        with open_object(services, account_id, bucket, key, as_service=True) as source:
            if source.size_bytes > MANIFEST_BYTES_MAX:
                raise InvalidManifest(
                    f"The object s3://{location} has {source.size_bytes} bytes; a manifest has {MANIFEST_BYTES_MAX} at most."
                )
            return source.stream.read()
    except S3Refusal as refusal:
        raise InvalidManifest(why_unreadable(location, refusal)) from None


def why_unreadable(location: str, refusal: S3Refusal) -> str:
    """What to say of an object of a bundle that the image service cannot read."""
    if refusal.code == "AccessDenied":
        return (
            f"HTTP 403 (Forbidden) response for s3://{location}: check your S3 ACLs are correct; "
            "the image service reads what is aws-exec-read or public, and says Forbidden of what is missing too."
        )
    return f"HTTP {refusal.status} ({refusal.code}) response for s3://{location}: {refusal.message}"
