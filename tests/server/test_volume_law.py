"""The law of volumes: calls, guests that write, end or hold on to a disk, crashes of the server between any two steps of a job, sleeps and
restarts of the host in any order never lose a byte or a volume, give one to two instances, shrink one, or leave a file of one that is gone;
and each call is answered as :mod:`tests.server.volume_model` says, a refused one having changed nothing.

The instances, the host and the server are those of the law of an instance's life.
"""

import os
from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select

from amiable.api.ec2.create_snapshots import create_snapshot
from amiable.api.ec2.instance_attributes import modify_instance_attribute
from amiable.api.ec2.snapshots import delete_snapshot, describe_snapshots
from amiable.api.ec2.volume_attachments import attach_volume, detach_volume
from amiable.api.ec2.volume_modifications import describe_volumes_modifications, modify_volume
from amiable.api.ec2.volumes import create_volume, delete_volume, describe_volumes
from amiable.blocks.cache import VolumeBlocks
from amiable.database import schema
from amiable.model.errors import Refusal
from amiable.model.hardware import Profile
from amiable.model.instance import TERMINATED_VISIBLE
from amiable.model.units import GIB
from amiable.rules import volume as volume_rules
from amiable.wire.generated import ec2
from tests.api.ec2.launching import make_image, run_one
from tests.server.fake_disks import CELL_BYTES, CELLS, Cells, cells_of, read_cells
from tests.server.fake_host import Guest
from tests.server.test_life_machine import CALLS, ENDS, STEP, Life
from tests.server.volume_model import CHANGES, GONE, Machine, Model, Snapshot, Volume
from tests.server.volume_moves import Told, hear

EXAMPLES, STEPS = int(os.environ.get("AMIABLE_LIFE_EXAMPLES", "25")), 40
INSTANCES_MAX, VOLUMES_MAX, SNAPSHOTS_MAX, DISKS_MAX = 2, 5, 5, 4
ROOT: Final = "/dev/sda1"
DEVICES: Final = ("/dev/sdg", "/dev/sdh", "/dev/xvdg", "/dev/sdf", "sdf", ROOT, "/dev/sda", "/dev/sda2")
ASKED: Final = ("attach", "detach", "force", "modify", "delete", "snapshot", "end snapshot", "keep", *sorted(CALLS))
FACTS: Final = (schema.volume, schema.instances.volume_modification, schema.snapshot, schema.instance, schema.job)
OFTEN: Final = ("attach", "detach", "attach", "modify", "attach", "force", "snapshot", "stop", "start")
HOURS: Final = {"nap": 2, "night": 25}
TROUBLES: Final = ("hears", "deaf", *ENDS, *HOURS, "server", "host")
HELD: Final = ("attaching", "attached", "detaching")
WHICH, PICK = st.integers(0, INSTANCES_MAX - 1), st.integers(0, VOLUMES_MAX + 2 * INSTANCES_MAX - 1)
AT = st.tuples(WHICH, PICK, st.integers(0, 15))


