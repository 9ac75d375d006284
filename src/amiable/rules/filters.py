"""Filters of the Describe calls: filters AND, values OR, names and values case-sensitive.

In a value ``*`` stands for any run of characters and ``?`` for exactly one; ``\\*``, ``\\?`` and ``\\\\`` are literal.  (The EC2
user guide says both "zero or one" and "exactly 1" of ``?``; see docs/decisions.)  A many-valued thing matches if any element
does; a thing that lacks the attribute never matches.  A filter that the noun does not have is refused by name, never ignored.
Source: EC2 API Reference, DescribeImages, Filter.N; User Guide, "Filtering using wildcards".
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from amiable.model.errors import FilterLimitExceeded, InvalidParameterValue, MissingParameter

FILTERS_MAX: Final = 50
FILTER_VALUES_MAX: Final = 200

T = TypeVar("T")
Field = Callable[[T], Iterable[str | None]]
Predicate = Callable[[T], bool]


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter of a request."""

    name: str
    values: tuple[str, ...]


def parse(filters: Iterable[tuple[str | None, Sequence[str] | None]]) -> tuple[Filter, ...]:
    """Filters from a request's (name, values) pairs; refuses a missing name or values, and too many."""
    parsed = []
    for number, (name, values) in enumerate(filters, start=1):
        if not name:
            raise MissingParameter(parameter=f"Filter.{number}.Name")
        if not values:
            raise MissingParameter(parameter=f"Filter.{number}.Value")
        parsed.append(Filter(name, tuple(values)))
    if len(parsed) > FILTERS_MAX:
        raise FilterLimitExceeded(what="filters", limit=FILTERS_MAX)
    if sum(len(each.values) for each in parsed) > FILTER_VALUES_MAX:
        raise FilterLimitExceeded(what="filter values", limit=FILTER_VALUES_MAX)
    return tuple(parsed)


def predicate(
    filters: Sequence[Filter], fields: Mapping[str, Field[T]], *, tags: Callable[[T], Mapping[str, str]] | None = None
) -> Predicate[T]:
    """Whether a thing passes all ``filters``.

    ``fields`` says what a noun's filters look at; with ``tags`` given, ``tag:<key>`` and ``tag-key`` are filters too.
    """
    tests = [_test(each, fields, tags) for each in filters]
    return lambda thing: all(test(thing) for test in tests)


def _test(
    filter_: Filter, fields: Mapping[str, Field[T]], tags: Callable[[T], Mapping[str, str]] | None
) -> Predicate[T]:
    matches = matcher(filter_.values)
    field = fields.get(filter_.name)
    if field is not None:
        return lambda thing: any(value is not None and matches(value) for value in field(thing))
    if tags is not None and filter_.name == "tag-key":
        return lambda thing: any(matches(key) for key in tags(thing))
    if tags is not None and filter_.name.startswith("tag:") and len(filter_.name) > len("tag:"):
        key = filter_.name.removeprefix("tag:")
        return lambda thing: key in tags(thing) and matches(tags(thing)[key])
    raise InvalidParameterValue(f"The filter '{filter_.name}' is invalid")


def matcher(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Whether a text matches any of ``patterns``; those without wildcards cost one look-up."""
    tokens = [tokenize(pattern) for pattern in patterns]
    literal = {"".join(each) for each in tokens if all(token not in (ANY_RUN, ANY_ONE) for token in each)}
    wild = [each for each in tokens if any(token in (ANY_RUN, ANY_ONE) for token in each)]
    return lambda text: text in literal or any(wildcard_match(each, text) for each in wild)


ANY_RUN: Final = "any run"
ANY_ONE: Final = "any one"
"""Tokens longer than one character, so that no literal can be mistaken for them."""


def tokenize(pattern: str) -> tuple[str, ...]:
    """The pattern as single literal characters and the two wildcards, escapes undone."""
    tokens: list[str] = []
    characters = iter(pattern)
    for character in characters:
        if character == "\\":
            escaped = next(characters, "")
            tokens.extend(escaped if escaped in ("*", "?", "\\") and escaped else "\\" + escaped)
        elif character == "*":
            if not tokens or tokens[-1] != ANY_RUN:
                tokens.append(ANY_RUN)
        else:
            tokens.append(ANY_ONE if character == "?" else character)
    return tuple(tokens)


def wildcard_match(tokens: Sequence[str], text: str) -> bool:
    """Whether ``text`` as a whole matches.

    Steps are at most length of pattern × length of text: patterns come from strangers, and a backtracking regular expression
    can be made to run for ever.
    """
    at, position, run_at, run_position = 0, 0, -1, 0
    while position < len(text):
        if at < len(tokens) and tokens[at] == ANY_RUN:
            run_at, run_position = at, position
            at += 1
        elif at < len(tokens) and (tokens[at] == ANY_ONE or tokens[at] == text[position]):
            at += 1
            position += 1
        elif run_at >= 0:
            run_position += 1
            at, position = run_at + 1, run_position
        else:
            return False
    return all(token == ANY_RUN for token in tokens[at:])


def boolean(value: bool | None) -> str | None:
    """How a filter spells a truth value."""
    return None if value is None else "true" if value else "false"
