from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.rules.http_date import read_http_date


@given(st.integers(0, 1 << 34))
def test_what_is_written_is_read(seconds: int) -> None:
    moment = datetime.fromtimestamp(seconds, UTC)
    assert read_http_date(format_datetime(moment, usegmt=True)) == moment


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "Fri, 31 Dec 9999 23:59:59 -2300",
        "Fri, 31 Dec 2020 23:59:59 -9999",
        "Fri, 31 Dec 2020 23:59:59 -99999999999999999999",
        "Fri, 99999999999999999999 Dec 2020 23:59:59 GMT",
    ],
)
def test_what_no_calendar_has_is_no_date(text: str) -> None:
    assert read_http_date(text) is None


@given(st.text())
def test_any_text_is_a_date_or_none(text: str) -> None:
    found = read_http_date(text)
    assert found is None or found.tzinfo is UTC


def test_a_zone_is_reckoned_in_and_none_is_utc() -> None:
    noon = datetime(2026, 1, 2, 12, tzinfo=UTC)
    assert read_http_date("Fri, 02 Jan 2026 13:00:00 +0100") == noon
    assert read_http_date("Fri, 02 Jan 2026 12:00:00") == noon
