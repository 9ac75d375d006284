"""The leased jobs table: once by key, fenced by token, taken over when a lease lapses."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from amiable.database import jobs
from amiable.database.connect import Database
from amiable.database.jobs import Job
from amiable.database.migrate import migrate
from amiable.database.schema import job as J

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path}/facts.db"
    migrate(url)
    opened = Database(url)
    yield opened
    opened.close()


def add(database: Database, key: str = "i-1:boot", *, host: str | None = None, due: datetime = NOW) -> bool:
    with database.write() as c:
        return jobs.enqueue(c, jobs.NewJob("boot", key, {"step": 0}, host), now=due)


def pick(database: Database, token: str, *, now: datetime = NOW, host: str = "here") -> Job | None:
    with database.write() as c:
        return jobs.pick(c, ["boot"], jobs.Lease(f"{host}:1:a", host, token), now=now)


def state(database: Database, key: str = "i-1:boot") -> str:
    with database.read() as c:
        return str(c.execute(select(J.c.state).where(J.c.key == key)).scalar_one())


def test_a_job_exists_once_while_it_lives_and_may_be_added_again_when_it_has_ended(database: Database) -> None:
    assert add(database) and not add(database)
    job = pick(database, "t1")
    assert job is not None and job.tries == 1 and not add(database)
    with database.write() as c:
        jobs.finish(c, job, now=NOW)
    assert add(database) and state(database) == "queued"


def test_a_row_that_is_rolled_back_with_its_callers_transaction_is_never_picked(database: Database) -> None:
    with pytest.raises(RuntimeError), database.write() as c:
        jobs.enqueue(c, jobs.NewJob("boot", "i-1:boot", {}), now=NOW)
        raise RuntimeError
    assert pick(database, "t1") is None


def test_a_stale_token_is_refused_after_another_process_took_the_job_over(database: Database) -> None:
    add(database)
    first = pick(database, "t1")
    assert first is not None and pick(database, "t2") is None
    second = pick(database, "t2", now=NOW + jobs.LEASE + timedelta(milliseconds=1))
    assert second is not None and second.tries == 2
    for refused in (
        lambda c: jobs.save(c, first, data={"step": 1}, now=NOW),
        lambda c: jobs.finish(c, first, now=NOW),
    ):
        with pytest.raises(jobs.Lost), database.write() as c:
            refused(c)
    with database.write() as c:
        jobs.save(c, second, data={"step": 2}, now=NOW)
        jobs.finish(c, second, now=NOW)
    assert state(database) == "done"


def test_a_save_and_its_effect_stand_or_fall_together(database: Database) -> None:
    add(database)
    add(database, "i-2:boot")
    first = pick(database, "t1")
    assert first is not None
    pick(database, "t2", now=NOW + timedelta(minutes=5))
    with pytest.raises(jobs.Lost), database.write() as c:
        jobs.enqueue(c, jobs.NewJob("boot", "i-3:boot", {}), now=NOW)
        pick_again = jobs.pick(c, ["boot"], jobs.Lease("x", "x", "t3"), now=NOW + timedelta(minutes=9))
        assert pick_again is not None
        jobs.save(c, Job(first.key, first.kind, "stale", 1, {}), data={}, now=NOW)
    with database.read() as c:
        assert c.execute(select(J.c.key).where(J.c.key == "i-3:boot")).first() is None


def test_a_renewed_lease_is_not_taken_over_and_a_cancelled_job_hears_of_it(database: Database) -> None:
    add(database)
    job = pick(database, "t1")
    assert job is not None
    later = NOW + jobs.LEASE - timedelta(seconds=1)
    with database.write() as c:
        assert jobs.renew(c, owner="here:1:a", keys=[job.key], now=later) == set()
    assert pick(database, "t2", now=NOW + jobs.LEASE + timedelta(seconds=1)) is None
    with database.write() as c:
        jobs.cancel(c, job.key)
        assert jobs.renew(c, owner="here:1:a", keys=[job.key], now=later) == {job.key}
    with pytest.raises(jobs.Cancelled), database.write() as c:
        jobs.save(c, job, data={}, now=later)


def test_a_lease_that_has_lapsed_is_renewed_unless_another_has_the_job(database: Database) -> None:
    add(database)
    job = pick(database, "t1")
    assert job is not None
    late = NOW + timedelta(hours=1)
    with database.write() as c:
        jobs.renew(c, owner="here:1:a", keys=[job.key], now=late)
    assert pick(database, "t2", now=late + timedelta(seconds=1)) is None
    later = late + timedelta(hours=1)
    with database.write() as c:
        taken = jobs.pick(c, ["boot"], jobs.Lease("there:1:b", "there", "t3"), now=later)
        assert taken is not None
        jobs.renew(c, owner="here:1:a", keys=[job.key], now=later + timedelta(seconds=20))
        jobs.save(c, taken, data={}, now=later)
    assert pick(database, "t4", now=later + jobs.LEASE + timedelta(seconds=1)) is not None


def test_a_lease_on_a_job_that_nobody_runs_any_more_lapses(database: Database) -> None:
    add(database)
    assert pick(database, "t1") is not None
    with database.write() as c:
        jobs.renew(c, owner="here:1:a", keys=[], now=NOW + timedelta(seconds=20))
    assert pick(database, "t2", now=NOW + jobs.LEASE + timedelta(seconds=1)) is not None


def test_a_queued_job_that_is_cancelled_never_runs(database: Database) -> None:
    add(database)
    with database.write() as c:
        jobs.cancel(c, "i-1:boot")
    assert pick(database, "t1") is None and state(database) == "cancelled"


def test_a_host_bound_job_goes_to_its_host_only(database: Database) -> None:
    add(database, host="there")
    assert pick(database, "t1", host="here") is None
    assert pick(database, "t1", host="there") is not None


def test_the_job_that_has_been_due_for_longest_is_picked_first_and_a_silent_machines_last(database: Database) -> None:
    add(database, "i-1:boot", due=NOW - timedelta(seconds=3))
    silent = pick(database, "t1")
    assert silent is not None
    with database.write() as c:
        jobs.put_back(c, silent, now=NOW, after=timedelta(seconds=-3), is_slow=True)
    add(database, "i-2:boot", due=NOW - timedelta(seconds=1))
    add(database, "i-3:boot", due=NOW - timedelta(seconds=2))
    picked = [pick(database, f"t{number}") for number in range(2, 5)]
    assert [job and job.key for job in picked] == ["i-3:boot", "i-2:boot", "i-1:boot"]


def test_a_retried_job_waits_until_it_is_due(database: Database) -> None:
    add(database)
    job = pick(database, "t1")
    assert job is not None
    with database.write() as c:
        jobs.retry(c, job, now=NOW, after=timedelta(seconds=10), error="disk full")
    assert pick(database, "t2", now=NOW + timedelta(seconds=9)) is None
    again = pick(database, "t2", now=NOW + timedelta(seconds=10))
    assert again is not None and again.tries == 2


def test_a_restart_takes_back_what_its_own_host_left_running(database: Database) -> None:
    add(database)
    add(database, "i-2:boot")
    assert pick(database, "t1", host="here") and pick(database, "t2", host="there")
    with database.write() as c:
        assert jobs.release_all(c, host="here", now=NOW) == 1
    taken = pick(database, "t3", host="here")
    assert taken is not None and taken.tries == 2
