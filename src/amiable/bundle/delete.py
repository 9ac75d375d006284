"""A bundle out of a bucket: its own objects, and never another.

What is a bundle's is known by its manifest (the parts that it names) or by its name: NAME.part.N, NAME.manifest, NAME.manifest.xml and
NAME.assurance.json.  The manifest goes first: what remains when this breaks off is no bundle any more, and can be deleted by its name.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any

from botocore.exceptions import ClientError

from amiable.bundle.assurance import SUFFIX, sidecar_name
from amiable.bundle.transfer import (
    S3,
    WORKERS,
    Patience,
    Place,
    in_parallel,
    is_absent,
    is_forbidden,
    is_part_name,
    list_held,
)
from amiable.model.errors import BundleRefusal
from amiable.model.manifest import Manifest


def keys_of_name(s3: S3, place: Place, name: str, patience: Patience) -> list[str]:
    """The keys of the bundle ``name`` that lie there, the manifest's first."""
    own = re.compile(re.escape(place.key(name)) + r"(\.part\.[0-9]+|\.manifest(\.xml)?|\.assurance\.json)")
    return in_order(key for key in list_held(s3, place.bucket, place.key(name) + ".", patience) if own.fullmatch(key))


def keys_of_manifest(s3: S3, place: Place, manifest: Manifest, manifest_name: str, *, patience: Patience) -> list[str]:
    """The keys of the bundle that ``manifest`` describes, as far as they lie there, the manifest's own first.

    Refuses a manifest whose parts are not named as parts are: it could name anything.
    """
    names = [part.filename for part in manifest.parts]
    for name in names:
        if not is_part_name(name):
            raise BundleRefusal("manifest", f"{name!r} is not the name of a part.")
    wanted = {place.key(name) for name in (manifest_name, sidecar_name(manifest_name), *names)}
    beginnings = {name.rpartition(".part.")[0] for name in names} | {sidecar_name(manifest_name).removesuffix(SUFFIX)}
    found: set[str] = set()
    for beginning in beginnings:
        found |= wanted & set(list_held(s3, place.bucket, place.key(beginning), patience))
    return in_order(found)


def delete_keys(s3: S3, bucket: str, keys: list[str], *, patience: Patience, told: Callable[[str], Any]) -> None:
    """Deletes the objects: the first ones that are no parts in turn, then the parts, several at once; ``told`` of each."""

    def delete(key: str) -> str:
        patience.run(key, lambda: s3.delete_object(Bucket=bucket, Key=key))
        return key

    for key in keys:
        if not _is_part(key):
            told(delete(key))
    for key in in_parallel(delete, filter(_is_part, keys), patience, WORKERS):
        told(key)


def delete_sidecar(s3: S3, place: Place, manifest_name: str, patience: Patience) -> None:
    """Deletes an older bundle's assurance, where one lies there: it fits no other manifest, and would have it refused.

    Where listing is not allowed nothing is known of one, and nothing done.
    """
    key = place.key(sidecar_name(manifest_name))
    try:
        is_there = key in list_held(s3, place.bucket, key, patience)
    except ClientError as error:
        if not is_forbidden(error):
            raise
        return
    if is_there:
        patience.run(key, lambda: s3.delete_object(Bucket=place.bucket, Key=key))


def clear_bucket(s3: S3, bucket: str, patience: Patience) -> bool:
    """Deletes the bucket if nothing lies in it; whether it did."""
    try:
        patience.run(bucket, lambda: s3.delete_bucket(Bucket=bucket))
    except ClientError as error:
        if is_absent(error):  # so answers a second try whose first one arrived after all
            return True
        if error.response.get("Error", {}).get("Code") != "BucketNotEmpty":
            raise
        return False
    return True


def _is_part(key: str) -> bool:
    return ".part." in key and key.rpartition(".part.")[2].isdigit()


def in_order(keys: Iterable[str]) -> list[str]:
    """``keys`` as they are deleted: the manifest, its sidecar, then the parts by their number."""

    def place(key: str) -> tuple[int, int, str]:
        return (2, int(key.rpartition(".part.")[2]), key) if _is_part(key) else (key.endswith(SUFFIX), 0, key)

    return sorted(keys, key=place)
