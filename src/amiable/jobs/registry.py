"""Which function does which kind of job, and what becomes of its resource when it is given up."""

from collections.abc import Callable
from dataclasses import dataclass

from amiable.jobs import complete_snapshot, register_manifest
from amiable.jobs.context import JobContext


@dataclass(frozen=True, slots=True)
class JobKind:
    """``run`` does the work (safe to run twice); ``give_up`` leaves the resource in its failed state, with the words given."""

    run: Callable[[JobContext], None]
    give_up: Callable[[JobContext, str], None]
    tries_max: int = 5


JOBS: dict[str, JobKind] = {
    "complete-snapshot": JobKind(complete_snapshot.complete_snapshot, complete_snapshot.give_up),
    "register-manifest": JobKind(register_manifest.register_manifest, register_manifest.give_up),
}
