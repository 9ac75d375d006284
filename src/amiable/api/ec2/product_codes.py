"""Product codes as EC2 shows them."""

from collections.abc import Iterable

from amiable.model.product import ProductCode
from amiable.wire.generated import ec2


def product_codes(codes: Iterable[ProductCode]) -> list[ec2.ProductCode]:
    """The codes in EC2's words."""
    return [ec2.ProductCode(product_code_id=each.code, product_code_type=each.type.value) for each in codes]
