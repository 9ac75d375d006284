"""The Describe calls of an account's own things that are read whole: ids, filters, pages, tags."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, Protocol, TypeVar

from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.tags import parse_filters
from amiable.api.paging import PageBounds, open_page
from amiable.database import tags
from amiable.model.errors import InvalidParameterCombination, NotFound
from amiable.model.principal import Principal
from amiable.rules import filters
from amiable.rules.identifiers import check_form
from amiable.services import Services
from amiable.wire.generated import ec2

PAGE_SIZE_MIN: Final = 5


class Owned(Protocol):
    """Something of an account's, with an id."""

    @property
    def id(self) -> str: ...


T = TypeVar("T", bound=Owned)


@dataclass(frozen=True, slots=True)
class Tagged(Generic[T]):
    """A thing and the caller's tags of it."""

    it: T
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.it.id


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """One Describe call: the noun and prefix of its ids, its filters, and what reads the caller's things."""

    noun: str
    prefix: str
    fields: Mapping[str, filters.Field[Tagged[T]]]
    read: Callable[[Connection, str, str], list[T]]


class Listed(Protocol):
    """A request of such a call."""

    @property
    def filters(self) -> list[ec2.Filter] | None: ...
    @property
    def max_results(self) -> int | None: ...
    @property
    def next_token(self) -> str | None: ...
    @property
    def dry_run(self) -> bool | None: ...


def list_page(
    services: Services, principal: Principal, request: Listed, listing: Listing[T], named: Sequence[str] | None
) -> tuple[list[Tagged[T]], str | None]:
    """The things that ``request`` asks for, those of the ids ``named`` when there are some, and the next page's token."""
    check_form(listing.noun, listing.prefix, named)
    refuse_page_of_ids(named, request.max_results)
    wanted = filters.predicate(parse_filters(request.filters), listing.fields, tags=lambda thing: thing.tags)
    page = open_page(services, principal, request, PageBounds(size_min=PAGE_SIZE_MIN))
    raise_if_dry_run(request)
    with services.database.read() as c:
        mine = listing.read(c, principal.account_id, principal.region)
        tagged = tags.tags_of(c, principal.account_id, [thing.id for thing in mine])
    asked = those_named(listing.noun, named, mine, lambda thing: thing.id)
    found = [thing for each in asked if wanted(thing := Tagged(each, tagged.get(each.id, {})))]
    return page.cut(found, lambda thing: thing.id)


def refuse_page_of_ids(named: Sequence[str] | None, max_results: int | None) -> None:
    """Refuses a page size together with ids."""
    if named and max_results is not None:
        raise InvalidParameterCombination("Ids cannot be used with the parameter MaxResults.")


N = TypeVar("N")


def those_named(noun: str, named: Sequence[str] | None, mine: Sequence[N], key: Callable[[N], str]) -> list[N]:
    """Those of ``mine`` that are named, all without names; every name must be there."""
    if not named:
        return list(mine)
    there = {key(thing) for thing in mine}
    missing = [each for each in dict.fromkeys(named) if each not in there]
    if missing:
        raise NotFound(noun, missing)
    return [thing for thing in mine if key(thing) in set(named)]


def the_one(noun: str, prefix: str, named: str, mine: Sequence[T]) -> T:
    """That of ``mine`` with the id ``named``; refuses an id of the wrong form, and one that is not there."""
    check_form(noun, prefix, [named])
    return those_named(noun, [named], mine, lambda thing: thing.id)[0]


def put_born_tags(
    c: Connection, principal: Principal, resource_id: str, resource_type: str, born: Mapping[str, Mapping[str, str]]
) -> Mapping[str, str]:
    """Puts the tags that a request gives to what it made of ``resource_type``; returns them."""
    given = born.get(resource_type, {})
    tags.put(c, tags.TaggedResource(principal.account_id, principal.region, resource_id, resource_type), given)
    return given
