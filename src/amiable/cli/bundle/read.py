"""``amiable bundle read``: some bytes of a bundle's image, without unpacking the rest."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from amiable.cli.bundle.assurance import AssuranceKey, find_assurance
from amiable.cli.bundle.options import Cert, Key, ManifestPath, Source, WaiveSignature, need_pem, read_pem
from amiable.model.errors import LocalRefusal


def read(
    manifest: ManifestPath,
    *,
    offset: Annotated[int, Parameter(validator=Number(gte=0), help="Where to begin, in bytes of the image.")] = 0,
    size: Annotated[int | None, Parameter(validator=Number(gte=0), help="How many bytes. Default: to the end.")] = None,
    destination: Annotated[
        Path | None, Parameter(name=["--destination", "-d"], help="New file. Default: standard output.")
    ] = None,
    cert: Cert = None,
    privatekey: Key = None,
    source: Source = None,
    assurance_key: AssuranceKey = None,
    waive_signature: WaiveSignature = False,
) -> None:
    """Reads bytes of the image straight out of the parts; each 512 KiB is verified by its SHA-256 before it is written."""
    from amiable.bundle.dsse import fault
    from amiable.bundle.random_access import READ_BYTES_MAX, folder_ranges, open_random
    from amiable.bundle.unbundle import Waivers, read_bundle

    certificates, private_key = read_pem(cert), need_pem(privatekey, "-k", "EC2_PRIVATE_KEY")
    found = read_bundle(manifest, certificates, Waivers(signature=waive_signature))
    assurance = find_assurance(manifest, found, certificates, assurance_key, waived=False)
    if assurance is None:
        raise fault(
            "There is no assurance beside the manifest to read by, or no key to verify it with.", "Unbundle it."
        )
    image = open_random(found, assurance, folder_ranges(source or manifest.parent), private_key)
    end = image.size_bytes if size is None else min(offset + size, image.size_bytes)
    with _opened(destination) as write:
        while offset < end:
            piece = image.read(offset, min(READ_BYTES_MAX, end - offset))
            write(piece)
            offset += len(piece)


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
    with new_file(destination) as file:
        with os.fdopen(os.dup(file.fileno()), "wb") as buffered:
            yield buffered.write
