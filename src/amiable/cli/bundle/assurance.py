"""Flags for the sidecar of a bundle, and how it is found."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from amiable.cli.bundle.pem import read_pem
from amiable.cli.output import say

if TYPE_CHECKING:
    from amiable.bundle.assurance import Assurance
    from amiable.model.manifest import Manifest

AssuranceKey = Annotated[
    Path | None,
    Parameter(
        name="--assurance-key",
        help="Public key or certificate that the assurance must be signed with, PEM; then there must be one. Default: -c.",
    ),
]
WaiveAssurance = Annotated[
    bool, Parameter(negative=(), help="Open it though its assurance is a stranger's or does not fit: it is not read.")
]


def find_assurance(
    path: Path, manifest: "Manifest", certificates_pem: bytes | None, key: Path | None, *, waived: bool
) -> "Assurance | None":
    """What the sidecar beside the manifest at ``path`` says, verified; ``None`` where there is none or it is waived."""
    from amiable.bundle.assurance import read_beside, sidecar_name
    from amiable.bundle.dsse import load_trusted_keys
    from amiable.model.errors import LocalRefusal

    if waived:
        return None
    pem = read_pem(key, "public key") or certificates_pem
    if pem is None:
        if path.with_name(sidecar_name(path.name)).exists():
            say(
                "note: the assurance was not read, for there is no certificate to verify it with: -c or --assurance-key"
            )
        return None
    found = read_beside(path, manifest, load_trusted_keys(pem))
    if found is None and key is not None:
        raise LocalRefusal(
            f"{path.with_name(sidecar_name(path.name))} is missing",
            hint="the bundle was made without assurance, or someone took it away; leave out --assurance-key to go without",
        )
    return found


def assurance_state(path: Path, assurance: "Assurance | None", *, is_opened: bool) -> str:
    """What the sidecar of the manifest at ``path`` adds to the signature, in words; ``assurance`` if it was read, and fitted."""
    from amiable.bundle.assurance import sidecar_name

    if assurance is None and path.with_name(sidecar_name(path.name)).exists():
        return "not checked"
    if assurance is None:
        return "none: the signature binds manifest, parts and image by SHA-1 only"
    bound = "manifest, parts, tar stream and image" if is_opened else "manifest and parts"
    return f"valid: {bound} are bound by SHA-256, which SHA-1 collisions do not pass"


def content_digest_of(assurance: "Assurance", manifest: "Manifest", private_key_pem: bytes) -> str:
    """The image's content digest in hex, as the sidecar has it sealed."""
    from amiable.bundle.assurance_tables import unseal
    from amiable.bundle.keys import load_private_key
    from amiable.bundle.unbundle import unwrap_keys

    secrets = unwrap_keys(manifest, load_private_key(private_key_pem))
    return unseal(assurance.sealed, *secrets, manifest).content_digest.hex()
