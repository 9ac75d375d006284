"""Amiable's own calls: what EC2, S3 and STS have no call for."""

import shutil
from dataclasses import dataclass

from sqlalchemy import func, select

from amiable import __version__
from amiable.api.accounts import replace_told_key
from amiable.api.ec2.instance_ids import find_named
from amiable.database import accounts, schema
from amiable.model.errors import (
    InvalidParameterValue,
    NotFound,
    UnauthorizedOperation,
)
from amiable.model.image import OWNER_ALIASES
from amiable.model.instance import Instance
from amiable.model.principal import Principal
from amiable.services import Services
from amiable.vm import host_keys
from amiable.vm.accelerator import Accelerator, choose_accelerator
from amiable.vm.directory import open_directory
from amiable.vm.host_route import HostRoute, known_routes
from amiable.vm.network_kind import Network, choose_network


@dataclass(frozen=True, slots=True)
class Host:
    """What ``doctor`` shows of the server's host."""

    version: str
    data: str
    free_bytes: int
    stored_bytes: int
    reclaimable_bytes: int
    accelerator: Accelerator
    network: Network
    host_routes: list[HostRoute]
    qemu: str
    is_qemu_installed: bool
    jobs: dict[str, int]


def check_administrator(principal: Principal) -> None:
    """Refuses everyone else."""
    if not principal.is_administrator:
        raise UnauthorizedOperation(why="This call is for the installation's administrator.")


def list_accounts(services: Services, principal: Principal) -> list[accounts.Account]:
    """Every account; for the administrator."""
    check_administrator(principal)
    with services.database.read() as c:
        return accounts.list_accounts(c)


def set_partner(services: Services, principal: Principal, account_id: str, is_partner: bool) -> accounts.Account:
    """Makes an account a partner, which may register kernels, or takes it away; for the administrator."""
    check_administrator(principal)
    with services.database.write() as c:
        if not accounts.set_partner(c, account_id, is_partner):
            raise NotFound("resource", [account_id])
        found = accounts.find_account(c, account_id)
    assert found is not None
    return found


def set_owner_alias(services: Services, principal: Principal, account_id: str, alias: str | None) -> accounts.Account:
    """Gives an account one of EC2's owner aliases, or with None takes it away; several may have the same; for the administrator."""
    check_administrator(principal)
    if alias is not None and alias not in OWNER_ALIASES:
        raise InvalidParameterValue(parameter="Alias", value=alias, why=f"Give one of {', '.join(OWNER_ALIASES)}.")
    with services.database.write() as c:
        if not accounts.set_owner_alias(c, account_id, alias):
            raise NotFound("resource", [account_id])
        found = accounts.find_account(c, account_id)
    assert found is not None
    return found


def hardware_of(services: Services, principal: Principal, instance_id: str) -> Instance:
    """The caller's instance, whose hardware profile EC2 has no field for."""
    with services.database.read() as c:
        (instance,) = find_named(c, principal, [instance_id], now=services.now())
    return instance


def list_access_keys(services: Services, principal: Principal) -> list[accounts.AccessKey]:
    """The caller's own keys."""
    with services.database.read() as c:
        return accounts.list_access_keys(c, principal.account_id)


def set_access_key_active(services: Services, principal: Principal, key_id: str, is_active: bool) -> accounts.AccessKey:
    """Switches one of the caller's keys on or off; not off that which signed this very call."""
    if not is_active:
        _end_other_key(services, principal, key_id)
    state = "active" if is_active else "inactive"
    with services.database.write() as c:
        if not accounts.set_access_key_state(c, account_id=principal.account_id, key_id=key_id, state=state):
            raise NotFound("resource", [key_id])
        found = accounts.find_access_key(c, key_id)
    assert found is not None
    return found


def delete_access_key(services: Services, principal: Principal, key_id: str) -> None:
    """Deletes one of the caller's keys, but not that which signed this very call."""
    _end_other_key(services, principal, key_id)
    with services.database.write() as c:
        if not accounts.delete_access_key(c, account_id=principal.account_id, key_id=key_id):
            raise NotFound("resource", [key_id])


def _end_other_key(services: Services, principal: Principal, key_id: str) -> None:
    """Refuses the caller's own key: nobody locks themselves out; ``amiable env`` goes on with it where it told the other."""
    if key_id == principal.access_key_id:
        raise InvalidParameterValue(
            parameter="AccessKeyId", value=key_id, why="It signs this request: use another key."
        )
    replace_told_key(services, principal.account_id, key_id, by=principal.access_key_id)


def ssh_host_keys(services: Services, principal: Principal, instance_id: str) -> list[str]:
    """Fingerprints (``SHA256:…``) of the host keys that the guest printed on its console; none yet: none.

    Which print counts: ``vm/host_keys``.
    """
    with services.database.read() as c:
        (instance,) = find_named(c, principal, [instance_id], now=services.now())
    try:
        with open_directory(services.data, instance.id) as directory:
            return list(host_keys.known_keys(directory, instance.boot_count))
    except OSError:  # before the first boot, after the instance's end, or a link where the log was
        return []


def host_facts(services: Services) -> Host:
    """What the server's host has left and how its work stands."""
    with services.database.read() as c:
        states = c.execute(
            select(schema.job.c.state, func.count()).group_by(schema.job.c.state).order_by(schema.job.c.state)
        ).all()
        stored = c.execute(select(func.coalesce(func.sum(schema.pack.c.size_bytes), 0))).scalar_one()
    return Host(
        version=__version__,
        data=str(services.data),
        free_bytes=shutil.disk_usage(services.data).free,
        stored_bytes=int(stored),
        reclaimable_bytes=services.blocks.reclaimable_bytes(),
        accelerator=choose_accelerator(services.data, services.settings),
        network=choose_network(services.settings),
        host_routes=known_routes(services.data),
        qemu=services.settings.qemu,
        is_qemu_installed=shutil.which(services.settings.qemu) is not None,
        jobs={row[0]: row[1] for row in states},
    )
