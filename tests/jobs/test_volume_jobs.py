"""The four jobs of volumes without a machine: files move once however often they are asked, and what a crash leaves is put right."""

import json
import os
import socket
import subprocess
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from amiable.database import instances, jobs, snapshots, volume_modifications, volumes
from amiable.jobs import attach_volume, delete_volume, detach_volume, moments, stop, terminate, volume_machine
from amiable.jobs.context import JobContext
from amiable.jobs.moments import tag_of
from amiable.jobs.registry import JOBS
from amiable.jobs.volume_machine import NotYet
from amiable.model.instance import Instance, State
from amiable.model.principal import Principal
from amiable.model.volume import AttachmentState, Volume, VolumeState
from amiable.model.volume_modification import Modification, ModificationState
from amiable.rules.hardware import disk_of
from amiable.rules.lifecycle import Event
from amiable.server.volume_sweep import sweep_volumes
from amiable.services import Services, volume_work
from amiable.services.volume_place import Place, VolumePlace, open_place, place_of
from amiable.vm import disk_export, machine, volume_files
from amiable.vm.directory import DirectoryBusy, locked, open_directory
from amiable.vm.machine import MachineFailed
from amiable.vm.process import QEMU_RECORD, identity_of
from amiable.vm.volume_files import file_name
from tests.api.ec2.launching import make_snapshot
from tests.jobs.test_machine_jobs import context as machine_context
from tests.jobs.test_machine_jobs import launch
from tests.rules.volumes import VOLUME
from tests.server.fake_machine import serving

GIB = 1 << 30


def make(services: Services, principal: Principal, **facts: Any) -> Volume:
    """A volume's row."""
    own = replace(VOLUME, id=services.mint("vol"), account_id=principal.account_id, created_at=services.now())
    volume = replace(own, **facts)
    with services.database.write() as c:
        volumes.insert_volume(c, volume)
    return volume


def context(services: Services, volume: Volume, kind: str, **facts: object) -> JobContext:
    """A picked job."""
    with services.database.write() as c:
        volume_work.enqueue(c, services, volume, kind, **facts)
        job = jobs.pick(c, [kind], jobs.Lease("test:1", services.host, "t"), now=services.now())
    assert job is not None
    return JobContext(services, job)


def run(services: Services, volume: Volume, kind: str, **facts: object) -> None:
    """Runs the job, and ends it."""
    picked = context(services, volume, kind, **facts)
    JOBS[kind].run(picked)
    with services.database.write() as c:
        jobs.finish(c, picked.job, now=services.now())


def found(services: Services, volume: Volume) -> Volume:
    with services.database.read() as c:
        row = volumes.get_volume(c, volume.id)
    assert row is not None
    return row


def stopped(services: Services, principal: Principal) -> tuple[Instance, Path]:
    """A stopped instance and its directory."""
    instance = launch(services, principal, state=State.STOPPED, boot_count=1)
    folder = services.data / "instances" / instance.id
    folder.mkdir()
    return instance, folder


def ask_to_attach(services: Services, volume: Volume, instance: Instance) -> None:
    with services.database.write() as c:
        volumes.attach_volume(c, volume.id, instance.id, "/dev/sdf", now=services.now())


def test_a_file_moves_in_and_out_once_and_is_found_where_it_is(services: Services, principal: Principal) -> None:
    instance, folder = stopped(services, principal)
    volume = make(services, principal)
    assert place_of(services.data, volume) == VolumePlace(Place.NOWHERE)
    with volume_files.open_volumes(services.data) as outside:
        outside.write(file_name(volume.id), b"bytes")
    assert place_of(services.data, volume) == VolumePlace(Place.DETACHED)
    ask_to_attach(services, volume, instance)
    run(services, volume, "attach-volume")
    run(services, volume, "attach-volume")
    assert found(services, volume).attachment_state is AttachmentState.ATTACHED
    assert place_of(services.data, found(services, volume)) == VolumePlace(Place.INSTANCE, instance.id)
    with open_place(services.data, place_of(services.data, found(services, volume))) as there:
        assert (there.path / file_name(volume.id)).read_bytes() == b"bytes" and there.path == folder
    with services.database.write() as c:
        volumes.set_attachment(c, volume.id, AttachmentState.DETACHING)
    run(services, volume, "detach-volume")
    run(services, volume, "detach-volume")
    now = found(services, volume)
    assert (now.state, now.instance_id, now.attachment_state) == (VolumeState.AVAILABLE, None, None)
    assert place_of(services.data, now) == VolumePlace(Place.DETACHED)


