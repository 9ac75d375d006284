"""What DescribeInstanceStatus says, from facts: does the instance's process live and do its disks, and has its guest been heard of?

    state        process and disks               guest, in this boot            system       instance
    not running  -                               -                              not-applicable
    running      dead                            -                              impaired     impaired
    running      stands still (disk full), or    -                              impaired     impaired
                 its blocks are not served
    running      its TPM has ended               as below                       impaired     as below
    running      fine                            heard of: metadata, SSH or     ok           ok
                                                 a login prompt
    running      fine                            known to have failed           ok           impaired
    running      fine                            awaited                        ok           initializing
    running      fine                            overdue                        ok           impaired
    running      fine                            overdue, and cannot ask for    ok           insufficient-data
                                                 metadata (endpoint disabled)

The check of the attached EBS volumes is the disks' part of the system's.  Source: EC2 User Guide, "Status checks for your instances".
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from amiable.model.boot import Boot, Stage
from amiable.model.instance import Instance, State
from amiable.rules.lifecycle import DISK_FULL

METADATA_AWAITED_MAX: Final = timedelta(minutes=15)
"""How long a guest may take from its start to its first word: the slowest guests under TCG take ten minutes."""
HEARD: Final = frozenset({Stage.METADATA, Stage.SSH, Stage.LOGIN})
"""Stages that a guest reaches only by working."""
BOOT_SLACK: Final = timedelta(seconds=2)
"""A boot's own beginning is read from another clock than the row's."""

REACHABILITY: Final = {
    "ok": "passed",
    "impaired": "failed",
    "initializing": "initializing",
    "insufficient-data": "insufficient-data",
}
"""Status → the word of its one detail, ``reachability``."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was looked at just now; ``boot`` is the course of the latest one."""

    is_alive: bool
    are_blocks_served: bool = True
    has_lost_tpm: bool = False
    boot: Boot | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One check, in EC2's words; ``impaired_since`` is known of what is impaired."""

    status: str
    impaired_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """The three checks."""

    system: Check
    instance: Check
    volumes: Check


OK: Final = Check("ok")
NOT_APPLICABLE: Final = Check("not-applicable")


def status_of(instance: Instance, seen: Seen, now: datetime) -> Status:
    """The checks of ``instance`` at ``now``."""
    if instance.state is not State.RUNNING:
        return Status(NOT_APPLICABLE, NOT_APPLICABLE, NOT_APPLICABLE)
    if not seen.is_alive:
        dead = Check("impaired", now)
        return Status(dead, dead, Check("insufficient-data"))
    if instance.state_reason_code == DISK_FULL or not seen.are_blocks_served:
        stuck = Check("impaired", instance.impaired_at or now)
        return Status(stuck, stuck, stuck)
    system = Check("impaired", instance.impaired_at or now) if seen.has_lost_tpm else OK
    return Status(system, _guest(instance, seen.boot, now), OK)


def _guest(instance: Instance, boot: Boot | None, now: datetime) -> Check:
    began = instance.began_at
    course = boot if boot is not None and boot.began_at >= began - BOOT_SLACK else None
    if instance.reached_metadata_at is not None:
        return OK
    if course is not None and any(mark.stage in HEARD for mark in course.marks):
        return OK
    if course is not None and course.cause is not None:
        reached = max((mark.seconds for mark in course.marks), default=0.0)
        return Check("impaired", course.began_at + timedelta(seconds=reached))
    if now - began < METADATA_AWAITED_MAX:
        return Check("initializing")
    if instance.metadata.http_endpoint == "disabled":
        return Check("insufficient-data")
    return Check("impaired", began + METADATA_AWAITED_MAX)
