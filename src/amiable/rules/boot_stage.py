"""How far a guest has come, told by the lines of its serial console.

Nothing here trusts a line: whoever writes to the console can claim a stage, and what follows from it is a time in a table.  Each
pattern is matched against one short line, so that reading is linear in the text, whatever it holds.
"""

import re
from collections.abc import Iterator
from typing import Final

from amiable.model.boot import Stage

LINE_BYTES_MAX: Final = 400
"""Of a longer line the beginning counts."""

_ESCAPES: Final = re.compile(rb"\x1b(?:\[[0-9;?]{0,20}[A-Za-z]|[()][A-Z0-9]|[c=>])|[\x00\x07\x08]")

STAGES: Final[tuple[tuple[Stage, re.Pattern[bytes]], ...]] = (
    (
        Stage.FIRMWARE,
        re.compile(rb"SeaBIOS \(version|Booting from (?:Hard Disk|ROM|DVD|Floppy)|\bBdsDxe: |iPXE \(http"),
    ),
    (
        Stage.BOOT_LOADER,
        re.compile(rb"\bGRUB\b|\b(?:SYS|EXT|ISO|PXE)LINUX\b|Booting `|systemd-boot|FreeBSD/\S+ bootstrap"),
    ),
    (
        Stage.KERNEL,
        re.compile(
            rb"Linux version \d|^\[ {0,4}0\.000000\]|Decompressing Linux|^Xen version |The (?:Free|Net)BSD (?:Project|Foundation)"
            rb"|Copyright .{0,60}OpenBSD"
        ),
    ),
    (
        Stage.USERSPACE,
        re.compile(
            rb"Run /\S{1,80} as init process|\bsystemd\[1\]: |systemd \d{2,4}\S{0,40} running in system mode|^Welcome to (?!GRUB).{1,80}!"
            rb"|INIT: version \d|init started: BusyBox|^Loading, please wait|^Begin: |Starting syslogd|dracut-\w+\[\d+\]:"
        ),
    ),
    (
        Stage.DHCP,
        re.compile(
            rb"\bDHCPACK\b|\blease of \d+\.\d+\.\d+\.\d+ obtained|\bbound to \d+\.\d+\.\d+\.\d+"
            rb"|DHCPv4 address \d+\.\d+\.\d+\.\d+|ci-info: \|\s{1,8}(?:eth|ens|enp)\w{1,12}\s{1,4}\|\s{0,4}True"
        ),
    ),
    (Stage.HOST_KEYS, re.compile(rb"-----BEGIN SSH HOST KEY FINGERPRINTS-----")),
    (Stage.LOGIN, re.compile(rb"^[\w.-]{1,64} login: ?$")),
)
"""Source: the consoles of Debian 12 (initramfs-tools, systemd, sysvinit, cloud-init), Fedora's dracut, BusyBox, SeaBIOS, EDK II."""


def lines_of(text: bytes) -> Iterator[bytes]:
    """The lines, without escape sequences and control characters, each cut to what is looked at."""
    for line in re.split(rb"[\r\n]+", text):
        yield _ESCAPES.sub(b"", line[: 2 * LINE_BYTES_MAX])[:LINE_BYTES_MAX]


def stages_of(line: bytes) -> set[Stage]:
    """The stages that one line tells of; mostly none."""
    return {stage for stage, pattern in STAGES if pattern.search(line)}
