"""A bundle's files out of a bucket into a folder, trusting neither the bucket nor the manifest in it.

The manifest is read strictly before anything is written.  A part's file appears whole, its SHA-1 checked, or not at all; the
manifest's own appears last.  A file that lies there with the right SHA-1 is kept, so a download that broke off goes on; one with other
contents is never replaced unless that is asked for.
"""

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from botocore.exceptions import ClientError

from amiable.bundle.assurance import sidecar_name
from amiable.bundle.dsse import ENVELOPE_BYTES_MAX
from amiable.bundle.manifest_xml import MANIFEST_BYTES_MAX, read_manifest
from amiable.bundle.new_file import new_file, new_folder, write_at
from amiable.bundle.parts import READ_BYTES
from amiable.bundle.transfer import S3, WORKERS, Patience, Place, in_parallel, is_absent, is_part_name
from amiable.bundle.whole_answers import read_body
from amiable.model.errors import BundleRefusal, LocalRefusal
from amiable.model.manifest import Manifest, Part


@dataclass(frozen=True, slots=True)
class DownloadOrder:
    """Where from, which bundle, whereto.  ``replace``: files with other contents give way."""

    place: Place
    manifest_name: str
    folder: Path
    replace: bool = False
    workers: int = WORKERS


@dataclass(frozen=True, slots=True)
class Downloaded:
    """What a download did: the manifest's path, and how many parts were fetched and were there before."""

    manifest_path: Path
    fetched: int
    kept: int


def fetch_manifest(s3: S3, place: Place, manifest_name: str, patience: Patience) -> tuple[bytes, Manifest]:
    """The manifest's document and what it says; refuses one whose parts' names could not be files of a bundle."""
    document = fetch_bytes(s3, place, manifest_name, MANIFEST_BYTES_MAX, patience)
    if document is None:
        raise LocalRefusal(
            f"there is no {place.location(manifest_name)}",
            hint=f"-m names the manifest in the bucket: aws s3 ls s3://{place.location('')} shows what lies there",
        )
    manifest = read_manifest(document)
    for part in manifest.parts:
        if not is_part_name(part.filename):
            raise BundleRefusal("manifest", f"Part {part.index} is named {part.filename!r}, as no part of a bundle is.")
    return document, manifest


def fetch_bytes(s3: S3, place: Place, filename: str, bytes_max: int, patience: Patience) -> bytes | None:
    """The object's bytes; ``None`` where there is none.  Refuses more than ``bytes_max``."""

    def get() -> bytes:
        return read_body(s3.get_object(Bucket=place.bucket, Key=place.key(filename))["Body"], bytes_max + 1)

    try:
        found = patience.run(filename, get)
    except ClientError as error:
        if is_absent(error):
            return None
        raise
    if len(found) > bytes_max:
        raise BundleRefusal("manifest", f"{filename} has more than {bytes_max} bytes.")
    return found


def download(
    s3: S3,
    order: DownloadOrder,
    *,
    document: bytes,
    patience: Patience,
    advance: Callable[[int], None] = lambda _: None,
) -> Downloaded:
    """Downloads the bundle whose manifest is ``document`` (from :func:`fetch_manifest`).  ``advance`` is told every part's bytes."""
    manifest = read_manifest(document)
    path = order.folder / order.manifest_name
    _refuse_other(path, document, order.replace)
    fetcher = _Fetcher(s3, order, manifest.bundled_size_bytes, patience)
    kept = 0
    with new_folder(order.folder):
        for size, was_there in in_parallel(fetcher.fetch, manifest.parts, patience, order.workers):
            kept += was_there
            advance(size)
        sidecar = fetch_bytes(s3, order.place, sidecar_name(order.manifest_name), ENVELOPE_BYTES_MAX, patience)
        sidecar_path = order.folder / sidecar_name(order.manifest_name)
        if sidecar is None:
            _remove_other(sidecar_path, order.replace)
        else:
            _write(sidecar_path, sidecar, order.replace)
        _write(path, document, order.replace)
    return Downloaded(path, len(manifest.parts) - kept, kept)


def _write(path: Path, body: bytes, replace: bool) -> None:
    _refuse_other(path, body, replace)
    with new_file(path) as file:
        write_at(file.fileno(), body, 0)


def _remove_other(path: Path, replace: bool) -> None:
    """Removes another bundle's assurance: it fits no other manifest, and would have it refused."""
    if path.is_symlink() or path.exists():
        if not replace:
            raise _other(path)
        path.unlink()


def _refuse_other(path: Path, body: bytes, replace: bool) -> None:
    if not replace and path.exists() and path.read_bytes() != body:
        raise _other(path)


def _other(path: Path) -> LocalRefusal:
    return LocalRefusal(
        f"{path} exists already, and is something else",
        hint="--force replaces it; -d names another folder",
    )


class _Fetcher:
    """Fetches parts, each unless it is there; all of them together no more than the manifest says."""

    def __init__(self, s3: S3, order: DownloadOrder, bytes_max: int, patience: Patience) -> None:
        self._s3 = s3
        self._order = order
        self._patience = patience
        self._left = bytes_max
        self._lock = threading.Lock()

    def fetch(self, part: Part) -> tuple[int, bool]:
        """Size of the part, and whether it was there already."""
        path = self._order.folder / part.filename
        if path.is_symlink() or path.exists():
            if not path.is_symlink() and path.is_file() and _sha1(path) == part.sha1:
                size = path.stat().st_size
                self._take(part, size)
                return size, True
            if not self._order.replace:
                raise _other(path)
        size = self._patience.run(part.filename, lambda: self._get(part, path))
        return size, False

    def _get(self, part: Part, path: Path) -> int:
        place = self._order.place
        digest, size = hashlib.sha1(usedforsecurity=False), 0
        try:
            body = self._s3.get_object(Bucket=place.bucket, Key=place.key(part.filename))["Body"]
        except ClientError as error:
            if is_absent(error):
                raise BundleRefusal("parts", f"Part {part.filename} is missing from {place.bucket}.") from error
            raise
        try:
            with body, new_file(path) as file:
                while piece := body.read(READ_BYTES):
                    self._take(part, len(piece))
                    digest.update(piece)
                    write_at(file.fileno(), piece, size)
                    size += len(piece)
                if digest.hexdigest() != part.sha1:
                    raise BundleRefusal(
                        "parts", f"Part {part.filename} ({size} bytes) is damaged: its SHA-1 is not the manifest's."
                    )
        except BaseException:
            self._take(part, -size)
            raise
        return size

    def _take(self, part: Part, size: int) -> None:
        """Counts bytes against what the manifest says all parts have."""
        with self._lock:
            self._left -= size
            if self._left < 0:
                raise BundleRefusal("parts", f"With {part.filename} the parts hold more than bundled_size says.")


def _sha1(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.sha1(usedforsecurity=False)).hexdigest()
