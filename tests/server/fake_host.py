"""A host whose machines are values: what jobs and supervision start, find, ask and end at the process boundary, without a process.

Between any two steps something may happen (:attr:`Host.plan`): the server dies there, another worker takes a job, a caller asks; and
every running guest writes to its disks.  A server that died does nothing more: every later step of it raises :class:`Died`, whatever
it tries to clean up.
"""

import contextlib
import itertools
import json
import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from amiable.database import volumes
from amiable.jobs import changed_blocks, moments
from amiable.model.hardware import Disk, Hardware
from amiable.rules.qemu_command import AGENT, disk_nodes
from amiable.services import Services
from amiable.vm import disk_export, exporter, fabric, guest_agent, hotplug, machine, patience, process
from amiable.vm.directory import Directory, open_directory
from amiable.vm.machine import MachineFailed, MachineSilent
from amiable.vm.process import QEMU_RECORD, Process
from amiable.vm.qmp import QmpError, QmpGone
from tests.server import fake_disks
from tests.server.fake_agent import AgentLine
from tests.server.fake_disks import CELLS, Blocks, Cells

STEPS_A_WRITE = 2
"""A running guest writes once in so many steps of the server."""


class Died(BaseException):
    """kill -9 of the server."""


@dataclass(eq=False)
class Running:
    """A process with a block layer: qemu-storage-daemon, or a QEMU."""

    number: int
    boot_of_host: int
    blocks: Blocks
    is_alive: bool = True
    end: int = field(default_factory=lambda: os.eventfd(0))

    def die(self, *, in_order: bool = False) -> None:
        if self.is_alive:
            self.is_alive = False
            self.blocks.close(in_order=in_order)
            os.eventfd_write(self.end, 1)


@dataclass(eq=False)
class Guest(Running):
    """One QEMU and what runs in it; ``is_deaf``: it does not listen to its power button, nor lets a disk go."""

    instance_id: str = ""
    boot: int = 0
    is_deaf: bool = False
    has_agent: bool = False
    is_frozen: bool = False
    status: str = "running"
    monitors: list["Monitor"] = field(default_factory=list)

    def tell(self, event: str, **data: Any) -> None:
        for each in self.monitors:
            each.hear({"event": event, "data": data})

    def power_off(self) -> None:
        if self.status in ("running", "paused"):
            self.status = "shutdown"
            self.tell("SHUTDOWN", guest=True)

    def panic(self) -> None:
        self.status = "guest-panicked"
        self.tell("GUEST_PANICKED")

    def execute(self, command: str, a: dict[str, Any]) -> Any:
        """What QEMU answers; raises QmpError."""
        match command:
            case "query-status":
                return {"status": self.status}
            case "query-chardev":
                return [{"label": AGENT, "frontend-open": self.has_agent}]
            case "system_powerdown":
                if not self.is_deaf and not self.is_frozen:
                    self.power_off()
            case "system_reset":
                self.status = "running" if self.status == "running" else "paused"
                self.is_frozen = False
                self.tell("RESET", guest=False)
            case "stop":
                self.status = "paused" if self.status == "running" else self.status
            case "cont":
                if self.status != "paused":
                    raise QmpError("GenericError: Resetting the Virtual Machine is required")
                self.status = "running"
            case "device_del":
                if not self.is_deaf and self.blocks.devices.pop(a["id"], None) is not None:
                    self.tell("DEVICE_DELETED", device=a["id"])
            case _:
                return self.blocks.execute(command, a)
        return {}


class Found(Process):
    """A process as the server sees it."""

    what: Any

    def open(self) -> int | None:
        return os.dup(self.what.end) if self.what.is_alive else None

    def is_alive(self) -> bool:
        return bool(self.what.is_alive)

    def end(self, **_: Any) -> bool:
        self.what.die()
        return True


