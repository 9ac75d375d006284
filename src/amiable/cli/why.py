"""``amiable image why``: what keeps an image or a snapshot, how to free it, and what comes free."""

from typing import Annotated, Any, Final

from cyclopts import Parameter

from amiable.cli.client import call, in_path
from amiable.cli.output import Output, say, show_one, show_rows
from amiable.model.units import human_bytes

COLUMNS: Final = {"what": "Kind", "id": "ResourceId", "account": "AccountId", "why": "Why", "to free it": "Command"}


def why(
    resource: Annotated[str, Parameter(help="Image or snapshot id (ami-…, snap-…).")], /, *, output: Output = "table"
) -> None:
    """Shows everything that keeps an image or a snapshot, the command that frees each, and the bytes that would come free.

    Bytes are those of blocks that nothing else refers to; with an image go the snapshots that no other image is made of.
    """
    found = call("GET", f"/why/{in_path(resource)}")
    if output == "json":
        show_one(found, output, identifier="ResourceId")
        return
    show_rows([told(row) for row in found["Keepers"]], COLUMNS, output, identifier="ResourceId")
    if not found["Keepers"]:
        say(f"nothing keeps {resource}")
    say(f"\nwould come free: {human_bytes(found['FreeBytes'])} ({found['FreeBytes']} bytes)")


def told(row: dict[str, Any]) -> dict[str, Any]:
    """The row as a table shows it: another account's things by their number, what refuses a deletion marked."""
    words = row["Why"] + (" (refuses deletion)" if row["Blocks"] else "")
    return {**row, "ResourceId": row["ResourceId"] or f"{row['Count']} of them", "Why": words}
