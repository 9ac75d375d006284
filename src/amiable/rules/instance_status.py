"""What DescribeInstanceStatus says, from facts: does the instance's process live, and has its guest been heard of?

    state        process    first metadata request   system      instance
    not running  -          -                        not-applicable
    running      dead       -                        impaired    impaired
    running      paused: the host's disk is full     impaired    impaired
    running      alive      came in this boot        ok          ok
    running      alive      awaited                  ok          initializing
    running      alive      overdue                  ok          impaired
    running      alive      cannot come (endpoint    ok          insufficient-data
                            disabled)

Source: EC2 User Guide, "Status checks for your instances".
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from amiable.model.instance import Instance, State
from amiable.rules.lifecycle import DISK_FULL

METADATA_AWAITED_MAX: Final = timedelta(minutes=15)
"""How long a guest may take from its start to its first metadata request: the slowest guests under TCG take ten minutes."""

REACHABILITY: Final = {
    "ok": "passed",
    "impaired": "failed",
    "initializing": "initializing",
    "insufficient-data": "insufficient-data",
}
"""Status → the word of its one detail, ``reachability``."""


@dataclass(frozen=True, slots=True)
class Status:
    """The two checks, in EC2's words."""

    system: str
    instance: str


def status_of(instance: Instance, *, is_alive: bool, now: datetime) -> Status:
    """Both checks; ``is_alive`` says whether the process that runs the guest lives."""
    if instance.state is not State.RUNNING:
        return Status("not-applicable", "not-applicable")
    if not is_alive or instance.state_reason_code == DISK_FULL:
        return Status("impaired", "impaired")
    if instance.reached_metadata_at is not None:
        return Status("ok", "ok")
    if instance.metadata.http_endpoint == "disabled":
        return Status("ok", "insufficient-data")
    return Status("ok", "initializing" if now - instance.began_at < METADATA_AWAITED_MAX else "impaired")
