"""From an instance's row to a running guest.

    directory → [Xen appliance] → lock → [live QEMU of this boot? adopt it] → exports → overlays → kernel → holder → QEMU ═ running

Safe to run twice: a QEMU that runs already is found by its record and adopted; what is half made is undone on failure and made again
on the next try.  A first boot that cannot be made terminates the instance (as EC2 does), a later one leaves it stopped; the state
reason says why in words.
"""

import contextlib
from dataclasses import replace
from pathlib import Path

from amiable.database import images, instances, jobs, volumes
from amiable.jobs.context import JobContext
from amiable.jobs.machine import FAILURES, Facts, export, facts_of, forget_volume, move, unexport, words
from amiable.jobs.moments import wait_until_unread
from amiable.jobs.xen_boot import XenParts, place_xen_parts, xen_parts
from amiable.model.errors import IncorrectInstanceState
from amiable.model.hardware import Hardware
from amiable.model.instance import State
from amiable.model.volume import Volume
from amiable.rules import lifecycle
from amiable.rules.hardware import Surroundings, disk_of, hardware_of, starts_by_uefi
from amiable.rules.lifecycle import Event
from amiable.rules.volume import root_of
from amiable.rules.volume_type import limits_of
from amiable.services import Services
from amiable.services.roots import drop_unused_roots
from amiable.vm import fabric, firmware, hotplug, machine, patience, volume_files
from amiable.vm.accelerator import choose_accelerator
from amiable.vm.directory import Directory, DirectoryBusy, locked, make_directory, open_directory, remove_directory
from amiable.vm.machine import MachineFailed
from amiable.vm.network_kind import choose_network
from amiable.vm.qmp import Qmp


class _Overtaken(Exception):
    """The instance is pending no more: it was terminated before its lock was had."""


def boot(context: JobContext) -> None:
    """Runs the job."""
    services = context.services
    facts = facts_of(services, context.data["instance_id"])
    if facts.instance.state is not State.PENDING:
        return
    wait_until_unread(context, facts.instance.id)
    try:
        start(services, facts)
    except DirectoryBusy:
        raise
    except _Overtaken:
        _clear(services, facts)
        return
    except FAILURES as error:
        give_up(context, words(error))
        return
    try:
        move(context, facts.instance.id, Event.BOOTED)
    except IncorrectInstanceState:  # it was terminated meanwhile, and that job may have found nothing to end
        _clear(services, facts)


def _clear(services: Services, facts: Facts) -> None:
    """Ends what was started of an instance that is not to run; where it has ended, its directory goes."""
    now = facts_of(services, facts.instance.id)
    _abandon(services, facts, remove=now.instance.state is State.TERMINATED)


def start(services: Services, facts: Facts) -> None:
    """A live QEMU of this boot, adopted or made; raises _Overtaken, or one of FAILURES with nothing left running."""
    instance = facts.instance
    settings = services.settings
    make_directory(
        services.data,
        instance.id,
        range(settings.guest_uid_first, settings.guest_uid_first + settings.guest_uid_count),
    )
    xen = xen_parts(services, facts)
    machine.find_program(settings.qemu, "qemu-system-x86")
    with open_directory(services.data, instance.id) as directory, locked(directory) as lock:
        facts = _startable(services, instance.id)
        this_boot = instance.boot_count + 1
        found = machine.find_machine(directory)
        if found is not None and found.facts.get("boot") == this_boot:
            with machine.monitor(directory, found, wait_seconds=machine.START_SECONDS_MAX) as qmp:
                qmp.execute("query-status")
                _hold_to_rates(qmp, facts)
            return
        machine.end_machine(directory)
        hardware = _hardware(services, directory, facts, xen)
        tap = fabric.making_tap(services.data, hardware.link)
        with patience.endless(), tap as taps, contextlib.ExitStack() as undo:
            undo.callback(unexport, services, facts.volumes)
            _prepare(services, directory, facts, hardware)
            if xen is not None:
                place_xen_parts(directory, xen, hardware)
            started = machine.start_machine(directory, lock, hardware, qemu=settings.qemu, boot=this_boot, taps=taps)
            with machine.monitor(directory, started, wait_seconds=machine.START_SECONDS_MAX) as qmp:
                _hold_to_rates(qmp, facts)
            undo.pop_all()


