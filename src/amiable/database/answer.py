"""An answer that waits for the disk, while no thread does.

    operation ── write_and_answer ─▶ its changes stand in a group ─ returns ─▶ the thread is free
                                                 └─ the group's commit ─▶ the answer leaves

What a call has written last it need not wait for: whoever commits delivers its answer.  What it does after that is its answer alone;
where it should read or write once more, it waits for its group first.  Elsewhere than in a call of the edge, in jobs above all, nobody
holds an answer back, and ``write_and_answer`` is ``write``.
"""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Final

from amiable.database.commit_group import CommitGroups, Group, Listener, Turn


class Answer:
    """What one call's answer waits for; of its thread alone until it is delivered."""

    def __init__(self, turn: Turn | None = None) -> None:
        self.turn = turn  # held for the call by who runs it
        self._group: Group | None = None
        self._groups: CommitGroups | None = None

    def hold(self, groups: CommitGroups, group: Group, committed: Callable[[], None] | None) -> None:
        """Leaves with ``group``; ``committed`` is called before, once it is on disk."""
        self._groups, self._group = groups, group
        if committed is not None:
            group.listen(lambda error: committed() if error is None else None)

    def wait(self) -> None:
        """Until what the call has written is on disk; raises what kept it from there."""
        group, self._group = self._group, None
        if group is not None and self._groups is not None:
            assert self.turn is None, "a short call asks the database behind its change"
            self._groups.wait(group)

    def deliver(self, listener: Listener) -> None:
        """Tells ``listener`` as soon as the answer may leave, and what went wrong since the call returned."""
        if self._group is None:
            listener(None)
        else:
            self._group.listen(listener)


ANSWER: Final[ContextVar[Answer | None]] = ContextVar("answer", default=None)
"""Of the call at hand, where its answer can be held back."""


def wait_for_own_changes() -> None:
    """Until what the call at hand has written is on disk."""
    answer = ANSWER.get()
    if answer is not None:
        answer.wait()
