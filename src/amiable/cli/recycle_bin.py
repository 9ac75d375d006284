"""``amiable recycle-bin``: what deleted images and snapshots are kept, by which rules, and whether the rules fit together."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import cyclopts
from cyclopts import Parameter

from amiable.cli.chosen import each_once, rehearse_each
from amiable.cli.client import call, client
from amiable.cli.output import Output, say, show_rows
from amiable.model.errors import LocalRefusal

CONTENTS = {"id": "ResourceId", "type": "ResourceType", "name": "Name", "entered": "EnteredAt", "leaves": "ExitAt"}
PLAN = {
    "image": "ImageId",
    "name": "Name",
    "state": "State",
    "rule": "RuleIdentifier",
    "days": "Days",
    "leaves": "ExitAt",
}

app = cyclopts.App(
    name="recycle-bin", help="The Recycle Bin: what is in it, restoring it, its rules, and a plan with warnings."
)
app.command(
    "amiable.cli.recycle_bin_rule:app", name="rule", help="Rules: create, list, show, update, lock, unlock, delete."
)
app.command("amiable.cli.recycle_bin_rule:list_", name="rules", show=False)  # its name before there were other verbs


@app.command(name="list")
def list_(*, output: Output = "table") -> None:
    """Lists your images and snapshots in the Recycle Bin, and when each leaves it for good."""
    rows = call("GET", "/recycle-bin")["Contents"]
    show_rows(rows, CONTENTS, output, identifier="ResourceId")
    if rows and output == "table":
        say(f"\nto bring it back: amiable recycle-bin restore {rows[-1]['ResourceId']}")


@app.command
def restore(*resource: Annotated[str, Parameter(help="Image or snapshot id (ami-…, snap-…).")]) -> None:
    """Brings images and snapshots back, snapshots first: an image needs its own.  Prints their ids as they come back."""
    from botocore.exceptions import ClientError

    wanted, ec2 = each_once(resource, "image or snapshot", noun="recycle-bin"), client("ec2")
    snapshots = [each for each in wanted if each.startswith("snap-")]
    try:
        _restore(ec2.restore_snapshot_from_recycle_bin, "SnapshotId", snapshots)
        _restore(ec2.restore_image_from_recycle_bin, "ImageId", [each for each in wanted if each not in snapshots])
    except ClientError as error:
        code, words = error.response["Error"]["Code"], error.response["Error"]["Message"]
        if not code.endswith((".NotFound", ".Malformed")):
            raise
        raise LocalRefusal(f"{code}: {words}", hint="amiable recycle-bin list") from None


def _restore(operation: Callable[..., Any], parameter: str, wanted: Sequence[str]) -> None:
    """Restores all of one kind; none where one cannot be."""
    rehearse_each(operation, parameter, wanted, yes=True)
    for each in wanted:
        operation(**{parameter: each})
        print(each)


@app.command
def plan(*, output: Output = "table") -> None:
    """Lists your images with the rule that would keep each, and warns of snapshots that would leave the bin before their image."""
    rows = call("GET", "/retention-plan")["Images"]
    show_rows(rows, PLAN, output, identifier="ImageId")
    for row in rows:
        for warning in row["Warnings"]:
            say(f"warning: {row['ImageId']}: {warning}")
