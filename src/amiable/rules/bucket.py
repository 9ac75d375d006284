"""How buckets and keys may be called.  Source: S3 user guide, "Bucket naming rules" and "Object key names"."""

import re
from collections.abc import Sequence
from typing import Final

from amiable.model.bucket import KEY_BYTES_MAX
from amiable.model.errors import S3Refusal

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ADDRESS: Final = re.compile(r"\d+\.\d+\.\d+\.\d+", re.ASCII)
_PREFIXES: Final = ("xn--", "sthree-", "amzn-s3-demo-")
_VIRTUAL_HOST: Final = re.compile(r"(.+)\.localhost(?::\d+)?")
_SUFFIXES: Final = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")

LOCATIONS: Final = {"EU": "eu-west-1", "US": "us-east-1"}
"""Old names of two regions, which old tools still send."""


def check_bucket_name(name: str) -> None:
    """Refuses what is no bucket's name: InvalidBucketName."""
    sound = (
        _NAME.fullmatch(name)
        and ".." not in name
        and ".-" not in name
        and "-." not in name
        and not _ADDRESS.fullmatch(name)
    )
    if not sound or name.startswith(_PREFIXES) or name.endswith(_SUFFIXES):
        raise S3Refusal("InvalidBucketName", 400, "The specified bucket is not valid.", BucketName=name)


def check_key(key: str) -> None:
    """Refuses a key that is empty, too long in UTF-8, or holds a NUL.  Everything else is literal: ``..``, ``//``, a leading ``/``."""
    size_bytes = len(key.encode())
    if size_bytes > KEY_BYTES_MAX:
        facts = {"Size": str(size_bytes), "MaxSizeAllowed": str(KEY_BYTES_MAX)}
        raise S3Refusal("KeyTooLongError", 400, "Your key is too long", **facts)
    if not key or "\0" in key:
        raise S3Refusal("InvalidArgument", 400, "A key is 1 to 1024 bytes of UTF-8 without NUL.")


def virtual_bucket(host: str) -> str | None:
    """The bucket that a Host header names (``bucket.localhost:2006``); ``None`` where the path does."""
    found = _VIRTUAL_HOST.fullmatch(host)
    return found[1] if found else None


def region_of(location: str, here: str, regions: Sequence[str]) -> str:
    """The region that a CreateBucket's ``location`` names (``''`` without one: the caller's); refuses one that is not of ``regions``.

    As at AWS, who is not in us-east-1 makes buckets in its own region only.
    """
    region = LOCATIONS.get(location, location) or here
    if region not in regions or (region != here and here != "us-east-1"):
        text = f"The {location} location constraint is incompatible for the region specific endpoint this request was sent to: {here}."
        raise S3Refusal("IllegalLocationConstraintException", 400, text)
    return region


def successor(text: str) -> str | None:
    """The least text, in order of UTF-8, that is greater than every text that starts with ``text``; ``None`` if there is none."""
    stem = text.rstrip("\U0010ffff")
    if not stem:
        return None
    following = ord(stem[-1]) + 1
    return stem[:-1] + chr(0xE000 if following == 0xD800 else following)
