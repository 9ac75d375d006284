"""An instance as Xen's one domain: how much memory goes where, what its disks are called, and its configuration for ``xl``.

    the machine's memory = dom0's + the guest's, which is its type's + Xen's own

Source: Xen 4.17, xl.cfg(5).  The uuid becomes /sys/hypervisor/uuid, by which a guest of that era knew EC2.
"""

import re
from collections.abc import Iterator, Sequence
from string import ascii_lowercase
from typing import Final

from amiable.model.hardware import Hardware, XenBoot
from amiable.model.units import MIB

DOM0_MIB: Final = 224
"""Debian's kernel and initial RAM disk do not start in 128."""
PAYLOAD_COPIES: Final = 3
"""The guest's kernel and ramdisk lie in dom0's memory packed, as files and unpacked while they are loaded."""
PAYLOAD_BYTES_FREE: Final = 24 * MIB
"""What fits into ``DOM0_MIB`` anyway."""
XEN_MIB: Final = 80
XEN_SHARE: Final = 48
"""Xen's own memory: a fixed part, and a share for what it writes of each page."""

LAST_LETTERS: Final = {"hd": "d", "sd": "p"}
"""Xen has numbers for no more disks of these kinds."""

_NAME: Final = re.compile(r"/dev/(?:(sd|hd|xvd)|vd)([a-z]{1,2})(1[0-5]|[1-9]|)")
_PLACE: Final = re.compile(r"(?:sd|hd|xvd)([a-z]+)(\d*)")


def dom0_mib(payload_bytes: int) -> int:
    """The memory of dom0 for an instance whose kernel and ramdisk have so many bytes."""
    more = max(0, payload_bytes * PAYLOAD_COPIES - PAYLOAD_BYTES_FREE)
    return DOM0_MIB + -(-more // MIB)


def machine_mib(guest_mib: int, boot: XenBoot) -> int:
    """The whole machine's memory."""
    inside = guest_mib + boot.dom0_mib
    return inside + XEN_MIB + inside // XEN_SHARE


def disk_names(device_names: Sequence[str | None], *, is_partitioned: bool) -> tuple[str, ...]:
    """What Xen calls the disks, root first: the mapping's names, as EC2 did; one that Xen has no word for gets the next free.

    ``is_partitioned``: the root is a disk with partitions, so its name loses its number.
    """
    assert device_names
    names: list[str] = []
    for position, given in enumerate(device_names):
        name = _name(given or "")
        if position == 0:
            name = (name or "sda1").rstrip("0123456789") if is_partitioned else name or "sda1"
        if name is None or any(_clash(name, known) for known in names):
            name = _free_name(names)
        names.append(name)
    return tuple(names)


def _name(device_name: str) -> str | None:
    """Xen's word for the name: of xvd where the kind has no such disk; ``None`` where it has no word."""
    found = _NAME.fullmatch(device_name)
    if found is None:
        return None
    kind, letters, number = found.groups("xvd")
    has_number = len(letters) == 1 and letters <= LAST_LETTERS.get(kind, "z")
    return f"{kind if has_number else 'xvd'}{letters}{number}"


def _clash(name: str, other: str) -> bool:
    """Whether a guest would see both in one place: sdb and xvdb, or a whole disk and a partition of it."""
    (letters, number), (other_letters, other_number) = _place(name), _place(other)
    return letters == other_letters and (number == other_number or "" in (number, other_number))


def _place(name: str) -> tuple[str, str]:
    found = _PLACE.fullmatch(name)
    assert found is not None
    return found[1], found[2]


def _free_name(names: Sequence[str]) -> str:
    taken = {_place(name)[0] for name in names}
    found = _name(
        next(f"/dev/sd{letters}" for letters in map(_letters, range(1, len(names) + 2)) if letters not in taken)
    )
    assert found is not None
    return found


def _letters(position: int) -> str:
    """a to z, then aa, ab, …: how Linux counts disks."""
    high, low = divmod(position, len(ascii_lowercase))
    return (ascii_lowercase[high - 1] if high else "") + ascii_lowercase[low]


def guest_append(root: str, extra: str = "") -> str:
    """The command line of a kernel that Xen starts; ``root`` is the first of :func:`disk_names`."""
    device = root if root[-1].isdigit() else f"{root}1"
    return " ".join(word for word in (f"root=/dev/{device}", "ro", "console=hvc0", extra) if word)


def domain_configuration(hardware: Hardware) -> str:
    """The file that ``xl create`` reads."""
    assert hardware.xen is not None and len(hardware.xen.disk_names) == len(hardware.disks)
    return "".join(f"{line}\n" for line in _lines(hardware, hardware.xen))


def _lines(hardware: Hardware, boot: XenBoot) -> Iterator[str]:
    yield f"name={_quoted('domu')}"
    yield f"type={_quoted('pv')}"
    yield f"uuid={_quoted(hardware.uuid)}"
    yield f"kernel={_quoted('/domu/kernel')}"
    if boot.has_ramdisk:
        yield f"ramdisk={_quoted('/domu/ramdisk')}"
    if boot.append:
        yield f"extra={_quoted(boot.append)}"
    yield f"memory={hardware.memory_mib}"
    yield f"maxmem={hardware.memory_mib}"
    yield f"vcpus={hardware.vcpus}"
    disks = [
        _quoted(f"format=raw,vdev={name},access=rw,target=/dev/vd{_letters(position)}")
        for position, name in enumerate(boot.disk_names)
    ]
    yield f"disk=[{', '.join(disks)}]"
    yield f"vif=[{_quoted(f'mac={hardware.interface.mac},bridge=br0,script=vif-amiable')}]"
    for event in ("poweroff", "reboot", "crash"):
        yield f"on_{event}={_quoted('preserve')}"


def _quoted(text: str) -> str:
    assert text.isprintable() and '"' not in text and "\\" not in text, text
    return f'"{text}"'
