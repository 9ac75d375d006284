"""One running guest's boots as they go: the stages it reaches, what stops it, the password it prints, the post of its console.

    console.log ──what is new──▶ rules/boot_failure ─▶ stages and the cause ─▶ the row of this boot
                └──────────────▶ rules/password_data ─▶ the row of its password
    the row's first metadata request, a probe of port 22, a lease of our own DHCP ─▶ stages
    the console quiet for a while after a start or a reset ─▶ services/consoles: the post that GetConsoleOutput answers with

Times count from QEMU's start, or from a reset of the guest.  A server that finds a machine running reads its log from the beginning:
what it holds by then was reached *at the latest* now.
"""

import logging
import os
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Final

from sqlalchemy.exc import OperationalError

from amiable.database import boots, consoles, instances
from amiable.database.consoles import Password
from amiable.model.boot import Boot, Cause, Fault, Mark, Stage
from amiable.model.errors import Refusal
from amiable.model.hardware import Profile
from amiable.model.instance import Instance, Reason
from amiable.model.link import Lease
from amiable.model.principal import Principal
from amiable.rules.boot_failure import TEXT_BYTES_MAX, Reading, no_boot_loader, read_on, silence
from amiable.rules.boot_ways import BootWays, advice, cannot_start
from amiable.rules.hardware_profile import PARAVIRTUAL
from amiable.rules.password_data import END, last_password
from amiable.server.tunnel import connect_guest
from amiable.services import Services
from amiable.services.boot_ways import root_ways
from amiable.services.consoles import post
from amiable.vm import console, fabric
from amiable.vm.directory import Directory
from amiable.vm.process import Process

log = logging.getLogger("amiable.supervise")

LATE_SECONDS: Final = 2.0
"""A first look at a machine that runs for longer cannot say when its text came."""
FIRMWARE_SECONDS: Final = 2.0
QUIET_SECONDS: Final = 10.0
POST_SECONDS_MAX: Final = 120.0
"""The post after a start comes when the console was quiet for so long, and at the latest after so much."""
SSH_PORT: Final = "22"
PROBE_SECONDS_MAX: Final = 900.0
PROBE_PAUSE_SECONDS: Final = 2.0
BANNER_SECONDS_MAX: Final = 5.0
LEASE_PAUSE_SECONDS: Final = 1.0
PROBES_MAX: Final = 8
"""At once, of all guests."""
LOOK_BYTES_MAX: Final = 32 * 1024
"""Of the console, read at one look: a guest that prints without end is read behind, and the others are looked at meanwhile."""
PASSWORD_BYTES: Final = 4096
"""How far back a password's block may begin before what is new."""

DRIVERS: Final = {
    Profile.NITRO: "nvme",
    Profile.DIRECT_NVME: "nvme",
    Profile.VIRTIO: "virtio_blk",
    Profile.DIRECT: "virtio_blk",
    Profile.XEN_PV: "xen_blkfront",
}
"""The Linux module of each profile's disks."""
BOOT_FAILURE: Final = "Client.InstanceBootFailure"
SILENT_SECONDS_MAX: Final = 600.0
"""After so long without a metadata request the reason says that the guest is silent."""
TAIL_BYTES: Final = 4096
TAIL_LINES: Final = 8
_probes = threading.BoundedSemaphore(PROBES_MAX)


