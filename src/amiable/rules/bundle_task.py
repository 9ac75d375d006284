"""What may happen to a bundle task, and nothing else.

    pending ─┬──────────waited──────────▶ waiting-for-shutdown        any of these four ──cancel-asked──▶ cancelling
             └─began─▶ bundling ◀─began──────┘                        these and cancelling ──failed──▶ failed
                          └─read─▶ storing ──stored──▶ complete

A job that is run again, or whose instance ends while it reads, begins again: ``waited`` and ``began`` lead back from bundling and
storing.  The absence of an arrow is a refusal.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from amiable.model.bundle_task import BundleState, BundleTask
from amiable.model.errors import IncorrectState


class Event(StrEnum):
    """What happens to a bundle task."""

    WAITED = "waited"  # the instance is not off yet
    BEGAN = "began"
    READ = "read"  # every part is stored; the manifest is not
    STORED = "stored"
    CANCEL_ASKED = "cancel-asked"
    FAILED = "failed"


NEXT: Final[Mapping[tuple[BundleState, Event], BundleState]] = {
    (BundleState.PENDING, Event.WAITED): BundleState.WAITING_FOR_SHUTDOWN,
    (BundleState.PENDING, Event.BEGAN): BundleState.BUNDLING,
    (BundleState.PENDING, Event.CANCEL_ASKED): BundleState.CANCELLING,
    (BundleState.PENDING, Event.FAILED): BundleState.FAILED,
    (BundleState.WAITING_FOR_SHUTDOWN, Event.WAITED): BundleState.WAITING_FOR_SHUTDOWN,
    (BundleState.WAITING_FOR_SHUTDOWN, Event.BEGAN): BundleState.BUNDLING,
    (BundleState.WAITING_FOR_SHUTDOWN, Event.CANCEL_ASKED): BundleState.CANCELLING,
    (BundleState.WAITING_FOR_SHUTDOWN, Event.FAILED): BundleState.FAILED,
    (BundleState.BUNDLING, Event.WAITED): BundleState.WAITING_FOR_SHUTDOWN,
    (BundleState.BUNDLING, Event.BEGAN): BundleState.BUNDLING,
    (BundleState.BUNDLING, Event.READ): BundleState.STORING,
    (BundleState.BUNDLING, Event.CANCEL_ASKED): BundleState.CANCELLING,
    (BundleState.BUNDLING, Event.FAILED): BundleState.FAILED,
    (BundleState.STORING, Event.WAITED): BundleState.WAITING_FOR_SHUTDOWN,
    (BundleState.STORING, Event.BEGAN): BundleState.BUNDLING,
    (BundleState.STORING, Event.STORED): BundleState.COMPLETE,
    (BundleState.STORING, Event.CANCEL_ASKED): BundleState.CANCELLING,
    (BundleState.STORING, Event.FAILED): BundleState.FAILED,
    (BundleState.CANCELLING, Event.CANCEL_ASKED): BundleState.CANCELLING,
    (BundleState.CANCELLING, Event.FAILED): BundleState.FAILED,
}

assert all(
    (state, Event.FAILED) in NEXT for state in BundleState if state not in (BundleState.COMPLETE, BundleState.FAILED)
)


def step(task: BundleTask, event: Event) -> BundleState:
    """The state after ``event``; raises IncorrectState where the table has no row."""
    after = NEXT.get((task.state, event))
    if after is None:
        verb = "cancelled" if event is Event.CANCEL_ASKED else event.value
        raise IncorrectState(f"The bundle task '{task.id}' is {task.state}: it cannot be {verb}.")
    return after
