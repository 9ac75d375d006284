"""Channel rows and the versions of each."""

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, or_, select, update

from amiable.database.schema import channel as C
from amiable.database.schema import channel_version as V
from amiable.model.channel import Channel, ChannelVersion

_VERSION: Final = [V.c[name] for name in ChannelVersion.__dataclass_fields__]
_CURRENT: Final = select(
    *(C.c[name] for name in Channel.__dataclass_fields__ if name not in ("current", "created_at")),
    C.c.created_at.label("channel_created_at"),
    *_VERSION,
).join(
    V,
    and_(V.c.account_id == C.c.account_id, V.c.region == C.c.region, V.c.name == C.c.name, V.c.number == C.c.version),
)


def insert_channel(c: Connection, channel: Channel) -> None:
    """Writes a new channel with its first version."""
    values = {
        name: getattr(channel, name)
        for name in ("account_id", "region", "name", "description", "is_public", "is_house", "created_at")
    }
    c.execute(insert(C).values(**values, version=channel.current.number))
    _insert_version(c, channel, channel.current)


def move(c: Connection, channel: Channel, version: ChannelVersion) -> bool:
    """Points the channel at ``version``, its next one; False where it moved since ``channel`` was read."""
    still = and_(_own(C, channel.account_id, channel.region, channel.name), C.c.version == channel.current.number)
    if c.execute(update(C).where(still).values(version=version.number)).rowcount != 1:
        return False
    _insert_version(c, channel, version)
    return True


def set_public(c: Connection, channel: Channel, is_public: bool) -> None:
    """Says whether everybody reads the channel."""
    own = _own(C, channel.account_id, channel.region, channel.name)
    c.execute(update(C).where(own).values(is_public=is_public))


def find_channel(c: Connection, account_id: str, region: str, name: str) -> Channel | None:
    """The account's channel of this name."""
    row = c.execute(_CURRENT.where(_own(C, account_id, region, name))).first()
    return None if row is None else _channel(row)


def list_channels(c: Connection, viewer: str, region: str) -> list[Channel]:
    """The viewer's channels and everybody's public ones, by name."""
    readable = and_(C.c.region == region, or_(C.c.account_id == viewer, C.c.is_public))
    return [_channel(row) for row in c.execute(_CURRENT.where(readable).order_by(C.c.name, C.c.account_id))]


def count_channels(c: Connection, account_id: str, region: str) -> int:
    """How many channels the account has."""
    own = and_(C.c.account_id == account_id, C.c.region == region)
    return int(c.execute(select(func.count()).select_from(C).where(own)).scalar_one())


def versions_of(c: Connection, channel: Channel) -> list[ChannelVersion]:
    """Every version, oldest first."""
    own = _own(V, channel.account_id, channel.region, channel.name)
    return [ChannelVersion(**row._mapping) for row in c.execute(select(*_VERSION).where(own).order_by(V.c.number))]


def delete_channel(c: Connection, channel: Channel) -> None:
    """Removes the channel and its history."""
    for table in (V, C):
        c.execute(delete(table).where(_own(table, channel.account_id, channel.region, channel.name)))


def pointing_at(c: Connection, image_ids: Iterable[str]) -> list[Channel]:
    """The channels, of every account, that point at one of the images now."""
    query = _CURRENT.where(V.c.image_id.in_(list(image_ids)))
    return [_channel(row) for row in c.execute(query.order_by(C.c.account_id, C.c.name))]


def _insert_version(c: Connection, channel: Channel, version: ChannelVersion) -> None:
    owner = {name: getattr(channel, name) for name in ("account_id", "region", "name")}
    values = {name: getattr(version, name) for name in ChannelVersion.__dataclass_fields__}
    c.execute(insert(V).values(**owner, **values))


def _own(table: Any, account_id: str, region: str, name: str) -> ColumnElement[bool]:
    return and_(table.c.account_id == account_id, table.c.region == region, table.c.name == name)


def _channel(row: Any) -> Channel:
    current = ChannelVersion(**{name: getattr(row, name) for name in ChannelVersion.__dataclass_fields__})
    return Channel(
        account_id=row.account_id,
        region=row.region,
        name=row.name,
        description=row.description,
        is_public=row.is_public,
        is_house=row.is_house,
        created_at=row.channel_created_at,
        current=current,
    )
