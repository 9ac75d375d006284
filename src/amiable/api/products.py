"""Products: who sells what at which price, who subscribed to it, and who runs it without.

Amiable's own calls: EC2 has ConfirmProductInstance only (``api/ec2/product_codes``).  Statements are ``api/statements``.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from amiable.api.amiable import check_administrator
from amiable.api.ec2.images import owned_image
from amiable.api.ec2.snapshots import check_snapshot_id
from amiable.database import product_codes, products, sharing, snapshots
from amiable.database.products import Lapse
from amiable.model import ids
from amiable.model.errors import InvalidParameterValue, NotFound, OperationNotPermitted
from amiable.model.image import EVERYONE, Image, ImageType
from amiable.model.principal import Principal
from amiable.model.product import Price, Product, ProductCode, ProductCodeType, Subscription
from amiable.model.product_errors import InvalidProductInfo, ProductCodeTaken
from amiable.rules import money, product
from amiable.services import Services
from amiable.services.audit import note_made


@dataclass(frozen=True, slots=True)
class Asked:
    """A price as a request says it: decimal numbers in the product's currency."""

    hourly: str
    monthly: str | None = None
    """None: no fee of a new product, the one that it has of another."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A product with the price that holds now."""

    product: Product
    price: Price


@dataclass(frozen=True, slots=True)
class NewProduct:
    """A product as a request says it; without a code it gets one of its own."""

    name: str
    currency: str
    price: Asked
    code: str | None = None


def create_product(services: Services, principal: Principal, wanted: NewProduct) -> Offer:
    """A new product of the caller's; only the administrator chooses a code, such as a bundle's."""
    product.check_name(wanted.name)
    money.check_currency(wanted.currency)
    if wanted.code is not None:
        check_administrator(principal)
        product.check_given_code(wanted.code)
    now = services.now()
    new = wanted.code or product.code_of(services.entropy(product.CODE_ENTROPY_BYTES))
    note_made(new)
    made = Product(new, principal.account_id, wanted.name, wanted.currency, now)
    price = _price(made, wanted.price, services, fee_micros=0)
    with services.database.write() as c:
        if products.get_product(c, new) is not None:
            raise ProductCodeTaken(product_code=new)
        product.check_room(len(products.list_products(c, seller_id=principal.account_id)))
        products.insert_product(c, made, price)
    return Offer(made, price)


def set_price(services: Services, principal: Principal, code: str, asked: Asked) -> Offer:
    """The seller's new price, from now on; hours that have begun keep theirs, and a fee that is not named stays."""
    with services.database.write() as c:
        found = find_product(c, code)
        product.check_seller(found, principal.account_id)
        until_now = products.prices_of(c, [code])[code][-1]
        price = _price(found, asked, services, fee_micros=until_now.monthly_micros)
        return Offer(found, products.add_price(c, price))


def _price(of: Product, asked: Asked, services: Services, *, fee_micros: int) -> Price:
    hourly = money.read_amount("HourlyPrice", asked.hourly)
    monthly = fee_micros if asked.monthly is None else money.read_amount("MonthlyFee", asked.monthly)
    return Price(of.code, services.now(), hourly, monthly)


def find_product(c: Connection, code: str) -> Product:
    """The product of the code; refuses one that nobody sells."""
    found = products.get_product(c, code)
    if found is None:
        raise InvalidProductInfo(product_code=code)
    return found


def list_products(services: Services, _principal: Principal) -> list[Offer]:
    """Every product, for everyone: what a subscription costs is no secret."""
    with services.database.read() as c:
        found = products.list_products(c)
        prices = products.prices_of(c, [each.code for each in found])
    return [Offer(each, prices[each.code][-1]) for each in found]


def get_product(services: Services, _principal: Principal, code: str) -> Offer:
    """One product."""
    with services.database.read() as c:
        found = find_product(c, code)
        return Offer(found, products.prices_of(c, [code])[code][-1])


