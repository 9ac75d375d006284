"""Values of a service's shapes as JSON, for the protocols that carry JSON bodies: read strictly, written plainly.

What is not of the model is refused by its wire name: a wrong type, a bound, an unknown member (``Tags.1.Name``), a missing one.
Timestamps are Unix seconds.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from amiable.model.errors import MissingParameter, UnknownParameter
from amiable.wire import scalars
from amiable.wire.scalars import invalid
from amiable.wire.shape import ListOf, Scalar, Service, Structure

JSON_TYPES: Final[dict[str, type | tuple[type, ...]]] = {
    "string": str,
    "integer": int,
    "long": int,
    "float": (int, float),
    "boolean": bool,
    "timestamp": (int, float),
}
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class JsonCodec:
    """The codec of one service's shapes."""

    def __init__(self, service: Service) -> None:
        self._shapes = service.shapes
        found = {name: shape for name, shape in service.shapes.items() if isinstance(shape, Scalar)}
        self._read_text = {name: scalars.compile_reader(shape) for name, shape in found.items()}
        self._check = {name: scalars.compile_check(shape) for name, shape in found.items()}

    def read(self, name: str, value: Any, path: str) -> Any:
        """The value of the shape ``name`` that the JSON ``value`` stands for; ``path`` is its wire name, empty for a whole document.

        Raises InvalidParameterValue, MissingParameter and UnknownParameter.
        """
        shape = self._shapes[name]
        if isinstance(shape, Scalar):
            return self._read_scalar(name, shape, value, path)
        if isinstance(shape, ListOf):
            if not isinstance(value, list):
                raise invalid(path, value, "Expecting a list.")
            return self.check_count(
                shape, [self.read(shape.item, item, f"{path}.{number}") for number, item in enumerate(value, 1)], path
            )
        if not isinstance(value, dict):
            raise invalid(path, value, "Expecting an object.")
        prefix = f"{path}." if path else ""
        refuse_unknown((prefix + key for key in value), (prefix + member.request for member in shape.members))
        values = {
            member.attribute: self.read(member.shape, value[member.request], prefix + member.request)
            for member in shape.members
            if value.get(member.request) is not None
        }
        for member in shape.members:
            if member.required and member.attribute not in values:
                raise MissingParameter(parameter=prefix + member.request)
        return shape.type(**values)

    def read_text(self, name: str, text: str, path: str) -> Any:
        """The value of the scalar shape ``name`` that ``text`` stands for, as a header, a path or a query carries it."""
        return self._read_text[name](text, path)

    def write(self, name: str, value: Any) -> Any:
        """The JSON of a value of the shape ``name``; members that are ``None`` are left out."""
        shape = self._shapes[name]
        if isinstance(shape, ListOf):
            return [self.write(shape.item, item) for item in value]
        if isinstance(shape, Structure):
            pairs = ((member, getattr(value, member.attribute)) for member in shape.members)
            return {member.answer: self.write(member.shape, item) for member, item in pairs if item is not None}
        return unix_seconds(value) if isinstance(value, datetime) else value

    def check_count(self, shape: ListOf, values: list[Any], path: str) -> list[Any]:
        """``values``, where the model allows so many."""
        if len(values) < (shape.minimum or 0) or (shape.maximum is not None and len(values) > shape.maximum):
            raise invalid(path, f"{len(values)} items", f"Expecting {shape.minimum or 0} to {shape.maximum} items.")
        return values

    def _read_scalar(self, name: str, shape: Scalar, value: Any, path: str) -> Any:
        if not isinstance(value, JSON_TYPES[shape.kind]) or (isinstance(value, bool) and shape.kind != "boolean"):
            raise invalid(path, value, f"Expecting {'an' if shape.kind == 'integer' else 'a'} {shape.kind}.")
        if isinstance(value, str):
            return self._read_text[name](value, path)
        if shape.kind == "timestamp":
            return _moment(value, path)
        self._check[name](value, path)
        return value


def read_document(body: bytes) -> dict[str, Any] | None:
    """The body's JSON object, no body being an empty one; ``None`` where it is none."""
    if not body:
        return {}
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def refuse_unknown(sent: Iterable[str], known: Iterable[str]) -> None:
    """Raises UnknownParameter for the first of ``sent`` that is not ``known``."""
    names = set(known)
    for name in sent:
        if name not in names:
            raise UnknownParameter(parameter=name)


def unix_seconds(moment: datetime) -> float:
    """Seconds since 1970, to the millisecond."""
    assert moment.tzinfo is not None, "naive datetimes do not leave"
    return round((moment - EPOCH).total_seconds(), 3)


def _moment(seconds: Any, path: str) -> datetime:
    try:
        return EPOCH + timedelta(seconds=seconds)
    except (OverflowError, ValueError):
        raise invalid(path, seconds, "Expecting a time in seconds since 1970.") from None
