"""``amiable bundle``: classic bundles, made and opened here, uploaded over S3.

Short flags are those of ec2-ami-tools (``-i -c -k -u -d -r -p -B``, ``-m -b``), and so are the variables EC2_CERT and EC2_PRIVATE_KEY.
What works on the bundle is imported when a command runs: it costs more than ``--help`` may take.
"""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import cyclopts
from cyclopts import Parameter

from amiable.cli.architecture import architecture_of
from amiable.cli.client import call, client
from amiable.cli.output import Progress, say, show_one
from amiable.model.errors import LocalRefusal
from amiable.model.units import GIB, human_bytes

if TYPE_CHECKING:
    from amiable.bundle.parts import PartOpener
    from amiable.model.manifest import Manifest, Mapping, Part

CLASSIC_IMAGE_BYTES_MAX = 10 * GIB
UPLOADS_AT_ONCE = 4
UPLOAD_ATTEMPTS_MAX = 8
MANIFEST_SUFFIX = ".manifest.xml"

app = cyclopts.App(name="bundle", help="Classic bundles: create, verify, unbundle, upload.")

Cert = Annotated[Path | None, Parameter(name=["--cert", "-c"], env_var="EC2_CERT", help="The user's certificate, PEM.")]
Key = Annotated[
    Path | None, Parameter(name=["--privatekey", "-k"], env_var="EC2_PRIVATE_KEY", help="The private key, PEM.")
]
ManifestPath = Annotated[Path, Parameter(name=["--manifest", "-m"], help="The bundle's manifest.")]
Source = Annotated[
    Path | None, Parameter(name=["--source", "-s"], help="Folder of the parts. Default: the manifest's.")
]
WaiveSignature = Annotated[bool, Parameter(negative=(), help="Open it though unsigned or signed by someone unknown.")]
WaiveImageDigest = Annotated[
    bool, Parameter(negative=(), help="Open it though the image's digest is wrong (euca2ools before 1.3.2).")
]


@app.command
def create(
    image: Annotated[Path, Parameter(name=["--image", "-i"], help="Disk image or block device.")],
    *,
    destination: Annotated[Path, Parameter(name=["--destination", "-d"], help="Folder for the bundle.")] = Path(),
    prefix: Annotated[str | None, Parameter(name=["--prefix", "-p"], help="Name. Default: the image's.")] = None,
    cert: Cert = None,
    privatekey: Key = None,
    user: Annotated[
        str | None,
        Parameter(name=["--user", "-u"], env_var="EC2_USER_ID", help="Account. Default: asked of the server."),
    ] = None,
    ec2cert: Annotated[Path | None, Parameter(help="The cloud's certificate. Default: asked of the server.")] = None,
    arch: Annotated[str | None, Parameter(name=["--arch", "-r"], help="x86_64 or i386. Default: this host's.")] = None,
    kernel: Annotated[str | None, Parameter(help="Default kernel (aki-…).")] = None,
    ramdisk: Annotated[str | None, Parameter(help="Default ramdisk (ari-…).")] = None,
    block_device_mapping: Annotated[
        str, Parameter(name=["--block-device-mapping", "-B"], help="VIRTUAL=DEVICE,… as in ami=sda1,swap=sda2.")
    ] = "",
    productcodes: Annotated[str, Parameter(help="Product codes, comma between.")] = "",
    image_type: Annotated[Literal["machine", "kernel", "ramdisk"], Parameter(name="--type")] = "machine",
    level: Annotated[int, Parameter(help="0 (fastest) to 3 (smallest).")] = 2,
    force: Annotated[bool, Parameter(negative=(), help="Replace a bundle of that name.")] = False,
    batch: Annotated[bool, Parameter(negative=(), help="Ask nothing (nothing ever is).", show=False)] = False,
) -> None:
    """Bundles a disk image: compresses, encrypts, signs, cuts into parts.  Prints the manifest's path."""
    from amiable.bundle import pipeline

    architecture = architecture_of(arch)
    private_key, certificate = _need(privatekey, "-k", "EC2_PRIVATE_KEY"), _need(cert, "-c", "EC2_CERT")
    if image_type == "machine" and image.is_file():
        _check_raw(image)
    recipe = pipeline.Recipe(
        image=image,
        name=prefix or image.name,
        account_id=(user or client("sts").get_caller_identity()["Account"]).replace("-", ""),
        architecture=architecture,
        certificate_pem=certificate,
        private_key_pem=private_key,
        cloud_certificate_pem=ec2cert.read_bytes() if ec2cert else cloud_certificate(),
        kernel_id=kernel,
        ramdisk_id=ramdisk,
        block_device_mapping=mappings(block_device_mapping),
        product_codes=tuple(filter(None, productcodes.split(","))),
        image_type=image_type,
        level=level,
    )
    if image.exists() and image.stat().st_size > CLASSIC_IMAGE_BYTES_MAX:
        say(
            f"warning: the image has {human_bytes(image.stat().st_size)}; EC2 and ec2-ami-tools take at most 10 GiB, "
            "Amiable and euca2ools take this."
        )
    with Progress("bundle", 0) as progress:
        destination.mkdir(parents=True, exist_ok=True)
        manifest = pipeline.create(recipe, destination, force=force, progress=_telling(progress))
    print(manifest)
    say(f"\nnext: amiable bundle upload -m {shlex.quote(str(manifest))} -b BUCKET")


