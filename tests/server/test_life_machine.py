"""The law of an instance's life: calls, crashes of the server between any two steps of a job, power-offs, dead processes and restarts
of the host in any order never lead to an instance in two places, a volume that is lost or left over, or a state the table forbids.

Real database, real calls, real jobs, real supervision; the machines are values (``fake_host``).  What else works on instances and
volumes is added as a rule, and to :data:`CALLS` for what may happen in the middle of a job.
"""

import contextlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import select

from amiable.api.ec2 import instance_states as api
from amiable.api.ec2.volume_attachments import attach_volume, detach_volume
from amiable.api.ec2.volumes import create_volume, delete_volume
from amiable.database import instances, interfaces, schema, volumes
from amiable.jobs import boot, context, create_image, moments, reboot, stop, take_snapshots, terminate, volume_machine
from amiable.jobs.context import JobContext
from amiable.model.errors import Refusal
from amiable.model.image import Image
from amiable.model.instance import Instance, State
from amiable.model.volume import VolumeState
from amiable.rules.lifecycle import NEXT
from amiable.server import sweep, worker
from amiable.server.supervise import Supervisor
from amiable.server.worker import Workers
from amiable.services import Services
from amiable.vm.directory import Directory, locked
from amiable.wire.generated import ec2
from tests.api.ec2.launching import make_image, make_instance_store_image, run_one
from tests.server.fake_disks import read_cells
from tests.server.fake_host import Died, Host, exists
from tests.server.life_copies import KINDS, Copies
from tests.support.clock import Clock
from tests.support.services import make_account, open_services

EXAMPLES, STEPS = int(os.environ.get("AMIABLE_LIFE_EXAMPLES", "25")), 30
EXAMPLES_OFTEN: Final = 200
INSTANCES_MAX: Final = 3
VOLUMES_MAX: Final = 2
VOLUME_REFUSALS: Final = {
    "IncorrectInstanceState",
    "IncorrectState",
    "InvalidParameterValue",
    "InvalidVolume.NotFound",
    "UnsupportedOperation",
    "VolumeInUse",
}
SETTLE_ROUNDS_MAX: Final = 60
FINAL: Final = (State.RUNNING, State.STOPPED, State.TERMINATED)
WAITS_MAX: Final = 12
"""How often jobs wait in turn before the server ends in order."""
WHICH = st.integers(0, INSTANCES_MAX - 1)
STEP = st.one_of(st.integers(0, 30), st.integers(0, 90))

CALLS: Final[dict[str, tuple[Callable[..., Any], Callable[..., Any]]]] = {
    "stop": (api.stop_instances, ec2.StopInstancesRequest),
    "force": (api.stop_instances, lambda **words: ec2.StopInstancesRequest(force=True, **words)),
    "start": (api.start_instances, ec2.StartInstancesRequest),
    "reboot": (api.reboot_instances, ec2.RebootInstancesRequest),
    "terminate": (api.terminate_instances, ec2.TerminateInstancesRequest),
}
"""What an owner may ask, between jobs and in the middle of one."""
ENDS: Final = ("off", "panic", "dead")
"""How a guest ends by itself: powered off, crashed, or with its QEMU."""


def reachable() -> dict[State, set[State]]:
    """Each state with those that the table leads to from it, itself among them."""
    found = {state: {state} for state in State}
    for _ in State:
        for (before, _event), after in NEXT.items():
            for states in found.values():
                if before in states:
                    states.add(after)
    return found


REACHABLE: Final = reachable()


@contextlib.contextmanager
def open_place(clock: Clock) -> Iterator[Services]:
    """Services of one example's own, whose ids are the same each time."""
    folder = "/dev/shm" if Path("/dev/shm").is_dir() else None  # thousands of transactions, each synced
    with tempfile.TemporaryDirectory(prefix="amiable-life-", dir=folder) as name:
        with open_services(Path(name) / "data", clock=clock, network="guestfwd") as services:
            yield replace(services, entropy=Random(1).randbytes)


class Turns(threading.Event):
    """A job's ``stop``: while the job waits the other workers go on; where nothing comes of that, the server ends in order."""

    def __init__(self, life: "Life") -> None:
        super().__init__()
        self._life = life

    def wait(self, timeout: float | None = None) -> bool:
        if not self.is_set():
            self._life.others_go_on()
            self._life.host.time.sleep(0 if self._life.is_patient else timeout or 0)
        return self.is_set()


