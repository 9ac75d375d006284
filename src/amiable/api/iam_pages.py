"""Pages of IAM's lists: what follows the marker, which is the name that the page before ended with.  It grants nothing."""

from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeVar

PAGE_SIZE: Final = 100

T = TypeVar("T")


class Paged(Protocol):
    """A request that can be asked page by page."""

    @property
    def marker(self) -> str | None:
        """What the page before ended with."""
        ...

    @property
    def max_items(self) -> int | None:
        """How many things a page may hold."""
        ...


def cut(request: Paged, things: Sequence[T], name: Callable[[T], str]) -> tuple[list[T], bool, str | None]:
    """The page of ``things`` (by name, whatever its case), whether more follow, and the marker for them."""
    after = (request.marker or "").lower()
    rest = [thing for thing in things if name(thing).lower() > after]
    shown = rest[: request.max_items or PAGE_SIZE]
    is_truncated = len(shown) < len(rest)
    return shown, is_truncated, name(shown[-1]) if is_truncated else None
