"""Servers that share one Xen appliance, assembled once in the guests' cache."""

from pathlib import Path
from typing import Final

from tests.support.guests import guest_cache
from tests.support.server import Server

APPLIANCE: Final = guest_cache() / "appliance"


def xen_server(folder: Path) -> Server:
    """A server that is not started; its appliance is the cache's."""
    return Server(folder / "data", environment={"AMIABLE_APPLIANCE": str(APPLIANCE)})