class Monitor:
    """A QMP connection to a guest."""

    def __init__(self, host: "Host", guest: Guest) -> None:
        self._host, self.guest = host, guest
        self._ends = socket.socketpair()
        self._events: list[dict[str, Any]] = []
        guest.monitors.append(self)

    def fileno(self) -> int:
        return self._ends[0].fileno()

    def close(self) -> None:
        self.guest.monitors.remove(self)
        for each in self._ends:
            each.close()

    def hear(self, event: dict[str, Any]) -> None:
        self._events.append(event)
        self._ends[1].send(b"\n")

    def event(self, wait_seconds: float) -> dict[str, Any] | None:
        if not self._events:
            self._host.time.sleep(wait_seconds)
            return None
        self._ends[0].recv(1)
        return self._events.pop(0)

    def all_events(self, events_max: int) -> list[dict[str, Any]]:
        return [found for _ in range(min(events_max, len(self._events))) if (found := self.event(0)) is not None]

    def status(self) -> str:
        return str(self.execute("query-status")["status"])

    def execute(self, command: str, **arguments: Any) -> Any:
        self._host.step()
        if not self.guest.is_alive:
            raise QmpGone("QEMU closed its monitor")
        answer = self.guest.execute(command, {name.replace("_", "-"): value for name, value in arguments.items()})
        self._host.answers()
        return answer