def _startable(services: Services, instance_id: str) -> Facts:
    """The facts under the lock, where no volume comes or goes any more, without those that leave."""
    found = facts_of(services, instance_id)
    if found.instance.state is not State.PENDING:
        raise _Overtaken
    facts = replace(found, volumes=tuple(volume for volume in found.volumes if not volume.is_leaving))
    if root_of(facts.volumes, facts.instance.root_device_name) is None:
        raise MachineFailed(f"the instance has no volume at its root device {facts.instance.root_device_name}")
    return facts


def _hold_to_rates(qmp: Qmp, facts: Facts) -> None:
    for volume in facts.volumes:
        hotplug.limit(qmp, disk_of(volume), limits_of(volume))


def _hardware(services: Services, directory: Directory, facts: Facts, xen: XenParts | None) -> Hardware:
    """The machine of this boot; what its firmware does follows from the instance's own UEFI variables, which are made here."""
    settings, instance = services.settings, facts.instance
    is_secure = False
    if starts_by_uefi(instance):
        with services.database.read() as c:
            uefi_data = images.uefi_data_of(c, instance.image_id)
        firmware.make_variables(directory, uefi_data)
        is_secure = firmware.is_secure(directory)
    accelerator, network = choose_accelerator(services.data, settings).kind, choose_network(settings).kind
    around = Surroundings(facts.subnet, accelerator, network)
    return hardware_of(instance, facts.volumes, around, xen=None if xen is None else xen.boot, is_secure=is_secure)


def _prepare(services: Services, directory: Directory, facts: Facts, hardware: Hardware) -> None:
    for volume, disk in zip(facts.volumes, hardware.disks, strict=True):
        assert volume.id == disk.volume_id
        volume_files.move_in(services.data, directory, volume.id)
        export(services, directory, volume)
        machine.make_overlay(directory, disk)
        volume_files.fit(directory, volume.id, volume.size_bytes)
    if hardware.direct is not None:
        for image_id, name in ((facts.instance.kernel_id, "kernel"), (facts.instance.ramdisk_id, "ramdisk")):
            if image_id is not None:
                _copy_kernel(services.data / "kernels" / image_id, directory, name)


def _copy_kernel(source: Path, directory: Directory, name: str) -> None:
    if not source.exists():
        raise MachineFailed(f"the {name} {source.name} has no bytes here: it was deregistered")
    directory.copy_in(source, name)


def give_up(context: JobContext, why: str) -> None:
    """The instance ends (first boot, or no volume to keep) or is stopped again, with the reason; nothing of it is left running."""
    services = context.services
    facts = facts_of(services, context.data["instance_id"])
    instance = facts.instance
    if instance.state is not State.PENDING:
        return
    event, reason = lifecycle.boot_failed(instance, why)
    _abandon(services, facts, remove=event is Event.LAUNCH_FAILED)
    with services.database.write() as c:
        context.save(c, progress_percent=90)
        instances.set_state(c, instance.id, event, now=services.now(), reason=reason)
        if event is Event.LAUNCH_FAILED:
            for volume in facts.volumes:
                volumes.delete_volume(c, volume.id)
            drop_unused_roots(services, c)
        if event is Event.TERMINATE_ASKED:
            data, key = {"instance_id": instance.id}, f"{instance.id}:terminate"
            jobs.enqueue(c, jobs.NewJob("terminate", key, data, services.host), now=services.now())
    services.wake()
    _forget_gone(services, facts)


def _abandon(services: Services, facts: Facts, *, remove: bool) -> None:
    """Ends whatever runs of the instance; with ``remove``, its directory goes, and the bytes of volumes that are gone."""
    with contextlib.suppress(FileNotFoundError):
        with open_directory(services.data, facts.instance.id) as directory, locked(directory):
            machine.end_machine(directory)
            unexport(services, _without_others(services, facts))
            if remove:
                remove_directory(services.data, facts.instance.id)
    if remove:
        _forget_gone(services, facts)


def _without_others(services: Services, facts: Facts) -> tuple[Volume, ...]:
    """The volumes of the boot's beginning that no other instance has been given since."""
    with services.database.read() as c:
        now = {volume.id: volumes.get_volume(c, volume.id) for volume in facts.volumes}
    return tuple(it for it in facts.volumes if (found := now[it.id]) is None or found.instance_id == facts.instance.id)


def _forget_gone(services: Services, facts: Facts) -> None:
    with services.database.read() as c:
        there = volumes.existing_volumes(c, [volume.id for volume in facts.volumes])
    for volume in facts.volumes:
        if volume.id not in there:
            forget_volume(services, volume.id)