class Life(RuleBasedStateMachine):
    """One owner's instances on one host."""

    def __init__(self) -> None:
        super().__init__()
        self.clock, self.place = Clock(), contextlib.ExitStack()
        self.services = self.place.enter_context(open_place(self.clock))
        self.principal = make_account(self.services, "owner", administrator=True)[1]
        self.patch = pytest.MonkeyPatch()
        self.host = Host(self.services)
        self.host.stand_in(self.patch)
        for module in (boot, moments, stop, terminate, volume_machine, sweep):
            self.patch.setattr(module, "locked", self.locked)
        self.patch.setattr(context, "time", self.host.time)
        self.patch.setattr(worker, "JobContext", partial(JobContext, stop=Turns(self)))
        for module, name, value in (
            (stop, "POWER_OFF_SECONDS_MAX", 1.0),
            (terminate, "POWER_OFF_SECONDS_MAX", 1.0),
            (reboot, "POWER_OFF_SECONDS_MAX", 1.0),
            (create_image, "POWER_OFF_SECONDS_MAX", 1.0),
        ):
            self.patch.setattr(module, name, value)
        self.copies = Copies(self.services, self.principal, self.host)
        self.depth = self.waits = 0
        self.is_patient = False
        """No time passes where a job waits, so that it waits on."""
        self.ids: list[str] = []
        self.volume_ids: list[str] = []
        self.seen: dict[str, State] = {}
        self.workers, self.supervisor = Workers(self.services), Supervisor(self.services)
        self.is_looking = False

    @contextlib.contextmanager
    def locked(self, directory: Directory, wait_seconds: float = 0) -> Iterator[int]:
        """The instance's lock, or DirectoryBusy at once; before it is taken, something may happen."""
        self.host.step()
        with locked(directory, 0) as lock:
            yield lock

    # ── what happens ────────────────────────────────────────────────────────────────────────────────────────────────────

    @precondition(lambda self: len(self.ids) < INSTANCES_MAX)
    @rule(
        store=st.booleans(),
        keeps=st.booleans(),
        behavior=st.sampled_from(["stop", "terminate"]),
        recovers=st.booleans(),
    )
    def launch(self, store: bool, keeps: bool, behavior: str, recovers: bool) -> None:
        words: dict[str, Any] = {
            "maintenance_options": ec2.InstanceMaintenanceOptionsRequest(
                auto_recovery="default" if recovers else "disabled"
            )
        }
        if store:
            image = self.store_image()
        else:
            image = make_image(self.services, self.principal)
            words["instance_initiated_shutdown_behavior"] = behavior
            root = ec2.EbsBlockDevice(delete_on_termination=not keeps)
            data = ec2.EbsBlockDevice(volume_size=1, delete_on_termination=keeps)
            words["block_device_mappings"] = [
                ec2.BlockDeviceMapping(device_name="/dev/sda1", ebs=root),
                ec2.BlockDeviceMapping(device_name="/dev/sdf", ebs=data),
            ]
        self.ids.append(run_one(self.services, self.principal, image, **words))

    def store_image(self) -> Image:
        image = make_instance_store_image(self.services, self.principal)
        assert image.kernel_id is not None
        (self.services.data / "kernels" / image.kernel_id).write_bytes(b"a kernel")
        return image

    @rule(which=WHICH, verb=st.sampled_from(sorted(CALLS)))
    def ask(self, which: int, verb: str) -> None:
        """A call, which may be refused."""
        if which < len(self.ids):
            operation, request = CALLS[verb]
            try:
                operation(self.services, self.principal, request(instance_ids=[self.ids[which]]))
            except Refusal as refusal:
                assert refusal.code in ("IncorrectInstanceState", "UnsupportedOperation"), refusal

    @rule(which=WHICH, verb=st.sampled_from(sorted(CALLS)))
    def ask_and_wait(self, which: int, verb: str) -> None:
        """A call, and all that follows from it."""
        self.ask(which, verb)
        while self.run_one():
            pass

    @rule(
        which=WHICH,
        volume=st.integers(0, VOLUMES_MAX - 1),
        verb=st.sampled_from(["attach", "attach", "detach", "force", "delete"]),
        waits=st.booleans(),
    )
    def ask_of_volume(self, which: int, volume: int, verb: str, waits: bool) -> None:
        """A volume of its own comes and goes; the call may be refused."""
        if volume >= len(self.volume_ids):
            made = create_volume(
                self.services, self.principal, ec2.CreateVolumeRequest(availability_zone="us-east-1a", size=1)
            )
            assert made.volume_id is not None
            self.volume_ids.append(made.volume_id)
            volume = len(self.volume_ids) - 1
        named = self.volume_ids[volume]
        try:
            if verb == "attach" and which < len(self.ids):
                words: dict[str, Any] = {"instance_id": self.ids[which], "device": f"/dev/sd{'hij'[volume]}"}
                attach_volume(self.services, self.principal, ec2.AttachVolumeRequest(volume_id=named, **words))
            elif verb in ("detach", "force"):
                request = ec2.DetachVolumeRequest(volume_id=named, force=verb == "force")
                detach_volume(self.services, self.principal, request)
            elif verb == "delete":
                delete_volume(self.services, self.principal, ec2.DeleteVolumeRequest(volume_id=named))
        except Refusal as refusal:
            assert refusal.code in VOLUME_REFUSALS, refusal.code
        while waits and self.run_one():
            pass

    @rule(count=st.integers(1, 4))
    def work(self, count: int) -> None:
        """A worker takes the jobs that are due."""
        for _ in range(count):
            if not self.run_one():
                return

    @rule(step=STEP)
    def work_and_die(self, step: int) -> None:
        """The server is killed at some step of a job, or of supervision, and started again."""
        self.host.plan = (step, self.host.die)
        self.run_one()
        self.look()
        self.host.plan = None
        if self.host.is_dead:
            self.server_starts()

    @rule(answers=STEP)
    def work_and_wait_in_vain(self, answers: int) -> None:
        """A job's machine falls silent for longer than a worker waits for it."""
        self.host.silent_in = answers
        self.run_one(has_time=False)
        self.host.silent_in = None

    @rule(which=WHICH, kind=st.sampled_from(KINDS), waits=st.booleans())
    def copy(self, which: int, kind: str, waits: bool) -> None:
        """An image, snapshots or a new root are asked for; the call may be refused."""
        if which < len(self.ids):
            self.copies.ask(kind, self.ids[which])
        while waits and self.run_one():
            pass

    @rule(which=st.integers(0, 9), deletes=st.booleans())
    def end_copy(self, which: int, deletes: bool) -> None:
        self.copies.end(which, deletes=deletes)

    @rule(step=STEP, which=WHICH, verb=st.sampled_from([*sorted(CALLS), *KINDS, "end", *ENDS]), jobs=st.integers(0, 2))
    def work_and_be_asked(self, step: int, which: int, verb: str, jobs: int) -> None:
        """In the middle of a job a call comes in, or a guest ends, and another worker takes what is asked for."""

        def happen() -> None:
            if verb in CALLS:
                self.ask(which, verb)
            elif verb == "end":
                self.copies.end(step, deletes=True)
            elif verb in ENDS:
                self.guest_ends(which, verb)
            elif which < len(self.ids):
                self.copies.ask(verb, self.ids[which])
            for _ in range(jobs):
                self.run_one()

        self.host.plan = (step, happen)
        self.run_one()
        self.host.plan = None

    @rule()
    def server_starts(self) -> None:
        """The server has died, and another finds what it left."""
        self.host.is_dead = False
        self.supervisor.stop()
        self.workers, self.supervisor = Workers(self.services), Supervisor(self.services)
        self.workers.start_over()

    @rule()
    def host_restarts(self) -> None:
        self.host.restart()
        self.server_starts()

    @rule(which=WHICH, how=st.sampled_from(ENDS))
    def guest_ends(self, which: int, how: str) -> None:
        """A guest powers itself off, or crashes, or its QEMU ends."""
        for guest in self.host.live(self.ids[which] if which < len(self.ids) else "none"):
            if how == "dead":
                guest.die()
            elif how == "panic":
                guest.panic()
            else:
                guest.power_off()

    @rule(fails=st.booleans(), is_deaf=st.booleans(), has_agent=st.booleans())
    def fortune(self, fails: bool, is_deaf: bool, has_agent: bool) -> None:
        """How the next guests will be: one that cannot be started, those that ignore their power button, or have an agent."""
        self.host.fails_to_start, self.host.is_deaf, self.host.has_agent = fails, is_deaf, has_agent

    @rule(is_patient=st.booleans())
    def patience(self, is_patient: bool) -> None:
        self.is_patient = is_patient

    @rule()
    def look(self) -> None:
        """The supervisor looks, and sweeps."""
        if self.is_looking:
            return  # what happens while it looks finds its one thread at work
        self.clock.pass_(seconds=61)  # more than a lease lasts
        self.supervisor._swept_at = -1e9
        self.is_looking = True
        try:
            self.supervisor.look()
            self.supervisor._wait(0)
        except Died:
            assert self.host.is_dead
        finally:
            self.is_looking = False

    def look_and_work(self) -> None:
        """All that is due is done, as far as the server lives."""
        self.look()
        while self.run_one():
            pass

    def others_go_on(self) -> None:
        """One job waits: another runs, or the supervisor looks."""
        self.host.step()
        self.waits += 1
        if self.waits > WAITS_MAX:
            self.workers._ending.set()
            for context in list(self.workers._running.values()):
                context.stop.set()
        elif not self.run_one():
            self.look()
        self.host.step()

    def run_one(self, *, has_time: bool = True) -> bool:
        """One job, as far as the server lives."""
        self.clock.pass_(seconds=1)
        if not self.depth:
            self.waits = 0
        self.depth += 1
        try:
            return self.workers.run_one(has_time=has_time)
        except Died:
            assert self.host.is_dead
            return False
        finally:
            self.depth -= 1
            if not self.depth and self.workers._ending.is_set():
                self.server_starts()

    # ── what must be so ─────────────────────────────────────────────────────────────────────────────────────────────────

    def rows(self) -> list[Instance]:
        with self.services.database.read() as c:
            found = [instances.get_instance(c, instance_id) for instance_id in self.ids]
        return [row for row in found if row is not None]

    @invariant()
    def states_follow_the_table(self) -> None:
        for row in self.rows():
            assert row.state in REACHABLE[self.seen.get(row.id, State.PENDING)], (self.seen.get(row.id), row.state)
            self.seen[row.id] = row.state

    @invariant()
    def no_instance_is_in_two_places(self) -> None:
        assert self.host.broken == []
        for instance_id in self.ids:
            assert len(self.host.live(instance_id)) <= 1

    @invariant()
    def volumes_are_whole(self) -> None:
        """A volume that was written to has one file, with what was written."""
        with self.services.database.read() as c:
            held = c.execute(select(schema.volume.c.id)).scalars().all()
        for volume_id in held:
            if self.host.writes.get(volume_id):
                (path,) = self.host.file_of(volume_id)
                assert read_cells(path) == self.host.written(volume_id), volume_id
        for guest in self.host.live():
            for volume_id in guest.blocks.disks():
                assert [path.parent.name for path in self.host.file_of(volume_id)] == [guest.instance_id]

    @invariant()
    def copies_are_of_one_moment(self) -> None:
        self.copies.check()

    def settle(self) -> None:
        """Nothing more goes wrong: what is under way comes to its end."""
        self.host.fails_to_start, self.host.is_deaf, self.host.plan = False, False, None
        for guest in self.host.live():
            guest.is_deaf = False
        for _ in range(SETTLE_ROUNDS_MAX):
            self.look()
            worked = False
            while self.run_one():
                worked = True
            if not worked and all(row.state in FINAL for row in self.rows()) and not self.live_jobs():
                return
        raise AssertionError([*((row.id, row.state) for row in self.rows()), *self.live_jobs()])

    def live_jobs(self) -> list[str]:
        with self.services.database.read() as c:
            live = select(schema.job.c.key).where(schema.job.c.state.in_(("queued", "running")))
            return list(c.execute(live).scalars())

    def teardown(self) -> None:
        try:
            self.settle()
            self.check_settled()
            for which in range(len(self.ids)):
                self.ask(which, "terminate")
            self.settle()
            self.check_settled()
            assert all(row.state is State.TERMINATED for row in self.rows())
            assert not self.host.live() and not self.host.exports
        finally:
            self.close()

    def close(self) -> None:
        """Nothing of the place is left."""
        self.supervisor.stop()
        self.patch.undo()
        for each in (*self.host.guests, *self.host.daemons):
            each.blocks.close(in_order=False)
            os.close(each.end)
        self.place.close()

    def check_settled(self) -> None:
        """Where nothing is under way, processes, files and exports are those of the rows."""
        for check in (self.states_follow_the_table, self.no_instance_is_in_two_places, self.volumes_are_whole):
            check()
        self.copies.check()
        self.copies.check_settled()
        exported = set()
        for row in self.rows():
            live = self.host.live(row.id)
            with self.services.database.read() as c:
                held = volumes.volumes_of(c, row.id)
                (wired,) = interfaces.interfaces_of(c, [row.id]).values()
            assert len(wired) == (row.state is not State.TERMINATED)
            assert [guest.boot for guest in live] == ([row.boot_count] if row.state is State.RUNNING else [])
            if row.state is State.TERMINATED:
                assert not held and not exists(self.services, row.id)
                assert row.terminated_at is not None
            if row.state is State.STOPPED:
                assert row.is_ebs and row.state_reason_code is not None
            if row.state is State.RUNNING:
                exported |= {volume.id for volume in held if volume.snapshot_id is not None}
        assert self.host.exports == exported
        assert len(self.host.live()) == sum(row.state is State.RUNNING for row in self.rows())
        self.check_files()

    def check_files(self) -> None:
        with self.services.database.read() as c:
            rows = {row.id: row for row in c.execute(select(schema.volume))}
        files = [*self.services.data.glob("instances/*/vol-*.qcow2"), *self.services.data.glob("volumes/*.qcow2")]
        assert len({path.stem for path in files}) == len(files)
        for path in files:
            row = rows[path.stem]  # else it is left over
            assert path.parent.name == (row.instance_id or "volumes")
        for path in (self.services.data / "exports").glob("*.map"):
            assert path.stem in rows
        for row in rows.values():
            assert (row.instance_id is None) == (row.state == VolumeState.AVAILABLE.value)
            assert row.attachment_state in (None, "attached")


