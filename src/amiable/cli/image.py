"""``amiable image``: from a raw disk to an image, and who may launch it."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import cyclopts
from cyclopts import Parameter

from amiable.cli.architecture import architecture_of
from amiable.cli.chosen import Yes, each_once, end_unless_meant, rehearse_each
from amiable.cli.client import call, client, in_path, the_image
from amiable.cli.output import Output, say, show_one, show_rows
from amiable.cli.readable import first_ones
from amiable.model.errors import LocalRefusal
from amiable.rules.boot_ways import remark, ways_of
from amiable.rules.partition_table import HEAD_BYTES
from amiable.rules.register import check_device_name, check_name

app = cyclopts.App(name="image", help="Machine images: import, list, show, share, deregister.")

app.command("amiable.cli.image_build:build", name="build", help="Builds a house image, which every account may launch.")
app.command("amiable.cli.image_create:create", name="create", help="Makes an image of an instance's volumes.")
app.command("amiable.cli.image_create:copy", name="copy", help="Copies an image, within a region or from another.")
app.command("amiable.cli.why:why", name="why", help="What keeps an image or a snapshot, and how to free it.")

ImageId = Annotated[str, Parameter(help="Image id (ami-…).")]


@app.command(name="import")
def import_(
    file: Annotated[Path, Parameter(help="Raw disk image.")],
    /,
    *,
    name: Annotated[str | None, Parameter(help="Name of the image. Default: the file's.")] = None,
    description: Annotated[str, Parameter(help="Description of the image.")] = "",
    arch: Annotated[str, Parameter(help="Architecture: x86_64 or i386.")] = "x86_64",
    root_device: Annotated[str, Parameter(help="Root device name.")] = "/dev/sda1",
    virtualization: Annotated[Literal["hvm", "paravirtual"], Parameter(help="How it is virtualised.")] = "hvm",
    boot_mode: Annotated[
        Literal["legacy-bios", "uefi", "uefi-preferred"] | None,
        Parameter(help="Firmware. Default: the instance type's."),
    ] = None,
    kernel: Annotated[str | None, Parameter(help="Default kernel (aki-…), paravirtual only.")] = None,
    ramdisk: Annotated[str | None, Parameter(help="Default ramdisk (ari-…), paravirtual only.")] = None,
    ena: Annotated[bool, Parameter(help="The guest has an ENA driver.", negative=())] = False,
    output: Output = "id",
) -> None:
    """Uploads FILE as a snapshot over EBS direct and registers it as an image.  Prints the image id."""
    from amiable.cli.upload import upload_snapshot

    architecture = architecture_of(arch)
    ec2 = client("ec2")
    called = name or default_name(file)
    request: dict[str, Any] = {
        "Name": called,
        "Architecture": architecture,
        "VirtualizationType": virtualization,
        "RootDeviceName": root_device,
    }
    optional = {"Description": description or None, "BootMode": boot_mode, "KernelId": kernel, "RamdiskId": ramdisk}
    request |= {field: value for field, value in optional.items() if value is not None}
    if ena:
        request["EnaSupport"] = True
    check_name(called)
    check_device_name(root_device, virtualization)
    refuse_taken_name(ec2, called)
    snapshot = upload_snapshot(file, description or f"{called}, from {file.name}")
    image = register(ec2, request, snapshot)
    found = the_image(ec2, image)
    show_one(found, output, identifier="ImageId")
    say_equal(image)
    starts_not = virtualization == "hvm" and say_odd_ways(file, boot_mode)
    say(f"\nnext: amiable {f'image deregister {image} --yes' if starts_not else f'launch {image}'}")


def register(ec2: Any, request: dict[str, Any], snapshot: str) -> str:
    """The id of the image that ``request`` registers over ``snapshot``, its root; the snapshot goes where that fails."""
    from amiable.cli.upload import delete_after_failure

    root = {"DeviceName": request["RootDeviceName"], "Ebs": {"SnapshotId": snapshot, "DeleteOnTermination": True}}
    try:
        return str(ec2.register_image(**request, BlockDeviceMappings=[root])["ImageId"])
    except BaseException:  # Ctrl-C too: no snapshot stays that the user did not ask for
        delete_after_failure(ec2, snapshot, f"stays; to delete it: amiable snapshot delete {snapshot} --yes")
        raise


def say_odd_ways(file: Path, boot_mode: str | None) -> bool:
    """Says where a disk does not start by the boot mode that it was registered with; whether that is so."""
    with file.open("rb") as opened:
        noted = remark(ways_of(opened.read(HEAD_BYTES)), boot_mode)
    if noted is not None:
        say(f"note: as it is registered it will not start. {noted}")
    return noted is not None


def say_equal(image: str) -> None:
    """Says which images the new one equals: the same bytes under the same attributes."""
    equal = call("GET", f"/images/{in_path(image)}")["EqualTo"]
    if equal:
        say(f"the content is that of {', '.join(first_ones(equal))}")


def default_name(file: Path) -> str:
    """An image name made of the file's: legal characters, at least 3 of them."""
    stem = re.sub(r"[^A-Za-z0-9()\[\] ./'@_-]", "-", file.stem)[:128]
    return stem if len(stem) >= 3 else f"image-{stem}"


