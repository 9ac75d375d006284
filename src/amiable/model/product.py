"""Products, and the codes that mark a resource as carrying one.

A code is a mark first: it is shown and inherited whether or not somebody sells a product under it here.  Where somebody does,
launching needs a subscription, and running instances are metered and charged (``rules/metering``).  Source: EC2 API, ProductCode.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ProductCodeType(StrEnum):
    """EC2's two kinds: ``devpay`` came in a bundle's manifest, ``marketplace`` was attached by the seller."""

    DEVPAY = "devpay"
    MARKETPLACE = "marketplace"


@dataclass(frozen=True, slots=True, order=True)
class ProductCode:
    """One code on one resource."""

    code: str
    type: ProductCodeType = ProductCodeType.DEVPAY


@dataclass(frozen=True, slots=True)
class Product:
    """What a seller offers under one code; amounts are in ``currency``."""

    code: str
    account_id: str  # the seller
    name: str
    currency: str  # ISO 4217: three capitals
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Price:
    """What a product costs from ``since_at`` on, in millionths of its currency's unit."""

    code: str
    since_at: datetime
    hourly_micros: int
    monthly_micros: int  # 0: no monthly fee


@dataclass(frozen=True, slots=True)
class Subscription:
    """One account's standing permission to launch what carries the code; ``ended_at`` None: it stands."""

    account_id: str
    code: str
    started_at: datetime
    ended_at: datetime | None = None


def devpay_codes(codes: Iterable[str]) -> tuple[ProductCode, ...]:
    """The codes of a manifest, each once, in its order."""
    return tuple(ProductCode(code) for code in dict.fromkeys(codes))


def united(*lists: Iterable[ProductCode]) -> tuple[ProductCode, ...]:
    """Every code of the lists once, in the order in which it is first met."""
    first: dict[str, ProductCode] = {}
    for codes in lists:
        for each in codes:
            first.setdefault(each.code, each)
    return tuple(first.values())