@pytest.mark.parametrize("when", ["before the move", "after the move"])
def test_an_attachment_that_a_crash_cut_off_is_gone_on_with(
    services: Services, principal: Principal, when: str
) -> None:
    instance, folder = stopped(services, principal)
    volume = make(services, principal)
    ask_to_attach(services, volume, instance)
    with volume_files.open_volumes(services.data) as outside:
        target = folder if when == "after the move" else outside.path
        (target / file_name(volume.id)).write_bytes(b"bytes")
    sweep_volumes(services)
    with services.database.write() as c:
        job = jobs.pick(c, ["attach-volume"], jobs.Lease("test:1", services.host, "t"), now=services.now())
    assert job is not None
    attach_volume.attach_volume(JobContext(services, job))
    assert found(services, volume).attachment_state is AttachmentState.ATTACHED
    assert (folder / file_name(volume.id)).read_bytes() == b"bytes"


def test_a_volume_that_a_snapshot_is_being_made_of_waits(services: Services, principal: Principal) -> None:
    instance, _ = stopped(services, principal)
    volume = make(services, principal, size_gib=1, size_bytes=GIB)
    ask_to_attach(services, volume, instance)
    snapshot_id = make_snapshot(services, principal, state="pending", volume_id=volume.id)
    reader = disk_export._still_record(tag_of(snapshot_id))
    with volume_files.open_volumes(services.data) as outside:
        (outside.path / reader).write_text(json.dumps(asdict(identity_of(os.getpid()))))
    with services.database.write() as c:
        volume_modifications.insert_modification(c, _change(services, volume))
    for kind in ("attach-volume", "modify-volume"):
        run(services, volume, kind)
    assert found(services, volume).attachment_state is AttachmentState.ATTACHING
    with services.database.write() as c:
        snapshots.fail(c, snapshot_id, "over")
    for kind in ("attach-volume", "modify-volume"):
        run(services, volume, kind)
    assert (found(services, volume).attachment_state, found(services, volume).size_gib) == (AttachmentState.ATTACHED, 2)


def test_a_snapshot_that_has_not_begun_waits_for_an_attachment_and_not_the_attachment_for_it(
    services: Services, principal: Principal
) -> None:
    instance, folder = stopped(services, principal)
    volume = make(services, principal)
    with volume_files.open_volumes(services.data) as outside:
        (outside.path / file_name(volume.id)).write_bytes(b"bytes")
    seen = found(services, volume)
    ask_to_attach(services, volume, instance)
    snapshot_id = make_snapshot(services, principal, state="pending", volume_id=volume.id)
    items = {volume.id: snapshot_id}
    for told in (
        seen,
        found(services, volume),
    ):  # what a snapshot's job has read before the attachment was asked for, or behind it
        assert moments._try(services, items, [told], is_asked=False) is None
    run(services, volume, "attach-volume")
    assert found(services, volume).attachment_state is AttachmentState.ATTACHED
    assert (folder / file_name(volume.id)).read_bytes() == b"bytes"


def test_what_cannot_be_attached_is_available_again(services: Services, principal: Principal) -> None:
    instance, folder = stopped(services, principal)
    volume = make(services, principal)
    ask_to_attach(services, volume, instance)
    (folder / file_name(volume.id)).write_bytes(b"bytes")
    attach_volume.give_up(context(services, volume, "attach-volume"), "no reason")
    assert found(services, volume).state is VolumeState.AVAILABLE
    assert place_of(services.data, found(services, volume)) == VolumePlace(Place.DETACHED)


