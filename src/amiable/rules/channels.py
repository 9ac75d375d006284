"""What a channel may be called, as which parameters it is read, and where a rollback goes.

    versions   1: A    2: B    3: C    4: B (restores 2)    5: A (restores 1)
    rollback                      └──────▶ 2, then 1, and from there on it is refused: there is nothing before

A rollback takes back the promotion that brought the current image, so that two in a row go two images back.
"""

import re
from collections.abc import Mapping
from typing import Final

from amiable.model.channel import Channel, ChannelVersion
from amiable.model.errors import InvalidParameterValue
from amiable.model.ids import is_account
from amiable.model.parameter import PUBLIC_PREFIX
from amiable.model.parameter_errors import NothingBefore

OWN_PREFIX: Final = "/amiable/channel/"
PUBLISHED: Final = f"{PUBLIC_PREFIX}amiable/"
NAME_CHARACTERS_MAX: Final = 128
PARTS_MAX: Final = 10
DESCRIPTION_CHARACTERS_MAX: Final = 255
CHANNELS_MAX: Final = 1000
"""Of one account in one region."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*(?:/[A-Za-z0-9][A-Za-z0-9_.-]*)*")


def check_name(name: str) -> None:
    """Refuses what is no channel's name: words of letters, digits and ``_.-`` between slashes, the first no account number."""
    parts = name.split("/")
    is_right = _NAME.fullmatch(name) and len(name) <= NAME_CHARACTERS_MAX and len(parts) <= PARTS_MAX
    if not is_right or is_account(parts[0]):
        raise InvalidParameterValue(
            parameter="Name",
            value=name,
            why=f"A channel's name has up to {PARTS_MAX} words of letters, digits and _.- between slashes, "
            f"{NAME_CHARACTERS_MAX} characters at most, and does not begin with an account number: debian-12/stable.",
        )


def check_description(description: str | None) -> None:
    """Refuses one that is too long."""
    if description is not None and len(description) > DESCRIPTION_CHARACTERS_MAX:
        raise InvalidParameterValue(
            parameter="Description", value="…", why=f"It may have {DESCRIPTION_CHARACTERS_MAX} characters."
        )


def own_parameter(channel: Channel) -> str:
    """The parameter by which the channel's owner reads it."""
    return OWN_PREFIX + channel.name


def public_parameter(channel: Channel) -> str:
    """The parameter by which everybody reads it, where it is public: the house's has no account's number in it."""
    return f"{PUBLISHED}{channel.name}" if channel.is_house else f"{PUBLISHED}{channel.account_id}/{channel.name}"


def parameters_of(channel: Channel) -> tuple[str, ...]:
    """The parameters that show the channel."""
    own = own_parameter(channel)
    return (own, public_parameter(channel)) if channel.is_public else (own,)


def rollback_target(channel: Channel, versions: Mapping[int, ChannelVersion]) -> ChannelVersion:
    """The version that a rollback of the channel goes back to; raises NothingBefore."""
    before = _origin(channel.current) - 1
    if before not in versions:
        raise NothingBefore(version=channel.current.number, name=channel.name)
    return versions[_origin(versions[before])]


def _origin(version: ChannelVersion) -> int:
    """The number of the promotion that first brought the version's image."""
    return version.number if version.restores is None else version.restores
