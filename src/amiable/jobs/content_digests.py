"""content-digests: digests for the snapshots and images that an earlier version left without; data {}.

Safe to run twice: each digest is a transaction of its own, and what has one is not looked at again.
"""

import logging

from amiable.jobs.context import JobContext
from amiable.services.content_digests import fill

log = logging.getLogger("amiable.content_digests")


def fill_digests(context: JobContext) -> None:
    """Makes those that are missing."""
    fill(context.services, context.go_on)


def give_up(context: JobContext, message: str) -> None:
    """The next start of the server asks again."""
    log.warning("some content digests are missing still: %s", message)
