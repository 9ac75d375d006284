"""``amiable bundle upload``: a bundle's files into a bucket."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from amiable.cli.bundle.options import ManifestPath
from amiable.cli.client import client
from amiable.cli.output import Progress, say

if TYPE_CHECKING:
    from amiable.bundle.parts import PartOpener
    from amiable.model.manifest import Part

UPLOADS_AT_ONCE = 4
UPLOAD_ATTEMPTS_MAX = 8


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
