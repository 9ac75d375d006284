"""Conditions and ranges of GET, HEAD and PUT: whether to answer, and with which bytes.

    If-Match ──fails──▶ 412      (holds: If-Unmodified-Since is not looked at)
    If-Unmodified-Since ──fails──▶ 412
    If-None-Match ──fails──▶ 304 (given: If-Modified-Since is not looked at)
    If-Modified-Since ──fails──▶ 304

Sources: RFC 9110 §13.2.2 and §14; S3 API reference, GetObject.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Final

from amiable.model.errors import S3Refusal

_RANGE: Final = re.compile(r"bytes=(?:(\d{1,20})-(\d{1,20})?|-(\d{1,20}))", re.ASCII)


class Verdict(Enum):
    """What conditions lead to."""

    PROCEED = auto()
    NOT_MODIFIED = auto()
    FAILED = auto()


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditional headers of a request; entity tags as sent, quotes and lists included."""

    if_match: str | None = None
    if_none_match: str | None = None
    if_modified_since: datetime | None = None
    if_unmodified_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes ``first`` to ``last``, both included."""

    first: int
    last: int

    @property
    def size_bytes(self) -> int:
        return self.last - self.first + 1


def judge(conditions: Conditions, *, etag: str, modified_at: datetime) -> Verdict:
    """What to do about an object that is there; times count in whole seconds, as HTTP dates do."""
    modified_at = modified_at.replace(microsecond=0)
    if conditions.if_match is not None:
        if not matches(conditions.if_match, etag):
            return Verdict.FAILED
    elif conditions.if_unmodified_since is not None and modified_at > conditions.if_unmodified_since:
        return Verdict.FAILED
    if conditions.if_none_match is not None:
        if matches(conditions.if_none_match, etag):
            return Verdict.NOT_MODIFIED
    elif conditions.if_modified_since is not None and modified_at <= conditions.if_modified_since:
        return Verdict.NOT_MODIFIED
    return Verdict.PROCEED


def check_write(conditions: Conditions, etag: str | None) -> None:
    """Refuses a write whose If-Match or If-None-Match does not hold for what is there now (``None``: nothing)."""
    if conditions.if_none_match is not None and etag is not None and matches(conditions.if_none_match, etag):
        raise precondition_failed("If-None-Match")
    if conditions.if_match is not None:
        if etag is None:
            raise S3Refusal("NoSuchKey", 404, "The specified key does not exist.")
        if not matches(conditions.if_match, etag):
            raise precondition_failed("If-Match")


def precondition_failed(condition: str) -> S3Refusal:
    """PreconditionFailed, naming the header."""
    return S3Refusal(
        "PreconditionFailed", 412, "At least one of the pre-conditions you specified did not hold", Condition=condition
    )


def matches(wanted: str, etag: str) -> bool:
    """Whether a list of entity tags, or ``*``, holds ``etag``."""
    return any(
        tag == "*" or tag.removeprefix("W/").strip('"') == etag for tag in (tag.strip() for tag in wanted.split(","))
    )


def slice_of(header: str | None, size_bytes: int) -> ByteRange | None:
    """The one range that ``Range`` asks for; ``None`` for the whole object: no header, several ranges, or one that is not
    well-formed.  Raises InvalidRange where the object has none of the bytes."""
    found = _RANGE.fullmatch(header) if header else None
    if found is None:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        start, end = max(0, size_bytes - int(suffix)), size_bytes - 1
        satisfiable = int(suffix) > 0 and size_bytes > 0
    else:
        start, end = int(first), min(int(last), size_bytes - 1) if last else size_bytes - 1
        if last and int(last) < start:
            return None
        satisfiable = start < size_bytes
    if not satisfiable:
        facts = {"RangeRequested": header or "", "ActualObjectSize": str(size_bytes)}
        raise S3Refusal("InvalidRange", 416, "The requested range is not satisfiable", **facts)
    return ByteRange(start, end)
