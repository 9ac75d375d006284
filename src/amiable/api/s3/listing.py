"""Listing a bucket: keys in order, those that share what comes before a delimiter rolled into one.

A rolled-up prefix costs one seek, not a walk over its keys: the scan goes on behind the last key that the prefix could have.
"""

from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import Connection

from amiable.api.s3.buckets import listable
from amiable.database import objects
from amiable.model.bucket import KEYS_MAX, Object
from amiable.model.principal import Principal
from amiable.rules.bucket import successor
from amiable.services import Services

BATCH_ROWS: Final = KEYS_MAX + 1


@dataclass(frozen=True, slots=True)
class Listing:
    """Which keys to list.  ``after``: only what sorts behind it; ``first``: only from it on."""

    bucket: str
    prefix: str = ""
    delimiter: str = ""
    after: str = ""
    first: str = ""
    limit: int = KEYS_MAX


@dataclass(frozen=True, slots=True)
class Page:
    """One page.  ``next_first`` is where the next begins, if there is one; ``last`` what this one ends with."""

    objects: list[Object]
    prefixes: list[str]
    last: str
    next_first: str | None

    @property
    def count(self) -> int:
        return len(self.objects) + len(self.prefixes)


def list_objects(services: Services, principal: Principal, listing: Listing) -> Page:
    """One page of at most ``listing.limit`` keys and rolled-up prefixes."""
    with services.database.read() as c:
        listable(c, principal, listing.bucket)
        return _page(c, listing)


def _page(c: Connection, listing: Listing) -> Page:
    before = successor(listing.prefix) if listing.prefix else None
    page = Page([], [], "", None)
    first: str | None = max(listing.first, listing.prefix)
    while first is not None:
        keys = objects.KeyRange(first, listing.after, before)
        rows = objects.objects_in(c, listing.bucket, keys, limit=BATCH_ROWS)
        skipped = ""
        for row in rows:
            if skipped and row.key.startswith(skipped):
                continue
            rolled = _rolled(row.key, listing)
            if rolled is not None and rolled == listing.after:
                skipped = rolled  # the page before ended with it
            elif page.count == listing.limit:
                return replace(page, next_first=rolled or row.key)
            elif rolled is not None:
                page.prefixes.append(rolled)
                skipped = rolled
                page = replace(page, last=rolled)
            else:
                page.objects.append(row)
                page = replace(page, last=row.key)
        first = _first_behind(rows[-1].key, skipped) if len(rows) == BATCH_ROWS else None
    return page


def _first_behind(key: str, skipped: str) -> str | None:
    """The least key that may follow ``key`` on the page: keys hold no NUL, so U+0001 behind it is the next."""
    return successor(skipped) if skipped and key.startswith(skipped) else key + "\1"


def _rolled(key: str, listing: Listing) -> str | None:
    """The prefix that ``key`` is rolled into; ``None`` where it stands for itself."""
    if not listing.delimiter:
        return None
    end = key.find(listing.delimiter, len(listing.prefix))
    return None if end < 0 else key[: end + len(listing.delimiter)]
