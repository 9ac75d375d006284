"""Queries on launch templates and their versions."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, func, insert, or_, select, update

from amiable.database.schema import launch_template as T
from amiable.database.schema import launch_template_version as V
from amiable.model.launch_template import LaunchTemplate, Version

_TEMPLATE: Final = tuple(f.name for f in fields(LaunchTemplate))
_VERSION: Final = tuple(f.name for f in fields(Version))


@dataclass(frozen=True, slots=True)
class Use:
    """A template of which one of the newest versions names an image."""

    template_id: str
    account_id: str
    name: str
    number: int
    image: str


def insert_template(c: Connection, template: LaunchTemplate, first: Version) -> None:
    """Inserts it with its first version; the database refuses a second of the same account, region and name."""
    c.execute(insert(T).values(**asdict(template)))
    c.execute(insert(V).values(**asdict(first)))


def add_version(c: Connection, version: Version) -> None:
    """Inserts a version and makes it the latest."""
    c.execute(insert(V).values(**asdict(version)))
    c.execute(
        update(T).where(T.c.id == version.template_id).values(latest_version=version.number, last_number=version.number)
    )


def list_templates(c: Connection, account_id: str, region: str) -> list[LaunchTemplate]:
    """The account's templates, by id."""
    mine = select(T).where(T.c.account_id == account_id, T.c.region == region).order_by(T.c.id)
    return [_template(row) for row in c.execute(mine)]


def find_template(
    c: Connection, account_id: str, region: str, *, id_: str | None, name: str | None
) -> LaunchTemplate | None:
    """The account's template of that id, or of that name."""
    wanted = T.c.id == id_ if id_ is not None else T.c.name == name
    row = c.execute(select(T).where(T.c.account_id == account_id, T.c.region == region, wanted)).first()
    return None if row is None else _template(row)


def count_templates(c: Connection, account_id: str, region: str) -> int:
    """How many the account has."""
    mine = select(func.count()).select_from(T).where(T.c.account_id == account_id, T.c.region == region)
    return int(c.execute(mine).scalar_one())


def list_versions(c: Connection, template_ids: Sequence[str]) -> list[Version]:
    """The versions of the templates, the newest first."""
    query = select(V).where(V.c.template_id.in_(template_ids)).order_by(V.c.template_id, V.c.number.desc())
    return [_version(row) for row in c.execute(query)]


def find_version(c: Connection, template_id: str, number: int) -> Version | None:
    """One version."""
    row = c.execute(select(V).where(V.c.template_id == template_id, V.c.number == number)).first()
    return None if row is None else _version(row)


def list_current(c: Connection, account_id: str, region: str) -> dict[tuple[str, int], Version]:
    """(template id, number) → version, of the account's templates: the default and the latest of each."""
    query = (
        select(V)
        .join(T, V.c.template_id == T.c.id)
        .where(T.c.account_id == account_id, T.c.region == region)
        .where(or_(V.c.number == T.c.default_version, V.c.number == T.c.latest_version))
    )
    return {(row.template_id, row.number): _version(row) for row in c.execute(query)}


def count_versions(c: Connection, template_id: str) -> int:
    """How many versions the template has."""
    return int(c.execute(select(func.count()).select_from(V).where(V.c.template_id == template_id)).scalar_one())


def set_default(c: Connection, template_id: str, number: int) -> None:
    """Makes a version the default."""
    c.execute(update(T).where(T.c.id == template_id).values(default_version=number))


def delete_versions(c: Connection, template_id: str, numbers: Sequence[int]) -> None:
    """Deletes versions; the latest of the others is the latest then."""
    c.execute(delete(V).where(V.c.template_id == template_id, V.c.number.in_(numbers)))
    newest = select(func.max(V.c.number)).where(V.c.template_id == template_id).scalar_subquery()
    c.execute(update(T).where(T.c.id == template_id).values(latest_version=newest))


def delete_template(c: Connection, template_id: str) -> None:
    """Deletes it with its versions."""
    c.execute(delete(T).where(T.c.id == template_id))


def uses(c: Connection, region: str, images: Sequence[str], *, depth: int | None = None) -> list[Use]:
    """The templates of all accounts of which a version (one of the ``depth`` newest) names one of ``images``; its newest such version."""
    query = (
        select(T.c.id, T.c.account_id, T.c.name, V.c.number, V.c.image)
        .join(V, V.c.template_id == T.c.id)
        .where(T.c.region == region, V.c.image.in_(images))
        .order_by(T.c.id, V.c.number.desc())
    )
    if depth is not None:
        newer = V.alias()
        behind = select(func.count()).where(newer.c.template_id == V.c.template_id, newer.c.number > V.c.number)
        query = query.where(behind.scalar_subquery() < depth)
    found: dict[tuple[str, str], Use] = {}
    for row in c.execute(query):
        found.setdefault((row.id, row.image), Use(row.id, row.account_id, row.name, row.number, row.image))
    return list(found.values())


def _template(row: Row[Any]) -> LaunchTemplate:
    return LaunchTemplate(**{name: getattr(row, name) for name in _TEMPLATE})


def _version(row: Row[Any]) -> Version:
    return Version(**{name: getattr(row, name) for name in _VERSION})
