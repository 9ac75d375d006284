"""What may become of volumes and snapshots, as they are told: which state may follow on which, and which figures.

Nothing of the product is used here.
"""

from dataclasses import dataclass
from itertools import combinations
from typing import Final

from tests.server.volume_model import GONE, Machine, Model, Volume, clash

MOVES: Final = {
    "available": set(),
    "attaching": {"attached", "detaching", "available"},
    "attached": set(),
    "detaching": {"available"},
    "deleting": {GONE},
    GONE: set(),
}  # fmt: skip
"""What becomes of a volume that nobody asks anything of."""
ENDS: Final = {"available", "deleting", GONE}
"""And of one whose instance ends."""


@dataclass(frozen=True)
class Told:
    """One volume as DescribeVolumes tells it; ``change`` is the state of its newest change."""

    size_gib: int
    type: str
    state: str
    instance_id: str | None
    device: str | None
    goes: bool
    change: str | None


def hear(model: Model, volumes: dict[str, Told], snapshots: dict[str, str], machines: dict[str, Machine]) -> None:
    """Takes what is told now; asserts that it may follow on what was told before, and on what was asked since."""
    before, model.machines = model.machines, machines
    assert volumes.keys() <= model.volumes.keys(), volumes.keys() - model.volumes.keys()
    for volume_id, volume in model.volumes.items():
        _hear_volume(model, volume, volumes.get(volume_id), before)
    for snapshot_id, snapshot in model.snapshots.items():
        told = snapshots.get(snapshot_id, GONE)
        assert told == snapshot.state or (snapshot.state == "pending" and told in ("completed", "error")), told
        snapshot.state = told
    for one, other in combinations([it for it in volumes.values() if it.device], 2):
        assert one.instance_id != other.instance_id or not clash(str(one.device), str(other.device)), (one, other)


def _hear_volume(model: Model, volume: Volume, told: Told | None, before: dict[str, Machine]) -> None:
    state = told.state if told is not None else GONE
    assert state == volume.state or state in _next(model, volume, before), (volume, told)
    if told is None:
        volume.state, volume.instance_id, volume.device, volume.target = GONE, None, None, None
        return
    if state in ("attaching", "attached", "detaching"):
        assert (told.instance_id, told.device, told.goes) == (volume.instance_id, volume.device, volume.goes), told
    else:
        assert (told.instance_id, told.device) == (None, None), told
        volume.instance_id, volume.device, volume.goes = None, None, False
    figures = (told.size_gib, told.type)
    if volume.target is not None and told.change != "modifying":
        assert figures == (volume.target if told.change == "completed" else (volume.size_gib, volume.type)), told
        volume.target = None
    else:
        assert figures == (volume.size_gib, volume.type), (volume, told)
    assert told.size_gib >= volume.size_gib
    volume.state, volume.size_gib, volume.type = state, *figures


def _next(model: Model, volume: Volume, before: dict[str, Machine]) -> set[str]:
    """All that may have become of a volume since it was heard of."""
    found, states = set(), {volume.state}
    if volume.instance_id is not None and _has_ended(model, volume.instance_id):
        was_new = before[volume.instance_id].state == "pending"  # an instance that never ran keeps nothing
        is_leaving = volume.state == "detaching"
        found |= {"available"} if is_leaving or (not volume.goes and not was_new) else ENDS
    while states:
        found |= states
        states = {after for state in states for after in MOVES[state]} - found
    return found | ({GONE} if "deleting" in found else set())


def _has_ended(model: Model, instance_id: str) -> bool:
    machine = model.machines.get(instance_id)
    return machine is None or machine.state == "terminated"
