"""Statements: what a month cost a subscriber, or earned a seller; computed anew from the records each time."""

from amiable.database import metering, products
from amiable.model.metering import Statement
from amiable.model.principal import Principal
from amiable.rules.metering import read_month, statement_lines
from amiable.services import Services


def get_statement(services: Services, principal: Principal, month_name: str, *, is_seller: bool) -> Statement:
    """The caller's month, as far as it has gone by."""
    month, now = read_month(month_name), services.now()
    with services.database.read() as c:
        whose = {} if is_seller else {"account_id": principal.account_id}
        sold = products.list_products(c, seller_id=principal.account_id if is_seller else None)
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
