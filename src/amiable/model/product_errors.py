"""What is refused of products: a branch of the tree in ``model/errors``.

``OptInRequired`` begins with the words that EC2 uses since 2014; where EC2 goes on with the address of its marketplace, the command
stands that subscribes here.
"""

from amiable.model.errors import Refusal


class OptInRequired(Refusal):
    code = "OptInRequired"
    status = 401
    template = (
        "In order to use this AWS Marketplace product you need to accept terms and subscribe. "
        "To do so please run: amiable product subscribe {product_code}"
    )
    hint = "amiable product show {product_code} says what it costs"


class InvalidProductInfo(Refusal):
    code = "InvalidProductInfo"
    template = "The product code '{product_code}' does not exist."


class ProductCodeTaken(Refusal):
    code = "InvalidProductInfo"
    template = "The product code '{product_code}' is in use by another product."
