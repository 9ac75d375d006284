"""``amiable image create`` and ``amiable image copy``: an image of an instance, and an image in another region."""

from collections.abc import Sequence
from typing import Annotated, Any, Final

from cyclopts import Parameter

from amiable.cli.client import client, session, the_image, wait_for
from amiable.cli.output import Output, say, show_one
from amiable.model.errors import LocalRefusal
from amiable.rules.register import check_name

WAIT_SECONDS_MAX: Final = 4 * 3600.0

Name = Annotated[str, Parameter(help="Name of the image.")]
Wait = Annotated[bool, Parameter(help="Wait until it is available.", negative=())]
Description = Annotated[str | None, Parameter(help="Description of the image.")]


def create(
    instance: Annotated[str, Parameter(help="Instance id (i-…), running or stopped.")],
    /,
    *,
    name: Name,
    description: Description = None,
    no_reboot: Annotated[
        bool, Parameter(help="Leave a running guest as it is: the disks are as after a power cut.", negative=())
    ] = False,
    leave_out: Annotated[
        tuple[str, ...],
        Parameter(
            name="--leave-out", help="Device (/dev/sdf) that the image shall not have; again for more.", negative=()
        ),
    ] = (),
    wait: Wait = False,
    output: Output = "id",
) -> None:
    """Makes an image of all of an instance's volumes, as they are at one moment.  Prints the image id.

    A running guest is shut down for it and started again in its place, so that its files are whole.
    """
    check_name(name)
    request: dict[str, Any] = {"InstanceId": instance, "Name": name, "NoReboot": no_reboot}
    if description is not None:
        request["Description"] = description
    ec2 = client("ec2")
    if leave_out:
        refuse_unknown(ec2, instance, leave_out)
        request["BlockDeviceMappings"] = [{"DeviceName": device, "NoDevice": ""} for device in leave_out]
    image = ec2.create_image(**request)["ImageId"]
    found = wait_until_made(ec2, image) if wait else the_image(ec2, image)
    show_one(found, output, identifier="ImageId")
    say(f"\nnext: amiable launch {image}" if wait else f"\nnext: amiable image show {image}")


def refuse_unknown(ec2: Any, instance: str, devices: Sequence[str]) -> None:
    """Refuses a device that is none of the instance's: CreateImage passes it over, and the volume that was meant gets into the image."""
    found = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    there = {each["DeviceName"] for each in found["BlockDeviceMappings"]}
    unknown = [device for device in devices if device not in there]
    if not unknown:
        return
    types = ec2.describe_instance_types(InstanceTypes=[found["InstanceType"]])["InstanceTypes"]
    if any(each["InstanceStorageSupported"] for each in types):  # its local disks are told of nowhere
        return
    raise LocalRefusal(f"{instance} has no {unknown[0]} to leave out", hint=f"it has {', '.join(sorted(there))}")


def wait_until_made(ec2: Any, image: str) -> dict[str, Any]:
    """The image once it is available; refuses one that failed, with the reason."""

    def look() -> dict[str, Any] | None:
        found = the_image(ec2, image)
        return None if found["State"] == "pending" else found

    found = wait_for(f"{image} to be made", look, WAIT_SECONDS_MAX)
    if found["State"] != "available":
        raise LocalRefusal(f"{image} is {found['State']}: {found.get('StateReason', {}).get('Message', 'no reason')}")
    return found


def copy(
    image: Annotated[str, Parameter(help="Image id (ami-…).")],
    /,
    *,
    name: Name,
    source_region: Annotated[str | None, Parameter(help="Region of the image. Default: the region called.")] = None,
    description: Annotated[str | None, Parameter(help="Default: that of the image.")] = None,
    tags: Annotated[bool, Parameter(help="Copy your own tags of it too.", negative=())] = False,
    wait: Wait = False,
    output: Output = "id",
) -> None:
    """Copies an image into the region called (AWS_REGION).  Its blocks are shared, so it is there at once.  Prints the image id."""
    check_name(name)
    ec2 = client("ec2")
    region = source_region or str(session().region_name)
    request: dict[str, Any] = {"SourceImageId": image, "SourceRegion": region, "Name": name, "CopyImageTags": tags}
    if description is not None:
        request["Description"] = description
    made = ec2.copy_image(**request)["ImageId"]
    found = wait_until_made(ec2, made) if wait else the_image(ec2, made)
    show_one(found, output, identifier="ImageId")
