"""Volumes as EC2's documentation has them, in the smallest terms: what a call is answered with.

Nothing of the product is used here.  A method named like a call gives the codes of the reasons to refuse it: it must be refused by one
of them, and be done where there are none.  What becomes of a volume afterwards is :mod:`tests.server.volume_moves`'s.
"""

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

GONE: Final = "gone"
CHANGES: Final = {
    "grow": (1, None, None),
    "shrink": (-1, None, None),
    "same size": (0, None, None),
    "faster": (0, "gp3", 3000),
    "grow and slow down": (1, "gp2", None),
    "rate without a type": (0, "gp2", 3000),
    "no such type": (0, "gp9", None),
}
"""GiB more, the type, and the rate that are asked for."""
CHANGES_MAX, CHANGES_HOURS, PENDING_MAX = 4, 24, 5
HEARD: Final = ("running", "stopped", "stopping")


@dataclass(frozen=True)
class Machine:
    """An instance as it is told; ``is_nvme``: it shows its disks by NVMe, and cannot tell its guest that one grew."""

    state: str
    is_nvme: bool


@dataclass
class Volume:
    """``state`` is that of the attachment while there is one; ``target`` what a change under way makes of size and type."""

    size_gib: int
    type: str = "gp2"
    snapshot_id: str | None = None
    state: str = "available"
    instance_id: str | None = None
    device: str | None = None
    goes: bool = False
    target: tuple[int, str] | None = None
    changed_at: list[datetime] = field(default_factory=list)


@dataclass
class Snapshot:
    volume_id: str
    size_gib: int
    number: int  # of the newest write when it was asked for
    state: str = "pending"


def place(device: str) -> tuple[str, str]:
    """The disk and the partition that a device name means, with its directory or without."""
    found = re.fullmatch(r"(?:/dev/)?((?:sd|xvd)[a-z])(\d*)", device)
    assert found, device
    return found[1], found[2]


def clash(one: str, other: str) -> bool:
    (disk, part), (disk_there, part_there) = place(one), place(other)
    return disk == disk_there and (part == part_there or "" in (part, part_there))


class Model:
    """All volumes, snapshots and instances of one owner; ``disks_max`` on one instance."""

    def __init__(self, root_device: str, disks_max: int) -> None:
        self.root_device, self.disks_max = root_device, disks_max
        self.volumes: dict[str, Volume] = {}
        self.snapshots: dict[str, Snapshot] = {}
        self.machines: dict[str, Machine] = {}

    def held(self, instance_id: str | None) -> list[Volume]:
        return [each for each in self.volumes.values() if instance_id and each.instance_id == instance_id]

    def state(self, volume_id: str) -> str:
        return self.volumes[volume_id].state

    # ── calls ───────────────────────────────────────────────────────────────────────────────────────────────────────────

    def create(self, size_gib: int | None, snapshot_id: str | None) -> set[str]:
        if snapshot_id is None:
            return {"MissingParameter"} if size_gib is None else set()
        snapshot = self.snapshots[snapshot_id]
        if snapshot.state == GONE:
            return {"InvalidSnapshot.NotFound"}
        codes = {"IncorrectState"} if snapshot.state != "completed" else set()
        return codes | ({"InvalidParameterValue"} if size_gib is not None and size_gib < snapshot.size_gib else set())

    def attach(self, volume_id: str, instance_id: str, device: str) -> set[str]:
        volume, machine, held = self.volumes[volume_id], self.machines.get(instance_id), self.held(instance_id)
        return _codes(
            (volume.state == GONE, "InvalidVolume.NotFound"),
            (volume.state == "deleting", "IncorrectState"),
            (volume.instance_id is not None, "VolumeInUse"),
            (volume.target is not None, "OperationNotPermitted"),
            (machine is None, "InvalidInstanceID.NotFound"),
            (machine is not None and machine.state not in ("running", "stopped"), "IncorrectState"),
            (any(clash(device, str(each.device)) for each in held), "InvalidParameterValue"),
            (len(held) >= self.disks_max, "AttachmentLimitExceeded"),
        )

    def detach(self, volume_id: str, instance_id: str | None, device: str | None) -> set[str]:
        volume = self.volumes[volume_id]
        if volume.instance_id is None:
            return {"InvalidVolume.NotFound" if volume.state == GONE else "IncorrectState"}
        machine = self.machines[volume.instance_id]
        return _codes(
            (instance_id not in (None, volume.instance_id), "InvalidAttachment.NotFound"),
            (device not in (None, volume.device), "InvalidAttachment.NotFound"),
            (machine.state not in HEARD, "IncorrectState"),
            (machine.state != "stopped" and self.is_root(volume), "OperationNotPermitted"),
        )

    def is_root(self, volume: Volume) -> bool:
        names = [each.device for each in self.held(volume.instance_id)]
        disk = self.root_device.rstrip("0123456789")
        return volume.device == (self.root_device if self.root_device in names else disk)

    def delete(self, volume_id: str) -> set[str]:
        volume = self.volumes[volume_id]
        return _codes(
            (volume.state == GONE, "InvalidVolume.NotFound"),
            (volume.state == "deleting", "IncorrectState"),
            (volume.instance_id is not None, "VolumeInUse"),
        )

    def modify(self, volume_id: str, change: str, now: datetime) -> set[str]:
        volume, (more, type_, rate) = self.volumes[volume_id], CHANGES[change]
        machine = self.machines.get(volume.instance_id or "")
        is_live_nvme = machine is not None and machine.state != "stopped" and machine.is_nvme
        recent = [each for each in volume.changed_at if now - each < timedelta(hours=CHANGES_HOURS)]
        return _codes(
            (volume.state == GONE, "InvalidVolume.NotFound"),
            (volume.state == "deleting", "IncorrectState"),
            (volume.target is not None, "IncorrectModificationState"),
            (len(recent) >= CHANGES_MAX, "VolumeModificationRateExceeded"),
            (more < 0, "InvalidParameterValue"),
            (type_ == "gp9", "UnknownVolumeType"),
            (type_ == "gp2" and rate is not None, "InvalidParameterCombination"),
            (more > 0 and is_live_nvme, "UnsupportedOperation"),
        )

    def snapshot(self, volume_id: str) -> set[str]:
        pending = [each for each in self.snapshots.values() if (each.volume_id, each.state) == (volume_id, "pending")]
        return _codes(
            (self.state(volume_id) == GONE, "InvalidVolume.NotFound"),
            (self.state(volume_id) == "deleting", "IncorrectState"),
            (len(pending) >= PENDING_MAX, "ConcurrentSnapshotLimitExceeded"),
        )

    def delete_snapshot(self, snapshot_id: str) -> set[str]:
        users = [it for it in self.volumes.values() if it.snapshot_id == snapshot_id and it.state != GONE]
        return _codes(
            (self.snapshots[snapshot_id].state == GONE, "InvalidSnapshot.NotFound"),
            (bool(users), "InvalidSnapshot.InUse"),
        )

    def keep(self, instance_id: str, device: str) -> set[str]:
        machine = self.machines.get(instance_id)
        return _codes(
            (machine is None, "InvalidInstanceID.NotFound"),
            (machine is not None and machine.state in ("shutting-down", "terminated"), "IncorrectInstanceState"),
            (device not in {each.device for each in self.held(instance_id)}, "InvalidInstanceAttributeValue"),
        )


def _codes(*reasons: tuple[bool, str]) -> set[str]:
    return {code for is_so, code in reasons if is_so}
