"""The model's shapes as values: what the generated tables are made of and what the codecs compile.

A table maps a shape's name to a :class:`Scalar`, a :class:`ListOf` or a :class:`Structure`; names tie them together, so a shape
may contain itself.  Everything is decided when ``make wire`` runs: no codec derives a wire name.
"""

from dataclasses import dataclass
from typing import Literal

import msgspec

Kind = Literal["string", "integer", "long", "float", "boolean", "timestamp", "blob"]
Location = Literal["body", "header", "uri", "query", "payload"]


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value.  ``minimum`` and ``maximum`` bound a number, or the length of a string or blob.

    An ``integer`` has 32 bits, a ``long`` 64.
    """

    kind: Kind
    minimum: float | None = None
    maximum: float | None = None
    pattern: str | None = None
    enum: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of the shape named ``item``; ``element`` is the XML name of one item in an answer."""

    item: str
    element: str = "item"
    minimum: int | None = None
    maximum: int | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a structure: attribute in Python, name in a request, name in an answer, shape, and where REST puts it."""

    attribute: str
    request: str
    answer: str
    shape: str
    required: bool = False
    location: Location = "body"


@dataclass(frozen=True, slots=True)
class Structure:
    """A generated class and its members in the model's order."""

    type: type[msgspec.Struct]
    members: tuple[Member, ...]


Shape = Scalar | ListOf | Structure


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: shape names of input and output (``None``: nothing), and its HTTP binding where the protocol has one."""

    name: str
    input: str | None
    output: str | None
    method: str = "POST"
    uri: str = "/"
    status: int = 200


@dataclass(frozen=True, slots=True)
class Service:
    """A service's generated tables.  ``actions``: every operation that AWS has, built here or not."""

    name: str
    version: str
    namespace: str
    shapes: dict[str, Shape]
    operations: dict[str, Operation]
    actions: frozenset[str]
