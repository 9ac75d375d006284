"""A host whose machines are values: what jobs and supervision start, find, ask and end at the process boundary, without a process.

Between any two steps something may happen (:attr:`Host.plan`): the server dies there, another worker takes a job, a caller asks.
A server that died does nothing more: every later step of it raises :class:`Died`, whatever it tries to clean up.
"""

import contextlib
import json
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from amiable.model.hardware import Disk, Hardware, Profile
from amiable.services import Services
from amiable.vm import exporter, fabric, hotplug, machine
from amiable.vm.directory import Directory, open_directory
from amiable.vm.machine import MachineFailed
from amiable.vm.process import QEMU_RECORD, Process


class Died(BaseException):
    """kill -9 of the server."""


@dataclass(eq=False)
class Guest:
    """One QEMU and what runs in it; ``is_deaf``: it does not listen to its power button."""

    number: int
    instance_id: str
    boot: int
    boot_of_host: int
    disks: list[str]
    is_deaf: bool
    status: str = "running"
    is_alive: bool = True
    events: list[dict[str, Any]] = field(default_factory=list)
    end: int = field(default_factory=lambda: os.eventfd(0))

    def die(self) -> None:
        self.is_alive = False
        os.eventfd_write(self.end, 1)

    def power_off(self) -> None:
        self.status = "shutdown"
        self.events.append({"event": "SHUTDOWN", "data": {"guest": True}})


class Found(Process):
    """A guest's process as the server sees it."""

    guest: Guest

    def open(self) -> int | None:
        return os.dup(self.guest.end) if self.guest.is_alive else None

    def is_alive(self) -> bool:
        return self.guest.is_alive


class Monitor:
    """A QMP connection to a guest."""

    def __init__(self, host: "Host", guest: Guest) -> None:
        self._host, self.guest = host, guest
        self._ends = socket.socketpair()

    def fileno(self) -> int:
        return self._ends[0].fileno()

    def close(self) -> None:
        for each in self._ends:
            each.close()

    def event(self, wait_seconds: float) -> dict[str, Any] | None:
        return self.guest.events.pop(0) if self.guest.events else None

    def execute(self, command: str, **arguments: Any) -> Any:
        self._host.step()
        guest = self.guest
        if not guest.is_alive:
            raise MachineFailed("QEMU ended")
        if command == "system_powerdown" and not guest.is_deaf:
            guest.power_off()
        if command in ("system_reset", "cont"):
            guest.status = "running"
        return {"status": guest.status}


