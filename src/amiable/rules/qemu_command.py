"""A machine as QEMU's arguments: a function of one value, golden-tested.

Every path is a name in the instance's directory, where QEMU is started, so the directory's parents stay closed to it and a
socket's path stays under 107 bytes.  Nothing is taken from configuration files or defaults.  What each line is for:

* ``-sandbox``: no exec, no change of rights, no scheduling calls.  The user network in a namespace of its own needs none of them.
  With ``guestfwd`` QEMU starts a program for each connection: ``spawn=deny`` kills it there, ``elevateprivileges`` silences it.
* ``-no-shutdown``: a power-off while no server looks is still visible when one comes back.
* two monitors: one client a socket; one is the supervisor's for events, the other is for commands.
* SMBIOS: what cloud-init's ds-identify takes for EC2: system uuid and serial both begin with ec2 and are equal.
* ``reconnect-delay``: while the exporter restarts a guest's read waits; it does not fail.
* ``pvpanic``: how Xen's dom0 tells that the guest's kernel crashed; QEMU then stands still, visible as a power-off is.
* ``-boot strict``: the root is the one disk with a ``bootindex``; a clone of it beside it, or a disk of data, is never started instead.
* ``smm``, ``secure``: with keys enrolled only the firmware itself writes its variables, so the guest's kernel cannot switch the check off.
* ``etc/sercon-port``: SeaBIOS mirrors its text (``No bootable device``) and the boot loader's on the serial port.
"""

import json
from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import Any, Final

from amiable.model.hardware import (
    AcceleratorKind,
    DirectBoot,
    Disk,
    Hardware,
    Interface,
    NetworkKind,
    Profile,
    Tpm,
    Uefi,
    XenBoot,
)
from amiable.rules.xen_domain import machine_mib

FULL_SANDBOX: Final = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
SANDBOX: Final = {
    NetworkKind.ROUTED: FULL_SANDBOX,
    NetworkKind.NAMESPACE: FULL_SANDBOX,
    NetworkKind.GUESTFWD: "on,resourcecontrol=deny",
}
TAP_DESCRIPTOR: Final = 5
"""Where a machine in routed mode finds its tap open."""
METADATA_SOCKET: Final = "metadata.sock"
"""Where the server listens for a machine that is not in a namespace."""
METADATA_RETRIES: Final = 120
"""Seconds that a guest's metadata request waits for a server, in such a machine."""
RECONNECT_SECONDS: Final = 600
TRANSLATION_CACHE_MIB: Final = 256
SLOTS: Final = "slots"
"""The bridge whose places are the hot-plug slots: the root and the interface have places of their own, each other disk has a slot."""
SLOTS_MAX: Final = 16
BRIDGE: Final = f"pci-bridge,id={SLOTS},chassis_nr=1,shpc=off,io-reserve=8k,mem-reserve=2M,addr=0x1c"
"""One conventional bridge, plugged into through ACPI, for under emulation each pcie-root-port costs Linux's boot some 70 ms.  The
bridge's own controller (``shpc``) would be one that nobody uses.  The reserves are room for what comes later: a legacy virtio disk takes
128 ports, and of an I/O window Linux gives out each first quarter of a KiB."""

SCREEN: Final = "VGA,id=screen,addr=0x2"
"""What GetConsoleScreenshot shows; a paravirtual kernel has no screen."""

AGENT: Final = "agent"
AGENT_SOCKET: Final = "agent.sock"
AGENT_PORT: Final = "org.qemu.guest_agent.0"
"""Where a guest's ``qemu-guest-agent`` looks for questions (``vm/guest_agent``)."""
AGENT_PROFILES: Final = (Profile.VIRTIO, Profile.NITRO)
"""The others show a guest what EC2 showed its kernel, and nothing else."""

SERCON_FILE: Final = "sercon-port"
SERCON_BYTES: Final = b"\xf8\x03"
"""The first serial port's address, as SeaBIOS reads it."""

