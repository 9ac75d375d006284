"""``amiable bundle create``: from a disk image to a bundle."""

import shlex
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from amiable.cli.architecture import architecture_of
from amiable.cli.bundle.options import Cert, Key, cloud_certificate, mappings, need_pem, telling
from amiable.cli.client import client
from amiable.cli.output import Progress, say
from amiable.model.units import GIB, human_bytes

CLASSIC_IMAGE_BYTES_MAX = 10 * GIB


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
    private_key, certificate = need_pem(privatekey, "-k", "EC2_PRIVATE_KEY"), need_pem(cert, "-c", "EC2_CERT")
    if image_type == "machine" and image.is_file():
        check_raw_disk(image)
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
        manifest = pipeline.create(recipe, destination, force=force, progress=telling(progress))
    print(manifest)
    say(f"\nnext: amiable bundle upload -m {shlex.quote(str(manifest))} -b BUCKET")


def check_raw_disk(image: Path) -> None:
    """Refuses an image that is no raw disk."""
    from amiable.cli.upload import check_raw

    with image.open("rb") as opened:
        check_raw(opened, image.stat().st_size, image.name)