class Time:
    """Time that passes where the server waits, and nowhere else."""

    def __init__(self) -> None:
        self._now = 1e6

    def monotonic(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds


class Inline:
    """An executor that does its work at once: what happens is the same each time."""

    def __init__(self, *_: Any, **__: Any) -> None:
        return None

    def __enter__(self) -> "Inline":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def submit(self, work: Callable[..., Any], *words: Any) -> "Future[Any]":
        done: Future[Any] = Future()
        try:
            done.set_result(work(*words))
        except BaseException as error:  # noqa: BLE001  as an executor does
            done.set_exception(error)
        return done


class Host:
    """What runs, what is exported, what was written, and what shall happen next."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.guests: list[Guest] = []
        self.daemons: list[Running] = []
        self.exports: set[str] = set()
        self.boot = 1
        self.is_dead = False
        self.fails_to_start = False
        self.is_deaf = False
        self.has_agent = False
        self.plan: tuple[int, Callable[[], None]] | None = None
        self.silent_in: int | None = None
        """Before so many answers, the next does not come in the asker's patience."""
        self.time = Time()
        self.steps = 0
        self.number = 0
        """Of the newest write of any guest."""
        self.writes: dict[str, list[tuple[int, int]]] = {}
        self.bases: dict[str, Cells] = {}
        self.broken: list[str] = []
        self._committing = services.blocks._journal._committing

    def step(self) -> None:
        """One step of the server's: where guests write, what is planned happens, and a dead one stops."""
        if self.is_dead:
            raise Died
        self.steps += 1
        if self.steps % STEPS_A_WRITE == 0:
            self.guests_write()
        if self.plan is not None:
            left, happen = self.plan
            turns = list(disk_export._servers._locks.values())
            is_held = happen != self.die and any(lock.locked() for lock in (self._committing, *turns))
            # another thread would wait
            self.plan = (max(0, left - 1), happen)
            if left == 0 and not is_held:
                self.plan = None
                happen()

    def answers(self) -> None:
        """QEMU has done what it was asked, and says so."""
        if self.silent_in is not None:
            self.silent_in = self.silent_in - 1 if self.silent_in else None
            if self.silent_in is None:
                patience.ran_out()

    def die(self) -> None:
        """The server is killed here."""
        self.is_dead = True
        raise Died

    def restart(self) -> None:
        """The host is switched off and on: nothing that ran runs."""
        self.boot += 1
        for each in (*self.live(), *self.daemons):
            each.die()
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

    # ── what is written ─────────────────────────────────────────────────────────────────────────────────────────────────

    def guests_write(self) -> None:
        """Every guest that runs writes to one of its disks."""
        for guest in self.live():
            disks = sorted(guest.blocks.disks().items())
            if guest.status == "running" and not guest.is_frozen and disks:
                self.number += 1
                volume_id, drive = disks[self.number % len(disks)]
                cell = (self.number // len(disks)) % CELLS
                guest.blocks.write(drive, cell, self.number)
                self.writes.setdefault(volume_id, []).append((self.number, cell))

    def written(self, volume_id: str, until: int | None = None) -> Cells:
        """What its guests wrote to a volume up to the write of this number."""
        return {cell: n for n, cell in self.writes.get(volume_id, []) if until is None or n <= until}

    def base_of(self, volume_id: str) -> Cells:
        """What a volume began with."""
        if volume_id not in self.bases:
            with self.services.database.read() as c:
                volume = volumes.get_volume(c, volume_id)
            known = volume is not None and volume.snapshot_id is not None
            self.bases[volume_id] = (
                fake_disks.cells_of(self.services, str(volume.snapshot_id)) if volume and known else {}
            )
        return self.bases[volume_id]

    def _opens(self, file_name: str) -> None:
        """A QEMU opens the file to write to it."""
        volume_id = file_name.removesuffix(".qcow2")
        busy = [each for each in (*self.live(), *self.daemons) if each.is_alive and self._has_open(each, file_name)]
        self.check(not busy, f"{volume_id} is open already")

    def _has_open(self, running: Running, file_name: str) -> bool:
        return any(node.file is not None and node.file.name == file_name for node in running.blocks.nodes.values())

    # ── the boundary ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _blocks(self, folder: Path) -> Blocks:
        return Blocks(folder, self._opens, lambda path: path.removesuffix(".nbd") in self.exports)

    def start_machine(self, directory: Directory, lock: int, hardware: Hardware, *, boot: int, **_: Any) -> Process:
        self.step()
        instance_id = directory.path.name
        if self.fails_to_start:
            self.fails_to_start = False
            raise MachineFailed("QEMU ended: it was to fail")
        self.check(not self.live(instance_id), f"{instance_id} would run in two places")
        guest = Guest(
            len(self.guests),
            self.boot,
            self._blocks(directory.path),
            instance_id=instance_id,
            boot=boot,
            is_deaf=self.is_deaf,
            has_agent=self.has_agent,
        )
        for position, disk in enumerate(hardware.disks):
            self.check(directory.exists(disk.overlay), f"{disk.volume_id} has no file")
            self.check(not disk.has_base or disk.volume_id in self.exports, f"{disk.volume_id} is not served")
            for node in disk_nodes(disk):
                guest.blocks.execute("blockdev-add", node)
            guest.blocks.devices[disk.device] = {"drive": disk.node, "bus": f"slot{position - 1}"}
        directory.write(QEMU_RECORD, json.dumps({"number": guest.number}).encode())
        self.guests.append(guest)
        self.guests_write()
        self.step()
        return self._process(guest)

    def make_overlay(self, directory: Directory, disk: Disk) -> None:
        self.step()
        if not directory.exists(disk.overlay):
            was_written = bool(self.writes.get(disk.volume_id)) and disk.virtual_name is None
            self.check(not was_written, f"{disk.volume_id} is lost, and made anew")
            self.writes.pop(disk.volume_id, None)
            self.base_of(disk.volume_id)
            directory.write(disk.overlay, fake_disks.encode(disk.size_bytes))
        self.step()

    def run_tool(self, directory: Directory, argv: list[str]) -> None:
        """``qemu-img``."""
        self.step()
        if argv[1] == "create":
            directory.write(argv[-2], fake_disks.encode(int(argv[-1])))
        else:
            assert argv[1] == "resize"
            name = json.loads(argv[-2].removeprefix("json:"))["file"]["filename"]
            self._opens(name)
            fake_disks.resize(directory.path / name, int(argv[-1]))

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
        if guest is not None:
            guest.die(in_order=True)
        self.step()
        directory.unlink(QEMU_RECORD)

    def open_monitor(self, directory: Directory, qemu: Found, name: str, **_: Any) -> Monitor:
        self.step()
        if not qemu.what.is_alive:
            raise MachineSilent("QEMU ended")
        return Monitor(self, qemu.what)

    def metadata_listener(self, directory: Directory, qemu: Process) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind("")
        listener.listen()
        return listener

    def agent_line(self, directory: Directory, qemu: Found) -> AgentLine:
        self.step()
        return AgentLine(qemu.what, self.step)

    def spawn(self, module: str, what: dict[str, Any], *, directory: int, **_: Any) -> int:
        """qemu-storage-daemon, over disks that nothing writes to."""
        self.step()
        folder = Path(f"/proc/self/fd/{directory}").resolve()
        argv = what["argv"]
        daemon = Running(len(self.daemons), self.boot, self._blocks(folder))
        for word, value in itertools.pairwise(argv):
            if word == "--blockdev":
                daemon.blocks.execute("blockdev-add", json.loads(value))
            elif word == "--export":
                facts = dict(each.split("=", 1) for each in value.split(","))
                daemon.blocks.exports[facts["id"]] = {"node-name": facts["node-name"], "bitmap": None}
        for node in daemon.blocks.nodes.values():
            writers = (
                [] if node.file is None else [each for each in self.live() if self._has_open(each, node.file.name)]
            )
            self.check(not writers, "a disk would be read at rest while its guest writes")
        self.daemons.append(daemon)
        (folder / what["record"]).write_text(json.dumps({"daemon": daemon.number, "facts": what["facts"]}))
        (folder / f"{Path(what['record']).stem}.nbd").touch()
        self.step()
        return daemon.number

    def wait_for_record(self, directory: int, name: str, pid: int, **_: Any) -> Process | None:
        return self.read_record(directory, name)

    def read_record(self, directory: int, name: str) -> Process | None:
        try:
            record = json.loads(Path(f"/proc/self/fd/{directory}/{name}").read_text())
        except FileNotFoundError:
            return None
        return self._found(self.daemons[record["daemon"]], record["facts"]) if "daemon" in record else None

    def connected(self, directory: Directory, server: Found, name: str) -> Any:
        running: Running = server.what
        at = fake_disks.Connection(running.blocks, self.step, lambda: running.is_alive, self._base)
        return fake_disks.opened(at)

    def _base(self, volume_id: str) -> Cells | None:
        """What is below a volume's own layer; None where the exporter should serve it, and does not."""
        with self.services.database.read() as c:
            volume = volumes.get_volume(c, volume_id)
        is_needed = bool(self.base_of(volume_id)) or (volume is not None and volume.snapshot_id is not None)
        return None if is_needed and volume_id not in self.exports else self.base_of(volume_id)

    def add_export(self, data: Path, export: exporter.Export) -> None:
        self.step()
        self.exports.add(export.volume_id)

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
        return self._found(guest, {"boot": guest.boot, "network": "guestfwd"})

    def _found(self, running: Running, facts: dict[str, Any]) -> Process:
        found = Found(running.number, 0, str(running.boot_of_host), facts)
        object.__setattr__(found, "what", running)
        return found

    def stand_in(self, patch: pytest.MonkeyPatch) -> None:
        """Takes the place of everything below the jobs and the supervisor that knows a process."""
        for name in (
            "start_machine",
            "make_overlay",
            "run_tool",
            "find_machine",
            "ended_with_host",
            "end_machine",
            "open_monitor",
        ):
            patch.setattr(machine, name, getattr(self, name))
        patch.setattr(machine, "find_program", lambda name, package: name)
        for name in ("spawn", "wait_for_record", "read_record"):
            patch.setattr(process, name, getattr(self, name))
        patch.setattr(disk_export, "connected", self.connected)
        patch.setattr(moments, "NbdClient", fake_disks.Client)
        patch.setattr(guest_agent, "_connection", self.agent_line)
        patch.setattr(fabric, "metadata_listener", self.metadata_listener)
        patch.setattr(fabric, "making_tap", lambda *_: contextlib.nullcontext(list))
        patch.setattr(exporter, "add_export", self.add_export)
        patch.setattr(exporter, "remove_export", self.remove_export)
        patch.setattr(changed_blocks, "ThreadPoolExecutor", Inline)
        for module in (hotplug, disk_export):
            patch.setattr(module, "time", self.time)
        self._write = self.services.database.write
        for name in ("write", "write_and_answer"):  # here nobody holds an answer back
            patch.setattr(self.services.database, name, self.write)


def exists(services: Services, instance_id: str) -> bool:
    """Whether the instance has a directory."""
    with contextlib.suppress(FileNotFoundError), open_directory(services.data, instance_id):
        return True
    return False
