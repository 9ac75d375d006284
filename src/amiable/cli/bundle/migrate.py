"""``amiable bundle migrate``: a bundle for another cloud or region."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from amiable.cli.bundle.boot_images import boot_images_of, map_all, source_images
from amiable.cli.bundle.connection import Connection
from amiable.cli.bundle.options import (
    Acl,
    AssuranceSigner,
    Batch,
    Cert,
    Key,
    Location,
    WaiveSignature,
    cloud_certificate,
    need_name,
)
from amiable.cli.bundle.pem import need_pem, read_pem
from amiable.cli.bundle.prompt import confirmed
from amiable.cli.output import say
from amiable.model.errors import LocalRefusal

if TYPE_CHECKING:
    from amiable.bundle.transfer import Patience, Place
    from amiable.model.manifest import Manifest


ManifestName = Annotated[
    str, Parameter(name=["--manifest", "-m"], help="Manifest on this disk, or with -b its name there.")
]
Source = Annotated[str | None, Parameter(name=["--bucket", "-b"], help="BUCKET[/PREFIX] that holds the bundle.")]
Destination = Annotated[
    str | None, Parameter(name=["--destination-bucket", "-d"], help="BUCKET[/PREFIX] for the migrated bundle.")
]
TargetCert = Annotated[Path | None, Parameter(help="The target's certificate. Default: asked of the server.")]
TargetUser = Annotated[str | None, Parameter(name=["--user", "-u"], help="Account at the target. Default: as it is.")]
Yes = Annotated[bool, Parameter(name=["--yes", "-y"], negative=(), help="Do not ask before kernels are removed.")]


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Kernels:
    """Which kernel and ramdisk the migrated bundle names."""

    kernel: Annotated[str | None, Parameter(help="Kernel at the target (aki-…) instead of the one that is found.")] = (
        None
    )
    ramdisk: Annotated[str | None, Parameter(help="Ramdisk at the target (ari-…) instead of the one found.")] = None
    no_mapping: Annotated[
        bool, Parameter(negative=(), help="Look for none; without --kernel the bundle names none.")
    ] = False
    source_url: Annotated[str | None, Parameter(help="EC2 endpoint of the bundle's own cloud.")] = None
    source_profile: Annotated[
        str | None, Parameter(help="AWS profile with credentials there. Default: the target's.")
    ] = None
    source_region: Annotated[str | None, Parameter(help="Region of the bundle's own cloud.")] = None
    ec2_url: Annotated[str | None, Parameter(help="EC2 endpoint of the target. Default: AWS_ENDPOINT_URL.")] = None


def migrate(
    manifest: ManifestName,
    *,
    bucket: Source = None,
    destination_bucket: Destination = None,
    cert: Cert = None,
    privatekey: Key = None,
    assurance_key: AssuranceSigner = None,
    ec2cert: TargetCert = None,
    user: TargetUser = None,
    acl: Acl = "aws-exec-read",
    location: Location = None,
    yes: Yes = False,
    waive_signature: WaiveSignature = False,
    batch: Batch = False,
    kernels: Kernels = Kernels(),
    connection: Connection = Connection(),
) -> None:
    """Makes a bundle fit another cloud: its kernel and ramdisk there, keys wrapped for it, signed anew.  Prints where it is.

    On this disk the manifest is replaced, the old one kept as .bak.  With -b
    and -d the server copies the parts.  Exit codes of ec2-migrate-manifest:
    6 no kernel stands for the bundle's, 7 its own cloud does not answer,
    10 the bucket is elsewhere.
    """
    from amiable.bundle import migrate as migration
    from amiable.bundle.manifest_xml import load_document, read_manifest, verify_signature

    places = places_of(bucket, destination_bucket)
    certificate, private_key = need_pem(cert, "-c", "EC2_CERT"), need_pem(privatekey, "-k", "EC2_PRIVATE_KEY")
    signer = migration.Signer(certificate, private_key, read_pem(assurance_key))
    s3, patience = (connection.s3() if places else None), connection.patience()
    old = load_document(Path(manifest)) if places is None else fetch_document(s3, places[0], manifest, patience)
    found = read_manifest(old)
    if not waive_signature:
        verify_signature(found, certificate)
    kernel_id, ramdisk_id = choose(found, kernels, connection, yes=yes, batch=batch)
    pem = cloud_certificate(ec2cert)
    target = migration.Target(kernel_id, ramdisk_id, pem, user.replace("-", "") if user else None)
    new = migration.migrate_manifest(found, target, signer)
    if places is not None:
        order = migration.CopyOrder(*places, manifest, acl, location)
        where, assured = migration.migrate_in_buckets(s3, order, documents=(old, new), signer=signer, patience=patience)
    else:
        where, assured = manifest, migration.replace_manifest(Path(manifest), new, signer)
    if not assured:
        say("note: the migrated bundle has no assurance")
    print(where)


def places_of(bucket: str | None, destination_bucket: str | None) -> "tuple[Place, Place] | None":
    """From where to where, in buckets; ``None`` for a bundle on this disk."""
    from amiable.bundle.transfer import read_place

    if (bucket is None) != (destination_bucket is None):
        raise LocalRefusal("in buckets a bundle goes from one place to another", hint="-b FROM -d TO", exit_code=2)
    return (
        None if bucket is None or destination_bucket is None else (read_place(bucket), read_place(destination_bucket))
    )


def fetch_document(s3: Any, place: "Place", name: str, patience: "Patience") -> bytes:
    """The bytes of the manifest ``name`` in a bucket."""
    from amiable.bundle.download import fetch_manifest

    return fetch_manifest(s3, place, need_name(name, None), patience)[0]


def choose(
    found: "Manifest", kernels: Kernels, connection: Connection, *, yes: bool, batch: bool
) -> tuple[str | None, str | None]:
    """Kernel and ramdisk of the migrated bundle; says what stands for what."""
    from amiable.rules.kernel_mapping import is_boot_image_id

    old, given = (found.kernel_id, found.ramdisk_id), (kernels.kernel, kernels.ramdisk)
    wanted = [name for name, mine in zip(old, given, strict=True) if name and not mine and is_boot_image_id(name)]
    mapped: dict[str, str | None] = {}
    if wanted and kernels.no_mapping:
        what = f"{' and '.join(wanted)} from the manifest"
        if not yes and (batch or not confirmed(f"remove {what}?")):
            say(f"would remove {what}\n\nhint: add --yes to do it, or name others with --kernel and --ramdisk")
            raise SystemExit(1)
        mapped = dict.fromkeys(wanted)
    elif wanted:
        source = []
        if kernels.source_url or kernels.source_region:
            there = connection.ec2(kernels.source_url, kernels.source_region, kernels.source_profile)
            source = source_images(there, wanted)
        target = boot_images_of(connection.ec2(kernels.ec2_url), is_own=kernels.ec2_url is None)
        mapped = {**map_all(wanted, source, target)}
    kernel_id, ramdisk_id = (mine or mapped.get(name or "", name) for name, mine in zip(old, given, strict=True))
    return kernel_id, ramdisk_id
