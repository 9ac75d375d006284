"""Products, subscriptions and statements: ``/amiable/v1/products``, ``subscriptions``, ``statements``, ``lapses``.

Amounts are decimal numbers in strings, exact.
"""

from typing import Final

import msgspec

from amiable.api import products, statements
from amiable.api.products import Asked, Offer
from amiable.model.metering import Statement, StatementLine
from amiable.model.product import Subscription
from amiable.rules.money import write_amount
from amiable.server.amiable.calls import Answer, Routes, instant, read_body
from amiable.server.contracts import Authenticated
from amiable.services import Services


class CreateProduct(msgspec.Struct, frozen=True, rename="pascal", forbid_unknown_fields=True):
    """The body of POST products."""

    name: str
    currency: str
    hourly_price: str
    monthly_fee: str = "0"
    code: str | None = None


class SetPrice(msgspec.Struct, frozen=True, rename="pascal", forbid_unknown_fields=True):
    """The body of PUT products/{code}/price; a fee that is not named stays."""

    hourly_price: str
    monthly_fee: str | None = None


class Attach(msgspec.Struct, frozen=True, rename="pascal", forbid_unknown_fields=True):
    """The body of POST products/{code}/resources."""

    resource_id: str


def _list_products(services: Services, request: Authenticated, _id: str, _body: bytes) -> Answer:
    return {"Products": [_offer(each) for each in products.list_products(services, request.principal)]}


def _create_product(services: Services, request: Authenticated, _id: str, body: bytes) -> Answer:
    wanted = read_body(body, CreateProduct)
    price = Asked(wanted.hourly_price, wanted.monthly_fee)
    new = products.NewProduct(wanted.name, wanted.currency, price, wanted.code)
    made = products.create_product(services, request.principal, new)
    return _offer(made)


def _get_product(services: Services, request: Authenticated, code: str, _body: bytes) -> Answer:
    return _offer(products.get_product(services, request.principal, code))


def _set_price(services: Services, request: Authenticated, code: str, body: bytes) -> Answer:
    wanted = read_body(body, SetPrice)
    price = Asked(wanted.hourly_price, wanted.monthly_fee)
    return _offer(products.set_price(services, request.principal, code, price))


def _offer(offer: Offer) -> Answer:
    it = offer.product
    return {
        "ProductCode": it.code,
        "Name": it.name,
        "SellerId": it.account_id,
        "Currency": it.currency,
        "HourlyPrice": write_amount(offer.price.hourly_micros),
        "MonthlyFee": write_amount(offer.price.monthly_micros),
        "PriceSince": instant(offer.price.since_at),
        "CreatedAt": instant(it.created_at),
    }


def _attach(services: Services, request: Authenticated, code: str, body: bytes) -> Answer:
    wanted = read_body(body, Attach)
    carriers = products.attach(services, request.principal, code, wanted.resource_id)
    return {"ProductCode": code, "ResourceIds": carriers}


def _subscribe(services: Services, request: Authenticated, code: str, _body: bytes) -> Answer:
    return _subscription(products.subscribe(services, request.principal, code))


def _unsubscribe(services: Services, request: Authenticated, code: str, _body: bytes) -> Answer:
    return _subscription(products.unsubscribe(services, request.principal, code))


def _list_subscriptions(services: Services, request: Authenticated, _id: str, _body: bytes) -> Answer:
    found = products.list_subscriptions(services, request.principal)
    return {"Subscriptions": [_subscription(each) for each in found]}


def _list_subscribers(services: Services, request: Authenticated, code: str, _body: bytes) -> Answer:
    found = products.list_subscribers(services, request.principal, code)
    return {"Subscriptions": [_subscription(each) for each in found]}


def _subscription(it: Subscription) -> Answer:
    return {
        "ProductCode": it.code,
        "SubscriberId": it.account_id,
        "State": "active" if it.ended_at is None else "ended",
        "StartedAt": instant(it.started_at),
        "EndedAt": None if it.ended_at is None else instant(it.ended_at),
    }


def _list_lapses(services: Services, request: Authenticated, _id: str, _body: bytes) -> Answer:
    return {
        "Lapses": [
            {
                "InstanceId": each.instance_id,
                "OwnerId": each.account_id,
                "ProductCode": each.code,
                "SellerId": each.seller_id,
                "Region": each.region,
                "State": each.state,
                "LapsedAt": None if each.lapsed_at is None else instant(each.lapsed_at),
            }
            for each in products.list_lapses(services, request.principal)
        ]
    }


def _subscriber_statement(services: Services, request: Authenticated, month: str, _body: bytes) -> Answer:
    return _statement(statements.get_statement(services, request.principal, month, is_seller=False))


def _seller_statement(services: Services, request: Authenticated, month: str, _body: bytes) -> Answer:
    return _statement(statements.get_statement(services, request.principal, month, is_seller=True))


def _statement(it: Statement) -> Answer:
    return {
        "Month": it.month,
        "AccountId": it.account_id,
        "Role": "seller" if it.is_seller else "subscriber",
        "AsOf": instant(it.as_of),
        "Lines": [_line(each) for each in it.lines],
        "Totals": [
            {"Currency": currency, "Amount": write_amount(micros)} for currency, micros in it.totals_micros.items()
        ],
    }


def _line(it: StatementLine) -> Answer:
    return {
        "ProductCode": it.code,
        "Name": it.name,
        "SellerId": it.seller_id,
        "SubscriberId": it.subscriber_id,
        "Currency": it.currency,
        "Hours": it.hours,
        "Hourly": [
            {
                "HourlyPrice": write_amount(each.hourly_micros),
                "Hours": each.hours,
                "Amount": write_amount(each.micros),
            }
            for each in it.hourly
        ],
        "FeeDays": it.fee_days,
        "Fee": write_amount(it.fee_micros),
        "Total": write_amount(it.total_micros),
    }


ROUTES: Final[Routes] = {
    ("GET",    "products"): _list_products,
    ("POST",   "products"): _create_product,
    ("GET",    "products/{}"): _get_product,
    ("PUT",    "products/{}/price"): _set_price,
    ("POST",   "products/{}/resources"): _attach,
    ("PUT",    "products/{}/subscription"): _subscribe,
    ("DELETE", "products/{}/subscription"): _unsubscribe,
    ("GET",    "products/{}/subscriptions"): _list_subscribers,
    ("GET",    "subscriptions"): _list_subscriptions,
    ("GET",    "lapses"): _list_lapses,
    ("GET",    "statements/{}"): _subscriber_statement,
    ("GET",    "statements/{}/seller"): _seller_statement,
}  # fmt: skip
