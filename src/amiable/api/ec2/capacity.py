"""What this host has for more instances, as the rows tell it now."""

from sqlalchemy import Connection

from amiable.database import instances
from amiable.model.instance_type import type_of
from amiable.rules.launch import Host
from amiable.services import Services
from amiable.vm import host


def measure_host(c: Connection, services: Services) -> Host:
    """The host's figures; in a write transaction they hold until its end."""
    live = instances.list_live_types(c, services.host)
    return Host(
        memory_bytes=host.memory_bytes(),
        instances_max=services.settings.instances_max,
        live_count=len(live),
        live_memory_bytes=sum(type_of(name).memory_bytes for name in live),
    )
