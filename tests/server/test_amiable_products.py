"""Products over Amiable's own API: every route, what it answers, and what it does not take."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from amiable.api.accounts import NewAccount
from tests.api.ec2.launching import make_image
from tests.server.edge import Edge, running_edge
from tests.support.services import make_account, open_services

OFFER = {"Name": "A Suite", "Currency": "USD", "HourlyPrice": "0.05", "MonthlyFee": "10"}


@dataclass(frozen=True)
class Api:
    edge: Edge
    account: NewAccount

    def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        target, data = f"/amiable/v1/{path}", b"" if body is None else json.dumps(body).encode()
        key, secret = self.account.access_key_id, self.account.secret
        headers = self.edge.sign(method, target, data, service="amiable", key=key, secret=secret)
        answer = self.edge.send(method, target, data, headers)
        return answer.status, json.loads(answer.body)

    def refused(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        status, found = self(method, path, body)
        return status, found["Code"]


@pytest.fixture(scope="module")
def apis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Api, Api]]:
    folder: Path = tmp_path_factory.mktemp("edge")
    with open_services(folder / "data") as services:
        seller, buyer = make_account(services, "seller")[0], make_account(services, "buyer")[0]
        with running_edge(services, seller) as edge:
            yield Api(edge, seller), Api(edge, buyer)


@pytest.fixture
def code(apis: tuple[Api, Api]) -> str:
    status, made = apis[0]("POST", "products", OFFER)
    assert status == 200
    return str(made["ProductCode"])


def test_every_route_answers_in_exact_decimals(apis: tuple[Api, Api], code: str) -> None:
    seller, buyer = apis
    _, offer = buyer("GET", f"products/{code}")
    assert {key: offer[key] for key in OFFER} == OFFER | {"MonthlyFee": "10.00"}
    assert offer["SellerId"] == seller.account.account_id
    assert offer in buyer("GET", "products")[1]["Products"]
    price = {"HourlyPrice": "0.000001", "MonthlyFee": "0"}
    _, changed = seller("PUT", f"products/{code}/price", price)
    assert (changed["HourlyPrice"], changed["MonthlyFee"]) == ("0.000001", "0.00")
    _, standing = buyer("PUT", f"products/{code}/subscription", {})
    assert (standing["SubscriberId"], standing["State"]) == (buyer.account.account_id, "active")
    assert standing in buyer("GET", "subscriptions")[1]["Subscriptions"]
    assert seller("GET", f"products/{code}/subscriptions")[1]["Subscriptions"] == [standing]
    month = standing["StartedAt"][:7]
    assert buyer("GET", f"statements/{month}")[1]["Role"] == "subscriber"
    assert seller("GET", f"statements/{month}/seller")[1]["Role"] == "seller"
    assert buyer("GET", "lapses") == (200, {"Lapses": []})
    assert buyer("DELETE", f"products/{code}/subscription")[1]["State"] == "ended"


def test_a_code_is_attached_by_its_seller(apis: tuple[Api, Api], code: str) -> None:
    seller, buyer = apis
    owner = make_account(seller.edge.services, "owner")[1]
    foreign = make_image(seller.edge.services, owner).id
    wanted = {"ResourceId": foreign}
    assert seller.refused("POST", f"products/{code}/resources", wanted) == (401, "AuthFailure")
    assert buyer.refused("POST", f"products/{code}/resources", wanted) == (401, "AuthFailure")
    assert seller.refused("POST", "products/nobodys/resources", wanted) == (400, "InvalidProductInfo")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({**OFFER, "HourlyPrice": 0.05}, "InvalidParameterValue"),
        ({**OFFER, "HourlyPrice": "free"}, "InvalidParameterValue"),
        ({**OFFER, "Currency": "dollars"}, "InvalidParameterValue"),
        ({**OFFER, "Name": "\n"}, "InvalidParameterValue"),
        ({**OFFER, "Colour": "blue"}, "InvalidParameterValue"),
        ({**OFFER, "Code": "mine"}, "UnauthorizedOperation"),
        ({}, "InvalidParameterValue"),
        ([], "InvalidParameterValue"),
    ],
)
def test_what_is_no_offer_makes_none(apis: tuple[Api, Api], body: Any, code: str) -> None:
    before = apis[0]("GET", "products")
    assert apis[0].refused("POST", "products", body)[1] == code
    assert apis[0]("GET", "products") == before


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "products/x"), ("PUT", "products/x/subscription"), ("DELETE", "products/x/subscription")],
)
def test_a_code_that_nobody_sells_is_refused(apis: tuple[Api, Api], method: str, path: str) -> None:
    assert apis[1].refused(method, path) == (400, "InvalidProductInfo")


def test_a_month_is_year_and_month_and_an_unknown_path_is_none(apis: tuple[Api, Api]) -> None:
    assert apis[0].refused("GET", "statements/november") == (400, "InvalidParameterValue")
    assert apis[0].refused("GET", "statements") == (400, "InvalidAction")
    assert apis[0].refused("DELETE", "products/x") == (400, "InvalidAction")
