"""What deletion, deregistration, sharing and the Recycle Bin come to, on plain values: the oracle of the state machine.

Each method does what one call should, and returns the code that the call should be refused with: ``""`` where it is done.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

OK, UNAVAILABLE, NO_SNAPSHOT = "", "InvalidAMIID.Unavailable", "InvalidSnapshot.NotFound"
IMAGE, SNAPSHOT, ALL = "EC2_IMAGE", "EBS_SNAPSHOT", "all"


@dataclass
class Disk:
    content: int
    exit: datetime | None = None  # in the bin until then
    locked_until: datetime | None = None


@dataclass
class Ami:
    name: str
    disks: tuple[str, ...]
    state: str = "available"
    grants: set[str] = field(default_factory=set)
    is_protected: bool = False
    exit: datetime | None = None


@dataclass
class Model:
    now: datetime
    disks: dict[str, Disk] = field(default_factory=dict)
    amis: dict[str, Ami] = field(default_factory=dict)
    rules: dict[str, tuple[str, int]] = field(default_factory=dict)
    is_guarded: bool = False

    def pass_(self, now: datetime) -> None:
        self.now = now
        for kept in (self.disks, self.amis):
            for each in [each for each, thing in kept.items() if thing.exit and thing.exit <= now]:
                del kept[each]

    def live(self) -> dict[str, Ami]:
        return {each: ami for each, ami in self.amis.items() if ami.exit is None}

    def live_disks(self) -> dict[str, Disk]:
        return {each: disk for each, disk in self.disks.items() if disk.exit is None}

    def _exit(self, kind: str) -> datetime | None:
        days = max((days for of, days in self.rules.values() if of == kind), default=0)
        return self.now + timedelta(days=days) if days else None

    def register(self, name: str, disks: tuple[str, ...]) -> str:
        if any(disk not in self.live_disks() for disk in disks):
            return NO_SNAPSHOT
        return "InvalidAMIName.Duplicate" if any(ami.name == name for ami in self.live().values()) else OK

    def share(self, image_id: str, grantee: str) -> str:
        ami = self.live().get(image_id)
        if ami is None:
            return UNAVAILABLE
        if ami.state == "disabled":
            return "IncorrectState"
        if grantee == ALL and self.is_guarded and ALL not in ami.grants:
            return "OperationNotPermitted"
        ami.grants.add(grantee)
        return OK

    def change(self, image_id: str, **facts: object) -> str:
        """Sets what any live image lets be set; a disabled one is shared with nobody."""
        ami = self.live().get(image_id)
        if ami is None:
            return UNAVAILABLE
        for name, value in facts.items():
            setattr(ami, name, value)
        if ami.state == "disabled":
            ami.grants.clear()
        return OK

    def deregister(self, image_id: str, *, with_disks: bool) -> str:
        ami = self.live().get(image_id)
        if ami is None:
            return UNAVAILABLE
        if ami.is_protected:
            return "OperationNotPermitted"
        ami.exit = self._exit(IMAGE)
        if ami.exit is None:
            del self.amis[image_id]
        for disk in dict.fromkeys(ami.disks) if with_disks else ():
            self.delete(disk)
        return OK

    def delete(self, disk_id: str) -> str:
        disk = self.live_disks().get(disk_id)
        if disk is None:
            return NO_SNAPSHOT
        if disk.locked_until is not None and disk.locked_until > self.now:
            return "OperationNotPermitted"
        exit_ = self._exit(SNAPSHOT)
        holders = self.live() if exit_ else self.amis
        if any(disk_id in ami.disks for ami in holders.values()):
            return "InvalidSnapshot.InUse"
        disk.exit = exit_
        if exit_ is None:
            del self.disks[disk_id]
        return OK

    def restore_image(self, image_id: str) -> str:
        ami = self.amis.get(image_id)
        if ami is None or ami.exit is None:
            return "InvalidAMIID.NotFound"
        if any(disk not in self.live_disks() for disk in ami.disks):
            return "IncorrectState"
        if any(other.name == ami.name for other in self.live().values()):
            return "InvalidAMIName.Duplicate"
        ami.exit = None
        if self.is_guarded:
            ami.grants.discard(ALL)
        return OK

    def restore_disk(self, disk_id: str) -> str:
        disk = self.disks.get(disk_id)
        if disk is None or disk.exit is None:
            return NO_SNAPSHOT
        disk.exit = None
        return OK

    def lock(self, disk_id: str, days: int) -> str:
        disk = self.live_disks().get(disk_id)
        if disk is None:
            return NO_SNAPSHOT
        disk.locked_until = self.now + timedelta(days=days)
        return OK

    def unlock(self, disk_id: str) -> str:
        disk = self.live_disks().get(disk_id)
        if disk is None:
            return NO_SNAPSHOT
        if disk.locked_until is None or disk.locked_until <= self.now:
            return "InvalidParameterValue"
        disk.locked_until = None
        return OK

    def sees(self, account: str, owner: str) -> dict[str, str]:
        """Id → state of the images that the account finds in a list, disabled ones asked for."""
        return {
            each: ami.state
            for each, ami in self.live().items()
            if account == owner or ami.grants & {account, ALL}
        }  # fmt: skip

    def launch(self, image_id: str, account: str, owner: str) -> str:
        ami = self.live().get(image_id)
        if ami is None:
            return UNAVAILABLE  # gone or in the bin, whoever asks
        if account != owner and not ami.grants & {account, ALL}:
            return "AuthFailure"
        return "DryRunOperation" if ami.state == "available" else UNAVAILABLE
