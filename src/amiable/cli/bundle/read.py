"""``amiable bundle read``: some bytes of a bundle's image, without unpacking the rest, also straight out of a bucket."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from amiable.cli.bundle.assurance import AssuranceKey, find_assurance
from amiable.cli.bundle.connection import Connection
from amiable.cli.bundle.options import Cert, Key, ManifestPath, WaiveSignature
from amiable.cli.bundle.pem import need_pem, read_pem
from amiable.cli.whole import whole
from amiable.model.errors import LocalRefusal

if TYPE_CHECKING:
    from amiable.bundle.random_access import RandomReader


@dataclass(frozen=True, slots=True)
class _Trust:
    """What bundles are verified and opened with."""

    certificates_pem: bytes | None
    private_key_pem: bytes
    assurance_key: Path | None
    waive_signature: bool


def read(
    manifest: ManifestPath,
    *,
    offset: Annotated[
        int, Parameter(converter=whole, validator=Number(gte=0), help="Where to begin, in bytes of the image.")
    ] = 0,
    size: Annotated[
        int | None, Parameter(converter=whole, validator=Number(gte=0), help="How many bytes. Default: to the end.")
    ] = None,
    destination: Annotated[
        Path | None, Parameter(name=["--destination", "-d"], help="New file. Default: standard output.")
    ] = None,
    bucket: Annotated[
        str | None, Parameter(name=["--bucket", "-b"], help="BUCKET or BUCKET/PREFIX where -m and its parts lie.")
    ] = None,
    source: Annotated[Path | None, Parameter(help="Folder of the parts. Default: the manifest's.")] = None,
    cert: Cert = None,
    privatekey: Key = None,
    assurance_key: AssuranceKey = None,
    waive_signature: WaiveSignature = False,
    connection: Connection = Connection(),
) -> None:
    """Reads bytes of the image straight out of the parts; each 512 KiB is verified by its SHA-256 before it is written."""
    from amiable.bundle.random_access import READ_BYTES_MAX

    trust = _Trust(
        read_pem(cert, "certificate"), need_pem(privatekey, "-k", "EC2_PRIVATE_KEY"), assurance_key, waive_signature
    )
    if bucket is None:
        image = _open_folder(manifest, source or manifest.parent, trust)
    else:
        image = _open_bucket(manifest.name, bucket, connection, trust)
    end = image.size_bytes if size is None else min(offset + size, image.size_bytes)
    with _opened(destination) as write:
        while offset < end:
            piece = image.read(offset, min(READ_BYTES_MAX, end - offset))
            write(piece)
            offset += len(piece)


def _open_folder(path: Path, source: Path, trust: _Trust) -> "RandomReader":
    from amiable.bundle.random_access import folder_ranges, open_random
    from amiable.bundle.unbundle import Waivers, read_bundle

    manifest = read_bundle(path, trust.certificates_pem, Waivers(signature=trust.waive_signature))
    assurance = find_assurance(path, manifest, trust.certificates_pem, trust.assurance_key, waived=False)
    if assurance is None:
        raise _no_assurance()
    return open_random(manifest, assurance, folder_ranges(source), trust.private_key_pem)


def _open_bucket(name: str, bucket: str, connection: Connection, trust: _Trust) -> "RandomReader":
    from amiable.bundle.assurance import read_assurance, sidecar_name
    from amiable.bundle.bucket_ranges import bucket_ranges
    from amiable.bundle.download import fetch_bytes, fetch_manifest
    from amiable.bundle.dsse import ENVELOPE_BYTES_MAX, load_trusted_keys
    from amiable.bundle.manifest_xml import verify_signature
    from amiable.bundle.random_access import open_random
    from amiable.bundle.transfer import read_place

    pem = read_pem(trust.assurance_key, "public key") or trust.certificates_pem
    if pem is None or (trust.certificates_pem is None and not trust.waive_signature):
        raise LocalRefusal(
            "no certificate to verify the bundle with", hint="give that of who made it with -c", exit_code=2
        )
    place, s3, patience = read_place(bucket), connection.s3(), connection.patience()
    document, manifest = fetch_manifest(s3, place, name, patience)
    if trust.certificates_pem is not None and not trust.waive_signature:
        verify_signature(manifest, trust.certificates_pem)
    sidecar = fetch_bytes(s3, place, sidecar_name(name), ENVELOPE_BYTES_MAX, patience)
    if sidecar is None:
        raise _no_assurance()
    assurance = read_assurance(sidecar, load_trusted_keys(pem), manifest, document)
    return open_random(manifest, assurance, bucket_ranges(s3, place, patience), trust.private_key_pem)


def _no_assurance() -> Exception:
    from amiable.bundle.dsse import fault

    return fault("There is no assurance beside the manifest to read by, or no key to verify it with.", "Unbundle it.")


@contextmanager
def _opened(destination: Path | None) -> Iterator[Callable[[bytes], object]]:
    """Where bytes go: a file that appears whole, or standard output."""
    from amiable.bundle.new_file import new_file

    if destination is None:
        if sys.stdout.isatty():
            raise LocalRefusal(
                "an image is nothing for a terminal", hint="-d FILE, or redirect it: > FILE", exit_code=2
            )
        yield sys.stdout.buffer.write
        sys.stdout.buffer.flush()
        return
    if destination.exists():
        raise LocalRefusal(f"{destination} exists already", hint="-d names another file")
    with new_file(destination) as file, os.fdopen(os.dup(file.fileno()), "wb") as buffered:
        yield buffered.write