def test_what_cannot_be_attached_keeps_its_place_while_the_machine_may_have_it(
    services: Services, principal: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(volume_machine, "LET_GO_SECONDS_MAX", 0.1)
    instance, folder = stopped(services, principal)
    (folder / QEMU_RECORD).write_text(json.dumps(asdict(identity_of(os.getpid()))))
    volume = make(services, principal)
    ask_to_attach(services, volume, instance)
    (folder / file_name(volume.id)).write_bytes(b"bytes")
    plugged = [{"name": disk_of(volume).device}]

    def talk(client: socket.socket) -> None:
        client.sendall(b'{"QMP": {}}\n')
        with client.makefile("rb") as lines:
            for line in lines:
                told = plugged if json.loads(line)["execute"] == "qom-list" else []
                client.sendall(json.dumps({"return": told}).encode() + b"\n")

    with serving(folder, "qmp.sock", socket.SOCK_STREAM, talk):
        attach_volume.give_up(context(services, volume, "attach-volume"), "its rates could not be set")
        assert found(services, volume).attachment_state is AttachmentState.DETACHING
        assert (folder / file_name(volume.id)).exists()
        plugged.clear()
        run(services, found(services, volume), "detach-volume")
    assert found(services, volume).state is VolumeState.AVAILABLE
    assert place_of(services.data, found(services, volume)) == VolumePlace(Place.DETACHED)


@pytest.mark.parametrize("kind", ["attach-volume", "modify-volume"])
def test_a_machine_that_ends_while_it_is_asked_is_waited_for(
    services: Services, principal: Principal, kind: str
) -> None:
    """Its end is no refusal: what was asked for is done once the machine is gone."""
    instance, folder = stopped(services, principal)
    (folder / QEMU_RECORD).write_text(json.dumps(asdict(identity_of(os.getpid()))))
    volume = make(services, principal, size_gib=1, size_bytes=GIB)
    ask_to_attach(services, volume, instance)
    with open_directory(services.data, instance.id) as directory:
        machine.make_overlay(directory, disk_of(volume))
    with services.database.write() as c:
        volume_modifications.insert_modification(c, _change(services, volume))
    asked: list[str] = []

    def talk(client: socket.socket) -> None:
        client.sendall(b'{"QMP": {}}\n')
        with client.makefile("rb") as lines:
            for line in lines:
                asked.append(json.loads(line)["execute"])
                if asked[-1] == "qom-list":
                    return
                client.sendall(b'{"return": {}}\n')

    picked = context(services, volume, kind)
    with serving(folder, "qmp.sock", socket.SOCK_STREAM, talk):
        with pytest.raises(NotYet, match="QEMU closed its monitor"):
            JOBS[kind].run(picked)
    assert asked[-1] == "qom-list"
    assert found(services, volume).attachment_state is AttachmentState.ATTACHING
    assert _newest_change(services, volume).state is ModificationState.MODIFYING
    (folder / QEMU_RECORD).unlink()
    JOBS[kind].run(picked)
    assert found(services, volume).attachment_state is (
        AttachmentState.ATTACHED if kind == "attach-volume" else AttachmentState.ATTACHING
    )
    assert _newest_change(services, volume).state is (
        ModificationState.COMPLETED if kind == "modify-volume" else ModificationState.MODIFYING
    )


def test_a_guests_link_in_a_volumes_place_is_not_taken_for_its_file(services: Services, principal: Principal) -> None:
    instance, folder = stopped(services, principal)
    volume = make(services, principal)
    ask_to_attach(services, volume, instance)
    secret = services.data / "secret"
    secret.write_bytes(b"secret")
    (folder / file_name(volume.id)).symlink_to(secret)
    with services.database.write() as c:
        volumes.set_attachment(c, volume.id, AttachmentState.DETACHING)
    with pytest.raises(OSError):
        detach_volume.detach_volume(context(services, volume, "detach-volume"))
    assert volume_files.list_detached(services.data) == [] and secret.read_bytes() == b"secret"


def test_a_file_that_a_guest_holds_open_for_writing_is_not_detached(services: Services, principal: Principal) -> None:
    instance, folder = stopped(services, principal)
    volume = make(services, principal)
    ask_to_attach(services, volume, instance)
    path = folder / file_name(volume.id)
    path.write_bytes(b"bytes")
    with services.database.write() as c:
        volumes.set_attachment(c, volume.id, AttachmentState.DETACHING)
    if os.geteuid() != 0:  # then the guests run as the server itself, and there is nobody to guard it from
        with path.open("r+b"):
            run(services, volume, "detach-volume")
        assert found(services, volume).attachment_state is None
        return
    with path.open("r+b"), pytest.raises(MachineFailed, match="still open to a process that can write to it"):
        run(services, volume, "detach-volume")
    assert found(services, volume).attachment_state is AttachmentState.DETACHING
    with volume_files.open_volumes(services.data) as outside, open_directory(services.data, instance.id) as directory:
        volume_files.move_out(services.data, directory, volume.id)
        assert (outside.path / file_name(volume.id)).read_bytes() == b"bytes", "once it is let go it goes on"


def test_a_file_that_leads_a_tool_of_ours_to_another_is_refused_and_the_other_left(
    services: Services, principal: Principal
) -> None:
    volume = make(services, principal, size_gib=1, size_bytes=GIB)
    other = services.data / "other"
    other.write_bytes(b"of the host")
    with volume_files.open_volumes(services.data) as outside:
        elsewhere = f"data_file={other},data_file_raw=on"
        argv = ["qemu-img", "create", "-q", "-f", "qcow2", "-o", elsewhere, file_name(volume.id), "1M"]
        subprocess.run(argv, cwd=outside.path, check=True)
    other.write_bytes(b"of the host")
    with services.database.write() as c:
        volume_modifications.insert_modification(c, replace(_change(services, volume), target_size_gib=3))
    run(services, volume, "modify-volume")
    assert found(services, volume).size_gib == 1 and other.read_bytes() == b"of the host"
    with services.database.read() as c:
        (change,) = volume_modifications.list_modifications(c, volume.id)
    assert change.state is ModificationState.FAILED and "is not as it was made" in (change.message or "")


def test_a_volume_that_is_leaving_stays_when_its_instance_ends(services: Services, principal: Principal) -> None:
    instance, folder = stopped(services, principal)
    volume = make(services, principal)
    ask_to_attach(services, volume, instance)
    (folder / file_name(volume.id)).write_bytes(b"bytes")
    with services.database.write() as c:
        volumes.set_delete_on_termination(c, volume.id, True)
        volumes.set_attachment(c, volume.id, AttachmentState.DETACHING)
        instances.set_state(c, instance.id, Event.TERMINATE_ASKED, now=services.now())
    terminate.terminate(machine_context(services, "terminate", instance))
    now = found(services, volume)
    assert now.state is VolumeState.AVAILABLE and not now.delete_on_termination
    assert place_of(services.data, now) == VolumePlace(Place.DETACHED)


def test_local_disks_are_emptied_at_a_stop_and_what_was_leaving_leaves(
    services: Services, principal: Principal
) -> None:
    instance, folder = stopped(services, principal)
    with services.database.write() as c:
        instances.set_state(c, instance.id, Event.START_ASKED, now=services.now())
        instances.set_state(c, instance.id, Event.BOOTED, now=services.now())
        instances.set_state(c, instance.id, Event.STOP_ASKED, now=services.now())
    local = make(
        services,
        principal,
        is_instance_store=True,
        virtual_name="ephemeral0",
        state=VolumeState.IN_USE,
        instance_id=instance.id,
        device_name="/dev/sdb",
        attachment_state=AttachmentState.ATTACHED,
    )
    leaving = make(services, principal)
    ask_to_attach(services, leaving, instance)
    with services.database.write() as c:
        volumes.set_attachment(c, leaving.id, AttachmentState.DETACHING)
    for each in (local, leaving):
        (folder / file_name(each.id)).write_bytes(b"bytes")
    stop.stop(machine_context(services, "stop", instance))
    assert not (folder / file_name(local.id)).exists() and found(services, local).instance_id == instance.id
    with services.database.read() as c:
        assert jobs.is_live(c, f"{leaving.id}:detach-volume")


@pytest.mark.parametrize("is_attached", [False, True], ids=["detached", "attached"])
def test_a_volume_grows_where_its_file_is(services: Services, principal: Principal, is_attached: bool) -> None:
    instance, folder = stopped(services, principal)
    volume = make(services, principal, size_gib=1, size_bytes=GIB)
    if is_attached:
        ask_to_attach(services, volume, instance)
        where: Path = folder
    else:
        where = services.data / "volumes"
    with volume_files.open_volumes(services.data) as outside:
        machine.make_overlay(outside, disk_of(volume))
        (outside.path / file_name(volume.id)).rename(where / file_name(volume.id))
    change = replace(_change(services, volume), target_size_gib=3, target_type="gp3", target_iops=3500)
    with services.database.write() as c:
        volume_modifications.insert_modification(c, change)
    run(services, volume, "modify-volume")
    run(services, volume, "modify-volume")
    now = found(services, volume)
    assert (now.size_gib, now.size_bytes, now.volume_type, now.iops) == (3, 3 * GIB, "gp3", 3500)
    with open_place(services.data, place_of(services.data, now)) as there:
        assert volume_files.virtual_size(there, file_name(volume.id)) == 3 * GIB
        assert there.path == where


def test_a_change_that_fails_leaves_the_volume_as_it_was(services: Services, principal: Principal) -> None:
    volume = make(services, principal, size_gib=1, size_bytes=GIB)
    with volume_files.open_volumes(services.data) as outside:
        outside.write(file_name(volume.id), b"no disk at all")
    with services.database.write() as c:
        volume_modifications.insert_modification(c, _change(services, volume))
    run(services, volume, "modify-volume")
    ended = _newest_change(services, volume)
    assert ended.state is ModificationState.FAILED and "cut short" in (ended.message or "")
    assert found(services, volume).size_gib == 1


def test_a_volume_does_not_grow_while_another_has_the_lock_of_where_its_file_is(
    services: Services, principal: Principal
) -> None:
    volume = make(services, principal, size_gib=1, size_bytes=GIB)
    with services.database.write() as c:
        volume_modifications.insert_modification(c, _change(services, volume))
    picked = context(services, volume, "modify-volume")
    with volume_files.open_volumes(services.data) as outside:
        machine.make_overlay(outside, disk_of(volume))
        with locked(outside), pytest.raises(DirectoryBusy):  # as whoever begins to read it has
            JOBS["modify-volume"].run(picked)
        assert volume_files.virtual_size(outside, file_name(volume.id)) == GIB
    assert _newest_change(services, volume).state is ModificationState.MODIFYING


def _newest_change(services: Services, volume: Volume) -> Modification:
    with services.database.read() as c:
        return volume_modifications.list_modifications(c, volume.id)[-1]


def _change(services: Services, volume: Volume) -> Modification:
    return Modification(
        volume_id=volume.id,
        number=1,
        state=ModificationState.MODIFYING,
        original_size_gib=1,
        original_type="gp2",
        original_iops=None,
        original_throughput=None,
        target_size_gib=2,
        target_type="gp2",
        target_iops=None,
        target_throughput=None,
        started_at=services.now(),
    )


def test_the_sweep_removes_the_files_of_volumes_that_are_gone_and_no_others(
    services: Services, principal: Principal
) -> None:
    kept, gone = make(services, principal), services.mint("vol")
    with volume_files.open_volumes(services.data) as outside:
        outside.write(file_name(kept.id), b"kept")
        outside.write(file_name(gone), b"gone")
    for volume_id in (kept.id, gone):
        (services.data / "exports" / f"{volume_id}.map").write_bytes(b"map")
    sweep_volumes(services)
    assert volume_files.list_detached(services.data) == [kept.id]
    assert [path.name for path in (services.data / "exports").iterdir()] == [f"{kept.id}.map"]


def test_a_deletion_that_a_crash_cut_off_is_gone_on_with(services: Services, principal: Principal) -> None:
    volume = make(services, principal)
    with services.database.write() as c:
        volumes.set_deleting(c, volume.id)
    sweep_volumes(services)
    with services.database.write() as c:
        job = jobs.pick(c, ["delete-volume"], jobs.Lease("test:1", services.host, "t"), now=services.now())
    assert job is not None
    delete_volume.delete_volume(JobContext(services, job))
    with services.database.read() as c:
        assert volumes.get_volume(c, volume.id) is None
