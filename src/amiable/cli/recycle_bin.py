"""``amiable recycle-bin``: what deleted images and snapshots are kept, by which rules, and whether the rules fit together.

Rules are made with ``aws rbin create-rule``, and what is kept comes back with ``aws ec2 restore-…-from-recycle-bin``.
"""

import cyclopts

from amiable.cli.client import call
from amiable.cli.output import Output, say, show_rows

CONTENTS = {"id": "ResourceId", "type": "ResourceType", "name": "Name", "entered": "EnteredAt", "leaves": "ExitAt"}
RULES = {
    "rule": "Identifier",
    "type": "ResourceType",
    "days": "Days",
    "keeps": "Keeps",
    "except": "Except",
    "lock": "Lock",
    "description": "Description",
}
PLAN = {
    "image": "ImageId",
    "name": "Name",
    "state": "State",
    "rule": "RuleIdentifier",
    "days": "Days",
    "leaves": "ExitAt",
}

app = cyclopts.App(name="recycle-bin", help="The Recycle Bin: what is in it, its rules, and a plan with warnings.")


@app.command(name="list")
def list_(*, output: Output = "table") -> None:
    """Lists your images and snapshots in the Recycle Bin, and when each leaves it for good."""
    rows = call("GET", "/recycle-bin")["Contents"]
    show_rows(rows, CONTENTS, output, identifier="ResourceId")
    if rows and output == "table":
        noun = rows[-1]["ResourceType"]
        say(f"\nto bring it back: aws ec2 restore-{noun}-from-recycle-bin --{noun}-id {rows[-1]['ResourceId']}")


@app.command
def rules(*, output: Output = "table") -> None:
    """Lists your retention rules for images and snapshots."""
    show_rows(call("GET", "/retention-rules")["Rules"], RULES, output, identifier="Identifier")


@app.command
def plan(*, output: Output = "table") -> None:
    """Lists your images with the rule that would keep each, and warns of snapshots that would leave the bin before their image."""
    rows = call("GET", "/retention-plan")["Images"]
    show_rows(rows, PLAN, output, identifier="ImageId")
    for row in rows:
        for warning in row["Warnings"]:
            say(f"warning: {row['ImageId']}: {warning}")
