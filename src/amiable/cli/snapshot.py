"""``amiable snapshot``: what volumes held at a moment."""

from typing import Annotated, Any, Final

import cyclopts
from cyclopts import Parameter

from amiable.cli.chosen import Yes, each_once, end_unless_meant, rehearse_each
from amiable.cli.client import client, wait_for
from amiable.cli.output import Output, show_one, show_rows
from amiable.model.errors import LocalRefusal

WAIT_SECONDS_MAX: Final = 4 * 3600.0

SnapshotId = Annotated[str, Parameter(help="Snapshot id (snap-…).")]

app = cyclopts.App(name="snapshot", help="Snapshots of volumes: create, list, show, delete.")


@app.command
def create(
    volume: Annotated[str, Parameter(help="Volume id (vol-…), attached or not.")],
    /,
    *,
    description: Annotated[str, Parameter(help="Description of the snapshot.")] = "",
    wait: Annotated[bool, Parameter(help="Wait until it is completed.", negative=())] = False,
    output: Output = "id",
) -> None:
    """Makes a snapshot of a volume as it is now; the guest goes on.  Costs what changed.  Prints the snapshot id."""
    ec2 = client("ec2")
    found = ec2.create_snapshot(VolumeId=volume, Description=description)
    if wait:
        found = wait_until_made(ec2, found["SnapshotId"])
    show_one({key: value for key, value in found.items() if key != "ResponseMetadata"}, output, identifier="SnapshotId")


def wait_until_made(ec2: Any, snapshot: str) -> dict[str, Any]:
    """The snapshot once it is completed; refuses one in error, with the reason."""

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = ec2.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"][0]
        return None if found["State"] == "pending" else found

    found = wait_for(f"{snapshot} to be completed", look, WAIT_SECONDS_MAX)
    if found["State"] != "completed":
        raise LocalRefusal(f"{snapshot} is in {found['State']}: {found.get('StateMessage') or 'no reason'}")
    return found


@app.command(name="list")
def list_(*, output: Output = "table") -> None:
    """Lists your snapshots, oldest first."""
    rows = client("ec2").describe_snapshots(OwnerIds=["self"])["Snapshots"]
    columns = {"snapshot": "SnapshotId", "volume": "VolumeId", "GiB": "VolumeSize", "state": "State"}
    columns |= {"progress": "Progress", "started": "StartTime", "description": "Description"}
    show_rows(sorted(rows, key=lambda row: row["StartTime"]), columns, output, identifier="SnapshotId")


@app.command
def show(snapshot: SnapshotId, /, *, output: Output = "table") -> None:
    """Shows one snapshot and, to its owner, who may make volumes of it."""
    ec2 = client("ec2")
    row = dict(ec2.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"][0])
    if row["OwnerId"] == client("sts").get_caller_identity()["Account"]:
        granted = ec2.describe_snapshot_attribute(SnapshotId=snapshot, Attribute="createVolumePermission")
        row["CreateVolumePermissions"] = granted["CreateVolumePermissions"]
    show_one(row, output, identifier="SnapshotId")


@app.command
def delete(*snapshot: SnapshotId, yes: Yes = False) -> None:
    """Deletes snapshots; nothing is done where one may not be deleted.  Prints their ids.

    Where a retention rule keeps them they wait in the Recycle Bin (amiable recycle-bin list).
    """
    wanted, ec2 = each_once(snapshot, "snapshot"), client("ec2")
    rehearse_each(ec2.delete_snapshot, "SnapshotId", wanted, yes=yes)
    rows = [] if yes else ec2.describe_snapshots(SnapshotIds=wanted)["Snapshots"]
    found = {row["SnapshotId"]: f"delete {row['SnapshotId']} ({row['VolumeSize']} GiB, {row['State']})" for row in rows}
    end_unless_meant(yes, [found[each] for each in wanted if each in found])
    for each in wanted:
        ec2.delete_snapshot(SnapshotId=each)
        print(each)
