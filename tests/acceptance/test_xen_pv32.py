"""32-bit paravirtual guests: their hypervisor built from Debian's sources, and PV-GRUB of 32 bits, a guest of that kind, on it.

The appliance is this server's own, so it is assembled by the launch.
"""

import pytest

from tests.acceptance.test_xen_journey import import_image, launch
from tests.support import journey
from tests.support.guests import tiny_guest
from tests.support.server import Server

pytestmark = [pytest.mark.torture, pytest.mark.boot, pytest.mark.slow]


def test_the_hypervisor_is_built_and_a_32_bit_guest_reads_its_menu_on_it(server: Server) -> None:
    built = journey.amiable(server, "kernel", "build-pv32").stdout.strip()
    assert built == str(server.data / "appliance" / "pv32" / "xen")
    added = journey.amiable(server, "kernel", "add-pv-grub", "--arch", "i386", "--root", "hd0", "--output", "id")
    image = import_image(server, tiny_guest().menu, "menu", "--kernel", added.stdout.strip(), "--arch", "i386")
    instance = launch(server, image)
    journey.wait_for_console(server, instance, "*tiny")
    journey.terminate(server, instance)
