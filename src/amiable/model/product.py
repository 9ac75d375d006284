"""Product codes: what marks a resource as carrying a seller's paid product.

Source: EC2 API, ProductCode.
"""

from collections.abc import Iterable
from dataclasses import dataclass
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