@app.command
def verify(
    manifest: ManifestPath,
    *,
    cert: Cert = None,
    privatekey: Key = None,
    source: Source = None,
    waive_signature: WaiveSignature = False,
    waive_image_digest: WaiveImageDigest = False,
    output: Annotated[Literal["table", "json"], Parameter(help="table or json.")] = "table",
) -> None:
    """Checks signature, parts and, with a private key, all that lies beneath.  Writes nothing; prints what the manifest says."""
    from amiable.bundle import unbundle as opening

    with Progress("verify", 0) as progress:
        found = opening.verify(
            manifest,
            private_key_pem=_read(privatekey),
            certificates_pem=_read(cert),
            source=source,
            waivers=opening.Waivers(waive_signature, waive_image_digest),
            progress=_telling(progress),
        )
    seen = {
        "Signature": "not checked" if waive_signature else "valid",
        "Parts": f"{len(found.parts)}, sound",
        "Image": "sound" if privatekey else "not opened: no private key",
    }
    show_one({**facts(found), **seen}, output, identifier="Name")


@app.command
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
    force: Annotated[bool, Parameter(negative=(), help="Replace a file of that name.")] = False,
) -> None:
    """Opens a bundle: verifies, decrypts, unpacks, holes kept.  Prints the image's path."""
    from amiable.bundle import unbundle as opening

    waivers = opening.Waivers(waive_signature, waive_image_digest)
    certificates = _read(cert)
    path = destination
    if destination.is_dir():
        path = destination / opening.read_bundle(manifest, certificates, waivers).name
    if path.exists() and not force:
        raise LocalRefusal(f"{path} exists already", hint="--force replaces it; -d names another folder or file")
    with Progress("unbundle", 0) as progress:
        opening.unbundle(
            manifest,
            path,
            private_key_pem=_need(privatekey, "-k", "EC2_PRIVATE_KEY"),
            certificates_pem=certificates,
            source=source,
            waivers=waivers,
            progress=_telling(progress),
        )
    print(path)


@app.command
def upload(
    manifest: ManifestPath,
    *,
    bucket: Annotated[str, Parameter(name=["--bucket", "-b"], help="BUCKET or BUCKET/PREFIX.")],
    directory: Annotated[
        Path | None, Parameter(name=["--directory", "-d"], help="Folder of the parts. Default: the manifest's.")
    ] = None,
    acl: Annotated[
        Literal["aws-exec-read", "public-read", "private"], Parameter(help="Who may read it.")
    ] = "aws-exec-read",
) -> None:
    """Uploads a bundle over S3: the parts, then the manifest.  Prints the ImageLocation for RegisterImage."""
    from amiable.bundle import parts
    from amiable.bundle.unbundle import Waivers, read_bundle

    found = read_bundle(manifest, None, Waivers(signature=True))
    name, _, prefix = bucket.partition("/")
    folder = "".join(piece + "/" for piece in prefix.split("/") if piece)
    s3 = client("s3", retries={"mode": "standard", "max_attempts": UPLOAD_ATTEMPTS_MAX})
    ensure_bucket(s3, name)

    def put(key: str, body: Any) -> None:
        s3.put_object(Bucket=name, Key=folder + key, Body=body, ACL=acl)

    with Progress("upload", found.bundled_size_bytes) as progress:
        put_parts(found.parts, parts.folder_opener(directory or manifest.parent), put, progress.advance)
    put(manifest.name, manifest.read_bytes())
    location = f"{name}/{folder}{manifest.name}"
    print(location)
    say(f"\nnext: aws ec2 register-image --name {shlex.quote(found.name)} --image-location {shlex.quote(location)}")


