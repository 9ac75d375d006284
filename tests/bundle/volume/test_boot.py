"""Disks made of the tiny guest's root directory start under BIOS and UEFI; the menu is the volume's own or a new one."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from amiable.bundle.volume.disk import Scheme
from tests.guests.machine import drive, machine
from tests.support.guests import facts_of, tiny_guest
from tests.support.trees import as_root, root_directory

FIRMWARE = Path("/usr/share/OVMF")


def firmware(name: str, folder: Path) -> list[str]:
    """QEMU's arguments for the firmware."""
    if name == "bios":
        return []
    variables = folder / "vars.fd"
    shutil.copyfile(FIRMWARE / "OVMF_VARS_4M.fd", variables)
    code = FIRMWARE / "OVMF_CODE_4M.fd"
    return [
        *("-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={code}"),
        *("-drive", f"if=pflash,format=raw,unit=1,file={variables}"),
    ]


@pytest.mark.boot
@pytest.mark.parametrize(
    ("scheme", "starts", "own_menu"), [("gpt", "uefi", True), ("mbr", "uefi", False), ("mbr", "bios", False)]
)
def test_a_disk_made_of_a_directory_starts(scheme: Scheme, starts: str, own_menu: bool, tmp_path: Path) -> None:
    with root_directory(tiny_guest().hvm, tmp_path) as root:
        if not own_menu:
            (root / "boot/grub/grub.cfg").unlink()
            (root / "boot/vmlinuz").rename(root / "boot/vmlinuz-6.1")
            (root / "boot/initrd").rename(root / "boot/initrd.img-6.1")
        command = [*as_root(), sys.executable, "-m", "amiable.cli.main", "bundle", "volume", "--volume", str(root)]
        command += ["-P", scheme, "-s", "400", "--image-only", str(tmp_path / "disk.img")]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
    arguments = [*firmware(starts, tmp_path), *drive(tmp_path / "disk.img", "virtio-blk-pci")]
    with machine(tmp_path, *arguments, user_data="nonce=volume-1\n") as running:
        running.wait_for("amiable-tiny: ready")
        facts = facts_of(running.ssh("amiable-facts"))
    assert facts["nonce"] == "volume-1"
    assert facts["root-device"] == "/dev/vda1"
    assert facts["kernel"] == tiny_guest().kernel_version
