"""Kernels and ramdisks of a cloud, as its DescribeImages and, where it is an Amiable, its list of kernels tell them."""

from typing import TYPE_CHECKING, Any

from amiable.cli.client import call
from amiable.cli.output import say
from amiable.model.errors import LocalRefusal

if TYPE_CHECKING:
    from amiable.rules.kernel_mapping import BootImage

EXIT_NOT_MAPPED = 6
EXIT_NO_SOURCE = 7
"""ec2-migrate-manifest's own exit codes."""


def boot_images_of(ec2: Any, *, is_own: bool, ids: list[str] | None = None) -> "list[BootImage]":
    """Every kernel and ramdisk that the caller sees there, or those of ``ids``.

    ``is_own``: the server is the one that the environment names, whose own API knows what a kernel is and whether it is approved.
    """
    request = {"ImageIds": ids} if ids else {"Filters": [{"Name": "image-type", "Values": ["kernel", "ramdisk"]}]}
    rows = ec2.describe_images(**request)["Images"]
    known = _own_kernels() if is_own else {}
    return [_boot_image(row, known.get(row["ImageId"], {})) for row in rows]


def _own_kernels() -> dict[str, dict[str, Any]]:
    """What Amiable's own API says, by id; nothing where another server answers."""
    try:
        return {row["ImageId"]: row for row in call("GET", "/kernels")["Kernels"]}
    except LocalRefusal as refusal:
        if refusal.exit_code != 69:
            raise
        return {}


def _boot_image(row: dict[str, Any], own: dict[str, Any]) -> "BootImage":
    from amiable.rules.kernel_mapping import BootImage

    return BootImage(
        id=row["ImageId"],
        image_type=row.get("ImageType", ""),
        owner_id=row.get("OwnerId", ""),
        location=row.get("ImageLocation", ""),
        architecture=row.get("Architecture", ""),
        kind=own.get("Kind"),
        is_approved=bool(own.get("Approved", True)),
    )


def source_images(ec2: Any, ids: list[str]) -> "list[BootImage]":
    """What the bundle's own cloud says of ``ids``; nothing of those that it does not know.  Exit code 7 where it does not answer."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    found: list[BootImage] = []
    for image_id in ids:
        try:
            found += boot_images_of(ec2, is_own=False, ids=[image_id])
        except ClientError as error:
            if not error.response["Error"]["Code"].startswith("InvalidAMIID"):
                raise
        except (BotoCoreError, ResponseParserError) as error:
            raise LocalRefusal(
                f"the source does not answer: {error}",
                hint="--source-url and --source-region name the bundle's own cloud; --kernel does without it",
                exit_code=EXIT_NO_SOURCE,
            ) from error
    return found


def map_all(ids: list[str], source: "list[BootImage]", target: "list[BootImage]") -> dict[str, str]:
    """What stands for each of ``ids`` at the target; says why.  Exit code 6 where nothing does."""
    from amiable.rules.kernel_mapping import map_boot_image

    mapped: dict[str, str] = {}
    for image_id in ids:
        found = map_boot_image(image_id, source, target)
        if found is None:
            raise LocalRefusal(
                f"nothing at the target stands for {image_id}",
                hint="--kernel and --ramdisk name what does (amiable kernel list), --no-mapping leaves it out, "
                "--source-url names the cloud that knows it",
                exit_code=EXIT_NOT_MAPPED,
            )
        say(found.why)
        mapped[image_id] = found.id
    return mapped
