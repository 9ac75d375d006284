"""Amounts are exact in both directions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.model.errors import InvalidParameterValue
from amiable.rules.money import MICROS, check_currency, read_amount, write_amount


@given(st.integers(0, 10**12 - 1))
def test_what_is_written_reads_back(micros: int) -> None:
    assert read_amount("Price", write_amount(micros)) == micros


@pytest.mark.parametrize(
    ("text", "micros", "written"),
    [
        ("0", 0, "0.00"),
        ("0.05", 50_000, "0.05"),
        ("0.0035", 3_500, "0.0035"),
        ("10", 10 * MICROS, "10.00"),
        ("999999.999999", 10**12 - 1, "999999.999999"),
    ],
)
def test_a_decimal_is_millionths(text: str, micros: int, written: str) -> None:
    assert read_amount("Price", text) == micros
    assert write_amount(micros) == written


@pytest.mark.parametrize("text", ["", ".5", "1.", "-1", "1e3", "1,5", "0.0000001", "1000000", "٣", " 1", "1\n", "nan"])
def test_what_is_no_such_decimal_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameterValue, match=r"for parameter HourlyPrice is invalid\. Give a decimal"):
        read_amount("HourlyPrice", text)


@pytest.mark.parametrize("currency", ["", "usd", "US", "EURO", "U$D", "USD\n"])
def test_a_currency_is_three_capitals(currency: str) -> None:
    check_currency("EUR")
    with pytest.raises(InvalidParameterValue, match="Give three capital letters"):
        check_currency(currency)
