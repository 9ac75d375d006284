"""``instance timeline``: one line a stage, with seconds since its boot began."""

from typing import Any

from amiable.cli.output import Output, show_rows


def show_timeline(boots: list[dict[str, Any]], output: Output) -> None:
    """Prints the boots as a table of their stages, or as the API has them."""
    if output == "json":
        show_rows(boots, {}, output, identifier="Position")
        return
    columns = {"boot": "Position", "began": "Began", "stage": "Stage", "seconds": "Seconds", "note": "Note"}
    show_rows([row for boot in boots for row in rows_of(boot)], columns, output, identifier="Position")


def rows_of(boot: dict[str, Any]) -> list[dict[str, Any]]:
    """The stages of one boot, then what stopped it."""
    began = f"{boot['BeganAt']} by {boot['BeganBy']}"
    rows = [
        {
            "Position": boot["Position"],
            "Began": began if place == 0 else "",
            "Stage": mark["Stage"],
            "Seconds": f"{mark['Seconds']:.2f}",
            "Note": "at the latest" if mark["AtLatest"] else "",
        }
        for place, mark in enumerate(boot["Marks"])
    ]
    if boot["Cause"] or not rows:
        cause = boot["Cause"] or {"Fault": "", "Words": "nothing was seen yet"}
        first = "" if rows else began
        rows.append(
            {
                "Position": boot["Position"],
                "Began": first,
                "Stage": cause["Fault"],
                "Seconds": "",
                "Note": cause["Words"],
            }
        )
    return rows
