"""Text to value and value to text, for every protocol.

Reading checks what the model says of the value in the same step, and refuses with :class:`InvalidParameterValue` naming the wire
name.  Writing knows XML 1.0: what it cannot carry becomes U+FFFD, a carriage return a reference, so that it survives parsers.
"""

import base64
import binascii
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from amiable.model.errors import InvalidParameterValue
from amiable.wire.shape import Scalar

ECHO_CHARACTERS_MAX: Final = 100
BITS: Final = {"integer": 32, "long": 64}
BOOLEANS: Final = {"true": True, "false": False, "1": True, "0": False}

Read = Callable[[str, str], Any]

_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_INTEGER = re.compile(r"[+-]?[0-9]{1,20}", re.ASCII)
_FLOAT = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?", re.ASCII)
_ESCAPED = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})


def invalid(path: str, value: object, why: str) -> InvalidParameterValue:
    """The refusal of ``value`` at the wire name ``path``."""
    text = str(value)
    if len(text) > ECHO_CHARACTERS_MAX:
        text = text[:ECHO_CHARACTERS_MAX] + "…"
    return InvalidParameterValue(parameter=path, value=text, why=why)


def compile_reader(scalar: Scalar) -> Read:
    """A function of (text, wire name) that gives the value, checked."""
    convert = CONVERSIONS[scalar.kind]
    check = compile_check(scalar)

    def read(text: str, path: str) -> Any:
        value = convert(text, path)
        check(value, path)
        return value

    return read


def compile_check(scalar: Scalar) -> Callable[[Any, str], None]:
    """A function of (value, wire name) that refuses what the model does not allow."""
    enum, pattern = scalar.enum, _pattern(scalar.pattern)
    low, high = scalar.minimum, scalar.maximum
    if scalar.kind in BITS:
        bound = 1 << (BITS[scalar.kind] - 1)
        low, high = -bound if low is None else low, bound - 1 if high is None else high
    measured = len if scalar.kind in ("string", "blob") else None

    def check(value: Any, path: str) -> None:
        if enum is not None and value not in enum:
            raise invalid(path, value, f"Valid values: {', '.join(sorted(enum))}.")
        size = measured(value) if measured else value
        if (low is not None and size < low) or (high is not None and size > high):
            raise invalid(path, value, _lengths(low, high) if measured else _bound(value, low, high))
        if pattern is not None and not pattern.search(value):
            raise invalid(path, value, "It does not have the form that is asked for.")

    return check


def _pattern(text: str | None) -> re.Pattern[str] | None:
    """The model's pattern; ``$`` means the very end there, in Python also what stands before a last newline."""
    if text is None:
        return None
    return re.compile(text[:-1] + r"\Z" if text.endswith("$") else text)


def _lengths(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f"Expecting a length between {low} and {high}."
    return f"Expecting a length of {low} or more." if low is not None else f"Expecting a length of {high} or less."


def _bound(value: float, low: float | None, high: float | None) -> str:
    """The bound that a number breaks, in EC2's words."""
    if low is not None and value < low:
        return f"Expecting a value greater than or equal to {low}."
    return f"Expecting a value less than or equal to {high}."


def _read_string(text: str, path: str) -> str:
    if _NOT_XML.search(text):
        raise invalid(path, _NOT_XML.sub("\ufffd", text), "It has a control character that an answer cannot carry.")
    return text


def _read_integer(text: str, path: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise invalid(path, text, "Expecting an integer.")
    return int(text)


def _read_float(text: str, path: str) -> float:
    if not _FLOAT.fullmatch(text) or not math.isfinite(float(text)):
        raise invalid(path, text, "Expecting a number.")
    return float(text)


def _read_boolean(text: str, path: str) -> bool:
    value = BOOLEANS.get(text.lower())
    if value is None:
        raise invalid(path, text, "Expecting true or false.")
    return value


def _read_timestamp(text: str, path: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise invalid(path, text, "Expecting a time in ISO 8601, such as 2026-01-02T03:04:05Z.") from None


def _read_blob(text: str, path: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()).encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise invalid(path, text, "Expecting base64.") from None


CONVERSIONS: Final[dict[str, Read]] = {
    "string": _read_string,
    "integer": _read_integer,
    "long": _read_integer,
    "float": _read_float,
    "boolean": _read_boolean,
    "timestamp": _read_timestamp,
    "blob": _read_blob,
}


def xml_text(value: str) -> str:
    """``value`` as character data."""
    if _NOT_XML.search(value):
        value = _NOT_XML.sub("\ufffd", value)
    return value.translate(_ESCAPED)


def write_timestamp(value: datetime) -> str:
    """ISO 8601 in UTC with milliseconds, as AWS writes it: ``2026-01-02T03:04:05.000Z``."""
    assert value.tzinfo is not None, "naive datetimes do not leave"
    value = value.astimezone(UTC)
    return f"{value:%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03d}Z"


def _write_blob(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _write_boolean(value: bool) -> str:
    return "true" if value else "false"


WRITERS: Final[dict[str, Callable[[Any], str]]] = {
    "string": xml_text,
    "integer": int.__str__,
    "long": int.__str__,
    "float": float.__repr__,
    "boolean": _write_boolean,
    "timestamp": write_timestamp,
    "blob": _write_blob,
}
