"""Which requests look for images by name alone, and which launches are suspect."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from amiable.model.errors import InvalidParameterValue
from amiable.model.ids import is_account
from amiable.model.image import Image
from amiable.model.name_guard import NameGuard, Suspicion
from amiable.rules.filters import Filter, matcher

OWNER_FILTERS: Final = frozenset({"owner-id", "owner-alias", "image-id"})
"""Filters that say whose image, or which one, is meant."""
LOOKUP_KEPT: Final = timedelta(days=7)
"""How long a name counts that the account looked for: longer than most plans wait to be applied."""
LOOKUP_AGAIN: Final = timedelta(hours=1)
"""A name looked for again within this time is not written down again."""
LOOKUPS_MAX: Final = 200
"""How many names are kept of an account in a region; the oldest go first."""
TRUSTED_MAX: Final = 100
PATTERN_LENGTH_MAX: Final = 512
"""A longer one is not written down: no image's name is that long."""


def check_trusted(accounts: Sequence[str]) -> None:
    """Refuses what is no account number, and too many."""
    for account in accounts:
        if not is_account(account):
            raise InvalidParameterValue(parameter="Trusted", value=account, why="Give account ids: 12 digits each.")
    if len(accounts) > TRUSTED_MAX:
        raise InvalidParameterValue(f"Trusted may have {TRUSTED_MAX} values at most.")


def names_looked_for(filters: Iterable[Filter], *, names_an_owner: bool) -> tuple[str, ...]:
    """The name patterns of a DescribeImages request that says by no other word whose images it means."""
    given = list(filters)
    if names_an_owner or any(each.name in OWNER_FILTERS and all(map(_says_which, each.values)) for each in given):
        return ()
    return tuple(
        dict.fromkeys(
            value for each in given if each.name == "name" for value in each.values if len(value) <= PATTERN_LENGTH_MAX
        )
    )


def _says_which(value: str) -> bool:
    """Whether a filter's value is more than wildcards, which every owner matches."""
    return value.strip("*?") != ""


def is_trusted(guard: NameGuard, image: Image, account_id: str) -> bool:
    """Whether the account relies on the image's owner."""
    return image.account_id in (account_id, *guard.trusted) or image.owner_alias is not None


def matching(patterns: Iterable[str], name: str) -> list[str]:
    """Those of ``patterns`` that the name matches."""
    return [pattern for pattern in patterns if matcher([pattern])(name)]


def suspect(image: Image, pattern: str, trusted_image_id: str) -> Suspicion:
    """What to say of ``image``, found by ``pattern`` beside an older trusted one."""
    return Suspicion(image.id, image.name, image.account_id, pattern, trusted_image_id)


def earliest_lookup(now: datetime) -> datetime:
    """Since when a name looked for counts."""
    return now - LOOKUP_KEPT
