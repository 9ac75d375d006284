"""Conditions and ranges."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.model.errors import S3Refusal
from amiable.rules.conditions import Conditions, Verdict, check_write, judge, matches, slice_of

THEN = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
SECOND = THEN.replace(microsecond=0)


@pytest.mark.parametrize(
    ("conditions", "verdict"),
    [
        (Conditions(), Verdict.PROCEED),
        (Conditions(if_match='"e"'), Verdict.PROCEED),
        (Conditions(if_match='"x", "e"'), Verdict.PROCEED),
        (Conditions(if_match="*"), Verdict.PROCEED),
        (Conditions(if_match='"x"'), Verdict.FAILED),
        (Conditions(if_match='"e"', if_unmodified_since=SECOND - timedelta(1)), Verdict.PROCEED),
        (Conditions(if_unmodified_since=SECOND - timedelta(seconds=1)), Verdict.FAILED),
        (Conditions(if_unmodified_since=SECOND), Verdict.PROCEED),
        (Conditions(if_none_match='"e"'), Verdict.NOT_MODIFIED),
        (Conditions(if_none_match='"x"', if_modified_since=SECOND), Verdict.PROCEED),
        (Conditions(if_modified_since=SECOND), Verdict.NOT_MODIFIED),
        (Conditions(if_modified_since=SECOND - timedelta(seconds=1)), Verdict.PROCEED),
        (Conditions(if_match='"x"', if_none_match='"e"'), Verdict.FAILED),
    ],
)
def test_the_table_of_conditions(conditions: Conditions, verdict: Verdict) -> None:
    assert judge(conditions, etag="e", modified_at=THEN) is verdict


def test_weak_and_bare_tags_match() -> None:
    assert matches('W/"e"', "e") and matches("e", "e") and not matches("", "e")


def test_a_write_may_need_that_nothing_or_this_is_there() -> None:
    check_write(Conditions(if_none_match="*"), None)
    check_write(Conditions(if_match='"e"'), "e")
    for conditions, etag, code in (
        (Conditions(if_none_match="*"), "e", "PreconditionFailed"),
        (Conditions(if_match='"e"'), "x", "PreconditionFailed"),
        (Conditions(if_match='"e"'), None, "NoSuchKey"),
    ):
        with pytest.raises(S3Refusal) as caught:
            check_write(conditions, etag)
        assert caught.value.code == code


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_a_range_is_what_a_slice_is(size_bytes: int, first: int, last: int) -> None:
    body = bytes(range(size_bytes))
    for header, wanted in (
        (f"bytes={first}-{last}", body[first : last + 1]),
        (f"bytes={first}-", body[first:]),
        (f"bytes=-{last}", body[-last:] if last else b""),
    ):
        try:
            found = slice_of(header, size_bytes)
        except S3Refusal as refusal:
            assert (refusal.code, refusal.status) == ("InvalidRange", 416) and wanted == b""
        else:
            assert (found is None and first > last) or (found and body[found.first : found.last + 1] == wanted != b"")


@pytest.mark.parametrize(
    "header", [None, "", "bytes=", "bytes=-", "bytes=a-b", "bytes=0-1,3-4", "lines=0-1", "bytes=-1-2", "bytes=٣-"]
)
def test_what_is_no_single_range_asks_for_the_whole(header: str | None) -> None:
    assert slice_of(header, 10) is None
