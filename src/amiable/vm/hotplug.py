"""Disks that come and go while the machine runs, grow, and are held to their rates: QEMU's monitor, asked by names.

    plug     block nodes ─▶ device_add in a free slot               unplug   device_del ─▶ the guest lets go ─▶ nodes deleted
    empty    a disk that fails every request, in a held disk's place, so that its file can be taken away

Names come from the volume's id (``model/hardware.Disk``), so what is there is seen by looking, and each call may be made again.
A guest without an operating system never lets go; nor does one that has the disk open, if its system refuses.
"""

import contextlib
import time
from typing import Any, Final

from amiable.model.hardware import Disk, Profile
from amiable.rules.qemu_command import SLOTS, SLOTS_MAX, disk_nodes, has_slots, hot_driver
from amiable.rules.volume_type import Limits
from amiable.vm import patience
from amiable.vm.machine import MachineFailed
from amiable.vm.qmp import Qmp, QmpError

PERIPHERALS: Final = "/machine/peripheral"
LOOK_SECONDS: Final = 0.2
EMPTY: Final = "empty-"
"""The node in place of a disk that was taken by force is this and the disk's."""


def plug(qmp: Qmp, disk: Disk, profile: Profile) -> None:
    """The guest has the disk; its file is there and its base is being exported.  Raises MachineFailed with nothing left."""
    if has_device(qmp, disk):
        if EMPTY + disk.node in _nodes(qmp):
            raise MachineFailed(f"the guest still holds the disk {disk.volume_id}, which was taken from it by force")
        return
    place: dict[str, Any] = {"bus": SLOTS} if has_slots(profile) else {}
    try:
        if place:
            _require_slot(qmp)
        known = _nodes(qmp)
        for node in disk_nodes(disk):
            if node["node-name"] not in known:
                qmp.execute("blockdev-add", **node)
        qmp.execute(
            "device_add", driver=hot_driver(profile), id=disk.device, drive=disk.node, serial=disk.serial, **place
        )
    except QmpError as error:
        with contextlib.suppress(QmpError):
            _delete_nodes(qmp, disk)
        raise MachineFailed(f"QEMU does not take the disk {disk.volume_id}: {error}") from None


def unplug(qmp: Qmp, disk: Disk, *, wait_seconds: float) -> bool:
    """Whether the guest has let go of the disk within the time; then nothing of the machine holds its file any more."""
    deadline, wait = time.monotonic() + wait_seconds, patience.Wait(patience.GREETING_SECONDS)
    is_asked = False
    while has_device(qmp, disk):
        if not is_asked:
            with contextlib.suppress(QmpError):  # it was asked before, and has not answered
                qmp.execute("device_del", id=disk.device)
            is_asked = True
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        wait.look()
        qmp.event(min(LOOK_SECONDS, left))
    try:
        _delete_nodes(qmp, disk)
    except QmpError:  # it is being read at a moment of its own (``vm/disk_export``)
        return False
    return True


def empty(qmp: Qmp, disk: Disk) -> None:
    """Takes the disk's file from the machine although the guest holds on: each further request of the guest fails."""
    name = EMPTY + disk.node
    if name not in _nodes(qmp):
        nothing = {"driver": "null-co", "size": disk.size_bytes}
        fails = [{"event": "none", "iotype": kind, "errno": 5} for kind in ("read", "write", "write-zeroes", "flush")]
        qmp.execute("blockdev-add", driver="blkdebug", node_name=name, image=nothing, inject_error=fails)
    qmp.execute("qom-set", path=f"{PERIPHERALS}/{disk.device}", property="drive", value=name)
    try:
        _delete_nodes(qmp, disk)
    except QmpError as error:
        raise MachineFailed(f"QEMU still reads the disk {disk.volume_id}: {error}") from None


def has_device(qmp: Qmp, disk: Disk) -> bool:
    """Whether the machine has the disk's device."""
    return any(child["name"] == disk.device for child in qmp.execute("qom-list", path=PERIPHERALS))


def resize(qmp: Qmp, disk: Disk) -> None:
    """The disk is as long as its volume; the guest is told."""
    qmp.execute("block_resize", node_name=disk.node, size=disk.size_bytes)


def limit(qmp: Qmp, disk: Disk, limits: Limits | None) -> None:
    """Holds the disk to its volume's rates from now on; None: to none."""
    device = _backend(qmp, disk)
    figures = {"bps": 0, "bps_rd": 0, "bps_wr": 0, "iops": 0, "iops_rd": 0, "iops_wr": 0}
    if limits is not None:
        figures |= {
            "bps": limits.bytes_per_second,
            "iops": limits.iops,
            "iops_size": limits.operation_bytes,
        }
        if limits.burst_iops:
            figures |= {"iops_max": limits.burst_iops, "iops_max_length": limits.burst_seconds}
    qmp.execute("block_set_io_throttle", id=device, **figures)


def _backend(qmp: Qmp, disk: Disk) -> str:
    """The path of the part of the disk's device that QEMU holds to rates."""
    for entry in qmp.execute("query-block"):
        path = str(entry.get("qdev", ""))
        if disk.device in path.split("/"):
            return path
    raise MachineFailed(f"QEMU has no disk {disk.volume_id}")


def _require_slot(qmp: Qmp) -> None:
    """A slot is free, and QEMU takes the first that is; raises MachineFailed."""
    children = qmp.execute("qom-list", path=f"{PERIPHERALS}/{SLOTS}/{SLOTS}")
    if sum(child["name"].startswith("child[") for child in children) >= SLOTS_MAX:
        raise MachineFailed("the machine has no free slot for a disk")


def _nodes(qmp: Qmp) -> set[str]:
    return {str(node["node-name"]) for node in qmp.execute("query-named-block-nodes", flat=True)}


def _delete_nodes(qmp: Qmp, disk: Disk) -> None:
    known = _nodes(qmp)
    for name in (EMPTY + disk.node, disk.node, disk.base_node):
        if name not in known or (name == EMPTY + disk.node and has_device(qmp, disk)):
            continue
        qmp.execute("blockdev-del", node_name=name)
