"""Supervision: one thread that watches every machine of this host and makes the facts follow what it sees.

    QEMU: power-off by the guest       → stopping or shutting-down, as the launch said, and the job that finishes it
    Xen: the guest's kernel crashed    → stopping or shutting-down, with the console's last lines as the reason
    QEMU: its process ends             → stopping (or shutting-down) with its last words as the reason
    guest: a metadata connection       → ``server/imds``, a thread each
    console: what keeps it from going on → a state reason with the console's last lines (``server/boot_watch``)
    QEMU: no space for a guest's write → a state reason; the guest stands still, and goes on where it was once there is space
    guest: a reset of its own          → its first words are awaited anew
    holder: gone                       → started again in the namespace that QEMU still holds; no request is lost
    routed guests                      → ``server/fabrics``: their agents kept, the rules of their groups enforced
    swtpm: its process ends            → a state reason; the guest is without it until its next start or reboot
    QEMU: ends at a reset, without TPM → pending, and the job that starts it anew
    exporter: gone                     → started again on the same exports; QEMU reconnects
    a directory without an instance    → its processes are ended, it is removed

Everything is found by looking, never by remembering: a server that starts finds the machines that an earlier one left running, and
what happened meanwhile.  :meth:`Supervisor.stop` lets them all run on.
"""

import contextlib
import logging
import os
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from typing import Final

from sqlalchemy.exc import OperationalError

from amiable.database import instances, jobs
from amiable.model.hardware import NetworkKind
from amiable.model.instance import Instance, State
from amiable.rules import lifecycle
from amiable.rules.lifecycle import Ending
from amiable.rules.qemu_command import APPLIANCE_LOG
from amiable.server import disk_space, endings
from amiable.server.boot_watch import BootWatch, wait_for_probes
from amiable.server.chores import do_chores
from amiable.server.fabrics import Fabrics
from amiable.server.imds import MetadataService
from amiable.server.refusals import log_failure
from amiable.server.sweep import JOB_OF, enqueue, hasten
from amiable.server.volume_sweep import let_go
from amiable.server.watch import Watch
from amiable.services import Services
from amiable.vm import console, exporter, fabric, machine, network, tpm
from amiable.vm.directory import Directory, DirectoryBusy, locked, open_directory
from amiable.vm.exporter import ExporterUnavailable
from amiable.vm.host_keys import Search
from amiable.vm.machine import MachineFailed
from amiable.vm.network import NetworkFailed
from amiable.vm.process import Process
from amiable.vm.qmp import QmpError, QmpGone

log = logging.getLogger("amiable.supervise")

LOOK_SECONDS: Final = 1.0
"""Between two looks at the rows; what QEMU reports comes at once."""
GLANCE_SECONDS: Final = 0.2
"""Between two glances at the consoles."""
SWEEP_SECONDS: Final = 60.0
ATTACH_SECONDS_MAX: Final = 1.0
EVENTS_MAX: Final = 200
"""Of one machine, read at once: a guest that makes them without end is read on after the others were."""
STOP_SECONDS_MAX: Final = 20.0
REVIVE_PAUSE_SECONDS: Final = 10.0
"""Between two tries to start a holder, or the exporter, again."""


