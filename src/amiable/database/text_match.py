"""Texts against patterns and lists in SQL, on both dialects.

    pattern of EC2                  SQLite                     PostgreSQL
    *  ?  literal                   *  ?  [c] around *?[       %  _  \\ before %_\\
    matched by                      GLOB, case-sensitive       LIKE … ESCAPE '\\', case-sensitive
    literal beginning               a range of the index       (a pattern index answers LIKE itself)

SQLite's LIKE ignores the case of ASCII, hence GLOB.  Neither backtracks without bound: a run that fails ends the match.  A text
that was stored is TEXT_LENGTH_MAX long at most and holds no NUL, so that a longer pattern or one with NUL matches nothing.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Boolean, ColumnElement, String, and_, false, literal, or_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from amiable.rules.filters import ANY_ONE, ANY_RUN, tokenize

TEXT_LENGTH_MAX: Final = 4096
"""Longer than any text that filters look at; SQLite takes patterns of 50,000 bytes."""


class _Test(FunctionElement[bool]):
    """A condition of its own spelling."""

    inherit_cache = True
    type = Boolean()

    def self_group(self, against: Any = None) -> Any:
        """Itself: SQLAlchemy would have SQLite compare it with 1, and then no index answers it."""
        return self


class Glob(_Test):
    """Whether a text matches: the text, the pattern for GLOB, the pattern for LIKE."""

    inherit_cache = True


class OneOf(_Test):
    """Whether a text is one of the texts of a JSON array: one statement, however many there are."""

    inherit_cache = True


class InRange(_Test):
    """Whether a text lies from one text up to another, in the order of code points: the text and those two."""

    inherit_cache = True


class Spelled(FunctionElement[str]):
    """An instant as ISO 8601 in UTC with milliseconds, and what follows them: the instant, the ending."""

    inherit_cache = True
    type = String()


@compiles(Glob)
def _like(element: Glob, compiler: SQLCompiler, **words: Any) -> str:
    text, _, pattern = element.clauses
    return f"({compiler.process(text, **words)} LIKE {compiler.process(pattern, **words)} ESCAPE '\\')"


@compiles(Glob, "sqlite")
def _glob(element: Glob, compiler: SQLCompiler, **words: Any) -> str:
    text, pattern, _ = element.clauses
    return f"({compiler.process(text, **words)} GLOB {compiler.process(pattern, **words)})"


@compiles(InRange)
def _anything(_element: InRange, _compiler: SQLCompiler, **_words: Any) -> str:
    """PostgreSQL needs no help with its LIKE, and orders texts by a language."""
    return "true"


@compiles(InRange, "sqlite")
def _in_range(element: InRange, compiler: SQLCompiler, **words: Any) -> str:
    text, low, high = (compiler.process(each, **words) for each in element.clauses)
    return f"({text} >= {low} AND {text} < {high})"


@compiles(OneOf)
def _one_of_array(element: OneOf, compiler: SQLCompiler, **words: Any) -> str:
    text, array = (compiler.process(each, **words) for each in element.clauses)
    return f"({text} IN (SELECT json_array_elements_text(CAST({array} AS json))))"


@compiles(OneOf, "sqlite")
def _one_of_each(element: OneOf, compiler: SQLCompiler, **words: Any) -> str:
    text, array = (compiler.process(each, **words) for each in element.clauses)
    return f"({text} IN (SELECT value FROM json_each({array})))"


@compiles(Spelled)
def _to_char(element: Spelled, compiler: SQLCompiler, **words: Any) -> str:
    moment, ending = (compiler.process(each, **words) for each in element.clauses)
    spelled = f"to_char(timestamp 'epoch' + {moment} * interval '1 millisecond', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS')"
    return f"({spelled} || {ending})"


@compiles(Spelled, "sqlite")
def _strftime(element: Spelled, compiler: SQLCompiler, **words: Any) -> str:
    moment, ending = (compiler.process(each, **words) for each in element.clauses)
    seconds = f"strftime('%Y-%m-%dT%H:%M:%S', {moment} / 1000, 'unixepoch')"
    return f"({seconds} || printf('.%03d', {moment} % 1000) || {ending})"


def is_one_of(text: ColumnElement[Any], values: Iterable[str]) -> ColumnElement[bool]:
    """Whether ``text`` is one of ``values``."""
    return OneOf(text, literal(texts(values), String))


def texts(values: Iterable[str]) -> str:
    """The JSON array that :class:`OneOf` takes."""
    return msgspec.json.encode(list(values)).decode()


def spelled(moment: ColumnElement[Any], ending: str) -> ColumnElement[str]:
    """The instant's text: ``2026-01-02T03:04:05.678`` and ``ending``."""
    return Spelled(moment, literal(ending, String))


def matches(text: ColumnElement[Any], values: Sequence[str], *, is_indexed: bool = False) -> ColumnElement[bool]:
    """Whether ``text`` matches one of the patterns ``values``.

    ``is_indexed``: an index is ordered by the text, which a pattern's literal beginning then narrows.
    """
    plain, wild = [], []
    for tokens in map(tokenize, values):
        if any(token in (ANY_RUN, ANY_ONE) for token in tokens):
            wild.append(tokens)
        else:
            plain.append("".join(tokens))
    tests = [_wild(text, tokens, is_indexed=is_indexed) for tokens in wild]
    if plain:
        tests.append(text == plain[0] if len(plain) == 1 else text.in_(plain))
    return or_(false(), *tests)


def _wild(text: ColumnElement[Any], tokens: Sequence[str], *, is_indexed: bool) -> ColumnElement[bool]:
    if "\0" in tokens or sum(token != ANY_RUN for token in tokens) > TEXT_LENGTH_MAX:
        return false()
    test: ColumnElement[bool] = Glob(
        text, literal(_spell(tokens, _glob_token), String), literal(_spell(tokens, _like_token), String)
    )
    beginning = _beginning(tokens)
    return and_(InRange(text, *(literal(end, String) for end in beginning)), test) if is_indexed and beginning else test


def _beginning(tokens: Sequence[str]) -> tuple[str, str] | None:
    """The pattern's literal beginning, and the first text behind all that begin so; None where it begins with a wildcard."""
    end = next(index for index, token in enumerate(tokens) if token in (ANY_RUN, ANY_ONE))
    low = "".join(tokens[:end])
    if not low or ord(low[-1]) >= 0xD7FF:  # before the surrogates, which are no characters
        return None
    return low, low[:-1] + chr(ord(low[-1]) + 1)


def _spell(tokens: Sequence[str], one: Callable[[str], str]) -> str:
    return "".join(map(one, tokens))


def _glob_token(token: str) -> str:
    if token in (ANY_RUN, ANY_ONE):
        return "*" if token == ANY_RUN else "?"
    return f"[{token}]" if token in "*?[" else token


def _like_token(token: str) -> str:
    if token in (ANY_RUN, ANY_ONE):
        return "%" if token == ANY_RUN else "_"
    return "\\" + token if token in "%_\\" else token