APPLIANCE_LOG: Final = "appliance.log"
APPLIANCE_FAILED: Final = "amiable-appliance: failed:"
"""What dom0 writes there when it, and not the guest, is at fault (``vm/appliance/files/init``)."""
XEN_WORDS: Final = "dom0_max_vcpus=1 bootscrub=0 no-real-mode edd=off spec-ctrl=no xpti=no pv-l1tf=no"
"""No scrubbing of fresh memory, and no defence of one guest against another: there is one, and QEMU is the border around it."""
DOM0_WORDS: Final = "console=hvc0 quiet loglevel=0 panic=5 mitigations=off cryptomgr.notests swiotlb=512"
XEN_PROCESSOR: Final = "Nehalem,+rdrand"
"""Under TCG: with SMAP dom0 dies at its first instruction stream, and with AVX programs of the guest have crashed; this has neither."""
PANIC_PORT: Final = 1285
"""Where ``vm/appliance/files/init`` writes."""

DISK_DRIVERS: Final = {
    Profile.VIRTIO: "virtio-blk-pci",
    Profile.NITRO: "nvme",
    Profile.DIRECT: "virtio-blk-pci",
    Profile.DIRECT_NVME: "nvme",
    Profile.XEN_HVM: "ide-hd",
    Profile.XEN_PV: "virtio-blk-pci",
}
ROOT_NAMES: Final = {
    Profile.VIRTIO: "/dev/vda",
    Profile.NITRO: "/dev/nvme0n1",
    Profile.DIRECT: "/dev/vda",
    Profile.DIRECT_NVME: "/dev/nvme0n1",
    Profile.XEN_HVM: "/dev/sda",
    Profile.XEN_PV: "/dev/sda1",
}
"""What the guest calls its first disk."""
IDE_DISKS_MAX: Final = 4
"""What the pc machine's two channels take; as on EC2's Xen types, disks past them need a driver of a virtual machine."""


def has_slots(profile: Profile) -> bool:
    """Whether a machine of ``profile`` has slots for disks that come while it runs; the pc takes them on its bus."""
    return profile is not Profile.XEN_HVM


def qemu_arguments(hardware: Hardware) -> list[str]:
    """The arguments after the program's name."""
    assert hardware.uuid.lower().startswith("ec2") and hardware.disks
    assert [hardware.direct, hardware.xen, hardware.uefi].count(None) >= 2
    assert (hardware.xen is not None) == (hardware.profile is Profile.XEN_PV)
    return [word for pair in _pairs(hardware) for word in pair]


def _pairs(hardware: Hardware) -> Iterator[tuple[str, ...]]:
    yield ("-name", f"guest={hardware.instance_id}")
    yield ("-nodefaults",)
    yield ("-no-user-config",)
    yield ("-sandbox", SANDBOX[hardware.network])
    yield ("-no-shutdown",)
    yield from _machine(hardware)
    yield from _identity(hardware)
    yield from _monitors()
    if hardware.xen:
        yield from _appliance_log()
    yield from _serial()
    if hardware.xen:
        yield from _xen(hardware.xen)
    elif hardware.direct:
        yield from _direct(hardware.direct)
    elif hardware.uefi:
        yield from _uefi(hardware.uefi)
    else:
        yield ("-fw_cfg", f"name=etc/sercon-port,file={SERCON_FILE}")
    if hardware.tpm:
        yield from _tpm(hardware.tpm)
    is_bootable = hardware.direct is None and hardware.xen is None
    if is_bootable:
        yield ("-boot", "strict=on")
        yield ("-device", SCREEN)
    if has_slots(hardware.profile):
        yield ("-device", BRIDGE)
    for position, disk in enumerate(hardware.disks):
        yield from _disk(disk, position, hardware.profile, is_root=is_bootable and position == 0)
    yield from _interface(hardware.interface, hardware.network, hardware.profile)
    yield ("-object", "rng-random,id=entropy,filename=/dev/urandom")
    yield ("-device", "virtio-rng-pci,rng=entropy,addr=0x1e")
    if hardware.profile in AGENT_PROFILES:
        yield from _agent()


