"""``amiable bundle upload``: a bundle's files into a bucket."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from amiable.cli.bundle.connection import Connection
from amiable.cli.bundle.options import Acl, Batch, Bucket, Location, ManifestPath, Workers
from amiable.cli.bundle.recipe import warn
from amiable.cli.output import Progress, say
from amiable.cli.whole import whole
from amiable.model.errors import LocalRefusal

if TYPE_CHECKING:
    from amiable.bundle.form_upload import FormUploads


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Policy:
    """An upload policy, as euca-upload-bundle takes it."""

    upload_policy: Annotated[str | None, Parameter(help="Signed policy, base64 or JSON, instead of a secret.")] = None
    upload_policy_file: Annotated[Path | None, Parameter(help="File with that policy.")] = None
    upload_policy_signature: Annotated[str | None, Parameter(help="Signature of the policy's base64 text.")] = None

    def is_given(self) -> bool:
        """Whether any of it is."""
        return any(
            part is not None for part in (self.upload_policy, self.upload_policy_file, self.upload_policy_signature)
        )

    def uploads(self, connection: Connection) -> "FormUploads | None":
        """What uploads under the policy, if one is given."""
        if not self.is_given():
            return None
        if self.upload_policy_signature is None or (self.upload_policy is None) == (self.upload_policy_file is None):
            raise LocalRefusal(
                "one policy and its signature go together",
                hint="--upload-policy TEXT or --upload-policy-file FILE, and --upload-policy-signature TEXT",
                exit_code=2,
            )
        try:
            text = self.upload_policy if self.upload_policy_file is None else self.upload_policy_file.read_text()
        except UnicodeDecodeError:
            raise LocalRefusal(f"{self.upload_policy_file} holds no policy: it is no text") from None
        return connection.form_uploads(text or "", self.upload_policy_signature)


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
        int,
        Parameter(converter=whole, validator=Number(gte=0), help="Begin with this part; those before it are there."),
    ] = 0,
    skipmanifest: Annotated[bool, Parameter(negative=(), help="Upload the parts alone.")] = False,
    workers: Workers = 4,
    batch: Batch = False,
    policy: Policy = Policy(),
    connection: Connection = Connection(),
) -> None:
    """Uploads a bundle over S3: the parts, then the manifest.  Prints the ImageLocation for RegisterImage.

    Parts that are there already are not sent again: after a failure, call it
    again.  Under an upload policy (with -a, the key of who signed it) nothing
    but uploading is allowed: the bucket must be there.  Exit code 10: the
    bucket is in another location than --location.
    """
    from amiable.bundle.transfer import read_place
    from amiable.bundle.unbundle import Waivers, read_bundle
    from amiable.bundle.upload import Bundle, UploadOrder
    from amiable.bundle.upload import upload as send

    found = read_bundle(manifest, None, Waivers(signature=True))
    forms = policy.uploads(connection)
    s3: Any = forms or connection.s3()
    order = UploadOrder(read_place(bucket), acl, location, part, not skipmanifest, workers, forms is not None)
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
    warn(None if forms else elsewhere(found.kernel_id, done.region, s3.meta.region_name))
    if not skipmanifest:
        print(done.image_location)
        say(f"\nnext: {registering(found.name, done.image_location)}")


def registering(name: str, image_location: str) -> str:
    """The command that registers what was uploaded."""
    return f"aws ec2 register-image --name {shlex.quote(name)} --image-location {shlex.quote(image_location)}"


def elsewhere(kernel_id: str | None, bucket_region: str, region: str) -> str | None:
    """The warning that a kernel's id will mean nothing where the bundle lies; ``None`` where it will, or none is named."""
    if kernel_id is None or bucket_region in ("", region):
        return None
    return (
        f"the manifest names kernel {kernel_id}, and the bucket is in {bucket_region}, not in {region}: kernels differ "
        "between regions (amiable bundle migrate)"
    )
