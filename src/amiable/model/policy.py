"""A policy as it was read: statements of who may (or may not) do what to what.

``rules/policy`` reads one from its text and decides by it.
"""

from dataclasses import dataclass
from enum import StrEnum


class Effect(StrEnum):
    """What a statement that applies does."""

    ALLOW = "Allow"
    DENY = "Deny"


@dataclass(frozen=True, slots=True)
class Words:
    """Patterns with ``*`` and ``?``; ``is_negated``: all that none of them matches (``NotAction``, ``NotResource``)."""

    patterns: tuple[str, ...]
    is_negated: bool = False


@dataclass(frozen=True, slots=True)
class Condition:
    """One key compared with values: it holds where the operator says so of any of them (of all, where it negates)."""

    operator: str
    key: str  # lower case
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Trusted:
    """Whom a trust policy's statement means."""

    accounts: tuple[str, ...] = ()  # AWS: *, an account's number, or an ARN
    services: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement.  ``resources`` is absent in a trust policy, ``trusted`` in every other."""

    effect: Effect
    actions: Words
    resources: Words | None
    trusted: Trusted | None
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """One document."""

    statements: tuple[Statement, ...]
