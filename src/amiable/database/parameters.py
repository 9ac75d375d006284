"""Parameter rows: the newest version of each, its history, its tags."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, select, update

from amiable.database.schema import parameter as P
from amiable.database.schema import parameter_tag as T
from amiable.database.schema import parameter_version as V
from amiable.model.parameter import IMAGE, PUBLIC_PREFIX, VERSIONS_MAX, Parameter, ParameterType, Tier

_COLUMNS: Final = [V.c[name] for name in Parameter.__dataclass_fields__ if name != "channel"] + [P.c.channel]
_HISTORY: Final = select(*_COLUMNS).join(
    P, and_(P.c.account_id == V.c.account_id, P.c.region == V.c.region, P.c.name == V.c.name)
)
_NEWEST: Final = _HISTORY.where(P.c.version == V.c.version)


def find_parameter(
    c: Connection, account_id: str, region: str, names: Sequence[str], *, version: int | None = None
) -> Parameter | None:
    """The first of ``names`` that the account reads, its own or a public one: the newest version, or ``version`` of it."""
    for name in names:
        holder = and_(P.c.region == region, P.c.name == name, _readable(account_id, name))
        query = _NEWEST.where(holder) if version is None else _HISTORY.where(holder, V.c.version == version)
        row = c.execute(query).first()
        if row is not None:
            return _parameter(row)
    return None


def walk_parameters(
    c: Connection, account_id: str, region: str, *, path: str = "", after: str = ""
) -> Iterator[Parameter]:
    """The newest versions of the account's parameters below ``path`` (no last slash), by name, those after ``after``.

    Below ``/aws/service/`` they are everybody's public ones.  They are read one by one: an account may have a hundred thousand.
    """
    query = _NEWEST.where(P.c.region == region, P.c.name > after, _readable(account_id, f"{path}/"))
    if path:
        query = query.where(P.c.name >= f"{path}/", P.c.name < f"{path}0")  # "0" follows "/"
    return (_parameter(row) for row in c.execute(query.order_by(P.c.name)))


def history(c: Connection, account_id: str, region: str, name: str) -> list[Parameter]:
    """Every version of the account's own parameter that is kept, oldest first."""
    query = _HISTORY.where(P.c.account_id == account_id, P.c.region == region, P.c.name == name)
    return [_parameter(row) for row in c.execute(query.order_by(V.c.version))]


def count_parameters(c: Connection, account_id: str, region: str, tier: Tier) -> int:
    """How many parameters of the tier the account has."""
    query = _NEWEST.where(P.c.account_id == account_id, P.c.region == region, V.c.tier == tier.value)
    return int(c.execute(select(func.count()).select_from(query.subquery())).scalar_one())


def put_version(c: Connection, parameter: Parameter) -> None:
    """Makes ``parameter`` its name's newest version, and drops versions above the newest hundred.

    IntegrityError where the name is public and another account's.
    """
    own = _own(P, parameter.account_id, parameter.region, parameter.name)
    pointer = {"image_id": parameter.value if parameter.data_type == IMAGE else None}
    if c.execute(update(P).where(own).values(version=parameter.version, **pointer)).rowcount == 0:
        values = {name: getattr(parameter, name) for name in ("account_id", "region", "name", "version", "channel")}
        c.execute(insert(P).values(**values, **pointer, is_public=parameter.is_public))
    row: dict[str, Any] = {name: getattr(parameter, name) for name in Parameter.__dataclass_fields__}
    del row["channel"]
    c.execute(insert(V).values(**row | {"type": parameter.type.value, "tier": parameter.tier.value}))
    kept = _own(V, parameter.account_id, parameter.region, parameter.name)
    c.execute(delete(V).where(kept, V.c.version <= parameter.version - VERSIONS_MAX))


def delete_parameter(c: Connection, account_id: str, region: str, name: str) -> bool:
    """Removes the account's parameter with its versions and tags; whether it was there."""
    for table in (T, V):
        c.execute(delete(table).where(_own(table, account_id, region, name)))
    return c.execute(delete(P).where(_own(P, account_id, region, name))).rowcount == 1


def put_tags(c: Connection, parameter: Parameter, tags: Mapping[str, str]) -> None:
    """Tags a parameter with keys that it has not."""
    owner = {"account_id": parameter.account_id, "region": parameter.region, "name": parameter.name}
    if tags:
        c.execute(insert(T), [{**owner, "key": key, "value": value} for key, value in tags.items()])


def remove_tags(c: Connection, parameter: Parameter, keys: Sequence[str]) -> None:
    """Takes the tags of these keys off a parameter."""
    own = _own(T, parameter.account_id, parameter.region, parameter.name)
    c.execute(delete(T).where(own, T.c.key.in_(keys)))


def tags_of(c: Connection, parameter: Parameter) -> dict[str, str]:
    """The tags of one parameter, by key."""
    own = _own(T, parameter.account_id, parameter.region, parameter.name)
    return {row.key: row.value for row in c.execute(select(T.c.key, T.c.value).where(own).order_by(T.c.key))}


def tags_of_all(c: Connection, account_id: str, region: str) -> dict[str, dict[str, str]]:
    """The tags of each of the account's parameters that has any: name → key → value."""
    found: dict[str, dict[str, str]] = {}
    for row in c.execute(
        select(T.c.name, T.c.key, T.c.value).where(T.c.account_id == account_id, T.c.region == region)
    ):
        found.setdefault(row.name, {})[row.key] = row.value
    return found


def pointing_at(c: Connection, image_ids: Iterable[str], region: str) -> list[Parameter]:
    """The parameters of every account whose newest version names one of the images; channels' own are among them."""
    query = _NEWEST.where(P.c.region == region, P.c.image_id.in_(list(image_ids)))
    return [_parameter(row) for row in c.execute(query.order_by(P.c.account_id, P.c.name))]


def _own(table: Any, account_id: str, region: str, name: str) -> ColumnElement[bool]:
    return and_(table.c.account_id == account_id, table.c.region == region, table.c.name == name)


def _readable(account_id: str, name: str) -> ColumnElement[bool]:
    return P.c.is_public if name.startswith(PUBLIC_PREFIX) else P.c.account_id == account_id


def _parameter(row: Any) -> Parameter:
    return Parameter(**{**row._mapping, "type": ParameterType(row.type), "tier": Tier(row.tier)})
