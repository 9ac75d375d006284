"""Jobs run in the test's own thread, as a worker would run them; but none that needs a machine."""

from sqlalchemy import update

from amiable.database.schema import job as J
from amiable.jobs.context import JobContext, JobFunction, Later
from amiable.server.worker import Workers
from amiable.services import Services
from tests.support.clock import Clock

OF_MACHINES = ("boot", "create-image", "replace-root-volume", "reboot", "stop", "terminate")
NO_HOST = "a host that is not there"


def run_jobs(services: Services) -> int:
    """Runs what is due until nothing is, but leaves the work on machines where it is: an instance stays pending.  How many there were."""
    workers = Workers(services)
    count = 0
    while _leave_machines(services) and workers.run_one():
        count += 1
        assert count < 100, "jobs make jobs without end"
    return count


def _leave_machines(services: Services) -> bool:
    with services.database.write() as c:
        c.execute(update(J).where(J.c.kind.in_(OF_MACHINES), J.c.state == "queued").values(host=NO_HOST))
    return True


def run_on(job: JobFunction, context: JobContext, clock: Clock, *, looks_max: int = 1000) -> int:
    """Runs one job that gives way, again each second of the clock until it ends; how often it was run."""
    for looks in range(1, looks_max + 1):
        try:
            job(context)
        except Later:
            clock.pass_(seconds=1)
        else:
            return looks
    raise AssertionError(f"{context.job.key} waits without end")
