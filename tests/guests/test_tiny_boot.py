"""The tiny guest boots under plain QEMU: BIOS from its own disk, and as a bare root file system with a kernel apart."""

import shutil
from pathlib import Path

import pytest

from tests.guests.machine import drive, machine
from tests.support.guests import facts_of, tiny_guest

GIB = 1 << 30
USER_DATA = "#!/bin/sh\necho user-data-ran >/dev/console\n# nonce=n-0815\n"


def grown_copy(image: Path, folder: Path, size_bytes: int = GIB) -> Path:
    """A sparse copy on a larger disk."""
    target = folder / "root.img"
    shutil.copyfile(image, target)
    with target.open("r+b") as file:
        file.truncate(size_bytes)
    return target


@pytest.mark.boot
def test_an_hvm_disk_boots_grows_keeps_files_runs_user_data_once_and_obeys_the_power_button(tmp_path: Path) -> None:
    root = grown_copy(tiny_guest().hvm, tmp_path)
    with machine(tmp_path, *drive(root, "nvme"), user_data=USER_DATA) as running:
        running.wait_for("amiable-tiny: ready")
        facts = facts_of(running.ssh("amiable-facts; echo kept >/root/kept; (sleep 1; reboot) >/dev/null 2>&1 &"))
        assert facts["instance-id"] == "i-0123456789abcdef0"
        assert facts["nonce"] == "n-0815"
        assert facts["root-device"] == "/dev/nvme0n1p1"
        assert facts["kernel"] == tiny_guest().kernel_version
        assert facts["root-size-bytes"] == str(GIB)
        assert int(facts["root-filesystem-bytes"]) > 0.9 * GIB
        running.wait_for("amiable-tiny: ready", count=2)
        again = running.ssh("amiable-facts; cat /root/kept; cd /usr/share/amiable && sha256sum -c ballast.sha256")
        assert "kept\n" in again
        assert "ballast: OK" in again
        assert facts_of(again)["boot-id"] != facts["boot-id"]
        running.press_power_button()
        assert running.wait_until_ended() == 0
        console = running.console()
    assert console.count("user-data-ran") == 1
    assert "-----BEGIN SSH HOST KEY FINGERPRINTS-----\n256 SHA256:" in console.replace("\r", "")
    assert "amiable-tiny: instance-id i-0123456789abcdef0 nonce n-0815" in console


@pytest.mark.boot
def test_a_bare_root_boots_on_the_kernel_chosen_beside_it(tmp_path: Path) -> None:
    guest = tiny_guest()
    root = grown_copy(guest.pv, tmp_path, 300 << 20)
    kernel = ["-kernel", str(guest.other_kernel), "-initrd", str(guest.other_ramdisk)]
    append = ["-append", "root=/dev/sda1 console=ttyS0 panic=5 quiet"]
    with machine(tmp_path, *drive(root, "virtio-blk-pci"), *kernel, *append, user_data="nonce=plain-1\n") as running:
        running.wait_for("amiable-tiny: ready")
        facts = facts_of(running.ssh("amiable-facts"))
    assert facts["kernel"] == guest.other_kernel_version
    assert facts["nonce"] == "plain-1"
    assert facts["root-device"] == "/dev/vda"
    assert facts["kernel-id"] == "aki-01234567"
    assert int(facts["root-filesystem-bytes"]) > 270 << 20


@pytest.mark.boot
def test_a_missing_root_is_named_with_the_disks_that_were_seen(tmp_path: Path) -> None:
    guest = tiny_guest()
    root = grown_copy(guest.no_boot_loader, tmp_path, 16 << 20)
    kernel = ["-kernel", str(guest.kernel), "-initrd", str(guest.ramdisk)]
    append = ["-append", "root=LABEL=elsewhere console=ttyS0 panic=5 quiet"]
    with machine(tmp_path, *drive(root, "virtio-blk-pci"), *kernel, *append) as running:
        running.wait_for("amiable-initrd: no root file system at root=LABEL=elsewhere; block devices: vda")
