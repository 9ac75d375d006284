"""``amiable launch``: RunInstances, and waiting for what was launched."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from amiable.cli.client import call, client, in_path, the_image, wait_for
from amiable.cli.output import Output, say, show_rows
from amiable.cli.whole import whole
from amiable.model.errors import LocalRefusal

RUNNING_SECONDS_MAX = 180.0
LOGIN_SECONDS_MAX = 120


def launch(
    image: Annotated[str, Parameter(help="Image id (ami-…), resolve:ssm:PARAMETER or resolve:digest:DIGEST.")],
    /,
    *,
    type: Annotated[str, Parameter(help="Instance type.")] = "amiable.tiny",
    key: Annotated[str | None, Parameter(help="Name of a key pair; its public key reaches the guest.")] = None,
    user_data: Annotated[Path | None, Parameter(help="File of user data (a script, cloud-config).")] = None,
    root_size: Annotated[
        int | None, Parameter(converter=whole, help="Size of the root volume in GiB; larger than the image's.")
    ] = None,
    kernel: Annotated[
        str | None, Parameter(help="Kernel (aki-…) instead of the image's, paravirtual images only.")
    ] = None,
    ramdisk: Annotated[str | None, Parameter(help="Ramdisk (ari-…) instead of the image's.")] = None,
    count: Annotated[int, Parameter(converter=whole, help="How many.")] = 1,
    name: Annotated[str | None, Parameter(help="Tag Name of the instances.")] = None,
    profile: Annotated[str | None, Parameter(help="Hardware profile instead of the one chosen for the image.")] = None,
    role: Annotated[str | None, Parameter(help="Instance profile whose role's credentials the guest gets.")] = None,
    subnet: Annotated[str | None, Parameter(help="Subnet (subnet-…) instead of the default one.")] = None,
    group: Annotated[
        tuple[str, ...],
        Parameter(help="Security group (sg-…) instead of the VPC's default one; again for more.", negative=()),
    ] = (),
    wait: Annotated[bool, Parameter(help="Wait until they run.", negative=())] = False,
    output: Output = "id",
) -> None:
    """Launches instances and prints their ids."""
    ec2 = client("ec2")
    request: dict[str, Any] = {"ImageId": image, "InstanceType": type, "MinCount": count, "MaxCount": count}
    optional = {"KeyName": key, "KernelId": kernel, "RamdiskId": ramdisk, "SubnetId": subnet}
    request |= {field: value for field, value in optional.items() if value is not None}
    if group:
        request["SecurityGroupIds"] = list(group)
    if role is not None:
        request["IamInstanceProfile"] = {"Name": role}
    if user_data is not None:
        request["UserData"] = read_user_data(user_data)
    if root_size is not None:
        image = request["ImageId"] = image_id_of(image)
        request["BlockDeviceMappings"] = [{"DeviceName": root_device(ec2, image), "Ebs": {"VolumeSize": root_size}}]
    request |= tagged({"Name": name, "amiable:hardware-profile": profile})
    instances = ec2.run_instances(**request)["Instances"]
    ids = [instance["InstanceId"] for instance in instances]
    if wait:
        instances = wait_until_all_run(ec2, ids)
    rows = [instance | {"State": instance["State"]["Name"]} for instance in instances]
    columns = {"instance": "InstanceId", "state": "State", "type": "InstanceType", "address": "PrivateIpAddress"}
    show_rows(rows, columns, output, identifier="InstanceId")
    hardware = call("GET", f"/instances/{ids[0]}/hardware")
    say(f"\nhardware profile {hardware['Profile']}: {hardware['Why']}")
    say(f"next: amiable instance {next_words(ids[0], has_key=key is not None) if wait else f'show {ids[0]}'}")


def next_words(instance_id: str, *, has_key: bool) -> str:
    """What to look at in a guest that has begun to start: its shell, or without a key its console."""
    return f"ssh {instance_id} --wait {LOGIN_SECONDS_MAX}" if has_key else f"console {instance_id} --follow"


def tagged(tags: dict[str, str | None]) -> dict[str, Any]:
    """RunInstances' parameter for those of the instances' tags that have a value; nothing where none has."""
    given = [{"Key": key, "Value": value} for key, value in tags.items() if value is not None]
    return {"TagSpecifications": [{"ResourceType": "instance", "Tags": given}]} if given else {}


def read_user_data(file: Path) -> bytes:
    """The file's bytes; refuses more than RunInstances takes, before anything is sent, and warns of what is encoded already."""
    from amiable.rules.launch import USER_DATA_BYTES_MAX
    from amiable.rules.user_data import looks_encoded

    data = file.read_bytes()
    if len(data) > USER_DATA_BYTES_MAX:
        raise LocalRefusal(
            f"{file} has {len(data)} bytes; user data is limited to {USER_DATA_BYTES_MAX}",
            hint="let a short script fetch the rest, or put it into the image",
        )
    if looks_encoded(data):
        say(f"warning: {file} looks like base64: the guest gets it as it stands and runs nothing of it")
    return data


def image_id_of(image: str) -> str:
    """The id behind a parameter or a digest: no other call than the launch itself takes those."""
    if image.startswith("resolve:ssm:"):
        return str(client("ssm").get_parameter(Name=image.removeprefix("resolve:ssm:"))["Parameter"]["Value"])
    if image.startswith("resolve:digest:"):
        digest = image.removeprefix("resolve:digest:")
        found = call("GET", f"/content-digests/{in_path(digest)}")["Images"]
        if not found:
            raise LocalRefusal(f"no image that you may launch has the content {digest}")
        return str(found[0]["ImageId"])
    return image


def root_device(ec2: Any, image: str) -> str:
    """The image's root device name."""
    found = the_image(ec2, image)
    name = found.get("RootDeviceName")
    if not name:
        raise LocalRefusal(f"{image} has no root device to resize")
    return str(name)


def wait_until_all_run(ec2: Any, ids: list[str]) -> list[dict[str, Any]]:
    """The instances once all run; where the wait ends before, all of them are named: no line of theirs was printed."""
    try:
        return [wait_until_running(ec2, instance_id) for instance_id in ids]
    except (LocalRefusal, KeyboardInterrupt):
        if len(ids) > 1:
            say(f"launched: {' '.join(ids)}")
        raise


def wait_until_running(ec2: Any, instance_id: str, seconds_max: float = RUNNING_SECONDS_MAX) -> dict[str, Any]:
    """The instance once it runs; a launch that ended otherwise is refused with its reason."""

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]
        state = found["State"]["Name"]
        if state == "running":
            return found
        if state != "pending":
            reason = found.get("StateReason", {})
            raise LocalRefusal(
                f"{instance_id} is {state}: {reason.get('Message', 'no reason given')}",
                hint=f"amiable instance console {instance_id}",
            )
        return None

    return wait_for(f"{instance_id} to run", look, seconds_max)
