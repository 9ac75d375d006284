"""Amounts of money: whole millionths of a currency's unit, never floats, so that no sum is rounded.

``0.0035`` dollars an hour are 3,500 millionths; a price has six digits before and six behind the point at most.
"""

import re
from typing import Final

from amiable.model.errors import InvalidParameterValue

MICROS: Final = 1_000_000
"""Millionths in a currency's unit."""
_AMOUNT: Final = re.compile(r"([0-9]{1,6})(?:\.([0-9]{1,6}))?")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")


def read_amount(parameter: str, text: str) -> int:
    """The millionths that ``text`` says."""
    found = _AMOUNT.fullmatch(text)
    if found is None:
        why = "Give a decimal number with six digits before and six behind the point at most, like 0.05."
        raise InvalidParameterValue(parameter=parameter, value=text, why=why)
    whole, fraction = found.groups()
    return int(whole) * MICROS + int((fraction or "").ljust(6, "0"))


def write_amount(micros: int) -> str:
    """The amount in decimals: two at least, and as many as it takes to say it exactly."""
    whole, fraction = divmod(micros, MICROS)
    digits = f"{fraction:06d}"
    return f"{whole}.{digits[:2]}{digits[2:].rstrip('0')}"


def check_currency(currency: str) -> None:
    """Refuses what is no code of ISO 4217's form."""
    if not _CURRENCY.fullmatch(currency):
        why = "Give three capital letters, like USD or EUR."
        raise InvalidParameterValue(parameter="Currency", value=currency, why=why)