def refuse_taken_name(ec2: Any, name: str) -> None:
    """Refuses before the upload what RegisterImage would refuse after it."""
    pattern = re.sub(r"([\\*?])", r"\\\1", name)
    taken = ec2.describe_images(Owners=["self"], Filters=[{"Name": "name", "Values": [pattern]}])["Images"]
    if taken:
        raise LocalRefusal(
            f"AMI name {name} is already in use by AMI {taken[0]['ImageId']}",
            hint="choose another --name, or deregister it",
        )


@app.command(name="list")
def list_(
    *,
    owner: Annotated[str | None, Parameter(help="Account id or self. Default: every image you may see.")] = None,
    name: Annotated[str | None, Parameter(help="Name, with * and ?.")] = None,
    disabled: Annotated[bool, Parameter(help="Your disabled images too.", negative=())] = False,
    output: Output = "table",
) -> None:
    """Lists machine images."""
    filters = [{"Name": "image-type", "Values": ["machine"]}] + ([{"Name": "name", "Values": [name]}] if name else [])
    owners = {"Owners": [owner]} if owner else {}
    rows = client("ec2").describe_images(Filters=filters, IncludeDisabled=disabled, **owners)["Images"]
    for row in rows:
        row["Visibility"] = "public" if row.get("Public") else "private"
    columns = {
        "image": "ImageId",
        "name": "Name",
        "state": "State",
        "type": "VirtualizationType",
        "root": "RootDeviceType",
    }
    columns |= {"owner": "OwnerId", "visibility": "Visibility", "created": "CreationDate"}
    show_rows(sorted(rows, key=lambda row: row["CreationDate"]), columns, output, identifier="ImageId")


@app.command
def show(image: ImageId, /, *, output: Output = "table") -> None:
    """Shows one image, its mapping and, to its owner, who may launch it."""
    ec2 = client("ec2")
    row = dict(the_image(ec2, image))
    if row["OwnerId"] == client("sts").get_caller_identity()["Account"]:
        granted = ec2.describe_image_attribute(ImageId=image, Attribute="launchPermission")["LaunchPermissions"]
        row["LaunchPermissions"] = granted
    content = call("GET", f"/images/{in_path(image)}")
    row |= {key: content[key] for key in ("ContentDigest", "EqualTo") if content[key]}
    if output == "table" and content["EqualTo"]:
        row["EqualTo"] = first_ones(content["EqualTo"])
    show_one(row, output, identifier="ImageId")


@app.command
def find(
    digest: Annotated[str, Parameter(help="Content digest (sha256:…), as image show prints it.")],
    /,
    *,
    output: Output = "table",
) -> None:
    """Finds the images of one content that you may launch.  amiable launch resolve:digest:DIGEST takes the first."""
    rows = call("GET", f"/content-digests/{in_path(digest)}")["Images"]
    if not rows:
        raise LocalRefusal(f"no image that you may launch has the content {digest}")
    show_rows(rows, {"image": "ImageId", "name": "Name", "owner": "OwnerId"}, output, identifier="ImageId")


