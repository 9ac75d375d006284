"""Jobs run in the test's own thread, as a worker would run them."""

from amiable.server.worker import Workers
from amiable.services import Services


def run_jobs(services: Services) -> int:
    """Runs what is due until nothing is; how many there were."""
    workers = Workers(services)
    count = 0
    while workers.run_one():
        count += 1
        assert count < 100, "jobs make jobs without end"
    return count