def put_parts(
    wanted: "tuple[Part, ...]", opener: "PartOpener", put: Callable[[str, Any], None], advance: Callable[[int], None]
) -> None:
    """Hands every part, checked against its digest, to ``put``, several at once; the first failure ends it."""
    from concurrent.futures import ThreadPoolExecutor, as_completed

    def send(part: "Part") -> int:
        from amiable.bundle.parts import open_checked

        with open_checked(part, opener) as stream:
            put(part.filename, stream)
            return stream.tell()

    pool = ThreadPoolExecutor(UPLOADS_AT_ONCE)
    try:
        for done in as_completed([pool.submit(send, part) for part in wanted]):
            advance(done.result())
    finally:
        pool.shutdown(cancel_futures=True)


def ensure_bucket(s3: Any, name: str) -> None:
    """Makes the bucket ``name`` unless it is there."""
    from botocore.exceptions import ClientError

    try:
        s3.head_bucket(Bucket=name)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        region = s3.meta.region_name
        place = {} if region in (None, "us-east-1") else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        s3.create_bucket(Bucket=name, **place)


def cloud_certificate() -> str:
    """The image-bundling certificate of the server that the environment names, PEM."""
    return str(call("GET", "/bundling-certificate")["Certificate"])


def mappings(text: str) -> "tuple[Mapping, ...]":
    """``VIRTUAL=DEVICE,…`` as block device mappings; refuses what is not of that form."""
    from amiable.model.manifest import Mapping

    pairs = [piece.partition("=") for piece in text.split(",") if piece]
    for virtual, _, device in pairs:
        if not virtual or not device:
            raise LocalRefusal(f"{text!r} is no block device mapping", hint="-B ami=sda1,root=/dev/sda1", exit_code=2)
    if len({virtual for virtual, _, _ in pairs}) != len(pairs):
        raise LocalRefusal(f"{text!r} maps a name twice", exit_code=2)
    return tuple(Mapping(virtual, device) for virtual, _, device in pairs)


def facts(manifest: "Manifest") -> dict[str, Any]:
    """What a manifest says, for printing."""
    return {
        "Name": manifest.name,
        "OwnerId": manifest.account_id,
        "ImageType": manifest.image_type or "machine",
        "Architecture": manifest.architecture or "i386",
        "KernelId": manifest.kernel_id,
        "RamdiskId": manifest.ramdisk_id,
        "BlockDeviceMapping": ",".join(f"{m.virtual}={m.device}" for m in manifest.block_device_mapping),
        "ProductCodes": ",".join(manifest.product_codes),
        "Size": manifest.size_bytes,
        "BundledSize": manifest.bundled_size_bytes,
        "Bundler": " ".join(filter(None, (manifest.bundler.name, manifest.bundler.version))),
        "ManifestVersion": manifest.version,
    }


def _check_raw(image: Path) -> None:
    from amiable.cli.upload import check_raw

    with image.open("rb") as opened:
        check_raw(opened, image.stat().st_size, image.name)


def _read(path: Path | None) -> bytes | None:
    return None if path is None else path.read_bytes()


def _need(path: Path | None, flag: str, variable: str) -> bytes:
    if path is None:
        raise LocalRefusal(
            f"{flag} is missing", hint=f'pass {flag}, or set {variable}: eval "$(amiable env)"', exit_code=2
        )
    return path.read_bytes()


def _telling(progress: Progress) -> Callable[[int, int], None]:
    def tell(done: int, total: int) -> None:
        progress.total_bytes = total
        progress.advance(done - progress.done_bytes)

    return tell
