"""What a watermark may be called, and which image may get one."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.model.errors import InvalidParameterValue, ResourceLimitExceeded
from amiable.model.watermark import Watermark
from amiable.rules.watermark import WATERMARKS_MAX, check_attach, check_key, check_name
from tests.rules.images import AN_IMAGE, OWNER

NAMES = st.from_regex(r"[A-Za-z0-9()\[\] ./\-'@_]{3,128}", fullmatch=True)


def watermark(name: str) -> Watermark:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    return Watermark(name, OWNER, AN_IMAGE.id, AN_IMAGE.region, AN_IMAGE.created_at, moment)


@given(name=NAMES)
def test_a_legal_name_makes_a_legal_key(name: str) -> None:
    check_name(name)
    check_key(watermark(name).key)


@given(text=st.text(max_size=200))
def test_a_key_is_an_account_and_a_legal_name_and_nothing_else(text: str) -> None:
    try:
        check_key(f"{OWNER}:{text}")
    except InvalidParameterValue:
        with pytest.raises(InvalidParameterValue):
            check_name(text)
    else:
        check_name(text)


def test_an_account_in_a_key_is_twelve_digits_of_ascii() -> None:
    with pytest.raises(InvalidParameterValue):
        check_key(f"{OWNER[:11]}\u0662:golden image")


def test_a_public_image_gets_none() -> None:
    check_attach(replace(AN_IMAGE, grantees=frozenset({"222222222222"})))
    with pytest.raises(InvalidParameterValue, match="is public") as caught:
        check_attach(replace(AN_IMAGE, grantees=frozenset({"all"})))
    assert "ResetImageAttribute" in caught.value.advice


def test_there_is_an_end_to_them() -> None:
    marks = tuple(watermark(f"number {number}") for number in range(WATERMARKS_MAX))
    check_attach(replace(AN_IMAGE, watermarks=marks[1:]))
    with pytest.raises(ResourceLimitExceeded, match=f"has {WATERMARKS_MAX} watermarks"):
        check_attach(replace(AN_IMAGE, watermarks=marks))
