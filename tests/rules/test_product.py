"""Codes are of AWS's shape; who needs a subscription, and what may not become public."""

import os
import re
from datetime import UTC, datetime

import pytest

from amiable.model.errors import AuthFailure, InvalidParameterValue, OperationNotPermitted, ResourceLimitExceeded
from amiable.model.product import Product, ProductCode
from amiable.model.product_errors import OptInRequired
from amiable.rules import product

NOW = datetime(2026, 11, 1, tzinfo=UTC)
SOLD = {"A": Product("A", "111111111111", "a", "USD", NOW), "B": Product("B", "222222222222", "b", "EUR", NOW)}
CODES = (ProductCode("X"), ProductCode("A"), ProductCode("B"))


def test_a_code_is_25_small_letters_and_digits() -> None:
    made = {product.code_of(os.urandom(product.CODE_ENTROPY_BYTES)) for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch("[0-9a-z]{25}", each) for each in made)
    assert product.code_of(bytes(product.CODE_ENTROPY_BYTES)) == "0" * 25


def test_a_subscription_is_needed_to_what_others_sell_here() -> None:
    assert product.codes_to_subscribe(CODES, SOLD, "333333333333") == ("A", "B")
    assert product.codes_to_subscribe(CODES, SOLD, "111111111111") == ("B",)
    assert product.codes_to_subscribe(CODES[:1], SOLD, "333333333333") == ()


def test_each_missing_subscription_refuses() -> None:
    product.check_subscribed(("A", "B"), ("B", "A"))
    with pytest.raises(OptInRequired) as refusal:
        product.check_subscribed(("A", "B"), ("A",))
    assert (refusal.value.code, refusal.value.status) == ("OptInRequired", 401)
    assert refusal.value.message.endswith("To do so please run: amiable product subscribe B")
    assert refusal.value.advice == "amiable product show B says what it costs"


def test_what_carries_codes_is_not_made_public() -> None:
    product.check_publish("The image ami-1", ())
    with pytest.raises(OperationNotPermitted, match=r"The image ami-1 carries .* cannot be made public: X, A, B"):
        product.check_publish("The image ami-1", CODES)


def test_only_the_seller_is_the_seller() -> None:
    product.check_seller(SOLD["A"], "111111111111")
    with pytest.raises(AuthFailure, match="Not authorized for product code:A"):
        product.check_seller(SOLD["A"], "222222222222")


def test_a_seller_has_a_bounded_number_of_products() -> None:
    product.check_room(product.PRODUCTS_MAX - 1)
    with pytest.raises(ResourceLimitExceeded, match="The account has 1000 products; it may have 1000"):
        product.check_room(product.PRODUCTS_MAX)


@pytest.mark.parametrize("name", ["", " a", "a\nb", "x" * 129, "\x1b[1m"])
def test_a_name_is_one_plain_line(name: str) -> None:
    product.check_name("Ä Suite, 2nd")
    with pytest.raises(InvalidParameterValue, match="1 to 128 printable"):
        product.check_name(name)


@pytest.mark.parametrize("code", ["", "a b", "x" * 65, "a/b"])
def test_a_given_code_is_one_that_a_manifest_could_carry(code: str) -> None:
    product.check_given_code("774F4FF8")
    with pytest.raises(InvalidParameterValue, match="parameter Code"):
        product.check_given_code(code)
