"""Which resources carry which product codes: rows of snapshots, images, instances and volumes alike.

A resource inherits codes when it is made (:func:`put_codes` with :func:`codes_of` of what it was made of); it loses them only with
its end (:func:`forget_codes`), or where what brought them is taken back at once (:func:`take_codes`).
"""

from collections.abc import Iterable, Sequence
from typing import Final

from sqlalchemy import Connection, String, bindparam, delete, insert, select

from amiable.database.schema import resource_product_code as C
from amiable.database.statement import Statement
from amiable.database.text_match import OneOf, texts
from amiable.model.product import ProductCode, ProductCodeType, united

_CODES: Final = Statement(
    select(C.c.resource_id, C.c.code, C.c.type)
    .where(OneOf(C.c.resource_id, bindparam("ids", type_=String)))
    .order_by(C.c.resource_id, C.c.position)
)


def put_codes(c: Connection, resource_id: str, codes: Iterable[ProductCode]) -> None:
    """Adds ``codes`` behind those that the resource carries already; a code that it has stays as it is."""
    codes = tuple(codes)
    if not codes:
        return
    given = united(codes)
    if not given:
        return
    held = codes_of(c, resource_id)
    known = {each.code for each in held}
    new = [each for each in given if each.code not in known]
    rows = [
        {"resource_id": resource_id, "code": each.code, "position": position, "type": each.type.value}
        for position, each in enumerate(new, len(held))
    ]
    if rows:
        c.execute(insert(C), rows)


def codes_of(c: Connection, resource_id: str) -> tuple[ProductCode, ...]:
    """The codes of one resource, in order."""
    return codes_of_many(c, [resource_id]).get(resource_id, ())


def codes_of_many(c: Connection, resource_ids: Sequence[str]) -> dict[str, tuple[ProductCode, ...]]:
    """Resource id → its codes in order; a resource without any is not named."""
    found: dict[str, list[ProductCode]] = {}
    for resource_id, code, kind in _CODES.all(c, ids=texts(resource_ids)):
        found.setdefault(resource_id, []).append(ProductCode(code, ProductCodeType(kind)))
    return {resource_id: tuple(codes) for resource_id, codes in found.items()}


def codes_of_all(c: Connection, resource_ids: Sequence[str]) -> tuple[ProductCode, ...]:
    """Every code that one of the resources carries, once, in the order of ``resource_ids``: what is made of them all inherits."""
    found = codes_of_many(c, resource_ids)
    return united(*(found.get(each, ()) for each in resource_ids))


def inherit_codes(c: Connection, resource_id: str, *, source_ids: Sequence[str]) -> None:
    """Gives ``resource_id`` the codes of what it is made of: of its volume for a snapshot, of its snapshot for a volume."""
    put_codes(c, resource_id, codes_of_all(c, source_ids))


def take_codes(c: Connection, resource_id: str, codes: Iterable[str]) -> None:
    """Takes these codes away: what brought them has gone before it was of use."""
    c.execute(delete(C).where(C.c.resource_id == resource_id, C.c.code.in_(list(codes))))


def forget_codes(c: Connection, resource_id: str) -> None:
    """Takes a deleted resource's codes away."""
    c.execute(delete(C).where(C.c.resource_id == resource_id))
