"""A bundle's files into a bucket: parts, several at once, then the assurance, then the manifest, which makes it a bundle.

A part that already lies there whole is not sent again: its size and its MD5 (the ETag) are compared, and its ACL is set.  Each part's
SHA-1 is checked before it leaves, and Content-MD5 lets the server check what arrived.
"""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from botocore.exceptions import ClientError

from amiable.bundle.assurance import sidecar_name
from amiable.bundle.delete import delete_sidecar
from amiable.bundle.parts import READ_BYTES, check_there, folder_opener, open_checked
from amiable.bundle.transfer import (
    S3,
    WORKERS,
    Held,
    Patience,
    Place,
    ensure_bucket,
    in_parallel,
    is_forbidden,
    is_transient,
    list_held,
)
from amiable.model.errors import LocalRefusal
from amiable.model.manifest import Manifest, Part

ACL: Final = "aws-exec-read"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle on disk: its manifest, read, and the folder of its parts."""

    manifest: Manifest
    manifest_path: Path
    folder: Path


@dataclass(frozen=True, slots=True)
class UploadOrder:
    """Where to and how.  ``first_part``: parts before this index are taken to be there.  ``location``: see ``ensure_bucket``.

    ``is_blind``: neither is the bucket looked at nor made, nor what lies in it: an upload policy allows no more than to put.
    """

    place: Place
    acl: str = ACL
    location: str | None = None
    first_part: int = 0
    with_manifest: bool = True
    workers: int = WORKERS
    is_blind: bool = False


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What an upload did: the ImageLocation, the bucket's region, and how many parts were sent and were there before."""

    image_location: str
    region: str
    sent: int
    kept: int


def upload(
    s3: S3,
    bundle: Bundle,
    *,
    order: UploadOrder,
    patience: Patience,
    advance: Callable[[int], None] = lambda _: None,
) -> Uploaded:
    """Uploads the bundle; may be called again after a failure and goes on where it stood.

    ``advance`` is told the bytes of each part as it is done, also of those kept.  The manifest replaces an older one only when every
    part is there.
    """
    place = order.place
    if order.first_part >= len(bundle.manifest.parts):
        raise LocalRefusal(
            f"there is no part {order.first_part}: the bundle's are 0 to {len(bundle.manifest.parts) - 1}", exit_code=2
        )
    wanted = bundle.manifest.parts[order.first_part :]
    for part in wanted:
        check_there(part, bundle.folder)
    region = "" if order.is_blind else ensure_bucket(s3, place.bucket, order.location, patience)
    sender = _Sender(s3, bundle, order, patience)
    kept = 0
    for size, was_there in in_parallel(sender.send, wanted, patience, order.workers):
        kept += was_there
        advance(size)
    if order.with_manifest:
        destination = Destination(s3, place, order.acl, patience)
        sidecar = bundle.manifest_path.with_name(sidecar_name(bundle.manifest_path.name))
        if sidecar.is_file():
            destination.put(sidecar.name, sidecar.read_bytes())
        elif sender.was_held(sidecar.name):
            delete_sidecar(s3, place, bundle.manifest_path.name, patience)
        destination.put(bundle.manifest_path.name, bundle.manifest_path.read_bytes())
    return Uploaded(place.location(bundle.manifest_path.name), region, len(wanted) - kept, kept)


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a bundle's files go, and with what ACL."""

    s3: S3
    place: Place
    acl: str
    patience: Patience

    def put(self, filename: str, body: bytes) -> None:
        """Puts one of the files, its MD5 told to the server."""
        digest = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        bucket, key = self.place.bucket, self.place.key(filename)
        self.patience.run(
            filename,
            lambda: self.s3.put_object(Bucket=bucket, Key=key, Body=body, ACL=self.acl, ContentMD5=digest),
        )


class _Sender:
    """Sends parts, each unless it is there."""

    def __init__(self, s3: S3, bundle: Bundle, order: UploadOrder, patience: Patience) -> None:
        self._s3 = s3
        self._place = order.place
        self._acl = order.acl
        self._patience = patience
        self._opener = folder_opener(bundle.folder)
        self._held = {} if order.is_blind else self._look(bundle)

    def _look(self, bundle: Bundle) -> dict[str, Held]:
        """What lies there already; nothing is known where listing is not allowed."""
        # What the parts' names begin with, so that what else lies in the folder is not listed.
        prefix = self._place.key(bundle.manifest.parts[0].filename.partition(".part.")[0])
        try:
            return list_held(self._s3, self._place.bucket, prefix, self._patience)
        except ClientError as error:
            if not is_forbidden(error):
                raise
            return {}

    def was_held(self, filename: str) -> bool:
        """Whether a file of that name lay there when this began, as far as that is known."""
        return self._place.key(filename) in self._held

    def send(self, part: Part) -> tuple[int, bool]:
        """Size of the part, and whether it was there already."""
        with open_checked(part, self._opener) as stream:
            size, digest = _measure(stream)
            key = self._place.key(part.filename)
            if self._is_there(key, size, digest):
                return size, True

            def put() -> None:
                stream.seek(0)
                self._s3.put_object(
                    Bucket=self._place.bucket,
                    Key=key,
                    Body=stream,
                    ContentLength=size,
                    ACL=self._acl,
                    ContentMD5=base64.b64encode(digest).decode(),
                )

            self._patience.run(part.filename, put)
            return size, False

    def _is_there(self, key: str, size: int, digest: bytes) -> bool:
        """Whether the object is there with these bytes; then its ACL is made the wanted one."""
        held = self._held.get(key)
        if held is None or held.size_bytes != size or held.etag.lower() != digest.hex():
            return False
        try:
            self._patience.run(key, lambda: self._s3.put_object_acl(Bucket=self._place.bucket, Key=key, ACL=self._acl))
        except ClientError as error:
            if is_transient(error):
                raise
            return False  # sending it again sets the ACL where setting it alone is not allowed or not known
        return True


def _measure(stream: IO[bytes]) -> tuple[int, bytes]:
    """Size and MD5 of the rest of the stream."""
    digest, size = hashlib.md5(usedforsecurity=False), 0
    while piece := stream.read(READ_BYTES):
        digest.update(piece)
        size += len(piece)
    return size, digest.digest()
