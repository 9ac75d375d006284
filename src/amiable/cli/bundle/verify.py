"""``amiable bundle verify``: everything about a bundle checked, nothing written."""

from dataclasses import replace
from typing import Annotated, Literal

from cyclopts import Parameter

from amiable.cli.bundle.assurance import (
    AssuranceKey,
    WaiveAssurance,
    assurance_state,
    content_digest_of,
    find_assurance,
)
from amiable.cli.bundle.facts import facts
from amiable.cli.bundle.options import (
    Cert,
    Key,
    ManifestPath,
    Source,
    WaiveImageDigest,
    WaiveSignature,
    telling,
)
from amiable.cli.bundle.pem import read_pem
from amiable.cli.output import Progress, show_one


def verify(
    manifest: ManifestPath,
    *,
    cert: Cert = None,
    privatekey: Key = None,
    source: Source = None,
    waive_signature: WaiveSignature = False,
    waive_image_digest: WaiveImageDigest = False,
    assurance_key: AssuranceKey = None,
    waive_assurance: WaiveAssurance = False,
    output: Annotated[Literal["table", "json"], Parameter(help="table or json.")] = "table",
) -> None:
    """Checks signature, parts and, with a private key, all that lies beneath.  Writes nothing; prints what the manifest says."""
    from amiable.bundle import unbundle as opening

    certificates, private_key = read_pem(cert, "certificate"), read_pem(privatekey)
    waivers = opening.Waivers(waive_signature, waive_image_digest)
    bundle = opening.find_bundle(manifest, certificates, source=source, waivers=waivers)
    found = bundle.manifest
    assurance = find_assurance(manifest, found, certificates, assurance_key, waived=waive_assurance)
    with Progress("verify", 0) as progress:
        opening.verify(replace(bundle, assurance=assurance), private_key_pem=private_key, progress=telling(progress))
    seen = {
        "Signature": "not checked" if waive_signature else "valid",
        "Parts": f"{len(found.parts)}, sound",
        "Image": "sound" if private_key else "not opened: no private key",
        "Assurance": assurance_state(manifest, assurance, is_opened=private_key is not None),
    }
    if assurance is not None and private_key is not None:
        seen["ContentDigest"] = content_digest_of(assurance, found, private_key)
    show_one({**facts(found), **seen}, output, identifier="Name")
