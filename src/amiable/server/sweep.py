"""What no event tells: passing states without a job, and directories whose instance is not running."""

import contextlib
import logging
from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection

from amiable.database import instances, jobs, network
from amiable.model.instance import TERMINATED_VISIBLE, Instance, State
from amiable.services import Services
from amiable.vm import console_log, disk_export, fabric, machine
from amiable.vm.directory import DirectoryBusy, locked, open_directory, remove_directory
from amiable.vm.machine import MachineFailed

log = logging.getLogger("amiable.supervise")

JOB_OF: Final = {State.PENDING: "boot", State.STOPPING: "stop", State.SHUTTING_DOWN: "terminate"}
"""The job that leads out of a passing state."""
AWAIT_THE_END: Final = ("stop", "terminate", "reboot")
"""Verbs of the keys of jobs that wait for a guest to be off; an image's has the reboot's."""


def enqueue(services: Services, c: Connection, instance: Instance, kind: str) -> bool:
    """Asks for a job of the instance; False where it is live already."""
    data = {"instance_id": instance.id}
    return jobs.enqueue(c, jobs.NewJob(kind, f"{instance.id}:{kind}", data, services.host), now=services.now())


def hasten(services: Services, instance_id: str) -> None:
    """Lets the job that waits for the instance's guest to be off, if one does, look now."""
    keys = [f"{instance_id}:{verb}" for verb in AWAIT_THE_END]
    with services.database.read() as c:
        is_awaited = any(jobs.is_live(c, key) for key in keys)
    if is_awaited:
        with services.database.write() as c:
            jobs.hasten(c, keys, services.now())
        services.wake()


def resume(services: Services, rows: Sequence[Instance]) -> None:
    """A passing state without its job gets it: the job was given up, or its process died in between."""
    passing = [row for row in rows if row.state in JOB_OF]
    if not passing:
        return
    with services.database.write() as c:
        resumed = [row.id for row in passing if _is_still(c, row) and enqueue(services, c, row, JOB_OF[row.state])]
    if resumed:
        log.info("resumed: %s", " ".join(resumed))
        services.wake()


def _is_still(c: Connection, row: Instance) -> bool:
    now = instances.get_instance(c, row.id)
    return now is not None and now.state is row.state


def sweep(services: Services) -> None:
    """Ends and removes what belongs to no instance."""
    for path in sorted((services.data / "instances").iterdir()):
        if path.name.startswith("."):
            continue
        with services.database.read() as c:
            instance = instances.get_instance(c, path.name)
        if instance is not None and instance.state not in (State.TERMINATED, State.STOPPED):
            continue
        try:
            _sweep_one(services, path.name, is_gone=instance is None or instance.state is State.TERMINATED)
        except (DirectoryBusy, MachineFailed, OSError) as error:
            log.warning("%s: left over, and it stays for now: %s", path.name, error)
    for instance_id in console_log.known_instances(services.data):
        with services.database.read() as c:
            row = instances.get_instance(c, instance_id)
        if row is None or (row.terminated_at is not None and row.terminated_at <= services.now() - TERMINATED_VISIBLE):
            console_log.forget(services.data, instance_id)


def sweep_fabrics(services: Services) -> None:
    """Removes what is left on this host of VPCs that are gone."""
    left = fabric.list_fabrics(services.data)
    with services.database.read() as c:
        there = network.existing_vpcs(c, left)
    for vpc_id in [each for each in left if each not in there]:
        with contextlib.suppress(DirectoryBusy):
            if fabric.remove_fabric(services.data, vpc_id):
                log.info("%s: what was left of its network here is removed", vpc_id)


def _sweep_one(services: Services, instance_id: str, *, is_gone: bool) -> None:
    with open_directory(services.data, instance_id) as directory:
        if not is_gone and machine.find_machine(directory) is None:
            return
        with locked(directory, wait_seconds=0):
            with services.database.read() as c:  # a start may have begun since
                row = instances.get_instance(c, instance_id)
            if row is not None and row.state not in (State.TERMINATED, State.STOPPED):
                return
            log.warning("%s: left over from an instance that is not running; ending it", instance_id)
            machine.end_machine(directory)
            if is_gone:
                disk_export.end_still_disk(directory)
                remove_directory(services.data, instance_id)
