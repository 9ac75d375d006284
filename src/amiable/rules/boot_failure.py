"""What keeps a guest from starting, told by the text of its serial console.

    text, piece by piece ─▶ lines ─▶ each against FAULTS, in order ─▶ the first fault of this boot

A later fault follows from the first (a kernel that finds no root panics), so the first stays, until a line of RECOVERIES says that the
guest went on: the firmware tried another device, a kernel started, a lease came.  A guest may print what it likes: it can put a wrong
reason beside its own name, nothing else.
"""

import re
from dataclasses import dataclass, replace
from typing import Final

from amiable.model.boot import Cause, Fault, Stage
from amiable.model.link import Lease
from amiable.rules.boot_stage import LINE_BYTES_MAX, STAGES, lines_of, stages_of

TEXT_BYTES_MAX: Final = 256 * 1024
"""Of one piece; of a longer one the end is read."""
MODULES_MAX: Final = 8


@dataclass(frozen=True, slots=True)
class Reading:
    """Where the reading of one boot's text stands.  ``driver``: the Linux module that the machine's disks need, where one is known."""

    driver: str | None = None
    rest: bytes = b""
    stages: frozenset[Stage] = frozenset()
    cause: Cause | None = None
    missing: tuple[str, ...] = ()  # modules that the guest said it does not have
    has_seen_driver: bool = False
    has_seen_kernel: bool = False  # its own words: with ``quiet`` a driver says nothing


FAULTS: Final[tuple[tuple[Fault, re.Pattern[bytes]], ...]] = (
    (
        Fault.SECURE_BOOT_REFUSED,
        re.compile(
            rb"failed to (?:load|start) Boot[0-9A-F]{4} .{0,300}: (?:Access Denied|Security Violation)"
            rb"|Verification failed: \(0x1A\) Security Violation|bad shim signature|prohibited by secure boot policy"
        ),
    ),
    (
        Fault.NO_BOOT_LOADER,
        re.compile(
            rb"No bootable device|Boot failed: not a bootable disk|^Shell> ?$|No bootable option or device was found"
            rb"|Missing operating system|Operating System not found"
        ),
    ),
    (Fault.BOOT_LOADER_STUCK, re.compile(rb"grub rescue> ?$|^grub> ?$|Entering rescue mode\.\.\.|^boot: ?$")),
    (
        Fault.NO_ROOT_DEVICE,
        re.compile(
            rb"ALERT!\s{1,4}\S{1,120} does not exist|Gave up waiting for (?:the )?root (?:file system )?device"
            rb"|VFS: Cannot open root device|VFS: Unable to mount root fs|dracut-initqueue timeout"
            rb"|Warning: /dev/\S{1,120} does not exist|no root file ?system|Waiting for root device .{0,80}\.\.\.$|mountroot> ?$"
        ),
    ),
    (Fault.KERNEL_PANIC, re.compile(rb"Kernel panic - not syncing|^panic: ")),
    (
        Fault.EMERGENCY_MODE,
        re.compile(rb"You are in emergency mode|Entering emergency mode|Give root password for maintenance|Failed to load SELinux policy"),
    ),
    (
        Fault.NO_DHCP,
        re.compile(
            rb"No DHCPOFFERS received|No working leases in persistent database|udhcpc: no lease, failing"
            rb"|Failed to bring up eth\d|ifup: failed to bring up|dhcp.{0,80}timed out"
        ),
    ),
)  # fmt: skip

WORDS: Final = {
    Fault.SECURE_BOOT_REFUSED: "Secure Boot refused what the image would start: it is not signed by a key that the firmware knows.",
    Fault.NO_BOOT_LOADER: "The image has no boot loader: the firmware found nothing to boot.",
    Fault.BOOT_LOADER_STUCK: "The boot loader did not find what it should load: it stands at its own prompt.",
    Fault.NO_ROOT_DEVICE: "The kernel or its initial ramdisk did not find the root device.",
    Fault.NO_DISK_DRIVER: "Neither the kernel nor its initial ramdisk has the driver of the machine's disks: {modules}.",
    Fault.KERNEL_PANIC: "The guest's kernel panicked.",
    Fault.EMERGENCY_MODE: "The guest's init stopped in emergency mode.",
    Fault.NO_DHCP: "The guest got no address: nobody answered its DHCP request, or it did not hear the answer.",
    Fault.METADATA_NEVER_ASKED: "The guest has not asked for its metadata yet.",
}

LEASE_NOT_TAKEN: Final = "The guest got no address: it asked for one by DHCP and did not take what it was offered."
NEVER_ASKED_DHCP: Final = "The guest has asked neither for an address by DHCP nor for its metadata."

