"""An image with nothing to boot from: the launch says so, with the end of its console; the instance can be ended as any other."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from amiable.rules.boot_ways import BOOT_CODE_BYTES
from amiable.vm.appliance.programs import run
from tests.support import journey
from tests.support.guests import tiny_guest
from tests.support.holdings import holdings
from tests.support.server import Server


@pytest.mark.boot
@pytest.mark.parametrize(("boot_mode", "last_words"), [("legacy-bios", "not a bootable disk"), ("uefi", "Shell>")])
def test_a_launch_without_a_boot_loader_says_so_with_the_console_s_end(
    server: Server, boot_mode: str, last_words: str
) -> None:
    disk = str(tiny_guest().no_boot_loader)
    words = ["--name", f"nothing for {boot_mode}", "--boot-mode", boot_mode]
    image = journey.amiable(server, "image", "import", disk, *words).stdout.strip()
    before = holdings(server)
    instance = journey.amiable(server, "launch", image, "--type", "amiable.tiny").stdout.strip()
    ec2 = server.client("ec2")

    def told() -> dict[str, Any] | None:
        reason: dict[str, Any] = journey.describe(ec2, instance).get("StateReason", {})
        return reason if reason.get("Code") == "Client.InstanceBootFailure" else None

    reason = journey.wait_until("the reason", told)
    assert "no boot loader" in reason["Message"] and "VirtualizationType=paravirtual" in reason["Message"]
    assert "Its console ends with: " in reason["Message"]
    last = reason["Message"].partition("Its console ends with: ")[2]
    assert last_words in last
    assert last_words in journey.amiable(server, "instance", "console", instance).stdout
    assert "no boot loader" in journey.amiable(server, "instance", "show", instance).stdout
    assert (
        journey.describe(ec2, instance)["State"]["Name"] == "running"
    )  # as EC2 has it: the machine runs, its guest does not

    journey.terminate(server, instance)
    assert holdings(server) == before


def for_uefi_only(disk: Path) -> None:
    """Takes the boot code away, as a disk has it that was made for UEFI: the sector's mark and the table stay."""
    with disk.open("r+b") as file:
        file.write(bytes(BOOT_CODE_BYTES))


def for_a_bios_only(disk: Path) -> None:
    run(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", "--delete", str(disk), "15"])


@pytest.mark.boot
@pytest.mark.parametrize(
    ("cut", "boot_mode", "words"),
    [
        (for_uefi_only, None, "no BIOS boot code: register it with BootMode=uefi."),
        (for_a_bios_only, "uefi", "no EFI system partition: register it with BootMode=legacy-bios."),
    ],
)
def test_a_disk_that_starts_the_other_way_only_is_told_before_the_launch_and_after_it(
    server: Server, tmp_path: Path, cut: Any, boot_mode: str | None, words: str
) -> None:
    disk = tmp_path / "disk.img"
    shutil.copyfile(tiny_guest().hvm, disk)
    cut(disk)
    mode = ["--boot-mode", boot_mode] if boot_mode else []
    imported = journey.amiable(server, "image", "import", str(disk), "--name", cut.__name__, *mode)
    assert words in imported.stderr
    instance = journey.amiable(server, "launch", imported.stdout.strip(), "--type", "amiable.tiny").stdout.strip()

    def told() -> str | None:
        message = journey.describe(server.client("ec2"), instance).get("StateReason", {}).get("Message", "")
        return message if words in message else None

    assert "no boot loader" in journey.wait_until("the advice", told)
    journey.terminate(server, instance)
