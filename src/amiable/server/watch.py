"""One machine under watch: what the supervisor has open of it."""

import contextlib
import socket
from dataclasses import dataclass, field

from amiable.rules.qemu_command import APPLIANCE_LOG
from amiable.server.boot_watch import BootWatch
from amiable.vm.directory import Directory
from amiable.vm.host_keys import Search
from amiable.vm.process import Process
from amiable.vm.qmp import Qmp


@dataclass(slots=True)
class Watch:
    """One machine under watch; ``directory`` is a descriptor of its own, closed with it."""

    instance_id: str
    directory: Directory
    qemu: Process
    pidfd: int
    host_keys: Search
    boots: BootWatch
    events: Qmp | None = None
    listener: socket.socket | None = None
    has_reason: bool = False
    waits_for_space: bool = False
    is_behind: bool = False  # there may be more events than were read
    may_be_off: bool = False  # its guest was off when it was last asked, or it could not be asked
    closing: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @property
    def is_xen(self) -> bool:
        """Whether the machine holds the Xen appliance."""
        return self.directory.exists(APPLIANCE_LOG)
