"""Codes of resources: kept in order, each once, inherited and forgotten."""

from amiable.database import product_codes
from amiable.model.product import ProductCode, ProductCodeType, devpay_codes
from amiable.services import Services

A, B, D = ProductCode("A"), ProductCode("B", ProductCodeType.MARKETPLACE), ProductCode("D")


def test_codes_keep_their_order_and_each_stands_once(services: Services) -> None:
    with services.database.write() as c:
        product_codes.put_codes(c, "ami-1", (B, A, A))
        product_codes.put_codes(c, "ami-1", (ProductCode("B"), D))
        product_codes.put_codes(c, "ami-2", ())
    with services.database.read() as c:
        assert product_codes.codes_of(c, "ami-1") == (B, A, D)
        assert product_codes.codes_of_many(c, ["ami-1", "ami-2"]) == {"ami-1": (B, A, D)}


def test_what_is_made_of_several_inherits_the_codes_of_all(services: Services) -> None:
    with services.database.write() as c:
        product_codes.put_codes(c, "snap-1", (A,))
        product_codes.put_codes(c, "snap-2", (B, A))
        product_codes.inherit_codes(c, "vol-1", source_ids=["snap-2", "snap-1", "snap-3"])
        assert product_codes.codes_of(c, "vol-1") == (B, A)
        product_codes.forget_codes(c, "snap-2")
        assert product_codes.codes_of(c, "snap-2") == ()
        assert product_codes.codes_of(c, "vol-1") == (B, A)


def test_a_manifest_may_say_a_code_twice() -> None:
    assert devpay_codes(["x", "y", "x"]) == (ProductCode("x"), ProductCode("y"))