_MISSING: Final = re.compile(
    rb"modprobe: (?:FATAL: )?[Mm]odule ([\w-]{1,40}) not found|(?:Can't|can't|could not) (?:find|load) module:? ['\"]?([\w-]{1,40})"
)
_TRIES_NEXT: Final = re.compile(rb"BdsDxe: (?:loading|starting) Boot|Booting from |GRUB loading|Welcome to GRUB")
_DRIVER_WORDS: Final = {
    "nvme": re.compile(rb"\bnvme nvme\d|\bnvme\d+n\d"),
    "virtio_blk": re.compile(rb"\bvirtio_blk virtio\d|\bvd[a-z]: |\[vd[a-z]\]"),
    "xen_blkfront": re.compile(rb"\bblkfront: |\bxvd[a-z]"),
    "ata_piix": re.compile(rb"\bata_piix\b|\bata\d(?:\.\d\d)?: |\bsd[a-z]: |\[sd[a-z]\]"),
}


_TELLING: Final = re.compile(
    b"|".join(
        b"(?:%s)" % pattern.pattern
        for pattern in (
            *(pattern for _, pattern in STAGES),
            *(pattern for _, pattern in FAULTS),
            *_DRIVER_WORDS.values(),
            _MISSING,
            _TRIES_NEXT,
        )
    )
)
"""Any of all: most lines tell nothing, and a guest may print very many of them."""


def read_on(reading: Reading, text: bytes) -> Reading:
    """The reading after more of the boot's text: ``text`` follows what was read before."""
    whole = reading.rest + text[-TEXT_BYTES_MAX:]
    at = max(whole.rfind(b"\n"), whole.rfind(b"\r")) + 1
    for line in lines_of(whole[:at]):
        if _TELLING.search(line):
            reading = _read_line(reading, line)
    rest = whole[at:][: 2 * LINE_BYTES_MAX]
    for prompt in lines_of(rest):  # a prompt ends no line
        reading = _read_line(reading, prompt) if _TELLING.search(prompt) else reading
    return replace(reading, rest=rest)


def _read_line(reading: Reading, line: bytes) -> Reading:
    stages = stages_of(line)
    if stages - reading.stages:
        reading = replace(reading, stages=reading.stages | stages)
    if reading.driver is not None and not reading.has_seen_driver and _DRIVER_WORDS[reading.driver].search(line):
        reading = replace(reading, has_seen_driver=True)
    missing = _MISSING.search(line)
    if missing is not None and len(reading.missing) < MODULES_MAX:
        name = (missing[1] or missing[2]).decode("ascii", "replace").replace("-", "_")
        reading = replace(reading, missing=tuple(dict.fromkeys((*reading.missing, name))))
    if Stage.KERNEL in stages:
        reading = replace(reading, has_seen_kernel=True)
    if _goes_on(reading.cause, line, stages):
        reading = replace(reading, cause=None)
    if reading.cause is None:
        found = next((fault for fault, pattern in FAULTS if pattern.search(line)), None)
        if found is not None:
            return replace(reading, cause=_cause(reading, found))
    return reading


def _goes_on(cause: Cause | None, line: bytes, stages: set[Stage]) -> bool:
    """Whether ``line`` shows that the guest got over the fault."""
    if cause is None:
        return False
    if Stage.KERNEL in stages:
        return cause.fault in (Fault.NO_BOOT_LOADER, Fault.BOOT_LOADER_STUCK, Fault.SECURE_BOOT_REFUSED)
    if Stage.DHCP in stages:
        return cause.fault is Fault.NO_DHCP
    return cause.fault in (Fault.NO_BOOT_LOADER, Fault.SECURE_BOOT_REFUSED) and bool(_TRIES_NEXT.search(line))


def _cause(reading: Reading, fault: Fault) -> Cause:
    if fault is Fault.NO_ROOT_DEVICE:
        modules = missing_drivers(reading)
        if modules:
            fault = Fault.NO_DISK_DRIVER
            return Cause(fault, WORDS[fault].format(modules=", ".join(modules)))
    return Cause(fault, WORDS[fault])


def missing_drivers(reading: Reading) -> tuple[str, ...]:
    """The modules that a guest without a root device lacks: what it said itself, else the driver that never spoke where others did."""
    named = tuple(each for each in reading.missing if each in _DRIVER_WORDS or each == reading.driver)
    if named:
        return named
    if reading.driver is not None and reading.has_seen_kernel and not reading.has_seen_driver:
        return (reading.driver,)
    return ()


def no_boot_loader(advice: str) -> Cause:
    """The cause of a firmware that found nothing to start, with what the image's root disk advises."""
    fault = Fault.NO_BOOT_LOADER
    return Cause(fault, f"{WORDS[fault]} {advice}".rstrip())


def silence(reading: Reading, lease: Lease | None = None, since: float = 0.0) -> Cause:
    """The cause where a guest stays silent for long: what its console said, else what our DHCP heard, else that it never asked.

    ``lease``: None where DHCP is not ours; ``since``: when the boot began, in seconds since the host's boot.
    """
    if reading.cause is not None:
        return reading.cause
    if lease is not None and (lease.given_at or 0.0) < since:
        if (lease.asked_at or 0.0) >= since:
            return Cause(Fault.NO_DHCP, LEASE_NOT_TAKEN)
        if lease.since <= since:
            return Cause(Fault.NO_DHCP, NEVER_ASKED_DHCP)
    return Cause(Fault.METADATA_NEVER_ASKED, WORDS[Fault.METADATA_NEVER_ASKED])
