"""One boot of a guest as it is seen from outside: when it reached which stage, and what kept it from going on."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Stage(StrEnum):
    """How far a guest has come, in the usual order."""

    FIRMWARE = "firmware"
    BOOT_LOADER = "boot-loader"
    KERNEL = "kernel"
    USERSPACE = "userspace"  # the first program of the root file system, or of the initial ramdisk, has spoken
    DHCP = "dhcp"  # it has an address, as far as anyone said so
    METADATA = "metadata"  # its first request to the metadata service
    HOST_KEYS = "host-keys"  # it printed its SSH host keys
    SSH = "ssh"  # its SSH daemon answered
    LOGIN = "login"  # it asks for a user name on its console


class Fault(StrEnum):
    """What keeps a guest from starting."""

    NO_BOOT_LOADER = "no-boot-loader"
    BOOT_LOADER_STUCK = "boot-loader-stuck"
    SECURE_BOOT_REFUSED = "secure-boot-refused"
    NO_DISK_DRIVER = "no-disk-driver"
    NO_ROOT_DEVICE = "no-root-device"
    KERNEL_PANIC = "kernel-panic"
    EMERGENCY_MODE = "emergency-mode"
    NO_DHCP = "no-dhcp"
    METADATA_NEVER_ASKED = "metadata-never-asked"


@dataclass(frozen=True, slots=True)
class Cause:
    """A fault, and a sentence about it for the instance's owner."""

    fault: Fault
    words: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A stage was reached so many seconds after the boot began; ``is_at_latest``: that was when somebody looked again."""

    stage: Stage
    seconds: float
    is_at_latest: bool = False


@dataclass(frozen=True, slots=True)
class Boot:
    """One boot: of a fresh machine, or by a reset of the one that ran.  ``marks`` in the order of their time."""

    position: int
    machine: int
    is_reset: bool
    began_at: datetime
    marks: tuple[Mark, ...] = ()
    cause: Cause | None = None