class Host:
    """What runs, what is exported, and what shall happen next."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.guests: list[Guest] = []
        self.exports: set[str] = set()
        self.boot = 1
        self.is_dead = False
        self.fails_to_start = False
        self.is_deaf = False
        self.plan: tuple[int, Callable[[], None]] | None = None
        self.written: dict[str, int] = {}
        self.broken: list[str] = []

    def step(self) -> None:
        """One step of the server's: where what is planned happens, and where a dead one stops."""
        if self.is_dead:
            raise Died
        if self.plan is not None:
            left, happen = self.plan
            self.plan = (left - 1, happen)
            if left == 0:
                self.plan = None
                happen()

    def die(self) -> None:
        """The server is killed here."""
        self.is_dead = True
        raise Died

    def restart(self) -> None:
        """The host is switched off and on: nothing that ran runs."""
        self.boot += 1
        for guest in self.live():
            guest.die()
        self.exports.clear()

    def live(self, instance_id: str | None = None) -> list[Guest]:
        return [each for each in self.guests if each.is_alive and instance_id in (None, each.instance_id)]

    def check(self, holds: bool, otherwise: str) -> None:
        """Remembers what may not be; a job's worker would take an exception for a failure of the job."""
        if not holds:
            self.broken.append(otherwise)

    def file_of(self, volume_id: str) -> list[Path]:
        """Wherever the volume's file lies."""
        return [
            *self.services.data.glob(f"instances/*/{volume_id}.qcow2"),
            *self.services.data.glob(f"volumes/{volume_id}.qcow2"),
        ]

    # ── the boundary ────────────────────────────────────────────────────────────────────────────────────────────────────

    def start_machine(self, directory: Directory, lock: int, hardware: Hardware, *, boot: int, **_: Any) -> Process:
        self.step()
        instance_id = directory.path.name
        if self.fails_to_start:
            self.fails_to_start = False
            raise MachineFailed("QEMU ended: it was to fail")
        self.check(not self.live(instance_id), f"{instance_id} would run in two places")
        for disk in hardware.disks:
            self.check(directory.exists(disk.overlay), f"{disk.volume_id} has no file")
            self.check(not disk.has_base or disk.volume_id in self.exports, f"{disk.volume_id} is not served")
        disks = [disk.volume_id for disk in hardware.disks]
        for each in disks:
            self.check_closed(each)
        guest = Guest(len(self.guests), instance_id, boot, self.boot, disks, self.is_deaf)
        directory.write(QEMU_RECORD, json.dumps({"number": guest.number}).encode())
        self.guests.append(guest)
        for each in disks:
            self.guest_writes(guest, each)
        self.step()
        return self._process(guest)

    def guest_writes(self, guest: Guest, volume_id: str) -> None:
        """A guest writes to a disk as soon as it has it."""
        self.written[volume_id] = self.written.get(volume_id, 0) + 1
        path = self.services.data / "instances" / guest.instance_id / f"{volume_id}.qcow2"
        self.check(path.exists(), f"{volume_id} has no file where its guest runs")
        path.write_bytes(self.content(volume_id))

    def check_closed(self, volume_id: str) -> None:
        busy = [each.instance_id for each in self.live() if volume_id in each.disks]
        self.check(not busy, f"{volume_id} is open in {busy}")

    def plug(self, qmp: Monitor, disk: Disk, profile: Profile) -> None:
        self.step()
        guest = qmp.guest
        if disk.volume_id not in guest.disks:
            self.check_closed(disk.volume_id)
            guest.disks.append(disk.volume_id)
            self.guest_writes(guest, disk.volume_id)
        self.step()

    def unplug(self, qmp: Monitor, disk: Disk, *, wait_seconds: float) -> bool:
        self.step()
        if qmp.guest.is_deaf and disk.volume_id in qmp.guest.disks:
            return False
        self.empty(qmp, disk)
        return True

    def empty(self, qmp: Monitor, disk: Disk) -> None:
        self.step()
        if disk.volume_id in qmp.guest.disks:
            qmp.guest.disks.remove(disk.volume_id)

    def content(self, volume_id: str) -> bytes:
        """What a volume's file must hold: a qcow2's head, and how often a guest wrote to it."""
        return machine_head(1 << 40) + f"{volume_id} {self.written.get(volume_id, 0)}".encode()

    def make_overlay(self, directory: Directory, disk: Disk) -> None:
        self.step()
        if not directory.exists(disk.overlay):
            directory.write(disk.overlay, machine_head(1 << 40) + b"new")
        self.step()

    def find_machine(self, directory: Directory) -> Process | None:
        self.step()
        guest = self._recorded(directory)
        return self._process(guest) if guest is not None and guest.is_alive else None

    def ended_with_host(self, directory: Directory) -> bool:
        guest = self._recorded(directory)
        return guest is not None and guest.boot_of_host != self.boot

    def end_machine(self, directory: Directory) -> None:
        self.step()
        guest = self._recorded(directory)
        if guest is not None and guest.is_alive:
            guest.die()
        self.step()
        directory.unlink(QEMU_RECORD)

    @contextlib.contextmanager
    def monitor(self, directory: Directory, qemu: Found, name: str = "qmp.sock", **_: Any) -> Iterator[Monitor]:
        opened = self.open_monitor(directory, qemu, name)
        try:
            yield opened
        finally:
            opened.close()

    def open_monitor(self, directory: Directory, qemu: Found, name: str, **_: Any) -> Monitor:
        self.step()
        if not qemu.guest.is_alive:
            raise MachineFailed("QEMU ended")
        return Monitor(self, qemu.guest)

    def metadata_listener(self, directory: Directory, qemu: Process) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind("")
        listener.listen()
        return listener

    def add_export(self, data: Path, volume_id: str, *_: Any, **__: Any) -> None:
        self.step()
        self.exports.add(volume_id)

    def remove_export(self, data: Path, volume_id: str) -> None:
        self.step()
        self.exports.discard(volume_id)

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction: the server may die before it, or after its commit."""
        self.step()
        with self._write() as connection:
            yield connection
        self.step()

    def _recorded(self, directory: Directory) -> Guest | None:
        try:
            descriptor = directory.open(QEMU_RECORD, os.O_RDONLY)
        except OSError:
            return None
        with os.fdopen(descriptor) as file:
            return self.guests[int(json.load(file)["number"])]

    def _process(self, guest: Guest) -> Process:
        found = Found(guest.number, 0, str(guest.boot_of_host), {"boot": guest.boot, "network": "guestfwd"})
        object.__setattr__(found, "guest", guest)
        return found

    def stand_in(self, patch: pytest.MonkeyPatch) -> None:
        """Takes the place of everything below the jobs and the supervisor that knows a process."""
        for name in (
            "start_machine",
            "make_overlay",
            "find_machine",
            "ended_with_host",
            "end_machine",
            "monitor",
            "open_monitor",
        ):
            patch.setattr(machine, name, getattr(self, name))
        patch.setattr(machine, "find_program", lambda name, package: name)
        patch.setattr(fabric, "metadata_listener", self.metadata_listener)
        patch.setattr(fabric, "making_tap", lambda *_: contextlib.nullcontext(list))
        patch.setattr(exporter, "add_export", self.add_export)
        patch.setattr(exporter, "remove_export", self.remove_export)
        for name in ("plug", "unplug", "empty"):
            patch.setattr(hotplug, name, getattr(self, name))
        patch.setattr(hotplug, "limit", lambda *_: None)
        self._write = self.services.database.write
        patch.setattr(self.services.database, "write", self.write)


def machine_head(size_bytes: int) -> bytes:
    """The head of a qcow2 that long."""
    return b"QFI\xfb" + bytes(20) + size_bytes.to_bytes(8, "big")


def exists(services: Services, instance_id: str) -> bool:
    """Whether the instance has a directory."""
    with contextlib.suppress(FileNotFoundError), open_directory(services.data, instance_id):
        return True
    return False
