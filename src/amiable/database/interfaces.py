"""Queries on network interfaces.

The row of an instance has a copy of its primary interface's address, groups and check, which only this module changes.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, insert, select, update

from amiable.database.schema import address as A
from amiable.database.schema import instance as I
from amiable.database.schema import network_interface as N
from amiable.database.schema import network_interface_group as M
from amiable.database.tags import forget
from amiable.model.instance import Instance
from amiable.model.network import Attachment, NetworkInterface

DETACHED = {
    "instance_id": None,
    "attachment_id": None,
    "device_index": None,
    "attached_at": None,
    "delete_on_termination": None,
}


def insert_interface(c: Connection, interface: NetworkInterface) -> None:
    """Adds it; the instance that it is attached to comes first."""
    plain = (
        "id",
        "account_id",
        "region",
        "zone",
        "vpc_id",
        "subnet_id",
        "private_ip",
        "mac",
        "description",
        "created_at",
    )
    values = {name: getattr(interface, name) for name in plain}
    values["has_source_dest_check"] = interface.has_source_dest_check
    c.execute(insert(N).values(**values, **_place(interface.attachment)))
    _insert_groups(c, interface.id, interface.group_ids)


def primary_of(instance: Instance, *, description: str = "", delete_on_termination: bool = True) -> NetworkInterface:
    """The interface that a launch gives the instance."""
    attachment_id = "eni-attach-" + instance.interface_id.removeprefix("eni-")
    return NetworkInterface(
        id=instance.interface_id,
        account_id=instance.account_id,
        region=instance.region,
        zone=instance.zone,
        vpc_id=instance.vpc_id,
        subnet_id=instance.subnet_id,
        private_ip=instance.private_ip,
        mac=instance.mac,
        group_ids=instance.security_group_ids,
        description=description,
        has_source_dest_check=True,
        created_at=instance.launched_at,
        attachment=Attachment(attachment_id, instance.id, 0, instance.launched_at, delete_on_termination),
    )


def list_interfaces(c: Connection, account_id: str, region: str) -> list[NetworkInterface]:
    """The account's interfaces, by id."""
    return _interfaces(c, select(N).where(N.c.account_id == account_id, N.c.region == region).order_by(N.c.id))


def interfaces_of(c: Connection, instance_ids: Iterable[str]) -> dict[str, list[NetworkInterface]]:
    """Instance id → its interfaces by device index; an entry for each instance."""
    found: dict[str, list[NetworkInterface]] = {instance_id: [] for instance_id in instance_ids}
    query = select(N).where(N.c.instance_id.in_(list(found))).order_by(N.c.instance_id, N.c.device_index)
    for interface in _interfaces(c, query):
        assert interface.attachment is not None
        found[interface.attachment.instance_id].append(interface)
    return found


def list_on_host(c: Connection, host: str) -> list[NetworkInterface]:
    """Every account's interfaces in the instances of ``host`` that have not ended, by id."""
    query = select(N).join(I, I.c.id == N.c.instance_id).where(I.c.host == host, I.c.terminated_at.is_(None))
    return _interfaces(c, query.order_by(N.c.id))


def attach(c: Connection, interface_id: str, attachment: Attachment) -> None:
    """Puts a detached interface into an instance."""
    c.execute(update(N).where(N.c.id == interface_id, N.c.instance_id.is_(None)).values(**_place(attachment)))


def detach(c: Connection, interface_id: str) -> None:
    """Takes the interface out of its instance."""
    c.execute(update(N).where(N.c.id == interface_id).values(**DETACHED))


def release(c: Connection, instance_id: str) -> None:
    """What becomes of the interfaces of an instance that ended: those that go with it go, the others are free."""
    for interface in interfaces_of(c, [instance_id])[instance_id]:
        assert interface.attachment is not None
        if interface.attachment.delete_on_termination:
            delete_interface(c, interface.id)
        else:
            detach(c, interface.id)


def delete_interface(c: Connection, interface_id: str) -> None:
    """Removes the interface and its tags; an elastic address of it is free again."""
    free = {"association_id": None, "interface_id": None, "private_ip": None}
    c.execute(update(A).where(A.c.interface_id == interface_id).values(**free))
    c.execute(delete(M).where(M.c.interface_id == interface_id))
    c.execute(delete(N).where(N.c.id == interface_id))
    forget(c, interface_id)


def set_groups(c: Connection, interface: NetworkInterface, group_ids: Sequence[str]) -> None:
    """Puts the interface into these groups and no others, and tells its instance's row where it is the primary one."""
    c.execute(delete(M).where(M.c.interface_id == interface.id))
    _insert_groups(c, interface.id, group_ids)
    c.execute(update(I).where(I.c.interface_id == interface.id).values(security_group_ids=" ".join(group_ids)))


def set_facts(c: Connection, interface_id: str, **facts: str | bool) -> None:
    """Changes the description, the source and destination check, or whether it goes with its instance."""
    assert facts.keys() <= {"description", "has_source_dest_check", "delete_on_termination"}
    c.execute(update(N).where(N.c.id == interface_id).values(**facts))
    if "has_source_dest_check" in facts:
        checks = {"source_dest_check": facts["has_source_dest_check"]}
        c.execute(update(I).where(I.c.interface_id == interface_id).values(**checks))


def _insert_groups(c: Connection, interface_id: str, group_ids: Sequence[str]) -> None:
    rows = [
        {"interface_id": interface_id, "group_id": group_id, "position": position}
        for position, group_id in enumerate(group_ids)
    ]
    if rows:
        c.execute(insert(M), rows)


def _place(attachment: Attachment | None) -> dict[str, str | int | bool | datetime | None]:
    if attachment is None:
        return dict(DETACHED)
    return {
        "instance_id": attachment.instance_id,
        "attachment_id": attachment.id,
        "device_index": attachment.device_index,
        "attached_at": attachment.attached_at,
        "delete_on_termination": attachment.delete_on_termination,
    }


def _interfaces(c: Connection, query: Select[Any]) -> list[NetworkInterface]:
    rows = c.execute(query).all()
    groups: dict[str, list[str]] = {row.id: [] for row in rows}
    members = select(M.c.interface_id, M.c.group_id).where(M.c.interface_id.in_(list(groups)))
    for member in c.execute(members.order_by(M.c.interface_id, M.c.position)):
        groups[member.interface_id].append(member.group_id)
    return [_interface(row, tuple(groups[row.id])) for row in rows]


def _interface(row: Row[Any], group_ids: tuple[str, ...]) -> NetworkInterface:
    is_attached = row.instance_id is not None
    return NetworkInterface(
        id=row.id,
        account_id=row.account_id,
        region=row.region,
        zone=row.zone,
        vpc_id=row.vpc_id,
        subnet_id=row.subnet_id,
        private_ip=row.private_ip,
        mac=row.mac,
        group_ids=group_ids,
        description=row.description,
        has_source_dest_check=row.has_source_dest_check,
        created_at=row.created_at,
        attachment=Attachment(
            row.attachment_id, row.instance_id, row.device_index, row.attached_at, row.delete_on_termination
        )
        if is_attached
        else None,
    )
