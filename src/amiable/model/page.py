"""One page of a list: where it begins and how much it may hold.

A list is ordered by a key that is text; a page begins after the last key of the page before it.
"""

from dataclasses import dataclass
from typing import Final

PAGE_SIZE_MAX: Final = 1000


@dataclass(frozen=True, slots=True)
class Page:
    """What follows the key ``after`` (None: from the start), at most ``size`` of it (None: all of it)."""

    after: str | None = None
    size: int | None = None
