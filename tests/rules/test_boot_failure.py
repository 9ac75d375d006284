"""What keeps a guest from starting, read from consoles as they are; hostile text costs little and breaks nothing."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.model.boot import Fault, Stage
from amiable.model.link import Lease
from amiable.rules.boot_failure import (
    LEASE_NOT_TAKEN,
    MODULES_MAX,
    NEVER_ASKED_DHCP,
    TEXT_BYTES_MAX,
    WORDS,
    Reading,
    read_on,
    silence,
)

SEABIOS = b"SeaBIOS (version 1.16.2-debian-1.16.2-1)\r\n\r\n\r\niPXE (http://ipxe.org) 00:03.0 CA00 PCI2.10 PnP PMM\r\n"
NO_DISK = SEABIOS + b"Booting from Hard Disk...\r\nBoot failed: not a bootable disk\r\n\r\nNo bootable device.\r\n"
EDK2_SHELL = (
    b'\x1b[2J\x1b[01;01HBdsDxe: failed to load Boot0001 "UEFI Misc Device" from PciRoot(0x0)/Pci(0x4,0x0): Not Found\r\n'
    b'BdsDxe: loading Boot0002 "EFI Internal Shell" from Fv(7CB8BDC9)/FvFile(7C04A583)\r\n'
    b'BdsDxe: starting Boot0002 "EFI Internal Shell"\r\n'
    b"UEFI Interactive Shell v2.2\r\nEDK II\r\nUEFI v2.70 (EDK II, 0x00010000)\r\n"
    b"Press \x1b[1mESC\x1b[0m in 1 seconds to skip startup.nsh or any other key to continue.\r\nShell> "
)
EDK2_NOTHING = (
    b"BdsDxe: No bootable option or device was found.\r\nBdsDxe: Press any key to enter the Boot Manager Menu.\r\n"
)
SECURE_BOOT = (
    b'BdsDxe: loading Boot0001 "UEFI Misc Device" from PciRoot(0x0)/Pci(0x4,0x0)\r\n'
    b'BdsDxe: failed to load Boot0001 "UEFI Misc Device" from PciRoot(0x0)/Pci(0x4,0x0): Access Denied\r\n'
)
SHIM = b"Verification failed: (0x1A) Security Violation\r\n"
GRUB_RESCUE = b"GRUB loading.\r\nWelcome to GRUB!\r\n\r\nerror: no such device: amiable-root.\r\nEntering rescue mode...\r\ngrub rescue> "
GRUB_PROMPT = b"Welcome to GRUB!\r\n\x1b[H   Minimal BASH-like line editing is supported.  For\r\n   the first word, TAB lists possible commands.\r\n\r\ngrub> "
KERNEL = (
    b"[    0.000000] Linux version 6.1.0-37-cloud-amd64 (debian-kernel@lists.debian.org) (gcc-12 (Debian 12.2.0-14))\n"
)
NVME = b"[    1.734402] nvme nvme0: pci function 0000:00:04.0\n"
INITRAMFS = (
    b"[    2.291337] Run /init as init process\nLoading, please wait...\n"
    b"Begin: Loading essential drivers ... done.\nBegin: Running /scripts/init-premount ... done.\n"
    b"Begin: Mounting root file system ... Begin: Running /scripts/local-top ... done.\n"
    b"Begin: Running /scripts/local-premount ... done.\nBegin: Waiting for root file system ... "
    b"Begin: Running /scripts/local-block ... done.\ndone.\n"
    b"Gave up waiting for root file system device.  Common problems:\n - Boot args (cat /proc/cmdline)\n"
    b"   - Check rootdelay= (did the system wait long enough?)\n - Missing modules (cat /proc/modules; ls /dev)\n"
    b"ALERT!  LABEL=cloudimg-rootfs does not exist.  Dropping to a shell!\n\n\n"
    b"BusyBox v1.35.0 (Debian 1:1.35.0-4+deb12u1) built-in shell (ash)\n"
    b"Enter 'help' for a list of built-in commands.\n\n(initramfs) "
)
DRACUT = (
    b"[  186.6] dracut-initqueue[456]: Warning: dracut-initqueue timeout - starting timeout scripts\n"
    b"[  187.3] dracut-initqueue[456]: Warning: Could not boot.\n"
    b"Warning: /dev/disk/by-uuid/0d1a4b41-9a0f-4fc5-9b3c-5f8f6c1e9d11 does not exist\n"
    b'Generating "/run/initramfs/rdsosreport.txt"\n\nEntering emergency mode. Exit the shell to continue.\ndracut:/# '
)
VFS = (
    b'[    3.012345] VFS: Cannot open root device "LABEL=amiable-root" or unknown-block(0,0): error -6\n'
    b'[    3.022001] Please append a correct "root=" boot option; here are the available partitions:\n'
    b"[    3.034101] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\n"
    b"[    3.045551] CPU: 0 PID: 1 Comm: swapper/0 Not tainted 6.1.0-37-cloud-amd64 #1  Debian 6.1.140-1\n"
)
INIT_KILLED = b"[    2.512345] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100\n"
EMERGENCY = (
    b"[\x1b[0;1;31m TIME \x1b[0m] Timed out waiting for device \x1b[0;1;39m/dev/xvdb\x1b[0m.\r\n"
    b"[\x1b[0;1;38;5;185mDEPEND\x1b[0m] Dependency failed for \x1b[0;1;39mLocal File Systems\x1b[0m.\r\n"
    b'You are in emergency mode. After logging in, type "journalctl -xb" to view\r\n'
    b'system logs, "systemctl reboot" to reboot, "systemctl default" or "exit"\r\nto boot into default mode.\r\n'
    b"Give root password for maintenance\r\n(or press Control-D to continue): "
)
NO_LEASE = (
    b"[   14.1] ifup[310]: DHCPDISCOVER on eth0 to 255.255.255.255 port 67 interval 14\n"
    b"[   75.1] ifup[310]: No DHCPOFFERS received.\n[   75.1] ifup[310]: No working leases in persistent database - sleeping.\n"
)
LEASE = b"[   90.0] dhclient[412]: bound to 172.31.0.4 -- renewal in 43200 seconds.\n"
XEN_PANIC = (
    b"(early) Linux version 2.6.32\nKernel panic - not syncing: No init found.  Try passing init= option to kernel.\n"
)

CONSOLES = {
    "seabios without a loader": (NO_DISK, None, Fault.NO_BOOT_LOADER),
    "edk2's shell": (EDK2_SHELL, None, Fault.NO_BOOT_LOADER),
    "edk2 without an option": (EDK2_NOTHING, None, Fault.NO_BOOT_LOADER),
    "secure boot": (SECURE_BOOT, None, Fault.SECURE_BOOT_REFUSED),
    "secure boot, then the shell": (SECURE_BOOT + EDK2_SHELL[8:], None, Fault.NO_BOOT_LOADER),
    "shim": (SHIM, None, Fault.SECURE_BOOT_REFUSED),
    "grub's rescue": (SEABIOS + GRUB_RESCUE, None, Fault.BOOT_LOADER_STUCK),
    "grub's prompt": (GRUB_PROMPT, None, Fault.BOOT_LOADER_STUCK),
    "initramfs with the driver": (KERNEL + NVME + INITRAMFS, "nvme", Fault.NO_ROOT_DEVICE),
    "initramfs without the driver": (KERNEL + INITRAMFS, "nvme", Fault.NO_DISK_DRIVER),
    "a quiet initramfs": (INITRAMFS, "nvme", Fault.NO_ROOT_DEVICE),
    "dracut": (DRACUT, None, Fault.NO_ROOT_DEVICE),
    "a kernel without a root": (KERNEL + NVME + VFS, "nvme", Fault.NO_ROOT_DEVICE),
    "a kernel without the driver": (KERNEL + VFS, "virtio_blk", Fault.NO_DISK_DRIVER),
    "init was killed": (KERNEL + INIT_KILLED, None, Fault.KERNEL_PANIC),
    "a panic under Xen": (XEN_PANIC, "xen_blkfront", Fault.KERNEL_PANIC),
    "systemd's emergency mode": (KERNEL + EMERGENCY, None, Fault.EMERGENCY_MODE),
    "no lease": (KERNEL + NO_LEASE, None, Fault.NO_DHCP),
}


def cause(text: bytes, driver: str | None = None) -> Fault | None:
    found = read_on(Reading(driver), text).cause
    return found.fault if found else None


@pytest.mark.parametrize("name", CONSOLES)
def test_each_console_names_its_cause(name: str) -> None:
    text, driver, fault = CONSOLES[name]
    assert cause(text, driver) is fault


@pytest.mark.parametrize("name", CONSOLES)
@given(data=st.data())
def test_the_cause_is_the_same_however_the_text_comes_in_pieces(name: str, data: st.DataObject) -> None:
    text, driver, fault = CONSOLES[name]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    reading = Reading(driver)
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        reading = read_on(reading, text[start:end])
    assert reading.cause is not None and reading.cause.fault is fault


def test_the_missing_module_is_named_when_the_initial_ramdisk_says_so() -> None:
    said = b"modprobe: FATAL: Module virtio-blk not found in directory /lib/modules/6.1.0\n" + INITRAMFS
    found = read_on(Reading("virtio_blk"), KERNEL + said).cause
    assert found is not None and found.fault is Fault.NO_DISK_DRIVER
    assert (
        found.words == "Neither the kernel nor its initial ramdisk has the driver of the machine's disks: virtio_blk."
    )
    busybox = b"modprobe: module nvme not found in modules.dep\n" + INITRAMFS
    found = read_on(Reading("nvme"), busybox).cause
    assert found is not None and found.words.endswith("disks: nvme.")
    other = b"modprobe: module fuse not found in modules.dep\n" + INITRAMFS
    assert cause(KERNEL + NVME + other, "nvme") is Fault.NO_ROOT_DEVICE


def test_what_follows_from_the_first_fault_does_not_replace_it() -> None:
    assert cause(KERNEL + NVME + INITRAMFS + INIT_KILLED, "nvme") is Fault.NO_ROOT_DEVICE


@pytest.mark.parametrize(
    "text", [NO_DISK, EDK2_NOTHING, SECURE_BOOT, GRUB_RESCUE], ids=["bios", "edk2", "secure", "grub"]
)
def test_a_kernel_that_starts_after_all_clears_what_the_firmware_said(text: bytes) -> None:
    assert cause(text + KERNEL) is None


def test_a_lease_clears_the_complaint_about_none_and_nothing_else() -> None:
    assert cause(KERNEL + NO_LEASE + LEASE) is None
    assert cause(KERNEL + EMERGENCY + LEASE) is Fault.EMERGENCY_MODE


def test_a_good_boot_has_its_stages_and_no_cause() -> None:
    good = (
        SEABIOS + b"Booting from Hard Disk...\r\nGRUB loading.\r\nWelcome to GRUB!\r\n" + KERNEL + NVME
        + b"[    2.2] Run /sbin/init as init process\n[    3.1] systemd[1]: Detected virtualization qemu.\n\nWelcome to Debian GNU/Linux 12!\n"
        + LEASE + b"-----BEGIN SSH HOST KEY FINGERPRINTS-----\n" + b"\r\nip-172-31-0-4 login: "
    )  # fmt: skip
    reading = read_on(Reading("nvme"), good)
    assert reading.cause is None
    assert reading.stages == set(Stage) - {Stage.METADATA, Stage.SSH}


def test_the_boot_loader_is_not_taken_for_userspace() -> None:
    assert read_on(Reading(), b"Welcome to GRUB!\r\n").stages == {Stage.BOOT_LOADER}


def test_a_silent_guest_is_said_to_have_asked_for_nothing() -> None:
    assert silence(read_on(Reading(), KERNEL)).words == WORDS[Fault.METADATA_NEVER_ASKED]
    assert silence(read_on(Reading(), NO_DISK)).fault is Fault.NO_BOOT_LOADER


@given(st.binary(max_size=4000))
def test_any_bytes_are_read(text: bytes) -> None:
    reading = read_on(read_on(Reading("nvme"), text), text)
    assert len(reading.rest) <= 800 and len(reading.missing) <= MODULES_MAX


@pytest.mark.parametrize(
    "text",
    [
        b"A" * 4 * TEXT_BYTES_MAX,
        b"\x1b[" * TEXT_BYTES_MAX,
        b"ALERT! " * TEXT_BYTES_MAX,
        b"\n" * TEXT_BYTES_MAX,
        b"failed to load Boot0001 " * 20000,
        b"modprobe: module x%d not found\n" * 20000,
        b"Waiting for root device " * 20000,
    ],
    ids=["no end", "escapes", "alerts", "empty lines", "loads", "modules", "waits"],
)
def test_hostile_text_is_read_in_a_moment(text: bytes) -> None:
    began = time.process_time()
    reading = read_on(Reading("nvme"), text)
    assert time.process_time() - began < 5
    assert len(reading.rest) <= 800 and len(reading.missing) <= MODULES_MAX


@pytest.mark.parametrize(
    ("lease", "words"),
    [
        (None, WORDS[Fault.METADATA_NEVER_ASKED]),
        (Lease(99.0), NEVER_ASKED_DHCP),
        (Lease(101.0), WORDS[Fault.METADATA_NEVER_ASKED]),  # it was not listened to from the beginning
        (Lease(99.0, 110.0), LEASE_NOT_TAKEN),
        (Lease(101.0, 110.0), LEASE_NOT_TAKEN),
        (Lease(1.0, 90.0, 90.0), NEVER_ASKED_DHCP),  # that was the boot before
        (Lease(99.0, 110.0, 110.0), WORDS[Fault.METADATA_NEVER_ASKED]),
    ],
)
def test_of_a_silent_guest_our_dhcp_knows_whether_it_has_an_address(lease: Lease | None, words: str) -> None:
    found = silence(read_on(Reading(), KERNEL), lease, since=100.0)
    assert found.words == words
    assert (found.fault is Fault.NO_DHCP) == (words in (LEASE_NOT_TAKEN, NEVER_ASKED_DHCP))
    assert silence(read_on(Reading(), NO_DISK), lease, since=100.0).fault is Fault.NO_BOOT_LOADER