class Volumes(RuleBasedStateMachine):
    """One owner's volumes."""

    def __init__(self) -> None:
        super().__init__()
        self.life = Life()
        self.life.patch.setattr(volume_rules, "DISKS_MAX", DISKS_MAX)
        self.services, self.host = self.life.services, self.life.host
        self.model = Model(ROOT, DISKS_MAX)
        self.contents: dict[str, Cells] = {}
        """What each whole snapshot holds."""
        self.made = 0

    # ── calls ───────────────────────────────────────────────────────────────────────────────────────────────────────────

    def call(self, codes: set[str], operation: Callable[..., Any], request: Any) -> Any:
        """The answer; None where the call was refused, as it had to be."""
        before = self.facts()
        try:
            answer = operation(self.services, self.life.principal, request)
        except Refusal as refusal:
            assert refusal.code in codes, (operation.__name__, refusal.code, str(refusal), codes)
            assert self.facts() == before
            return None
        assert not codes, (operation.__name__, request, codes)
        return answer or True

    def facts(self) -> list[list[tuple[Any, ...]]]:
        with self.services.database.read() as c:
            return [sorted(map(tuple, c.execute(select(table))), key=repr) for table in FACTS]

    def has_place(self) -> bool:
        live = [each for each in self.model.machines.values() if each.state != "terminated"]
        return len(live) < INSTANCES_MAX and len(self.life.ids) < 2 * INSTANCES_MAX

    @initialize(keeps=st.booleans(), is_nvme=st.booleans())
    def begin(self, keeps: bool, is_nvme: bool) -> None:
        """An instance that runs, and two volumes."""
        self.launch(keeps, is_nvme)
        self.life.look_and_work()
        for size in (1, 2):
            self.create(size, -1)

    @precondition(lambda self: self.has_place())
    @rule(keeps=st.booleans(), is_nvme=st.booleans())
    def launch(self, keeps: bool, is_nvme: bool) -> None:
        image = make_image(self.services, self.life.principal, ena_support=is_nvme)
        disks = [
            ec2.BlockDeviceMapping(device_name=ROOT, ebs=ec2.EbsBlockDevice(delete_on_termination=not keeps)),
            ec2.BlockDeviceMapping(
                device_name="/dev/sdf", ebs=ec2.EbsBlockDevice(volume_size=1, delete_on_termination=keeps)
            ),
        ]
        made = run_one(self.services, self.life.principal, image, block_device_mappings=disks)
        self.life.ids.append(made)
        snapshot_id = str(image.devices[0].snapshot_id)
        self.contents[snapshot_id] = {}
        for told in self.told_volumes():
            if str(told.volume_id) not in self.model.volumes:
                (there,) = told.attachments or []
                size, snapshot, goes = (2, snapshot_id, not keeps) if there.device == ROOT else (1, None, keeps)
                born = Volume(size, "gp2", snapshot, "attached", made, there.device, goes)
                self.model.volumes[str(told.volume_id)] = born
        assert sorted(str(each.device) for each in self.model.held(made)) == [ROOT, "/dev/sdf"]

    @precondition(lambda self: self.made < VOLUMES_MAX)
    @rule(size=st.sampled_from([1, 2, 3, None]), which=st.integers(-2, SNAPSHOTS_MAX - 1))
    def create(self, size: int | None, which: int) -> None:
        """A volume, empty or of a snapshot."""
        self.hear()
        whole = list(self.model.snapshots)
        snapshot_id = whole[which % len(whole)] if whole and which >= 0 else None
        request = ec2.CreateVolumeRequest(availability_zone="us-east-1a", size=size, snapshot_id=snapshot_id)
        made = self.call(self.model.create(size, snapshot_id), create_volume, request)
        if made is not None:
            self.made += 1
            assert made.state == "creating"
            least = self.model.snapshots[snapshot_id].size_gib if snapshot_id else 0
            self.model.volumes[made.volume_id] = Volume(size or least, snapshot_id=snapshot_id)

    @rule(verb=st.sampled_from(OFTEN), at=AT, waits=st.booleans())
    def ask_of_volume(self, verb: str, at: tuple[int, int, int], waits: bool) -> None:
        self.ask(verb, at, waits=waits)

    @precondition(lambda self: self.held())
    @rule(pick=PICK, waits=st.booleans())
    def grow_where_it_is(self, pick: int, waits: bool) -> None:
        """A change of length of a volume that an instance has: of all changes the one that a running guest must hear of."""
        self.hear()
        if held := self.held():
            self._modify(held[pick % len(held)], "", 0)
        while waits and self.life.run_one():
            pass

    def held(self) -> list[str]:
        return [each for each in self.model.volumes if self.model.state(each) == "attached"]

    @rule(verbs=st.lists(st.sampled_from(ASKED), min_size=1, max_size=3), at=AT, waits=st.booleans())
    def ask_all(self, verbs: list[str], at: tuple[int, int, int], waits: bool) -> None:
        """One after another of the same volume and instance."""
        for verb in verbs:
            self.ask(verb, at, waits=waits)

    def ask(self, verb: str, at: tuple[int, int, int], *, waits: bool = False) -> None:
        """A call on a volume, a snapshot or an instance; what follows from it at once, or later."""
        self.hear()
        which, pick, word = at
        instance_id = self.life.ids[-1 - which % min(len(self.life.ids), INSTANCES_MAX)]
        if verb in CALLS:
            self.ask_of_instance(verb, instance_id)
        elif verb == "end snapshot":
            self.end_snapshot(pick)
        else:
            getattr(self, f"_{verb}")(self.choose(verb, pick, word), instance_id, word)
        while waits and self.life.run_one():
            pass

    def choose(self, verb: str, pick: int, word: int) -> str:
        """A volume, mostly one of which it may be asked."""
        state = {"attach": "available", "delete": "available", "detach": "attached", "force": "attached"}.get(verb)
        there = list(self.model.volumes)
        fit = [each for each in there if self.model.state(each) in ((state,) if state else ("available", "attached"))]
        chosen = fit if fit and word % 5 != 4 else there
        return chosen[-1 - pick % len(chosen)]

    def ask_of_instance(self, verb: str, instance_id: str) -> None:
        if instance_id in self.model.machines:
            operation, request = CALLS[verb]
            try:
                operation(self.services, self.life.principal, request(instance_ids=[instance_id]))
            except Refusal as refusal:
                assert refusal.code in ("IncorrectInstanceState", "UnsupportedOperation"), refusal

    def _attach(self, volume_id: str, instance_id: str, word: int) -> None:
        device = DEVICES[word % len(DEVICES)]
        request = ec2.AttachVolumeRequest(volume_id=volume_id, instance_id=instance_id, device=device)
        if self.call(self.model.attach(volume_id, instance_id, device), attach_volume, request):
            it = self.model.volumes[volume_id]
            it.state, it.instance_id, it.device, it.goes = "attaching", instance_id, device, False

    def _detach(self, volume_id: str, instance_id: str, word: int, *, force: bool = False) -> None:
        named = instance_id if word % 4 == 0 else None
        device = "/dev/sdg" if word % 5 == 0 else None
        request = ec2.DetachVolumeRequest(volume_id=volume_id, instance_id=named, device=device, force=force)
        if self.call(self.model.detach(volume_id, named, device), detach_volume, request):
            self.model.volumes[volume_id].state = "detaching"

    def _force(self, volume_id: str, instance_id: str, word: int) -> None:
        self._detach(volume_id, instance_id, word, force=True)

    def _delete(self, volume_id: str, *_: Any) -> None:
        if self.call(self.model.delete(volume_id), delete_volume, ec2.DeleteVolumeRequest(volume_id=volume_id)):
            self.model.volumes[volume_id].state = "deleting"

    def _modify(self, volume_id: str, _: str, word: int) -> None:
        change, it = list(CHANGES)[word % len(CHANGES)], self.model.volumes[volume_id]
        more, type_, rate = CHANGES[change]
        request = ec2.ModifyVolumeRequest(volume_id=volume_id, size=it.size_gib + more, volume_type=type_, iops=rate)
        if self.call(self.model.modify(volume_id, change, self.services.now()), modify_volume, request):
            it.changed_at.append(self.services.now())
            it.target = (it.size_gib + more, type_ or it.type)

    def _snapshot(self, volume_id: str, *_: Any) -> None:
        if len(self.model.snapshots) >= SNAPSHOTS_MAX:
            return
        codes, it = self.model.snapshot(volume_id), self.model.volumes[volume_id]
        made = self.call(codes, create_snapshot, ec2.CreateSnapshotRequest(volume_id=volume_id))
        if made is not None:
            assert made.volume_size == it.size_gib
            self.model.snapshots[made.snapshot_id] = Snapshot(volume_id, it.size_gib, self.host.number)

    def give_on(self, guest: Guest, volume_id: str, instance_id: str) -> None:
        """The guest lets the volume go, which another instance is given at once, if it is free then."""
        guest.is_deaf = False
        self.life.look()
        self.life.run_one()
        self.hear()
        if self.model.state(volume_id) == "available":
            self._attach(volume_id, instance_id, 0)
            self.life.run_one()

    def end_snapshot(self, pick: int) -> None:
        if self.model.snapshots:
            named = list(self.model.snapshots)[pick % len(self.model.snapshots)]
            request = ec2.DeleteSnapshotRequest(snapshot_id=named)
            if self.call(self.model.delete_snapshot(named), delete_snapshot, request):
                self.model.snapshots[named].state = GONE

    def _keep(self, volume_id: str, instance_id: str, word: int) -> None:
        """DeleteOnTermination becomes true or false."""
        device = self.model.volumes[volume_id].device or "/dev/sdz"
        ebs = ec2.EbsInstanceBlockDeviceSpecification(delete_on_termination=word % 2 == 0)
        mapped = [ec2.InstanceBlockDeviceMappingSpecification(device_name=device, ebs=ebs)]
        request = ec2.ModifyInstanceAttributeRequest(instance_id=instance_id, block_device_mappings=mapped)
        if self.call(self.model.keep(instance_id, device), modify_instance_attribute, request):
            (it,) = [each for each in self.model.held(instance_id) if each.device == device]
            it.goes = word % 2 == 0

    # ── what happens ────────────────────────────────────────────────────────────────────────────────────────────────────

    @rule(looks=st.booleans(), count=st.integers(1, 6))
    def go_on(self, looks: bool, count: int) -> None:
        """The supervisor looks, and workers take the jobs that are due."""
        if looks:
            self.life.look()
        self.life.work(count)

    @rule(step=STEP)
    def work_and_die(self, step: int) -> None:
        self.life.work_and_die(step)

    @rule(
        step=STEP,
        verb=st.sampled_from([*ASKED, *ENDS, *HOURS]),
        at=AT,
        jobs=st.integers(0, 2),
    )
    def work_and_be_asked(self, step: int, verb: str, at: tuple[int, int, int], jobs: int) -> None:
        """In the middle of a job a call comes in, a guest ends or the host sleeps, and another worker takes what is asked for."""

        def happen() -> None:
            if verb in ENDS:
                self.life.guest_ends(at[0], verb)
            elif verb in HOURS:
                self.life.clock.pass_(hours=HOURS[verb])
            else:
                self.ask(verb, at)
            for _ in range(jobs):
                self.life.run_one()

        self.host.plan = (step, happen)
        self.life.run_one()
        self.host.plan = None

    @rule(how=st.sampled_from(TROUBLES), which=WHICH)
    def be_troubled(self, how: str, which: int) -> None:
        """A guest ends, the host sleeps or restarts, or the server does; guests hold on to their disks, or do no longer."""
        if how in ENDS:
            self.life.guest_ends(which, how)
        elif how in HOURS:
            self.life.clock.pass_(hours=HOURS[how])
        elif how == "host":
            self.life.host_restarts()
        elif how == "server":
            self.life.server_starts()
        else:
            self.host.is_deaf = how == "deaf"
            for guest in self.host.live():
                guest.is_deaf = self.host.is_deaf

    @rule(is_patient=st.booleans(), has_agent=st.booleans())
    def fortune(self, is_patient: bool, has_agent: bool) -> None:
        """Whether jobs that wait go on waiting, and the next guests have an agent."""
        self.life.fortune(fails=False, is_deaf=self.host.is_deaf, has_agent=has_agent)
        self.life.patience(is_patient)

    # ── what must be so ─────────────────────────────────────────────────────────────────────────────────────────────────

    def told_volumes(self) -> list[ec2.Volume]:
        found = describe_volumes(self.services, self.life.principal, ec2.DescribeVolumesRequest()).volumes
        return found or []

    @invariant()
    def hear(self) -> None:
        """What is told follows on what was."""
        changes: dict[str | None, str | None] = {}
        if any(it.target for it in self.model.volumes.values()):
            asked = ec2.DescribeVolumesModificationsRequest()
            found = describe_volumes_modifications(self.services, self.life.principal, asked).volumes_modifications
            changes = {it.volume_id: it.modification_state for it in found or []}
        volumes = {str(it.volume_id): _told(it, changes.get(it.volume_id)) for it in self.told_volumes()}
        states = {snapshot_id: it.state for snapshot_id, it in self.model.snapshots.items()}
        if "pending" in states.values():
            listed = describe_snapshots(
                self.services, self.life.principal, ec2.DescribeSnapshotsRequest(owner_ids=["self"])
            )
            states = {str(it.snapshot_id): str(it.state) for it in listed.snapshots or []}
        hear(self.model, volumes, states, self.machines())

    def machines(self) -> dict[str, Machine]:
        """The instances that DescribeInstances shows."""
        it = schema.instance.c
        with self.services.database.read() as c:
            rows = c.execute(select(it.id, it.state, it.hardware_profile, it.terminated_at)).all()
        return {
            row.id: Machine(row.state, row.hardware_profile == Profile.NITRO)
            for row in rows
            if row.terminated_at is None or row.terminated_at > self.services.now() - TERMINATED_VISIBLE
        }

    @invariant()
    def no_volume_is_in_two_places(self) -> None:
        """Nor shorter in its guest than it is told to be."""
        assert self.host.broken == []
        for guest in self.host.live():
            for volume_id in guest.blocks.disks():
                it = self.model.volumes[volume_id]
                assert it.instance_id == guest.instance_id, (volume_id, it, guest.instance_id)
                assert self.size_in(guest, volume_id) >= it.size_gib * GIB, (volume_id, it)

    @invariant()
    def bytes_are_whole(self) -> None:
        """In files, and in snapshots."""
        self.life.volumes_are_whole()
        for snapshot_id, it in self.model.snapshots.items():
            if it.state == "completed" and snapshot_id not in self.contents:
                found = cells_of(self.services, snapshot_id)
                moment = max(it.number, *found.values(), 0)
                assert found == self.wanted(it.volume_id, moment), (snapshot_id, it, found)
                self.contents[snapshot_id] = found

    def wanted(self, volume_id: str, until: int | None = None) -> Cells:
        """What a volume held when the write of this number had been made."""
        base = self.contents.get(self.model.volumes[volume_id].snapshot_id or "", {})
        return base | self.host.written(volume_id, until)

    def check_settled(self) -> None:
        """Where nothing is under way, guests have the disks that they are told to have, so long and with those bytes."""
        self.life.check_settled()
        for check in (self.hear, self.no_volume_is_in_two_places, self.bytes_are_whole):
            check()
        for volume_id, it in self.model.volumes.items():
            assert it.state in ("attached", "available", GONE) and it.target is None, (volume_id, it)
            files = self.host.file_of(volume_id)
            assert it.state != GONE or not files, files
            assert it.state == GONE or self.read(volume_id) == self.wanted(volume_id), volume_id
            for guest in self.host.live(it.instance_id or "none"):
                assert self.size_in(guest, volume_id) == it.size_gib * GIB, (volume_id, it)

    def size_in(self, guest: Guest, volume_id: str) -> int:
        file = guest.blocks.overlay(guest.blocks.disks()[volume_id])
        assert file is not None
        return file.size_bytes

    def read(self, volume_id: str) -> Cells:
        """What whoever has the volume reads: its file above the blocks of its snapshot, as the exporter serves them."""
        files = self.host.file_of(volume_id)
        own = read_cells(files[0]) if files else {}
        snapshot_id, served = self.model.volumes[volume_id].snapshot_id, self.services.data / "exports"
        if snapshot_id is None:
            return own
        if not (served / f"{volume_id}.map").exists():
            return cells_of(self.services, snapshot_id) | own
        blocks = VolumeBlocks(served / f"{volume_id}.map", self.services.data / "packs", served / "law.cache", None)
        try:
            heads = [int.from_bytes(blocks.read(cell * CELL_BYTES, 8), "big") for cell in range(CELLS)]
        finally:
            blocks.close()
        return {cell: number for cell, number in enumerate(heads) if number} | own

    def teardown(self) -> None:
        try:
            self.life.settle()
            self.check_settled()
            for instance_id in self.life.ids:
                self.hear()
                self.ask_of_instance("terminate", instance_id)
            self.life.settle()
            self.check_settled()
            kept = {volume_id for volume_id, it in self.model.volumes.items() if it.state != GONE}
            files = {path.stem for path in self.services.data.rglob("vol-*.qcow2")}
            assert files <= kept, files - kept
        finally:
            self.life.close()


