"""``amiable channel``: names that point at images, move forward and back, and are launched through."""

from typing import Annotated, Any

import cyclopts
from cyclopts import Parameter

from amiable.cli.client import call, in_path
from amiable.cli.output import Output, say, show_one, show_rows
from amiable.cli.whole import whole
from amiable.rules.channels import check_name

app = cyclopts.App(name="channel", help="Channels: create, promote, rollback, list, show, history, share, delete.")

Name = Annotated[str, Parameter(help="Name of the channel, such as debian-12/stable.")]
Image = Annotated[str, Parameter(help="Image id (ami-…).")]
Expected = Annotated[
    int | None,
    Parameter(
        converter=whole, name="--from-version", help="Only if the channel is at this version: else nothing moves."
    ),
]

COLUMNS = {
    "channel": "Name",
    "image": "ImageId",
    "version": "Version",
    "moved": "MovedAt",
    "owner": "OwnerId",
    "parameter": "ReadAs",
}


@app.command
def create(
    name: Name,
    image: Image,
    /,
    *,
    description: Annotated[str, Parameter(help="Description of the channel.")] = "",
    public: Annotated[bool, Parameter(help="Everybody of the region may read it.", negative=())] = False,
    output: Output = "table",
) -> None:
    """Creates a channel that points at IMAGE."""
    check_name(name)
    body = {"Name": name, "ImageId": image, "Public": public, "Description": description}
    _tell(call("POST", "/channels", body), output)


@app.command
def promote(name: Name, image: Image, /, *, expected: Expected = None, output: Output = "table") -> None:
    """Points the channel at IMAGE: launches through it take IMAGE from now on."""
    _tell(call("POST", f"{_path(name)}/promote", {"ImageId": image, "ExpectedVersion": expected}), output)


@app.command
def rollback(
    name: Name,
    /,
    *,
    to: Annotated[
        int | None, Parameter(converter=whole, help="Version to go back to. Default: before the current image came.")
    ] = None,
    expected: Expected = None,
    output: Output = "table",
) -> None:
    """Points the channel back at the image that it pointed at before."""
    _tell(call("POST", f"{_path(name)}/rollback", {"Version": to, "ExpectedVersion": expected}), output)


@app.command(name="list")
def list_(*, output: Output = "table") -> None:
    """Lists your channels and the public ones."""
    rows = call("GET", "/channels")["Channels"]
    for row in rows:
        row["ReadAs"] = row["PublicParameter"] or row["Parameter"]
    show_rows(rows, COLUMNS, output, identifier="Name")


@app.command
def show(name: Name, /, *, output: Output = "table") -> None:
    """Shows one channel, and the parameters by which it is read."""
    show_one(call("GET", _path(name)), output, identifier="ImageId")


@app.command
def history(name: Name, /, *, output: Output = "table") -> None:
    """Lists where the channel pointed, oldest first."""
    rows = call("GET", f"{_path(name)}/history")["Versions"]
    columns = {
        "version": "Version",
        "image": "ImageId",
        "restores": "Restores",
        "since": "MovedAt",
        "by": "AccessKeyId",
    }
    show_rows(rows, columns, output, identifier="ImageId")


@app.command
def share(
    name: Name,
    /,
    *,
    remove: Annotated[bool, Parameter(help="Nobody else reads it any more.", negative=())] = False,
    output: Output = "table",
) -> None:
    """Lets everybody of the region read the channel.  Who launches through it must be allowed to launch its image."""
    _tell(call("PUT", f"{_path(name)}/visibility", {"Public": not remove}), output)


@app.command
def delete(
    name: Name,
    /,
    *,
    yes: Annotated[bool, Parameter(help="Really; without it nothing is done.", negative=())] = False,
) -> None:
    """Deletes the channel with its history; the images stay."""
    found = call("GET", _path(name))
    if not yes:
        say(f"would delete {name}, which points at {found['ImageId']}\n\nhint: add --yes to do it")
        raise SystemExit(1)
    call("DELETE", _path(name))
    print(name)


def _path(name: str) -> str:
    """The channel's path; its name's slashes are encoded."""
    return f"/channels/{in_path(name)}"


def _tell(channel: dict[str, Any], output: Output) -> None:
    show_one(channel, output, identifier="ImageId")
    if output == "table":
        say(f"\nto launch: amiable launch resolve:ssm:{channel['Parameter']}")