def _machine(hardware: Hardware) -> Iterator[tuple[str, ...]]:
    if hardware.profile is Profile.XEN_HVM:
        yield ("-machine", "pc,vmport=off,usb=off")
    elif hardware.uefi and hardware.uefi.is_secure:
        yield ("-machine", "q35,smm=on,vmport=off,usb=off")
    else:
        yield ("-machine", "q35,vmport=off,usb=off")
    if hardware.accelerator is AcceleratorKind.KVM:
        yield ("-accel", "kvm")
        yield ("-cpu", "host")
    else:
        yield ("-accel", f"tcg,thread=multi,tb-size={TRANSLATION_CACHE_MIB}")
        yield ("-cpu", XEN_PROCESSOR if hardware.xen else "max,la57=off")
    yield ("-smp", str(hardware.vcpus))
    memory_mib = hardware.memory_mib if hardware.xen is None else machine_mib(hardware.memory_mib, hardware.xen)
    yield ("-m", f"{memory_mib}M")
    yield ("-display", "none")
    yield ("-rtc", "base=utc,driftfix=slew")


def _identity(hardware: Hardware) -> Iterator[tuple[str, ...]]:
    uuid = hardware.uuid
    yield ("-uuid", uuid)
    yield ("-smbios", "type=0,vendor=Amazon EC2,version=1.0")
    yield ("-smbios", f"type=1,manufacturer=Amazon EC2,product={hardware.instance_type},serial={uuid},uuid={uuid}")
    yield ("-smbios", "type=3,manufacturer=Amazon EC2,asset=Amazon EC2")


def _monitors() -> Iterator[tuple[str, ...]]:
    for name in ("qmp", "qmp2"):
        yield ("-chardev", f"socket,id={name},path={name}.sock,server=on,wait=off")
        yield ("-mon", f"chardev={name},mode=control")


def _serial() -> Iterator[tuple[str, ...]]:
    yield ("-chardev", "socket,id=serial,path=serial.sock,server=on,wait=off,logfile=console.log,logappend=on")
    yield ("-serial", "chardev:serial")


def _agent() -> Iterator[tuple[str, ...]]:
    yield ("-chardev", f"socket,id={AGENT},path={AGENT_SOCKET},server=on,wait=off")
    yield ("-device", "virtio-serial-pci,id=ports,max_ports=2,addr=0x1d")
    yield ("-device", f"virtserialport,bus=ports.0,nr=1,chardev={AGENT},name={AGENT_PORT}")


def _appliance_log() -> Iterator[tuple[str, ...]]:
    """Xen's and dom0's own words: the first serial port; the guest's console is the second."""
    yield ("-chardev", f"file,id=appliance,path={APPLIANCE_LOG},append=on")
    yield ("-serial", "chardev:appliance")


def _xen(boot: XenBoot) -> Iterator[tuple[str, ...]]:
    """Xen as QEMU's kernel, dom0's kernel with its command line and its ramdisk as multiboot modules: a comma parts them."""
    memory = f"dom0_mem={boot.dom0_mib}M,max:{boot.dom0_mib}M"
    yield ("-kernel", boot.hypervisor)
    yield ("-append", f"console=com1 com1=115200,8n1 {memory} {XEN_WORDS}")
    yield ("-initrd", f"{boot.dom0} {DOM0_WORDS},{boot.ramdisk}")
    yield ("-device", f"pvpanic,ioport={PANIC_PORT}")


def _direct(direct: DirectBoot) -> Iterator[tuple[str, ...]]:
    yield ("-kernel", direct.kernel)
    if direct.has_ramdisk:
        yield ("-initrd", direct.ramdisk)
    yield ("-append", direct.append)


def _uefi(uefi: Uefi) -> Iterator[tuple[str, ...]]:
    yield ("-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={uefi.code}")
    yield ("-drive", f"if=pflash,unit=1,format=raw,file={uefi.variables}")
    if uefi.is_secure:
        yield ("-global", "driver=cfi.pflash01,property=secure,value=on")
        yield ("-global", "ICH9-LPC.disable_s3=1")


def _tpm(tpm: Tpm) -> Iterator[tuple[str, ...]]:
    yield ("-chardev", f"socket,id=tpm,path={tpm.socket}")
    yield ("-tpmdev", "emulator,id=tpm0,chardev=tpm")
    yield ("-device", "tpm-crb,tpmdev=tpm0")