def _told(it: ec2.Volume, change: str | None) -> Told:
    there = it.attachments[0] if it.attachments else None
    state = str(it.state if there is None else there.state)
    assert (it.state == "in-use") == (there is not None) and (there is None or state in HELD), it
    instance_id, device = (None, None) if there is None else (there.instance_id, there.device)
    goes = there is not None and bool(there.delete_on_termination)
    return Told(int(it.size or 0), str(it.volume_type), state, instance_id, device, goes, change)


def test_no_order_of_calls_crashes_and_restarts_breaks_a_volume() -> None:
    wanted = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Volumes, settings=wanted)


def begun() -> Volumes:
    """Two instances that run, each with a root and a disk beside it, and two volumes that are free."""
    law = Volumes()
    law.launch(keeps=False, is_nvme=False)
    law.begin(keeps=True, is_nvme=False)
    return law


def test_a_volume_that_grows_under_a_running_guest_is_as_long_there() -> None:
    law = begun()
    try:
        law.grow_where_it_is(pick=0, waits=True)
        (volume_id,) = [each for each, it in law.model.volumes.items() if it.changed_at]
        law.hear()
        law.check_settled()
        (guest,) = law.host.live(law.model.volumes[volume_id].instance_id or "")
        assert law.size_in(guest, volume_id) == law.model.volumes[volume_id].size_gib * GIB > GIB
    finally:
        law.teardown()


@pytest.mark.parametrize("step", range(12, 18))
def test_where_the_server_dies_as_an_instance_ends_each_volume_that_is_told_has_its_bytes(step: int) -> None:
    law = begun()
    try:
        law.ask("terminate", (1, 0, 0))
        law.host.plan = (step, law.host.die)
        law.life.run_one()
        law.host.plan = None
        law.bytes_are_whole()
        law.life.server_starts()
    finally:
        law.teardown()


@pytest.mark.parametrize("step", range(1, 9, 3))
def test_a_volume_that_another_instance_was_given_stays_where_its_former_instance_ends(step: int) -> None:
    law = begun()
    try:
        (old, new), volume_id = law.life.ids, list(law.model.volumes)[-1]
        law.ask("attach", (1, 0, 0), waits=True)
        assert law.model.volumes[volume_id].instance_id == old
        (guest,) = law.host.live(old)
        guest.is_deaf = True
        law._detach(volume_id, old, 1)
        while law.life.run_one():
            pass
        law.ask("terminate", (1, 0, 0))
        law.host.plan = (step, lambda: law.give_on(guest, volume_id, new))
        law.life.run_one()
        law.host.plan = None
    finally:
        law.teardown()
