"""Products: who may make, price, attach and read what; who is subscribed, and who runs without."""

import re
from dataclasses import replace

import pytest

from amiable.api import products
from amiable.api.products import Asked
from amiable.database import images, instances, product_codes, sharing
from amiable.model.errors import (
    AuthFailure,
    InvalidParameterValue,
    Malformed,
    NotFound,
    OperationNotPermitted,
    Refusal,
    UnauthorizedOperation,
)
from amiable.model.image import ImageDevice
from amiable.model.principal import Principal
from amiable.model.product import ProductCode, ProductCodeType
from amiable.model.product_errors import InvalidProductInfo, OptInRequired, ProductCodeTaken
from amiable.rules.lifecycle import Event
from amiable.services import Services
from tests.api.ec2.launching import make_image, make_kernel, make_snapshot, run_one

NOBODYS = "nobodys"


def make(services: Services, seller: Principal, hourly: str = "0.05", monthly: str = "10") -> str:
    """The code of a new product."""
    return products.create_product(
        services, seller, products.NewProduct("Suite", "USD", Asked(hourly, monthly))
    ).product.code


def test_a_product_is_for_everyone_to_see_and_its_price_for_the_seller_to_change(
    services: Services, principal: Principal, other_principal: Principal
) -> None:
    code = make(services, principal)
    assert re.fullmatch("[0-9a-z]{25}", code)
    offer = products.get_product(services, other_principal, code)
    assert (offer.product.account_id, offer.price.hourly_micros, offer.price.monthly_micros) == (
        principal.account_id, 50_000, 10_000_000,
    )  # fmt: skip
    with pytest.raises(AuthFailure, match=f"Not authorized for product code:{code}"):
        products.set_price(services, other_principal, code, Asked("0"))
    products.set_price(services, principal, code, Asked("0.0035"))
    (offer,) = products.list_products(services, other_principal)
    assert (offer.price.hourly_micros, offer.price.monthly_micros) == (3_500, 10_000_000)
    offer = products.set_price(services, principal, code, Asked("0.0035", "0"))
    assert (offer.price.hourly_micros, offer.price.monthly_micros) == (3_500, 0)


@pytest.mark.parametrize(
    ("asked", "name", "currency", "match"),
    [
        (Asked("-1"), "n", "USD", "parameter HourlyPrice"),
        (Asked("1", "x"), "n", "USD", "parameter MonthlyFee"),
        (Asked("1"), "", "USD", "parameter Name"),
        (Asked("1"), "n", "usd", "parameter Currency"),
    ],
)
def test_what_is_no_offer_is_refused(
    services: Services, principal: Principal, asked: Asked, name: str, currency: str, match: str
) -> None:
    with pytest.raises(InvalidParameterValue, match=match):
        products.create_product(services, principal, products.NewProduct(name, currency, asked))
    assert products.list_products(services, principal) == []


def test_only_the_administrator_chooses_a_code_and_none_twice(
    services: Services, principal: Principal, administrator: Principal
) -> None:
    wanted = products.NewProduct("Classic", "USD", Asked("1"), "774F4FF8")
    with pytest.raises(UnauthorizedOperation, match="administrator"):
        products.create_product(services, principal, wanted)
    assert products.create_product(services, administrator, wanted).product.code == "774F4FF8"
    with pytest.raises(ProductCodeTaken, match="'774F4FF8' is in use by another product"):
        products.create_product(services, administrator, wanted)
    with pytest.raises(InvalidParameterValue, match="parameter Code"):
        products.create_product(services, administrator, replace(wanted, code="a b"))


def test_a_code_goes_onto_the_image_and_those_snapshots_that_are_the_sellers(
    services: Services, principal: Principal, other_principal: Principal
) -> None:
    code, mine, another = (
        make(services, principal),
        make_snapshot(services, principal),
        make_snapshot(services, other_principal),
    )
    devices = (
        ImageDevice("/dev/sda1", snapshot_id=mine),
        ImageDevice("/dev/sdf", snapshot_id=another),
        ImageDevice("/dev/sdg"),
    )
    image = make_image(services, principal, devices=devices)
    assert products.attach(services, principal, code, image.id) == [image.id, mine]
    assert products.attach(services, principal, code, mine) == [mine]
    expected = (ProductCode(code, ProductCodeType.MARKETPLACE),)
    with services.database.read() as c:
        assert [product_codes.codes_of(c, each) for each in (image.id, mine, another)] == [expected, expected, ()]


def test_nobody_attaches_another_sellers_code_or_to_anothers_resources(
    services: Services, principal: Principal, other_principal: Principal
) -> None:
    code, own = make(services, principal), make(services, other_principal)
    image, kernel = make_image(services, principal), make_kernel(services, principal)
    refusals: list[tuple[Principal, str, str, type[Refusal]]] = [
        (other_principal, code, image.id, AuthFailure),
        (other_principal, own, image.id, AuthFailure),
        (other_principal, own, image.devices[0].snapshot_id or "", NotFound),
        (principal, code, "ami-" + "0" * 17, NotFound),
        (principal, code, "snap-xyz", Malformed),
        (principal, code, "i-" + "0" * 17, InvalidParameterValue),
        (principal, code, kernel.id, InvalidParameterValue),
        (principal, NOBODYS, image.id, InvalidProductInfo),
    ]
    for who, which, resource_id, kind in refusals:
        with pytest.raises(kind):
            products.attach(services, who, which, resource_id)
    with services.database.read() as c:
        assert product_codes.codes_of_many(c, [image.id, kernel.id, image.devices[0].snapshot_id or ""]) == {}


