"""What QEMU must be told about one machine: a value, complete, from which its command line follows.

Paths are names inside the instance's own directory, where QEMU is started; ``firmware`` files alone lie outside.
"""

from dataclasses import dataclass
from enum import StrEnum

from amiable.model.link import Link


class Profile(StrEnum):
    """Which devices a machine has; ``rules/hardware_profile`` chooses."""

    VIRTIO = "virtio"  # virtio disk and network
    NITRO = "nitro"  # NVMe disks, virtio network (QEMU has no ENA)
    DIRECT = "direct"  # a paravirtual image's kernel started without firmware; virtio disk, its ramdisk has the driver
    DIRECT_NVME = "direct-nvme"  # the same with NVMe disks: kernels that have the driver built in need no ramdisk
    XEN_HVM = "xen-hvm"  # the pc machine with IDE disks and an e1000 card: what needs no driver of a virtual machine
    XEN_PV = "xen-pv"  # a paravirtual image's kernel run unmodified by a real Xen inside the machine


class AcceleratorKind(StrEnum):
    """What executes the guest's instructions."""

    KVM = "kvm"
    TCG = "tcg"


class NetworkKind(StrEnum):
    """How a machine's network is kept apart, and how its metadata requests come out of it."""

    ROUTED = "routed"  # a tap in the fabric of its VPC, where guests see each other as their security groups allow
    NAMESPACE = "namespace"  # in a network namespace of its own
    GUESTFWD = "guestfwd"  # where none can be made: a program that QEMU starts for each connection


@dataclass(frozen=True, slots=True)
class Disk:
    """One disk: a qcow2 overlay, over an export of its snapshot where it has one.  Order is the guest's order; root first."""

    volume_id: str
    size_bytes: int
    has_base: bool
    virtual_name: str | None = None  # ephemeral0

    @property
    def overlay(self) -> str:
        """The overlay's file name."""
        return f"{self.volume_id}.qcow2"

    @property
    def socket(self) -> str:
        """The name of the socket where the exporter serves the snapshot's blocks."""
        return f"{self.volume_id}.nbd"

    @property
    def serial(self) -> str:
        """What the guest reads as the disk's serial number: ``vol`` and 17 hex digits, the 20 characters that fit."""
        return self.virtual_name or self._hex("vol")

    @property
    def node(self) -> str:
        """The overlay's block node in QEMU."""
        return self._hex("vol")

    @property
    def base_node(self) -> str:
        """The block node of what lies below the overlay."""
        return self._hex("base")

    @property
    def device(self) -> str:
        """The device that shows the disk to the guest."""
        return self._hex("volume")

    def _hex(self, word: str) -> str:
        return f"{word}{self.volume_id.rpartition('-')[2]}"[:27]


@dataclass(frozen=True, slots=True)
class Interface:
    """The one network interface: the address is the subnet's, given by QEMU's own DHCP."""

    mac: str
    address: str
    subnet: str  # 172.31.0.0/20


@dataclass(frozen=True, slots=True)
class DirectBoot:
    """A kernel that QEMU loads itself."""

    append: str
    has_ramdisk: bool
    kernel: str = "kernel"
    ramdisk: str = "ramdisk"


@dataclass(frozen=True, slots=True)
class XenBoot:
    """A kernel that Xen runs: the machine holds Xen, dom0 and, as the one domain, the instance."""

    disk_names: tuple[str, ...]  # what the guest is told to call its disks, in the order of the machine's: sda1, sdb
    append: str
    has_ramdisk: bool
    dom0_mib: int = 224
    hypervisor: str = "xen"
    dom0: str = "vmlinux"
    ramdisk: str = "instance.cpio"


@dataclass(frozen=True, slots=True)
class Uefi:
    """UEFI firmware: the code is the host's, the variables are the instance's own copy."""

    code: str
    variables: str = "uefi-variables.fd"
    is_secure: bool = (
        False  # a platform key is enrolled: the code knows Secure Boot, and only it may write the variables
    )


@dataclass(frozen=True, slots=True)
class Tpm:
    """A TPM 2.0, which a process of the instance's own emulates."""

    socket: str = "tpm.sock"
    state: str = "tpm"  # a directory


@dataclass(frozen=True, slots=True)
class Hardware:
    """One machine."""

    instance_id: str
    instance_type: str
    uuid: str
    accelerator: AcceleratorKind
    vcpus: int
    memory_mib: int
    profile: Profile
    disks: tuple[Disk, ...]
    interface: Interface
    direct: DirectBoot | None = None
    xen: XenBoot | None = None
    uefi: Uefi | None = None
    tpm: Tpm | None = None
    network: NetworkKind = NetworkKind.NAMESPACE
    link: Link | None = None  # in routed mode
