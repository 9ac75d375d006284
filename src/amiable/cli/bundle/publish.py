"""``amiable bundle publish``: from an image to a registered machine image, nothing written on this disk."""

from typing import Annotated, Any, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from amiable.cli.architecture import architecture_of
from amiable.cli.bundle.connection import Connection
from amiable.cli.bundle.options import Acl, Batch, Bucket, Location, telling
from amiable.cli.bundle.recipe import Image, Making
from amiable.cli.client import the_image, wait_for
from amiable.cli.image import refuse_taken_name
from amiable.cli.output import Output, Progress, say, show_one
from amiable.cli.whole import whole
from amiable.model.errors import LocalRefusal
from amiable.rules.register import check_name

AVAILABLE_SECONDS_MAX = 3600.0


def publish(
    image: Image,
    *,
    bucket: Bucket,
    name: Annotated[
        str | None, Parameter(name=["--name", "-n"], help="Name of the machine image. Default: the bundle's.")
    ] = None,
    description: Annotated[str, Parameter(help="Description of the machine image.")] = "",
    virtualization_type: Annotated[
        Literal["hvm", "paravirtual"] | None, Parameter(help="Default: paravirtual with --kernel, else hvm.")
    ] = None,
    acl: Acl = "aws-exec-read",
    location: Location = None,
    waiting: Annotated[
        int,
        Parameter(converter=whole, validator=Number(gte=1, lte=64), help="Parts of 10 MiB that may wait in memory."),
    ] = 2,
    force: Annotated[bool, Parameter(negative=(), help="Replace a bundle of that name in the bucket.")] = False,
    wait: Annotated[bool, Parameter(help="Wait until it can be launched.")] = True,
    ec2_url: Annotated[str | None, Parameter(help="EC2 endpoint. Default: AWS_ENDPOINT_URL.")] = None,
    batch: Batch = False,
    output: Output = "id",
    making: Making = Making(),
    connection: Connection = Connection(),
) -> None:
    """Bundles, uploads and registers in one pass: parts leave as they are made.  Prints the image id.

    When anything fails, Ctrl-C too, what was uploaded is removed again.
    """
    from amiable.bundle.publish import PublishOrder, published
    from amiable.bundle.transfer import ensure_bucket, read_place

    called = name if name is not None else making.name_for(image)
    order = PublishOrder(read_place(bucket), acl, waiting, replace=force, assured=making.assurance)
    ec2, s3, patience = connection.ec2(ec2_url), connection.s3(), connection.patience()
    request = request_of(making, called, description, virtualization_type)
    check_name(called)
    refuse_taken_name(ec2, called)
    with making.recipe(image) as recipe:
        ensure_bucket(s3, order.place.bucket, location, patience)
        with (
            Progress("publish", 0) as progress,
            published(s3, recipe, order=order, patience=patience, progress=telling(progress)) as image_location,
        ):
            found = register(ec2, request | {"ImageLocation": image_location}, wait=wait)
    say(image_location)
    show_one(found, output, identifier="ImageId")
    if making.image_type == "machine":
        say(f"\nnext: amiable launch {found['ImageId']}")


def request_of(making: Making, name: str, description: str, virtualization_type: str | None) -> dict[str, Any]:
    """RegisterImage's parameters, but for where the bundle lies."""
    request = {"Name": name, "Architecture": architecture_of(making.arch)}
    if description:
        request["Description"] = description
    if making.image_type == "machine":
        request["VirtualizationType"] = virtualization_type or ("paravirtual" if making.kernel else "hvm")
    return request


def register(ec2: Any, request: dict[str, Any], *, wait: bool) -> dict[str, Any]:
    """The registered image, described; deregistered again where it does not become available."""
    image_id = register_once(ec2, request)

    def look() -> dict[str, Any] | None:
        found = the_image(ec2, image_id)
        if found["State"] == "failed":
            reason = found.get("StateReason", {}).get("Message", "no reason given")
            raise LocalRefusal(f"{image_id} failed: {reason}")
        return found if found["State"] == "available" or not wait else None

    try:
        return wait_for(f"{image_id} to be available", look, AVAILABLE_SECONDS_MAX)
    except BaseException:  # Ctrl-C too: no image stays whose bundle is removed
        ec2.deregister_image(ImageId=image_id)
        raise


def register_once(ec2: Any, request: dict[str, Any]) -> str:
    """The id of the image that RegisterImage made; also where its answer got lost, and trying again found the name taken by it."""
    from botocore.exceptions import ClientError

    try:
        return str(ec2.register_image(**request)["ImageId"])
    except ClientError as error:
        if error.response["Error"]["Code"] != "InvalidAMIName.Duplicate":
            raise
        names = [{"Name": "name", "Values": [request["Name"]]}]
        for image in ec2.describe_images(Owners=["self"], Filters=names)["Images"]:
            if image["ImageLocation"] == request["ImageLocation"]:
                return str(image["ImageId"])
        raise