def test_nothing_is_attached_where_a_snapshot_is_public(services: Services, principal: Principal) -> None:
    code, image = make(services, principal), make_image(services, principal)
    snapshot_id = image.devices[0].snapshot_id or ""
    with services.database.write() as c:
        sharing.change_snapshot_grants(c, snapshot_id, add=["all"], remove=[])
    for resource_id in (image.id, snapshot_id):
        with pytest.raises(OperationNotPermitted, match=f"The snapshot {snapshot_id} is public"):
            products.attach(services, principal, code, resource_id)
    with services.database.read() as c:
        assert product_codes.codes_of(c, image.id) == ()


def test_a_subscription_stands_until_it_is_ended(
    services: Services, principal: Principal, other_principal: Principal
) -> None:
    code = make(services, principal)
    with pytest.raises(OperationNotPermitted, match="its seller needs no subscription"):
        products.subscribe(services, principal, code)
    with pytest.raises(InvalidProductInfo, match="has no subscription to the product"):
        products.unsubscribe(services, other_principal, code)
    for call in (products.subscribe, products.unsubscribe, products.get_product, products.list_subscribers):
        with pytest.raises(InvalidProductInfo, match="The product code 'nobodys' does not exist"):
            call(services, other_principal, NOBODYS)
    first = products.subscribe(services, other_principal, code)
    assert products.subscribe(services, other_principal, code) == first
    assert products.list_subscriptions(services, other_principal) == [first]
    assert products.list_subscriptions(services, principal) == []
    assert products.list_subscribers(services, principal, code) == [first]
    with pytest.raises(AuthFailure):
        products.list_subscribers(services, other_principal, code)
    ended = products.unsubscribe(services, other_principal, code)
    assert ended == replace(first, ended_at=ended.ended_at)
    assert ended.ended_at is not None


def test_a_launch_needs_a_subscription_to_each_code_that_others_sell(
    services: Services, principal: Principal, other_principal: Principal
) -> None:
    codes = make(services, principal), make(services, principal)
    image = make_image(
        services,
        principal,
        grantees=frozenset({other_principal.account_id}),
        product_codes=tuple(map(ProductCode, codes)),
    )
    for code in codes:
        with pytest.raises(OptInRequired, match=code):
            run_one(services, other_principal, image)
        products.subscribe(services, other_principal, code)
    run_one(services, other_principal, image)


def test_a_root_snapshot_that_came_by_a_code_after_registration_takes_a_subscription_too(
    services: Services, principal: Principal, other_principal: Principal
) -> None:
    code = make(services, principal)
    image = make_image(services, principal, grantees=frozenset({other_principal.account_id}))
    products.attach(services, principal, code, image.devices[0].snapshot_id or "")
    with pytest.raises(OptInRequired):
        run_one(services, other_principal, image)
    products.subscribe(services, other_principal, code)
    instance_id = run_one(services, other_principal, image)
    with services.database.read() as c:
        found = instances.get_instance(c, instance_id)
        kept = images.get(c, principal.region, image.id, viewer=principal.account_id)
    assert found is not None and [each.code for each in found.product_codes] == [code]
    assert kept is not None and kept.product_codes == ()


def test_who_runs_without_a_subscription_is_told_to_owner_seller_and_administrator(
    services: Services, principal: Principal, other_principal: Principal, administrator: Principal
) -> None:
    code = make(services, principal)
    image = make_image(
        services,
        principal,
        grantees=frozenset({other_principal.account_id}),
        product_codes=(ProductCode(code), ProductCode("x")),
    )
    run_one(services, principal, image)  # the seller's own
    products.subscribe(services, other_principal, code)
    instance_id = run_one(services, other_principal, image)
    everyone = (principal, other_principal, administrator)
    assert [products.list_lapses(services, who) for who in everyone] == [[], [], []]
    ended = products.unsubscribe(services, other_principal, code)
    for who in everyone:
        (lapse,) = products.list_lapses(services, who)
        assert (lapse.instance_id, lapse.account_id, lapse.code) == (instance_id, other_principal.account_id, code)
        assert (lapse.state, lapse.lapsed_at) == ("pending", ended.ended_at)
    products.subscribe(services, other_principal, code)
    assert products.list_lapses(services, administrator) == []
    products.unsubscribe(services, other_principal, code)
    with services.database.write() as c:
        instances.set_state(c, instance_id, Event.TERMINATE_ASKED, now=services.now())
    assert products.list_lapses(services, administrator) == []
