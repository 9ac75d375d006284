"""What was written to a disk since its last snapshot: a persistent dirty bitmap in its file, named after that snapshot.

    since-A records ──moment of B──▶ since-A stands still, is exported with the disk, and goes with the moment of C
                                     since-B records ──▶ …

A bitmap is believed only where QEMU says that it is whole (one that was killed leaves it inconsistent) and its snapshot is completed;
else the next snapshot reads all that the overlay has.
"""

import contextlib
from typing import Any, Final

from amiable.model.hardware import Disk
from amiable.vm.qmp import Qmp, QmpError

SINCE: Final = "since-"
"""The name of a bitmap is this and the digits of a snapshot's id."""


def node_of(nodes: list[dict[str, Any]], disk: Disk) -> dict[str, Any]:
    """The node of the overlay itself, whatever lies above it."""
    return next(node for node in nodes if node["drv"] == "qcow2" and disk.overlay in node["file"])


def mark(qmp: Qmp, node: dict[str, Any], snapshot: str, known: frozenset[str]) -> str | None:
    """Lets a bitmap of what is written from now on begin; the snapshot since which another, which ends now, holds all that was."""
    about: dict[str, Any] = {"node": node["node-name"]}
    bitmaps = {str(each.get("name", "")): each for each in node.get("dirty-bitmaps", [])}
    ours = {name: each for name, each in bitmaps.items() if name.startswith(SINCE)}
    whole = [name for name, each in ours.items() if each["recording"] and not each.get("inconsistent")]
    since = next((name for name in whole if name.removeprefix(SINCE) in known), None)
    for name in ours:
        if name != since:
            qmp.execute("block-dirty-bitmap-remove", name=name, **about)
    with contextlib.suppress(QmpError):  # a file that can hold none: the next snapshot reads all that the overlay has
        qmp.execute("block-dirty-bitmap-add", name=SINCE + snapshot, persistent=True, **about)
    if since is None:
        return None
    qmp.execute("block-dirty-bitmap-disable", name=since, **about)
    return since.removeprefix(SINCE)
