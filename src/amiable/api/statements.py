"""Statements: what a month cost a subscriber, or earned a seller; computed anew from the records each time."""

from sqlalchemy import Connection

from amiable.database import metering, products
from amiable.model.metering import Statement
from amiable.model.principal import Principal
from amiable.model.product import Product
from amiable.rules.metering import read_month, statement_lines
from amiable.services import Services


def get_statement(services: Services, principal: Principal, month_name: str, *, is_seller: bool) -> Statement:
    """The caller's month, as far as it has gone by."""
    month, now = read_month(month_name), services.now()
    with services.database.read() as c:
        whose = {} if is_seller else {"account_id": principal.account_id}
        sold = _own_products(c, principal) if is_seller else _used_products(c, principal)
        codes = [each.code for each in sold]
        prices = products.prices_of(c, codes)
        lines = statement_lines(
            month,
            now,
            products={each.code: (each, prices[each.code]) for each in sold},
            runs=metering.list_runs(c, codes=codes, after=month.begin, before=month.end, **whose),
            subscriptions=products.list_subscriptions(c, codes=codes, **whose),
        )
    return Statement(month.name, principal.account_id, is_seller, now, lines)


def _own_products(c: Connection, principal: Principal) -> list[Product]:
    return products.list_products(c, seller_id=principal.account_id)


def _used_products(c: Connection, principal: Principal) -> list[Product]:
    """The products that the account ever subscribed to or ran: of an installation's many few."""
    subscriptions = products.list_subscriptions(c, account_id=principal.account_id)
    codes = {each.code for each in subscriptions} | metering.codes_run_by(c, principal.account_id)
    return products.list_products(c, sorted(codes))
