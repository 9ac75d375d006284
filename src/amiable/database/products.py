"""Products, their prices and their subscriptions.  Of a price or a subscription nothing is rewritten: they only end, or are followed."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, func, insert, or_, select, update

from amiable.database.schema import instance as I
from amiable.database.schema import product as P
from amiable.database.schema import product_price as R
from amiable.database.schema import product_subscription as S
from amiable.database.schema import resource_product_code as C
from amiable.model.instance import State
from amiable.model.product import Price, Product, Subscription

_MILLISECOND: Final = timedelta(milliseconds=1)
_RUNS: Final = (State.PENDING.value, State.RUNNING.value)


def insert_product(c: Connection, product: Product, price: Price) -> None:
    """Writes a new product with its first price."""
    names = ("code", "account_id", "name", "currency", "created_at")
    c.execute(insert(P).values(dict(zip(names, astuple(product), strict=True))))
    _insert_price(c, price)


def get_product(c: Connection, code: str) -> Product | None:
    """The product sold under the code."""
    row = c.execute(select(P).where(P.c.code == code)).first()
    return None if row is None else _product(row)


def list_products(c: Connection, codes: Sequence[str] | None = None, *, seller_id: str | None = None) -> list[Product]:
    """Products by code: all, those of ``codes``, those of one seller."""
    query = select(P)
    if codes is not None:
        query = query.where(P.c.code.in_(list(codes)))
    if seller_id is not None:
        query = query.where(P.c.account_id == seller_id)
    return [_product(row) for row in c.execute(query.order_by(P.c.code))]


def prices_of(c: Connection, codes: Sequence[str]) -> dict[str, list[Price]]:
    """Code → its prices, oldest first."""
    found: dict[str, list[Price]] = {code: [] for code in codes}
    for row in c.execute(select(R).where(R.c.code.in_(list(codes))).order_by(R.c.code, R.c.since_at)):
        found[row.code].append(Price(row.code, row.since_at, row.hourly_micros, row.monthly_micros))
    return found


def add_price(c: Connection, price: Price) -> Price:
    """The new price as written: it follows the last one, though the clock may have been set back since."""
    last = c.execute(select(func.max(R.c.since_at)).where(R.c.code == price.code)).scalar()
    later = price if last is None else replace(price, since_at=max(price.since_at, last + _MILLISECOND))
    _insert_price(c, later)
    return later


def _insert_price(c: Connection, price: Price) -> None:
    names = ("code", "since_at", "hourly_micros", "monthly_micros")
    c.execute(insert(R).values(dict(zip(names, astuple(price), strict=True))))


def subscribe(c: Connection, account_id: str, code: str, *, now: datetime) -> Subscription:
    """The account's standing subscription, a new one if there is none."""
    standing = standing_subscription(c, account_id, code)
    if standing is None:
        c.execute(insert(S).values(account_id=account_id, code=code, started_at=now))
        standing = Subscription(account_id, code, now)
    return standing


def unsubscribe(c: Connection, account_id: str, code: str, *, now: datetime) -> Subscription | None:
    """The subscription that stood, ended; None where none stood.  None ends before it began."""
    standing = standing_subscription(c, account_id, code)
    if standing is None:
        return None
    ended = replace(standing, ended_at=max(now, standing.started_at))
    c.execute(update(S).where(_standing(account_id, code)).values(ended_at=ended.ended_at))
    return ended


def standing_subscription(c: Connection, account_id: str, code: str) -> Subscription | None:
    """The account's subscription to the code, if it stands."""
    row = c.execute(select(S).where(_standing(account_id, code))).first()
    return None if row is None else _subscription(row)


def subscribed_codes(c: Connection, account_id: str, codes: Sequence[str]) -> set[str]:
    """Those of ``codes`` that the account has a standing subscription to."""
    mine = (S.c.account_id == account_id) & S.c.ended_at.is_(None) & S.c.code.in_(list(codes))
    return set(c.execute(select(S.c.code).where(mine)).scalars())


def list_subscriptions(
    c: Connection, *, account_id: str | None = None, codes: Sequence[str] | None = None
) -> list[Subscription]:
    """Subscriptions, ended ones too, oldest first: one account's, those to ``codes``."""
    query = select(S)
    if account_id is not None:
        query = query.where(S.c.account_id == account_id)
    if codes is not None:
        query = query.where(S.c.code.in_(list(codes)))
    return [_subscription(row) for row in c.execute(query.order_by(S.c.id))]


def _standing(account_id: str, code: str) -> ColumnElement[bool]:
    return (S.c.account_id == account_id) & (S.c.code == code) & S.c.ended_at.is_(None)


def _product(row: Row[Any]) -> Product:
    return Product(row.code, row.account_id, row.name, row.currency, row.created_at)


def _subscription(row: Row[Any]) -> Subscription:
    return Subscription(row.account_id, row.code, row.started_at, row.ended_at)


@dataclass(frozen=True, slots=True)
class Lapse:
    """An instance that runs, or is about to, without the subscription that its code takes."""

    instance_id: str
    account_id: str
    code: str
    seller_id: str
    region: str
    state: str
    lapsed_at: datetime | None  # None: there never was one


def list_lapses(c: Connection, viewer_id: str | None) -> list[Lapse]:
    """Those of the viewer's instances and of instances of its products, or with None all, by instance and code."""
    stands = select(S.c.id).where(S.c.account_id == I.c.account_id, S.c.code == P.c.code, S.c.ended_at.is_(None))
    last = select(func.max(S.c.ended_at)).where(S.c.account_id == I.c.account_id, S.c.code == P.c.code)
    query = (
        select(I.c.id, I.c.account_id, P.c.code, P.c.account_id.label("seller_id"), I.c.region, I.c.state)
        .add_columns(last.scalar_subquery().label("lapsed_at"))
        .join(C, C.c.resource_id == I.c.id)
        .join(P, P.c.code == C.c.code)
        .where(I.c.state.in_(_RUNS), P.c.account_id != I.c.account_id, ~stands.exists())
    )
    if viewer_id is not None:
        query = query.where(or_(I.c.account_id == viewer_id, P.c.account_id == viewer_id))
    return [Lapse(*row) for row in c.execute(query.order_by(I.c.id, P.c.code))]
