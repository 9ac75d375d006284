"""``amiable volume``: disks on their own, and how they come to instances and leave them."""

from typing import Annotated, Any, Final

import cyclopts
from cyclopts import Parameter

from amiable.cli.chosen import Yes, each_once, end_unless_meant, rehearse_each
from amiable.cli.client import client, wait_for
from amiable.cli.output import Output, say, show_one, show_rows
from amiable.cli.whole import whole
from amiable.model.errors import LocalRefusal

app = cyclopts.App(name="volume", help="Volumes: list, show, create, attach, detach, resize, delete.")

STATE_SECONDS_MAX: Final = 120.0
COLUMNS: Final = {
    "volume": "VolumeId",
    "state": "State",
    "GiB": "Size",
    "type": "VolumeType",
    "zone": "AvailabilityZone",
    "snapshot": "SnapshotId",
    "instance": "InstanceId",
    "device": "Device",
    "attachment": "AttachmentState",
}

VolumeId = Annotated[str, Parameter(help="Volume id (vol-…).")]
Wait = Annotated[bool, Parameter(help="Wait until it is done.", negative=())]


@app.command(name="list")
def list_(*, output: Output = "table") -> None:
    """Lists volumes, and which instance has each."""
    pages = client("ec2").get_paginator("describe_volumes").paginate()
    rows = [_flat(volume) for page in pages for volume in page["Volumes"]]
    if output == "table":
        rows = [row | {"SnapshotId": row["SnapshotId"] or None} for row in rows]  # EC2 says "" of none
    show_rows(sorted(rows, key=lambda row: row["CreateTime"]), COLUMNS, output, identifier="VolumeId")


@app.command
def show(volume: VolumeId, /, *, output: Output = "table") -> None:
    """Shows one volume, and which instance has it."""
    show_one(_find(client("ec2"), volume), output, identifier="VolumeId")


@app.command
def create(
    *,
    size: Annotated[int | None, Parameter(converter=whole, help="GiB; without it as long as the snapshot.")] = None,
    snapshot: Annotated[str | None, Parameter(help="Snapshot to make it of (snap-…).")] = None,
    zone: Annotated[str | None, Parameter(help="Availability zone; without it the first.")] = None,
    type_: Annotated[str | None, Parameter(name="--type", help="gp2, gp3, io1, io2, st1, sc1 or standard.")] = None,
    iops: Annotated[int | None, Parameter(converter=whole, help="Operations a second (gp3, io1, io2).")] = None,
    throughput: Annotated[int | None, Parameter(converter=whole, help="MiB a second (gp3).")] = None,
    output: Output = "id",
) -> None:
    """Makes a volume, empty or of a snapshot.  Prints its id."""
    if size is None and snapshot is None:
        raise LocalRefusal("how large is it to be?", hint="--size GIB, or --snapshot snap-…", exit_code=2)
    ec2 = client("ec2")
    zone = zone or ec2.describe_availability_zones()["AvailabilityZones"][0]["ZoneName"]
    asked = {"Size": size, "SnapshotId": snapshot, "VolumeType": type_, "Iops": iops, "Throughput": throughput}
    given = {name: value for name, value in asked.items() if value is not None}
    show_one(_flat(ec2.create_volume(AvailabilityZone=zone, **given)), output, identifier="VolumeId")


@app.command
def attach(
    volume: VolumeId,
    instance: Annotated[str, Parameter(help="Instance id (i-…), running or stopped.")],
    device: Annotated[str, Parameter(help="Device name, such as /dev/sdf.")] = "/dev/sdf",
    /,
    *,
    wait: Wait = False,
) -> None:
    """Gives a volume to an instance.  The guest sees it by the serial number that is the volume's id without its dash."""
    ec2 = client("ec2")
    ec2.attach_volume(VolumeId=volume, InstanceId=instance, Device=device)
    if wait:
        _wait(ec2, volume, "attached")
    say(f"{volume} is {'attached' if wait else 'attaching'} to {instance} as {device}")


@app.command
def detach(
    volume: VolumeId,
    /,
    *,
    force: Annotated[bool, Parameter(help="Take it although the guest holds on.", negative=())] = False,
    wait: Wait = False,
) -> None:
    """Takes a volume from its instance."""
    ec2 = client("ec2")
    ec2.detach_volume(VolumeId=volume, Force=force)
    if wait:
        _wait(ec2, volume, None)
    say(f"{volume} is {'available' if wait else 'detaching'}")


@app.command
def resize(
    volume: VolumeId,
    size: Annotated[int, Parameter(converter=whole, help="GiB; never fewer.")],
    /,
    *,
    wait: Wait = False,
) -> None:
    """Makes a volume longer; the partition and the file system in it are the guest's to grow."""
    ec2 = client("ec2")
    ec2.modify_volume(VolumeId=volume, Size=size)
    if wait:

        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = ec2.describe_volumes_modifications(VolumeIds=[volume])["VolumesModifications"][0]
            return None if found["ModificationState"] == "modifying" else found

        ended = wait_for(f"{volume} to be changed", look, STATE_SECONDS_MAX)
        if ended["ModificationState"] == "failed":
            raise LocalRefusal(f"{volume} is as it was: {ended.get('StatusMessage') or 'no reason'}")
    say(f"{volume} {'has' if wait else 'is to have'} {size} GiB")


@app.command
def delete(*volume: VolumeId, yes: Yes = False) -> None:
    """Deletes available volumes with their bytes; nothing is done where one may not be deleted."""
    wanted, ec2 = each_once(volume, "volume"), client("ec2")
    rehearse_each(ec2.delete_volume, "VolumeId", wanted, yes=yes)
    rows = [] if yes else [_find(ec2, each) for each in wanted]
    end_unless_meant(yes, [f"delete {row['VolumeId']} ({row['Size']} GiB, {row['State']})" for row in rows])
    for each in wanted:
        ec2.delete_volume(VolumeId=each)
        say(f"{each} is deleting")


def _find(ec2: Any, volume: str) -> dict[str, Any]:
    return _flat(ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0])


def _wait(ec2: Any, volume: str, attachment: str | None) -> None:
    """Waits until the volume is attached, or (None) available; refuses where it went the other way."""

    def look() -> str | None:
        row = _find(ec2, volume)
        if row["State"] == "available" or row.get("AttachmentState") == attachment:
            return str(row["State"])
        return None

    hint = "" if attachment else f"does its guest hold on to it?  amiable volume detach {volume} --force"
    state = wait_for(f"{volume} to be {attachment or 'available'}", look, STATE_SECONDS_MAX, hint=hint)
    if attachment is not None and state == "available":
        raise LocalRefusal(f"{volume} could not be attached", hint="the server's log says why")


def _flat(volume: dict[str, Any]) -> dict[str, Any]:
    """The volume with its one attachment's fields beside its own."""
    row = {key: value for key, value in volume.items() if key not in ("ResponseMetadata", "Attachments")}
    for each in volume.get("Attachments") or []:
        row |= {"InstanceId": each["InstanceId"], "Device": each["Device"], "AttachmentState": each["State"]}
    return row
