"""``amiable bundle show``: what a manifest says, nothing of it proved but the signature."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from amiable.cli.bundle.facts import facts
from amiable.cli.bundle.options import Cert, ManifestPath
from amiable.cli.bundle.pem import read_pem
from amiable.cli.output import show_one

if TYPE_CHECKING:
    from amiable.model.manifest import Manifest


def show(
    manifest: ManifestPath,
    *,
    cert: Cert = None,
    output: Annotated[Literal["table", "json"], Parameter(help="table or json.")] = "table",
) -> None:
    """Shows a manifest, of any version and writer: what it says, who signed it, its parts.  Opens no part."""
    from amiable.bundle.unbundle import Waivers, read_bundle

    found = read_bundle(manifest, None, Waivers(signature=True))
    row: dict[str, Any] = {
        **facts(found),
        "ImageDigest": f"sha1:{found.image_sha1}",
        "Ancestors": ",".join(found.ancestor_ami_ids),
        "Signature": signature_state(found, read_pem(cert, "certificate")),
        "OpenedBy": ",".join(who for who, wrapped in (("user", found.user), ("ec2", found.ec2)) if wrapped.key),
    }
    parts = [{"Index": p.index, "Filename": p.filename, "Digest": f"sha1:{p.sha1}"} for p in found.parts]
    if output == "json":
        show_one(row | {"Parts": parts}, output, identifier="Name")
    else:
        lines = [f"{part['Filename']}  {part['Digest']}" for part in parts]
        show_one(row | {"Parts": lines}, output, identifier="Name")


def signature_state(manifest: "Manifest", certificates_pem: bytes | None) -> str:
    """``valid``, ``of someone else or damaged``, ``none``, or that nothing was there to verify it with."""
    from amiable.bundle.manifest_xml import verify_signature
    from amiable.model.errors import BundleRefusal

    if manifest.signature is None:
        return "none"
    if certificates_pem is None:
        return "not checked: no certificate"
    try:
        verify_signature(manifest, certificates_pem)
    except BundleRefusal as refusal:
        if refusal.stage != "signature":
            raise
        return "not by this certificate, or changed since"
    return "valid"
