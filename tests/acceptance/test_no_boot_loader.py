"""An image with nothing to boot from: the launch says so, with the end of its console; the instance can be ended as any other."""

from typing import Any

import pytest

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