# ── attaching ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def attach(services: Services, principal: Principal, code: str, resource_id: str) -> list[str]:
    """Puts the seller's code onto its image and that image's snapshots, or onto its snapshot; the ids that carry it now."""
    with services.database.write() as c:
        found = find_product(c, code)
        product.check_seller(found, principal.account_id)
        carriers = _carriers(c, principal, resource_id)
        new = ProductCode(code, ProductCodeType.MARKETPLACE)
        for each in carriers:
            if each.startswith(ids.SNAPSHOT) and EVERYONE in sharing.snapshot_grantees(c, each):
                raise OperationNotPermitted(
                    f"The snapshot {each} is public: whoever reads it needs no subscription.",
                    hint=f"aws ec2 reset-snapshot-attribute --snapshot-id {each} --attribute createVolumePermission",
                )
        for each in carriers:
            product_codes.put_codes(c, each, (new,))
    return carriers


def _carriers(c: Connection, principal: Principal, resource_id: str) -> list[str]:
    if ids.is_well_formed(ids.AMI, resource_id):
        image = owned_image(c, principal, resource_id)
        assert image.image_type is ImageType.MACHINE
        return [image.id, *_own_snapshots(c, principal, image)]
    if not resource_id.startswith(ids.SNAPSHOT):
        why = "Give the id of an image (ami-…) or of a snapshot (snap-…)."
        raise InvalidParameterValue(parameter="ResourceId", value=resource_id, why=why)
    check_snapshot_id(resource_id)
    if not _is_own(c, principal, resource_id):
        raise NotFound("snapshot", [resource_id])
    return [resource_id]


def _own_snapshots(c: Connection, principal: Principal, image: Image) -> list[str]:
    mapped = dict.fromkeys(device.snapshot_id for device in image.devices if device.snapshot_id is not None)
    return [each for each in mapped if _is_own(c, principal, each)]


def _is_own(c: Connection, principal: Principal, snapshot_id: str) -> bool:
    found = snapshots.get(c, snapshot_id)
    mine = (principal.account_id, principal.region)
    return found is not None and not found.is_internal and (found.account_id, found.region) == mine


# ── subscriptions ───────────────────────────────────────────────────────────────────────────────────────────────────────


def subscribe(services: Services, principal: Principal, code: str) -> Subscription:
    """The caller's standing subscription; asking again changes nothing."""
    with services.database.write() as c:
        found = find_product(c, code)
        if found.account_id == principal.account_id:
            raise OperationNotPermitted(f"The product {code} is the caller's own: its seller needs no subscription.")
        return products.subscribe(c, principal.account_id, code, now=services.now())


def unsubscribe(services: Services, principal: Principal, code: str) -> Subscription:
    """The caller's subscription, ended now.  What runs goes on running and is charged by the hour."""
    with services.database.write() as c:
        find_product(c, code)
        ended = products.unsubscribe(c, principal.account_id, code, now=services.now())
    if ended is None:
        raise InvalidProductInfo(f"The account {principal.account_id} has no subscription to the product {code}.")
    return ended


def list_subscriptions(services: Services, principal: Principal) -> list[Subscription]:
    """The caller's subscriptions, ended ones too, oldest first."""
    with services.database.read() as c:
        return products.list_subscriptions(c, account_id=principal.account_id)


def list_subscribers(services: Services, principal: Principal, code: str) -> list[Subscription]:
    """Subscriptions to the caller's product, ended ones too, oldest first."""
    with services.database.read() as c:
        product.check_seller(find_product(c, code), principal.account_id)
        return products.list_subscriptions(c, codes=[code])


def check_subscribed(c: Connection, account_id: str, codes: Iterable[ProductCode]) -> None:
    """Refuses a launch or start by an account that lacks a subscription to a code that another sells."""
    held = list(codes)
    if not held:
        return
    sold = {each.code: each for each in products.list_products(c, [each.code for each in held])}
    needed = product.codes_to_subscribe(held, sold, account_id)
    product.check_subscribed(needed, products.subscribed_codes(c, account_id, needed))


def list_lapses(services: Services, principal: Principal) -> Sequence[Lapse]:
    """Instances that run without a subscription: the caller's, and those of the caller's products; all for the administrator."""
    with services.database.read() as c:
        return products.list_lapses(c, None if principal.is_administrator else principal.account_id)