def test_no_order_of_calls_crashes_and_restarts_breaks_an_instances_life() -> None:
    wanted = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Life, settings=wanted)


@pytest.mark.parametrize("step", range(12))
def test_a_start_that_is_overtaken_by_an_end_keeps_the_volume_that_was_to_stay(step: int) -> None:
    life = Life()
    try:
        life.launch(store=False, keeps=True, behavior="stop", recovers=True)
        for verb in ("start", "stop"):
            life.ask_and_wait(which=0, verb=verb)
        life.ask(which=0, verb="start")
        life.work_and_be_asked(step=step, which=0, verb="terminate", jobs=1)
        life.volumes_are_whole()
    finally:
        life.teardown()


def test_an_instance_store_whose_start_after_the_hosts_restart_fails_has_ended() -> None:
    life = Life()
    try:
        life.launch(store=True, keeps=False, behavior="stop", recovers=True)
        life.look_and_work()
        assert [row.state for row in life.rows()] == [State.RUNNING]
        life.host_restarts()
        life.fortune(fails=True, is_deaf=False, has_agent=False)
        life.look_and_work()
        life.check_settled()
        assert [row.state for row in life.rows()] == [State.TERMINATED]
    finally:
        life.teardown()


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_that_a_killed_server_left_is_made_and_its_guest_runs_on(kind: str) -> None:
    """Killed at each seventh step, or at each with more examples."""
    stride = 7 if EXAMPLES < EXAMPLES_OFTEN else 1
    step, was_reached = 0, True
    while was_reached:
        life = Life()
        try:
            life.fortune(fails=False, is_deaf=False, has_agent=step % 2 == 0)
            life.launch(store=False, keeps=False, behavior="stop", recovers=True)
            life.look_and_work()
            assert [row.state for row in life.rows()] == [State.RUNNING], "else nothing is tried here"
            life.copies.ask(kind, life.ids[0])
            assert life.copies.unfinished()
            life.host.plan = (step, life.host.die)
            life.look_and_work()
            was_reached, life.host.plan = life.host.is_dead, None
            life.server_starts()
            life.settle()
            life.check_settled()
            assert [row.state for row in life.rows()] == [State.RUNNING]
            assert life.copies.is_all_made()
        finally:
            life.teardown()
        step += stride
    assert step > STEPS


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "root"])
def test_a_copy_whose_guest_ends_meanwhile_is_made_or_says_that_its_moment_was_lost(kind: str) -> None:
    """At some steps, or at each with more examples; only a guest that shut down for its image had a moment to lose."""
    stride = 19 if EXAMPLES < EXAMPLES_OFTEN else 1
    step, was_reached, reasons = 0, True, set()
    while was_reached:
        life = Life()
        try:
            life.fortune(fails=False, is_deaf=False, has_agent=step % 2 == 0)
            life.launch(store=False, keeps=False, behavior="stop", recovers=False)
            life.look_and_work()
            (guest,) = life.host.live()
            life.copies.ask(kind, life.ids[0])
            assert life.copies.unfinished()
            life.host.plan = (step, guest.die)
            life.look_and_work()
            was_reached, life.host.plan = not guest.is_alive, None
            life.settle()
            life.check_settled()
            assert [row.state for row in life.rows()] == [State.STOPPED if was_reached else State.RUNNING]
            reasons |= life.copies.reasons()
            assert life.copies.is_all_made() or life.copies.reasons()
        finally:
            life.teardown()
        step += stride
    assert step > STEPS
    assert reasons <= ({take_snapshots.LOST} if kind == "image" else set())
