"""Queries on elastic addresses."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from amiable.database.schema import address as A
from amiable.database.tags import forget
from amiable.model.network import Address


def list_addresses(c: Connection, account_id: str, region: str) -> list[Address]:
    """The account's addresses, by id."""
    rows = c.execute(select(A).where(A.c.account_id == account_id, A.c.region == region).order_by(A.c.id))
    return [_address(row) for row in rows]


def addresses_of(c: Connection, interface_ids: Iterable[str]) -> dict[str, Address]:
    """Interface id → the elastic address that stands for it; only those that have one."""
    rows = c.execute(select(A).where(A.c.interface_id.in_(list(interface_ids))))
    return {row.interface_id: _address(row) for row in rows}


def taken(c: Connection) -> set[str]:
    """Every account's public addresses: they come out of one range."""
    return set(c.execute(select(A.c.public_ip)).scalars())


def insert_address(c: Connection, address: Address) -> None:
    """Adds it."""
    c.execute(insert(A).values(**asdict(address)))


def associate(c: Connection, address: Address) -> None:
    """Records what the address stands for now: an interface, or nothing."""
    values = {
        "association_id": address.association_id,
        "interface_id": address.interface_id,
        "private_ip": address.private_ip,
    }
    c.execute(update(A).where(A.c.id == address.id).values(**values))


def delete_address(c: Connection, allocation_id: str) -> None:
    """Removes it with its tags."""
    c.execute(delete(A).where(A.c.id == allocation_id))
    forget(c, allocation_id)


def _address(row: Row[Any]) -> Address:
    return Address(**row._mapping)