@app.command
def share(
    image: ImageId,
    /,
    *,
    account: Annotated[
        list[str] | None, Parameter(help="Account that may launch it (again for more).", negative=())
    ] = None,
    organization: Annotated[
        list[str] | None,
        Parameter(help="ARN of an organization or unit whose accounts may (again for more).", negative=()),
    ] = None,
    public: Annotated[bool, Parameter(help="Everybody may launch it.", negative=())] = False,
    remove: Annotated[bool, Parameter(help="Take the permission away instead.", negative=())] = False,
) -> None:
    """Lets accounts launch the image, or takes that away.  Prints who may launch it now."""
    grants: list[dict[str, str]] = [{"UserId": one} for one in account or []] + ([{"Group": "all"}] if public else [])
    for arn in organization or []:
        grants.append({"OrganizationalUnitArn" if ":ou/" in arn else "OrganizationArn": arn})
    if not grants:
        hint = "--account 123456789012, --organization ARN, or --public"
        raise LocalRefusal("nobody to share with", hint=hint, exit_code=2)
    ec2 = client("ec2")
    ec2.modify_image_attribute(ImageId=image, LaunchPermission={"Remove" if remove else "Add": grants})
    for grant in ec2.describe_image_attribute(ImageId=image, Attribute="launchPermission")["LaunchPermissions"]:
        print(*grant.values())


@app.command(name="public-access")
def public_access(
    change: Annotated[Literal["allow", "block"] | None, Parameter(help="Default: only tells the state.")] = None, /
) -> None:
    """Lets the account's images be made public, or guards them against it; those that are public stay so.  Prints the state."""
    ec2 = client("ec2")
    if change == "allow":
        ec2.disable_image_block_public_access()
    elif change == "block":
        ec2.enable_image_block_public_access(ImageBlockPublicAccessState="block-new-sharing")
    print(ec2.get_image_block_public_access_state()["ImageBlockPublicAccessState"])


@app.command
def deregister(
    *image: ImageId,
    yes: Yes = False,
    keep_snapshots: Annotated[bool, Parameter(help="Leave their snapshots.", negative=())] = False,
) -> None:
    """Deregisters images and deletes their snapshots; nothing is done where one may not be.  Running instances go on."""
    wanted, ec2 = each_once(image, "image"), client("ec2")
    found = [the_image(ec2, each) for each in wanted]
    rehearse_each(ec2.deregister_image, "ImageId", wanted, yes=yes)
    snapshots = {each["ImageId"]: [] if keep_snapshots else snapshots_of(each) for each in found}
    end_unless_meant(yes, [f"deregister {told(each, snapshots[each['ImageId']])}" for each in found])
    for each in wanted:
        ec2.deregister_image(ImageId=each)
        print(each)
    for snapshot in dict.fromkeys(one for each in snapshots.values() for one in each):
        delete_if_unused(ec2, snapshot)


def snapshots_of(image: dict[str, Any]) -> list[str]:
    """The snapshots in the image's mapping."""
    volumes = [mapping.get("Ebs", {}) for mapping in image.get("BlockDeviceMappings", [])]
    return [volume["SnapshotId"] for volume in volumes if volume.get("SnapshotId")]


def told(image: dict[str, Any], snapshots: list[str]) -> str:
    """The image as a person knows it again, and what goes with it."""
    doomed = f" and delete {', '.join(snapshots)}" if snapshots else ""
    return f"{image['ImageId']} ({image['Name']}){doomed}"


def delete_if_unused(ec2: Any, snapshot: str) -> None:
    """Deletes ``snapshot``; one that something else uses stays, and that is said."""
    from botocore.exceptions import ClientError

    try:
        ec2.delete_snapshot(SnapshotId=snapshot)
        print(snapshot)
    except ClientError as error:
        say(f"{snapshot} stays: {error.response['Error']['Message']}")