class Supervisor:
    """:meth:`start` finds what runs; :meth:`stop` leaves it running."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._metadata = MetadataService(services)
        self._fabrics = Fabrics(services)
        self._watches: dict[str, Watch] = {}
        self._waiting = selectors.DefaultSelector()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self._swept_at = -SWEEP_SECONDS
        self._glanced_at = -LOOK_SECONDS
        self._revive_at: dict[str, float] = {}
        self._export_at = -REVIVE_PAUSE_SECONDS

    def start(self) -> None:
        """Starts the thread; it looks at once."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; instances run on."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS_MAX)
        for instance_id in list(self._watches):
            self._drop(instance_id)
        wait_for_probes(STOP_SECONDS_MAX)
        self._waiting.close()

    def _run(self) -> None:
        looked_at = -LOOK_SECONDS
        while not self._ending.is_set():
            try:
                if time.monotonic() - looked_at >= LOOK_SECONDS:
                    looked_at = time.monotonic()
                    self.look()
                self._wait(0.2)
                self._look_at_boots()
            except Exception as error:  # noqa: BLE001  the outermost loop of supervision
                log_failure(log, "supervision stumbled", error)
                self._ending.wait(LOOK_SECONDS)

    def look(self) -> None:
        """Compares rows with machines, once."""
        with self._services.database.read() as c:
            rows = instances.list_states(c, [State.RUNNING, *JOB_OF], host=self._services.host)
        by_id = {row.id: row for row in rows}
        for instance_id in [known for known in self._watches if known not in by_id]:
            self._drop(instance_id)
        for instance in rows:
            with self._following(instance.id):
                self._look_at(instance)
        self._fabrics.look([(watch.qemu, watch.listener) for watch in self._watches.values()])
        if self._watches:
            self._keep_exporter()
        if time.monotonic() - self._swept_at >= SWEEP_SECONDS:
            self._swept_at = time.monotonic()
            do_chores(self._services, rows, self._watches)

    @contextlib.contextmanager
    def _following(self, instance_id: str) -> Iterator[None]:
        """Keeps what goes wrong with one machine from the others; attached anew, it is asked how it is, so no event's fact is lost."""
        try:
            yield
        except (OSError, OperationalError) as error:  # its directory may be a guest's doing, the disk full
            log.warning("%s: cannot be followed now: %.300s", instance_id, getattr(error, "orig", error))
            if instance_id in self._watches:
                self._drop(instance_id)

    def _look_at_boots(self) -> None:
        """Between two looks: what a guest prints gets the time at which it came."""
        if time.monotonic() - self._glanced_at < GLANCE_SECONDS:
            return
        self._glanced_at = time.monotonic()
        for watch in self._watches.values():
            with contextlib.suppress(OSError):  # said by the next look
                watch.boots.look()

    def _look_at(self, instance: Instance) -> None:
        watch = self._watches.get(instance.id)
        if watch is not None and not watch.qemu.is_alive():
            self._ended(watch)
            return
        if watch is None:
            watch = self._attach(instance)
        if watch is None:
            return
        watch.host_keys.look(watch.directory)  # before the log is cut
        watch.boots.look(instance)
        if watch.is_xen:
            console.bound(watch.directory, APPLIANCE_LOG)
        if console.bound(watch.directory):
            watch.host_keys.begin_again()
            watch.boots.log_was_cut(console.KEPT_BYTES)
        self._keep_holder(watch.directory, watch.qemu, watch.listener)
        self._look_at_tpm(watch, instance)
        if watch.may_be_off:
            self._check_status(watch)
        if watch.waits_for_space:
            self._look_at_space(watch)
            return
        if instance.state is State.RUNNING:
            watch.boots.tell(instance)

    def _attach(self, instance: Instance) -> Watch | None:
        """A watch on the instance's machine; a running instance without one has lost it."""
        with contextlib.ExitStack() as stack:
            try:
                directory = stack.enter_context(open_directory(self._services.data, instance.id))
            except FileNotFoundError:
                self._lost(instance, None)
                return None
            qemu = machine.find_machine(directory)
            pidfd = qemu.open() if qemu is not None else None
            if qemu is None or pidfd is None:
                self._lost(instance, directory)
                return None
            stack.callback(os.close, pidfd)
            boots = BootWatch(self._services, instance, directory, qemu)
            watch = Watch(instance.id, directory, qemu, pidfd, Search(int(qemu.facts.get("boot", 0))), boots)
            try:
                watch.events = machine.open_monitor(directory, qemu, "qmp2.sock", wait_seconds=ATTACH_SECONDS_MAX)
                stack.callback(watch.events.close)
                self._keep_holder(directory, qemu, None)
                watch.listener = stack.enter_context(fabric.metadata_listener(directory, qemu))
            except (MachineFailed, NetworkFailed) as error:
                log.debug("%s: not yet: %s", instance.id, error)
                return None
            watch.listener.setblocking(False)
            for item in (watch.events, watch.listener, pidfd):
                self._waiting.register(item, selectors.EVENT_READ, watch)
                stack.callback(self._waiting.unregister, item)
            watch.closing = stack.pop_all()
        self._watches[instance.id] = watch
        log.info("%s: watched, process %d", instance.id, watch.qemu.pid)
        self._check_status(watch)
        self._read_events(watch)  # what came with the answer
        return self._watches.get(instance.id)

    def _keep_holder(self, directory: Directory, qemu: Process, listener: socket.socket | None) -> None:
        """Starts a holder that has ended again, unless a job is at work on the instance; a failure is tried again after a pause."""
        name = directory.path.name
        if network.kind_of(qemu) is not NetworkKind.NAMESPACE or network.find_holder(directory) is not None:
            return
        if time.monotonic() < self._revive_at.get(name, 0.0):
            return
        try:
            with locked(directory, wait_seconds=0) as lock:
                if network.find_holder(directory) is None and qemu.is_alive():
                    log.warning("%s: its network holder ended; starting it again", name)
                    network.revive_holder(directory, qemu, lock, listener)
            self._revive_at.pop(name, None)
        except DirectoryBusy:
            return
        except (NetworkFailed, OSError) as error:
            self._revive_at[name] = time.monotonic() + REVIVE_PAUSE_SECONDS
            log.error("%s: no network holder: %s", name, error)

    def _lost(self, instance: Instance, directory: Directory | None) -> None:
        """A running instance has no machine; a directory that is gone is None."""
        if instance.state is not State.RUNNING:
            return
        if directory is None or not machine.ended_with_host(directory):
            self._end(instance.id, directory)
            return
        services = self._services
        ending = lifecycle.when_host_restarted(instance, services.settings.host_restart, services.now())
        log.warning("%s: ended with the host's last boot: %s", instance.id, ending.event)
        self._write(instance.id, ending)

    def _drop(self, instance_id: str) -> None:
        watch = self._watches.pop(instance_id)
        watch.closing.close()
        self._metadata.forget(instance_id)

    def _wait(self, wait_seconds: float) -> None:
        """Serves what is ready."""
        full: list[socket.socket] = []
        behind = [each for each in self._watches.values() if each.is_behind]
        for each in behind:
            with self._following(each.instance_id):
                self._read_events(each)
        for key, _ in self._waiting.select(0 if behind else wait_seconds):
            watch: Watch = key.data
            if self._watches.get(watch.instance_id) is not watch:
                continue
            with self._following(watch.instance_id):
                if key.fileobj is watch.listener:
                    if not self._metadata.take(watch.instance_id, watch.listener):
                        full.append(watch.listener)
                elif key.fileobj is watch.events:
                    self._read_events(watch)
                elif not watch.qemu.is_alive():
                    self._ended(watch)
        if full:
            time.sleep(0.02)  # its guest has all its places: the kernel queues the rest

    def _read_events(self, watch: Watch) -> None:
        """Handles what has come, up to a number: what QEMU sent in one piece makes the socket readable once."""
        assert watch.events is not None
        has_powered_off = has_reset = has_begun = has_crashed = has_let_go = False
        try:
            came = watch.events.all_events(EVENTS_MAX)
            watch.is_behind = len(came) == EVENTS_MAX
            for event in came:
                facts = event.get("data", {})
                is_told_to_guest = event["event"] == "BLOCK_IO_ERROR" and facts.get("action") == "report"
                level = logging.DEBUG if is_told_to_guest else logging.INFO  # the guest makes as many as it likes
                log.log(level, "%s: %.60s %.300s", watch.instance_id, event["event"], facts or "")
                if event["event"] == "BLOCK_IO_ERROR" and facts.get("nospace") and facts.get("action") == "stop":
                    watch.waits_for_space, watch.has_reason = True, False
                has_begun |= event["event"] == "RESET"
                has_let_go |= event["event"] == "DEVICE_DELETED"
                has_reset |= event["event"] == "RESET" and bool(facts.get("guest"))
                has_crashed |= event["event"] == "GUEST_PANICKED"
                has_powered_off |= event["event"] == "SHUTDOWN" and bool(facts.get("guest"))
        except (QmpGone, QmpError, ValueError):
            if not watch.qemu.is_alive():
                self._ended(watch)
            else:
                self._drop(watch.instance_id)  # attached again at the next look
            return
        if has_let_go:
            let_go(self._services, watch.instance_id)
        if has_begun:
            watch.boots.begin_again()
        if has_reset:
            with self._services.database.write() as c:
                instances.set_rebooted(c, watch.instance_id, self._services.now())
        if has_powered_off or has_crashed:
            self._check_status(watch)

    def _check_status(self, watch: Watch) -> None:
        """Whether the guest is off now, whatever was told: no server may have listened, or a job has reset it since and ended."""
        assert watch.events is not None
        watch.may_be_off = watch.is_behind = True  # events may come with the answer
        try:
            status = watch.events.status()
        except (QmpGone, QmpError, TimeoutError):
            return
        is_off = status in ("shutdown", "guest-panicked")
        if is_off:
            hasten(self._services, watch.instance_id)
        watch.may_be_off = is_off and not self._powered_off(watch, has_crashed=status == "guest-panicked")
        watch.waits_for_space = status == "io-error"  # for another reason than space: it stops again at once

    def _powered_off(self, watch: Watch, *, has_crashed: bool) -> bool:
        """False while a job that turned the guest off is to start it again, or its start is not written yet."""
        with self._services.database.read() as c:
            instance = instances.get_instance(c, watch.instance_id)
            is_rebooting = jobs.is_live(c, f"{watch.instance_id}:reboot")
        if instance is not None and instance.state is State.RUNNING and not is_rebooting:
            ending = (
                endings.when_crashed(watch.directory, instance)
                if has_crashed
                else lifecycle.when_guest_powered_off(instance)
            )
            self._write(instance.id, ending)
        return instance is None or (instance.state is not State.PENDING and not is_rebooting)

    def _ended(self, watch: Watch) -> None:
        hasten(self._services, watch.instance_id)
        self._end(watch.instance_id, watch.directory, boot=watch.qemu.facts.get("boot"))
        self._drop(watch.instance_id)

    def _end(self, instance_id: str, directory: Directory | None, *, boot: int | None = None) -> None:
        """The machine has ended that was the instance's at the boot of this number: it may have been started again since."""
        with self._services.database.read() as c:
            instance = instances.get_instance(c, instance_id)
        if instance is None or instance.state is not State.RUNNING or boot not in (None, instance.boot_count):
            return
        ending = endings.when_died(directory, instance, self._services.now())
        log.warning("%s: %s", instance_id, ending.reason.message)
        self._write(instance_id, ending)

    def _write(self, instance_id: str, ending: Ending) -> None:
        services = self._services
        with services.database.write() as c:
            row = instances.get_instance(c, instance_id)
            if row is None or row.state is not State.RUNNING:
                return
            instances.set_state(c, instance_id, ending.event, now=services.now(), reason=ending.reason)
            enqueue(services, c, row, ending.job)
        services.wake()

    def _look_at_space(self, watch: Watch) -> None:
        """Says why the guest stands still; lets it go on, its write tried again, once there is space."""
        assert watch.events is not None
        has_space = disk_space.has_space(self._services.data)
        if has_space or not watch.has_reason:
            if not disk_space.say_whether(self._services, watch.instance_id, is_there=has_space):
                return
            watch.has_reason = not has_space
        if has_space:
            with contextlib.suppress(QmpGone, QmpError, TimeoutError):
                watch.events.execute("cont")
                watch.waits_for_space = False
                log.info("%s: goes on, there is space again", watch.instance_id)
            self._read_events(watch)

    def _look_at_tpm(self, watch: Watch, instance: Instance) -> None:
        """Says so of a TPM that ended alone, as long as nothing else is said: QEMU takes no other one, so a reboot starts it anew."""
        is_well = instance.state is State.RUNNING and instance.state_reason_code is None
        if not is_well or not tpm.has_ended_alone(watch.directory):
            return
        log.error("%s: %s", watch.instance_id, lifecycle.TPM_ENDED.message)
        with self._services.database.write() as c:
            instances.set_reason(c, watch.instance_id, lifecycle.TPM_ENDED, at=self._services.now())

    def _keep_exporter(self) -> None:
        """Starts an exporter that has ended again; a failure is tried again after a pause, in which the machines are looked at."""
        data = self._services.data
        if time.monotonic() < self._export_at or exporter.find(data) is not None:
            return
        if (data / "exporter" / "exports.json").exists():
            log.warning("the block exporter ended; starting it again")
            try:
                exporter.ensure_running(data)
            except ExporterUnavailable as error:
                self._export_at = time.monotonic() + REVIVE_PAUSE_SECONDS
                log.error("no block exporter: %s", error)
