"""``amiable bundle unbundle``: from a bundle back to the image."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from amiable.cli.bundle.assurance import AssuranceKey, WaiveAssurance, find_assurance
from amiable.cli.bundle.options import (
    Batch,
    Cert,
    Key,
    ManifestPath,
    Source,
    WaiveImageDigest,
    WaiveSignature,
    telling,
)
from amiable.cli.bundle.pem import need_pem, read_pem
from amiable.cli.output import Progress
from amiable.model.errors import LocalRefusal


def unbundle(
    manifest: ManifestPath,
    *,
    cert: Cert = None,
    privatekey: Key = None,
    source: Source = None,
    destination: Annotated[
        Path, Parameter(name=["--destination", "-d"], help="Folder (the image gets its own name there) or new file.")
    ] = Path(),
    waive_signature: WaiveSignature = False,
    waive_image_digest: WaiveImageDigest = False,
    assurance_key: AssuranceKey = None,
    waive_assurance: WaiveAssurance = False,
    force: Annotated[bool, Parameter(negative=(), help="Replace a file of that name.")] = False,
    batch: Batch = False,
) -> None:
    """Opens a bundle: verifies, decrypts, unpacks, holes kept.  Prints the image's path."""
    from amiable.bundle import unbundle as opening

    waivers = opening.Waivers(waive_signature, waive_image_digest)
    certificates = read_pem(cert, "certificate")
    bundle = opening.find_bundle(manifest, certificates, source=source, waivers=waivers)
    assurance = find_assurance(manifest, bundle.manifest, certificates, assurance_key, waived=waive_assurance)
    path = destination / bundle.manifest.name if destination.is_dir() else destination
    if path.exists() and not force:
        raise LocalRefusal(f"{path} exists already", hint="--force replaces it; -d names another folder or file")
    with Progress("unbundle", 0) as progress:
        opening.unbundle(
            replace(bundle, assurance=assurance),
            path,
            private_key_pem=need_pem(privatekey, "-k", "EC2_PRIVATE_KEY"),
            progress=telling(progress),
        )
    print(path)