class BootWatch:
    """Of one machine; :meth:`look` is called again and again by the supervisor's thread."""

    def __init__(self, services: Services, instance: Instance, directory: Directory, qemu: Process) -> None:
        self._services = services
        self._instance = instance
        self._directory = directory
        self._qemu = qemu
        self._lease: Lease | None = None
        self._lease_at = 0.0
        self._machine = int(qemu.facts.get("boot", 0))
        self._zero = qemu.start_ticks / os.sysconf("SC_CLK_TCK")
        self._is_late = _uptime() - self._zero > LATE_SECONDS
        self._position = 0
        self._reading = self._new_reading()
        self._heard_at = _uptime()
        self._has_posted = False
        self._earlier: Cause | None = None
        self._ways: BootWays | None = None
        self._boot = self._resume()
        self._probe_at = 0.0
        self._probe: threading.Thread | None = None
        self._ssh_at: float | None = None

    def tell(self, instance: Instance) -> None:
        """Says in the state reason what keeps a running guest from starting; takes it back when it goes on.

        A guest that resets itself after a panic keeps the reason until it gets further.
        """
        cause = self._reading.cause or self._earlier
        has_started = instance.reached_metadata_at is not None
        if has_started and (cause is None or cause.fault is not Fault.KERNEL_PANIC or self._reading.cause is None):
            cause = self._earlier = None
        elif cause is None and (self._services.now() - instance.began_at).total_seconds() > SILENT_SECONDS_MAX:
            cause = silence(self._reading, self._lease, self._zero)
        is_said = instance.state_reason_code == BOOT_FAILURE
        if cause is None:
            if is_said:
                with self._services.database.write() as c:
                    instances.set_reason(c, instance.id, None)
            return
        if instance.state_reason_code is not None and (
            not is_said or cause.words in (instance.state_reason_message or "")
        ):
            return
        lines = console.readable(console.tail(self._directory, TAIL_BYTES), TAIL_LINES)
        message = f"{BOOT_FAILURE}: {cause.words} Its console ends with: {lines or '(nothing)'}"
        with self._services.database.write() as c:
            instances.set_reason(c, instance.id, Reason(BOOT_FAILURE, message))
        log.warning("%s: %s", instance.id, cause.words)

    def _new_reading(self) -> Reading:
        try:
            return Reading(DRIVERS.get(Profile(self._instance.hardware_profile)))
        except ValueError:
            return Reading()

    def _resume(self) -> Boot:
        """This machine's last boot as an earlier server left it, else a new row."""
        with self._services.database.read() as c:
            known = [each for each in boots.list_boots(c, self._instance.id) if each.machine == self._machine]
            posted = consoles.find_post(c, self._instance.id)
        if known:
            last = known[-1]
            self._reading = replace(self._reading, cause=last.cause)
            self._has_posted = posted is not None and posted.posted_at > last.began_at
            self._zero = _uptime() - (self._services.now() - last.began_at).total_seconds()
            return last
        return self._begin(is_reset=False)

    def _begin(self, *, is_reset: bool) -> Boot:
        began_at = self._services.now() - timedelta(seconds=max(0.0, _uptime() - self._zero))
        fresh = Boot(0, self._machine, is_reset, began_at)
        try:
            with self._services.database.write() as c:
                return boots.begin_boot(c, self._instance.id, fresh)
        except OperationalError as error:  # a full disk: its row is made with its first mark
            log.warning("%s: its boot cannot be kept yet: %s", self._instance.id, error.orig)
            return fresh

    def begin_again(self) -> None:
        """The guest was reset: what it prints from now on belongs to another boot.

        Firmware that was reset may reset the machine once more: that begins no other.
        """
        self._position += len(console.read(self._directory, self._position, TEXT_BYTES_MAX))
        if self._boot.is_reset and _uptime() - self._zero < FIRMWARE_SECONDS:
            return
        self._zero, self._is_late = _uptime(), False
        self._earlier = self._reading.cause or self._earlier
        self._reading = self._new_reading()
        self._boot = self._begin(is_reset=True)
        self._heard_at, self._has_posted, self._ssh_at = _uptime(), False, None

    def log_was_cut(self, size_bytes: int) -> None:
        """The log was cut to its last ``size_bytes``, which were read already."""
        self._position = size_bytes

    def look(self, instance: Instance | None = None) -> None:
        """Reads what is new; ``instance`` is the row, where it was just read.  What a full disk does not take is tried again."""
        if instance is not None:
            self._instance = instance
        try:
            self._look()
        except OperationalError as error:
            log.debug("%s: what was seen cannot be kept yet: %s", self._instance.id, error.orig)

    def _look(self) -> None:
        text = console.read(self._directory, self._position, LOOK_BYTES_MAX)
        if text:
            self._heard_at = _uptime()
            self._read(text)
        reached = set(self._reading.stages)
        if self._instance.reached_metadata_at is not None and self._instance.reached_metadata_at >= self._boot.began_at:
            reached.add(Stage.METADATA)
        if self._ssh_at is not None:
            reached.add(Stage.SSH)
        if self._has_lease(is_said=Stage.DHCP in reached):
            reached.add(Stage.DHCP)
        self._mark(reached)
        self._look_for_ssh(reached)
        self._look_for_post()
        self._look_for_darkness()
        self._is_late = self._is_late and len(text) == LOOK_BYTES_MAX

    def _read(self, text: bytes) -> None:
        before, after = self._reading, self._advised(read_on(self._reading, text))
        start = max(0, self._position - PASSWORD_BYTES)
        if END in before.rest[-len(END) :] + text:
            found = last_password(console.read(self._directory, start, PASSWORD_BYTES + len(text)))
            if found is not None:
                with self._services.database.write() as c:
                    known = consoles.find_password(c, self._instance.id)
                    if known is None or known.text != found:
                        consoles.put_password(c, self._instance.id, Password(self._services.now(), found))
        if before.cause != after.cause:
            self._keep(replace(self._boot, cause=after.cause))
        self._position += len(text)
        self._reading = after

    def _advised(self, reading: Reading) -> Reading:
        """The reading with what its image's root advises, where the firmware found nothing to start."""
        if reading.cause is None or reading.cause.fault is not Fault.NO_BOOT_LOADER:
            return reading
        ways = self._root_ways()
        if ways is None:
            return reading
        return replace(reading, cause=no_boot_loader(advice(ways, self._instance.boot_mode)))

    def _look_for_darkness(self) -> None:
        """A BIOS that jumped into a sector of zeros says nothing any more: that it has come to rest, and the sector, tell."""
        is_silent = self._reading.stages == {Stage.FIRMWARE} and _uptime() - self._heard_at >= QUIET_SECONDS
        if not is_silent or self._reading.cause is not None or self._instance.reached_metadata_at is not None:
            return
        ways = self._root_ways()
        if ways is not None and cannot_start(ways, self._instance.boot_mode):
            cause = no_boot_loader(advice(ways, self._instance.boot_mode))
            self._keep(replace(self._boot, cause=cause))
            self._reading = replace(self._reading, cause=cause)

    def _root_ways(self) -> BootWays | None:
        """How the root can start as its image has it; None of a paravirtual one, which no firmware starts."""
        if self._ways is None and Profile(self._instance.hardware_profile) not in PARAVIRTUAL:
            self._ways = root_ways(self._services, self._instance)
        return self._ways

    def _mark(self, reached: Iterable[Stage]) -> None:
        new = set(reached) - {mark.stage for mark in self._boot.marks}
        if not new:
            return
        seconds = round(_uptime() - self._zero, 2)
        made = [self._mark_of(stage, seconds) for stage in Stage if stage in new]
        self._keep(replace(self._boot, marks=tuple(sorted((*self._boot.marks, *made), key=lambda mark: mark.seconds))))

    def _mark_of(self, stage: Stage, seconds: float) -> Mark:
        if stage is Stage.METADATA:
            assert self._instance.reached_metadata_at is not None
            return Mark(stage, round((self._instance.reached_metadata_at - self._boot.began_at).total_seconds(), 2))
        if stage is Stage.SSH:
            assert self._ssh_at is not None
            return Mark(stage, round(self._ssh_at - self._zero, 2), self._is_late)
        given_at = self._lease_of_boot()
        if stage is Stage.DHCP and given_at is not None:
            return Mark(stage, round(given_at - self._zero, 2))
        return Mark(stage, seconds, self._is_late)

    def _has_lease(self, *, is_said: bool) -> bool:
        """Whether our own DHCP gave the guest its address in this boot: asked for now and then until it did, and where the console says so.

        A guest that said before that it got none has got over that.
        """
        now = _uptime()
        if any(mark.stage is Stage.DHCP for mark in self._boot.marks) or now - self._zero > PROBE_SECONDS_MAX:
            return False
        if is_said or now >= self._lease_at:
            self._lease_at = now + LEASE_PAUSE_SECONDS
            self._lease = fabric.lease_of(self._services.data, self._qemu)
        given_at, cause = self._lease_of_boot(), self._reading.cause
        if given_at is not None and given_at > self._heard_at and cause is not None and cause.fault is Fault.NO_DHCP:
            self._reading = replace(self._reading, cause=None)
            self._keep(replace(self._boot, cause=None))
        return given_at is not None

    def _lease_of_boot(self) -> float | None:
        """When our DHCP last gave the guest its address, if that was in this boot; in seconds since the host's boot."""
        given_at = None if self._lease is None else self._lease.given_at
        return given_at if given_at is not None and given_at >= self._zero else None

    def _keep(self, boot: Boot) -> None:
        with self._services.database.write() as c:
            if boot.position == 0:
                boot = boots.begin_boot(c, self._instance.id, boot)
            boots.put_course(c, self._instance.id, boot)
        self._boot = boot

    def _look_for_post(self) -> None:
        """Posts once a boot, when its console has come to rest."""
        age = _uptime() - self._zero
        if not self._has_posted and (_uptime() - self._heard_at >= QUIET_SECONDS or age >= POST_SECONDS_MAX):
            post(self._services, self._instance.id, self._directory)
            self._has_posted = True

    def _look_for_ssh(self, reached: set[Stage]) -> None:
        """Asks port 22 for its banner, in a thread, once the guest is in its userspace, until it answers or takes too long."""
        is_there = reached & {Stage.USERSPACE, Stage.METADATA, Stage.HOST_KEYS, Stage.LOGIN}
        is_over = (
            any(mark.stage is Stage.SSH for mark in self._boot.marks) or _uptime() - self._zero > PROBE_SECONDS_MAX
        )
        is_busy = (self._probe is not None and self._probe.is_alive()) or time.monotonic() < self._probe_at
        if not is_there or is_over or is_busy or self._ssh_at is not None or not _probes.acquire(blocking=False):
            return
        self._probe_at = time.monotonic() + PROBE_PAUSE_SECONDS
        name = f"ssh-probe-{self._instance.id}"
        self._probe = threading.Thread(target=self._ask_for_banner, args=(self._zero,), name=name, daemon=True)
        try:
            self._probe.start()
        except RuntimeError:  # the host has no thread left: once more after the pause
            _probes.release()

    def _ask_for_banner(self, zero: float) -> None:
        instance = self._instance
        try:
            with connect_guest(
                self._services, Principal(instance.account_id, "", instance.region), instance.id, SSH_PORT
            ) as guest:
                guest.settimeout(BANNER_SECONDS_MAX)
                if guest.recv(4) == b"SSH-" and zero == self._zero:
                    self._ssh_at = _uptime()
        except (OSError, Refusal) as error:
            log.debug("%s: no SSH yet: %s", instance.id, error)
        finally:
            _probes.release()


def wait_for_probes(wait_seconds: float) -> None:
    """Returns when no probe is under way any more, or after ``wait_seconds``."""
    deadline, taken = time.monotonic() + wait_seconds, 0
    while taken < PROBES_MAX and _probes.acquire(timeout=max(0.0, deadline - time.monotonic())):
        taken += 1
    for _ in range(taken):
        _probes.release()


def _uptime() -> float:
    """Seconds since the host's boot, on the clock of process start times."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
