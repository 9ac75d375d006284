"""``amiable bundle upload``: a bundle's files into a bucket."""

import shlex
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from amiable.cli.bundle.connection import Connection
from amiable.cli.bundle.options import Acl, Batch, Bucket, Location, ManifestPath, Workers
from amiable.cli.output import Progress, say


def upload(
    manifest: ManifestPath,
    *,
    bucket: Bucket,
    directory: Annotated[
        Path | None, Parameter(name=["--directory", "-d"], help="Folder of the parts. Default: the manifest's.")
    ] = None,
    acl: Acl = "aws-exec-read",
    location: Location = None,
    part: Annotated[
        int, Parameter(validator=Number(gte=0), help="Begin with this part; those before it are there.")
    ] = 0,
    skipmanifest: Annotated[bool, Parameter(negative=(), help="Upload the parts alone.")] = False,
    workers: Workers = 4,
    batch: Batch = False,
    connection: Connection = Connection(),
) -> None:
    """Uploads a bundle over S3: the parts, then the manifest.  Prints the ImageLocation for RegisterImage.

    Parts that are there already are not sent again: after a failure, call it again.  Exit code 10: the bucket is in another
    location than --location.
    """
    from amiable.bundle.transfer import read_place
    from amiable.bundle.unbundle import Waivers, read_bundle
    from amiable.bundle.upload import Bundle, UploadOrder
    from amiable.bundle.upload import upload as send

    found = read_bundle(manifest, None, Waivers(signature=True))
    s3 = connection.s3()
    order = UploadOrder(read_place(bucket), acl, location, part, not skipmanifest, workers)
    with Progress("upload", found.bundled_size_bytes) as progress:
        done = send(
            s3,
            Bundle(found, manifest, directory or manifest.parent),
            order=order,
            patience=connection.patience(),
            advance=progress.advance,
        )
    if done.kept:
        say(f"{done.kept} of {done.kept + done.sent} parts were there already")
    if found.kernel_id and done.region and done.region != s3.meta.region_name:
        say(
            f"warning: the manifest names kernel {found.kernel_id}, and the bucket is in {done.region}, not in "
            f"{s3.meta.region_name}: kernels differ between regions (amiable bundle migrate)"
        )
    if not skipmanifest:
        print(done.image_location)
        say(f"\nnext: {registering(found.name, done.image_location)}")


def registering(name: str, image_location: str) -> str:
    """The command that registers what was uploaded."""
    return f"aws ec2 register-image --name {shlex.quote(name)} --image-location {shlex.quote(image_location)}"
