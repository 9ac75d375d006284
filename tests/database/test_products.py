"""Products, prices and subscriptions: they end or are followed, nothing is rewritten."""

from datetime import timedelta

from amiable.database import products
from amiable.model.principal import Principal
from amiable.model.product import Price, Product, Subscription
from amiable.services import Services


def make(services: Services, seller: Principal, code: str = "A") -> Product:
    made = Product(code, seller.account_id, "A Suite", "USD", services.now())
    with services.database.write() as c:
        products.insert_product(c, made, Price(code, made.created_at, 50_000, 10_000_000))
    return made


def test_a_product_comes_back_with_its_price(
    services: Services, principal: Principal, other_principal: Principal
) -> None:
    made = make(services, principal)
    other = make(services, other_principal, "B")
    with services.database.read() as c:
        assert products.get_product(c, "A") == made
        assert products.get_product(c, "C") is None
        assert products.list_products(c) == [made, other]
        assert products.list_products(c, ["B", "C"]) == [other]
        assert products.list_products(c, seller_id=principal.account_id) == [made]
        assert products.prices_of(c, ["A", "C"]) == {"A": [Price("A", made.created_at, 50_000, 10_000_000)], "C": []}


def test_a_new_price_follows_the_last_though_the_clock_was_set_back(services: Services, principal: Principal) -> None:
    made = make(services, principal)
    early = made.created_at - timedelta(hours=1)
    with services.database.write() as c:
        second = products.add_price(c, Price("A", early, 1, 2))
        third = products.add_price(c, Price("A", early, 3, 4))
        found = products.prices_of(c, ["A"])["A"]
    assert found[1:] == [second, third]
    assert found[0].since_at < second.since_at < third.since_at


def test_one_subscription_stands_at_a_time_and_ended_ones_stay(services: Services, principal: Principal) -> None:
    now, account = make(services, principal).created_at, principal.account_id
    later = now + timedelta(hours=1)
    with services.database.write() as c:
        assert products.unsubscribe(c, account, "A", now=now) is None
        first = products.subscribe(c, account, "A", now=now)
        assert products.subscribe(c, account, "A", now=later) == first == Subscription(account, "A", now)
        assert products.subscribed_codes(c, account, ["A", "B"]) == {"A"}
        ended = products.unsubscribe(c, account, "A", now=now - timedelta(hours=1))
        assert ended == Subscription(account, "A", now, now)  # none ends before it began
        assert products.subscribed_codes(c, account, ["A"]) == set()
        second = products.subscribe(c, account, "A", now=later)
        assert products.list_subscriptions(c, account_id=account) == [ended, second]
        assert products.list_subscriptions(c, codes=["A"]) == [ended, second]
        assert products.list_subscriptions(c, codes=["B"]) == []
