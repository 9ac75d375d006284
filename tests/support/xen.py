"""Servers that share one Xen appliance, assembled once in the guests' cache."""

from pathlib import Path

from tests.support.guests import guest_cache
from tests.support.server import Server


def xen_server(folder: Path) -> Server:
    """A server that is started; its appliance is the cache's."""
    environment = {"AMIABLE_APPLIANCE": str(guest_cache() / "appliance")}
    return Server(folder / "data", environment=environment).start()