def _disk(disk: Disk, position: int, profile: Profile, *, is_root: bool) -> Iterator[tuple[str, ...]]:
    for node in disk_nodes(disk):
        yield ("-blockdev", json.dumps(node, separators=(",", ":")))
    order = ",bootindex=1" if is_root else ""
    driver, place = _place(position, profile)
    yield ("-device", f"{driver},id={disk.device},drive={disk.node},serial={disk.serial},{place}{order}")


def disk_nodes(disk: Disk) -> list[dict[str, Any]]:
    """The block nodes of a disk, lowest first, as QMP and ``-blockdev`` take them."""
    overlay = {
        "driver": "qcow2",
        "node-name": disk.node,
        "file": {"driver": "file", "filename": disk.overlay, "discard": "unmap"},
        "backing": disk.base_node if disk.has_base else None,
        "discard": "unmap",
        "lazy-refcounts": True,
    }
    if not disk.has_base:
        return [overlay]
    server = {"type": "unix", "path": disk.socket}
    base = {"driver": "nbd", "node-name": disk.base_node, "server": server, "read-only": True}
    return [base | {"reconnect-delay": RECONNECT_SECONDS}, overlay]


def hot_driver(profile: Profile) -> str:
    """The device that shows a disk which comes while the machine runs."""
    return "virtio-blk-pci" if profile is Profile.XEN_HVM else DISK_DRIVERS[profile]


def _place(position: int, profile: Profile) -> tuple[str, str]:
    """The device that shows a disk, and where it is: in a slot, so that it can be taken out, but for the root."""
    if profile is Profile.XEN_HVM and position < IDE_DISKS_MAX:
        return DISK_DRIVERS[profile], f"bus=ide.{position // 2},unit={position % 2}"
    if position == 0 or not has_slots(profile):
        return hot_driver(profile), f"addr={4 + position:#x}"
    return hot_driver(profile), f"bus={SLOTS},addr={position:#x}"


def _interface(interface: Interface, kind: NetworkKind, profile: Profile) -> Iterator[tuple[str, ...]]:
    forward = f"hostfwd=tcp:127.0.0.1:0-{interface.address}:22"
    network = IPv4Network(interface.subnet)
    router = f"net={network},host={network[1]},dns={network[2]}"  # EC2's places for them
    if kind is NetworkKind.ROUTED:
        yield ("-netdev", f"tap,id=net0,fd={TAP_DESCRIPTOR}")
    elif kind is NetworkKind.NAMESPACE:
        yield ("-netdev", f"user,id=net0,ipv6=off,{router},dhcpstart={interface.address},{forward}")
    else:
        yield ("-netdev", f"user,id=net0,ipv6=off,{_link_local()}")
    card = "e1000" if profile is Profile.XEN_HVM else "virtio-net-pci"
    yield ("-device", f"{card},id=eth0,netdev=net0,mac={interface.mac},addr=0x3,romfile=")


def _link_local() -> str:
    """The metadata address must lie in the guest's network, so that is link-local; ``restrict``: nothing else is reached."""
    program = f"socat - UNIX-CONNECT:{METADATA_SOCKET},retry={METADATA_RETRIES},interval=1".replace(",", ",,")
    forward = f"guestfwd=tcp:169.254.169.254:80-cmd:{program}"
    return f"net=169.254.0.0/16,dhcpstart=169.254.10.15,restrict=on,{forward}"


def direct_append(profile: Profile, extra: str = "") -> str:
    """The command line of a kernel that is started directly.

    ``panic=5``: a panicked guest resets and does not spin.  The NVMe timeout is off (Linux gives up after 30 s by default): a
    read waits for the exporter as long as QEMU does.
    """
    words = [f"root={ROOT_NAMES[profile]}", "ro", "console=ttyS0", "panic=5", "nvme_core.io_timeout=4294967295", extra]
    return " ".join(word for word in words if word)


assert all(profile in DISK_DRIVERS and profile in ROOT_NAMES for profile in Profile)
