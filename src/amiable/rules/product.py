"""Who may launch, attach and publish what carries product codes.

    carries a code that …        launch, start              be made public by its owner
    nobody sells here            as without it              refused
    the launcher sells           as without it              refused
    another sells                with a subscription        refused

A lapse takes nothing away: a running instance runs on and is metered, and it and its disks can be stopped, bundled, read and
terminated.  Only to start again takes a subscription again.  Source: EC2 API, §OptInRequired; User Guide, "Paid AMIs".
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from amiable.model.errors import (
    AuthFailure,
    InvalidParameterValue,
    InvalidRequest,
    OperationNotPermitted,
    ResourceLimitExceeded,
)
from amiable.model.product import Product, ProductCode, ProductCodeType
from amiable.model.product_errors import OptInRequired

CODE_LENGTH: Final = 25
"""Of a code made here, as of AWS's."""
CODE_ALPHABET: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
CODE_ENTROPY_BYTES: Final = 17
NAME_LENGTH_MAX: Final = 128
PRODUCTS_MAX: Final = 1000
"""Of one seller."""
_GIVEN_CODE: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")  # as a manifest may carry


def code_of(entropy: bytes) -> str:
    """A new product code: 25 lower-case letters and digits."""
    assert len(entropy) == CODE_ENTROPY_BYTES
    number, digits = int.from_bytes(entropy, "big"), []
    for _ in range(CODE_LENGTH):
        number, digit = divmod(number, len(CODE_ALPHABET))
        digits.append(CODE_ALPHABET[digit])
    return "".join(digits)


def check_given_code(code: str) -> None:
    """Refuses a code that no manifest could carry."""
    if not _GIVEN_CODE.fullmatch(code):
        why = "Give 1 to 64 letters, digits, '.', '_' and '-'."
        raise InvalidParameterValue(parameter="Code", value=code, why=why)


def check_name(name: str) -> None:
    """Refuses a name that no line could show."""
    if not 1 <= len(name) <= NAME_LENGTH_MAX or not name.isprintable() or name != name.strip():
        why = f"Give 1 to {NAME_LENGTH_MAX} printable characters."
        raise InvalidParameterValue(parameter="Name", value=name, why=why)


def check_room(count: int) -> None:
    """Refuses one product more to a seller that has ``count``."""
    if count >= PRODUCTS_MAX:
        raise ResourceLimitExceeded(f"The account has {count} products; it may have {PRODUCTS_MAX}.")


def check_seller(product: Product, account_id: str) -> None:
    """Refuses whoever does not sell the product."""
    if product.account_id != account_id:
        raise AuthFailure(what=f"product code:{product.code}")


def codes_to_subscribe(
    codes: Iterable[ProductCode], products: Mapping[str, Product], account_id: str
) -> tuple[str, ...]:
    """Those of ``codes`` that the account needs a subscription to: sold here, by another."""
    return tuple(each.code for each in codes if each.code in products and products[each.code].account_id != account_id)


def check_subscribed(needed: Iterable[str], subscribed: Iterable[str]) -> None:
    """Refuses a launch or start without a subscription to each of the needed codes."""
    held = set(subscribed)
    for code in needed:
        if code not in held:
            raise OptInRequired(product_code=code)


def check_copy(codes: Iterable[ProductCode]) -> None:
    """Refuses to let another account copy what a seller put a code onto."""
    sold = ", ".join(each.code for each in codes if each.type is ProductCodeType.MARKETPLACE)
    if sold:
        raise InvalidRequest(
            f"Images from AWS Marketplace cannot be copied to another AWS account. This one carries: {sold}."
        )


def check_publish(resource_id: str, codes: Iterable[ProductCode]) -> None:
    """Refuses to make public what carries product codes."""
    held = ", ".join(each.code for each in codes)
    if held:
        raise OperationNotPermitted(
            f"{resource_id} carries product codes and cannot be made public: {held}.",
            hint="share it with accounts; a seller makes an image public first, and attaches its code then",
        )
