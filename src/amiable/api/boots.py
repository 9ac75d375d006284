"""What EC2 has no call for of a guest's boots: their course in time, and the whole log of each machine's console."""

from dataclasses import dataclass

from amiable.api.ec2.instance_ids import find_named
from amiable.database import boots
from amiable.model.boot import Boot
from amiable.model.errors import InvalidParameterValue
from amiable.model.instance import Instance
from amiable.model.principal import Principal
from amiable.services import Services
from amiable.vm import console, console_log
from amiable.vm.directory import open_directory


@dataclass(frozen=True, slots=True)
class Log:
    """A machine's console log, and of which machines one is there."""

    boot: int
    known: tuple[int, ...]
    text: bytes


def list_boots(services: Services, principal: Principal, instance_id: str) -> list[Boot]:
    """The course of the caller's instance's boots, the oldest first."""
    with services.database.read() as c:
        (instance,) = find_named(c, principal, [instance_id], now=services.now())
        return boots.list_boots(c, instance.id)


def console_log_of(services: Services, principal: Principal, instance_id: str, boot: int | None) -> Log:
    """All that is kept of what the instance's ``boot``-th machine wrote to its console; None: of the last one.

    The last machine's log is read where it stands as long as the instance has its directory.
    """
    with services.database.read() as c:
        (instance,) = find_named(c, principal, [instance_id], now=services.now())
    live = _live(services, instance)
    kept = console_log.kept(services.data, instance.id)
    known = sorted({*kept, *([instance.boot_count] if live else [])})
    wanted = boot if boot is not None else (known[-1] if known else 0)
    if boot is not None and boot not in known:
        there = ", ".join(map(str, known)) or "none"
        raise InvalidParameterValue(
            parameter="boot", value=str(boot), why=f"Logs are there of these machines: {there}."
        )
    if live and wanted == instance.boot_count:
        return Log(wanted, tuple(known), live)
    text = console_log.read(services.data, instance.id, wanted, 0, console.LOG_BYTES_MAX)
    return Log(wanted, tuple(known), text)


def _live(services: Services, instance: Instance) -> bytes:
    try:
        with open_directory(services.data, instance.id) as directory:
            return console.tail(directory, console.LOG_BYTES_MAX)
    except OSError:
        return b""
