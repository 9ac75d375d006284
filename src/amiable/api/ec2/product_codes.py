"""Product codes as EC2 shows them, and ConfirmProductInstance: the one call that EC2 has for sellers."""

from collections.abc import Iterable
from dataclasses import replace

from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.database import instances, products
from amiable.database.product_codes import codes_of
from amiable.model import ids
from amiable.model.errors import Malformed, NotFound
from amiable.model.image import Image
from amiable.model.principal import Principal
from amiable.model.product import ProductCode, united
from amiable.model.product_errors import InvalidProductInfo
from amiable.rules.product import check_seller
from amiable.services import Services
from amiable.wire.generated import ec2


def product_codes(codes: Iterable[ProductCode]) -> list[ec2.ProductCode]:
    """The codes in EC2's words."""
    return [ec2.ProductCode(product_code_id=each.code, product_code_type=each.type.value) for each in codes]


def with_codes_since(c: Connection, image: Image) -> Image:
    """The image with the codes that its root's snapshot has come by since it was registered: what is launched of it carries them."""
    root = image.root_device
    since = () if root is None or root.snapshot_id is None else codes_of(c, root.snapshot_id)
    return replace(image, product_codes=united(image.product_codes, since))


def confirm_product_instance(
    services: Services, principal: Principal, request: ec2.ConfirmProductInstanceRequest
) -> ec2.ConfirmProductInstanceResult:
    """Whether an instance, whoever runs it, carries the caller's product code; its owner is told only where it does."""
    if not ids.is_well_formed(ids.INSTANCE, request.instance_id):
        raise Malformed("instance", request.instance_id, ids.INSTANCE)
    with services.database.read() as c:
        product = products.get_product(c, request.product_code)
        if product is None:
            raise InvalidProductInfo(product_code=request.product_code)
        check_seller(product, principal.account_id)
        instance = instances.get_instance(c, request.instance_id)
    if instance is None or instance.region != principal.region:
        raise NotFound("instance", [request.instance_id])
    raise_if_dry_run(request)
    is_attached = product.code in {each.code for each in instance.product_codes}
    return ec2.ConfirmProductInstanceResult(return_=is_attached, owner_id=instance.account_id if is_attached else None)
