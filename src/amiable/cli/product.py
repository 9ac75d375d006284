"""``amiable product``: paid images: what a seller offers, what a subscriber owes."""

from typing import Annotated, Any, Final

import cyclopts
from cyclopts import Parameter

from amiable.cli.client import call, in_path
from amiable.cli.output import Output, say, show_one, show_rows

COLUMNS: Final = {
    "product code": "ProductCode",
    "name": "Name",
    "seller": "SellerId",
    "currency": "Currency",
    "hourly": "HourlyPrice",
    "monthly": "MonthlyFee",
}
SUBSCRIPTION_COLUMNS: Final = {
    "product code": "ProductCode",
    "subscriber": "SubscriberId",
    "state": "State",
    "started": "StartedAt",
    "ended": "EndedAt",
}
LAPSE_COLUMNS: Final = {
    "instance": "InstanceId",
    "owner": "OwnerId",
    "product code": "ProductCode",
    "seller": "SellerId",
    "region": "Region",
    "state": "State",
    "lapsed": "LapsedAt",
}
STATEMENT_COLUMNS: Final = {
    "product code": "ProductCode",
    "name": "Name",
    "seller": "SellerId",
    "subscriber": "SubscriberId",
    "hours": "Hours",
    "fee days": "FeeDays",
    "fee": "Fee",
    "total": "Total",
    "currency": "Currency",
}

app = cyclopts.App(name="product", help="Paid images: offer, attach, subscribe, statements.")

Code = Annotated[str, Parameter(help="Product code.")]
Hourly = Annotated[str, Parameter(help="Mark-up for each instance-hour begun, like 0.05.")]
Monthly = Annotated[str, Parameter(help="Fee for a month of subscription, like 10; by days.")]


@app.command
def create(
    name: Annotated[str, Parameter(help="What it is called.")],
    /,
    *,
    hourly: Hourly,
    monthly: Monthly = "0",
    currency: Annotated[str, Parameter(help="ISO 4217: USD, EUR, …")] = "USD",
    code: Annotated[
        str | None, Parameter(help="A code that bundles carry already (administrator); else a new one is made.")
    ] = None,
    output: Output = "table",
) -> None:
    """Offers a product: whoever launches what carries its code needs a subscription."""
    body = {"Name": name, "Currency": currency, "HourlyPrice": hourly, "MonthlyFee": monthly}
    made = call("POST", "/products", body | ({} if code is None else {"Code": code}))
    show_one(made, output, identifier="ProductCode")
    if output != "id":
        say(f"\nto put it onto an image: amiable product attach {made['ProductCode']} ami-…")


@app.command(name="list")
def list_(*, output: Output = "table") -> None:
    """Lists every product and what it costs."""
    show_rows(call("GET", "/products")["Products"], COLUMNS, output, identifier="ProductCode")


@app.command
def show(code: Code, /, *, output: Output = "table") -> None:
    """Shows one product."""
    show_one(call("GET", _path(code)), output, identifier="ProductCode")


@app.command
def price(
    code: Code,
    /,
    *,
    hourly: Hourly,
    monthly: Annotated[str | None, Parameter(help="Fee for a month of subscription. Default: as it is.")] = None,
    output: Output = "table",
) -> None:
    """Changes what a product costs, from now on; hours that have begun keep their price."""
    body = {"HourlyPrice": hourly} | ({} if monthly is None else {"MonthlyFee": monthly})
    row = call("PUT", f"{_path(code)}/price", body)
    show_one(row, output, identifier="ProductCode")


@app.command
def attach(
    code: Code,
    resource: Annotated[str, Parameter(help="Image or snapshot id.")],
    /,
    *,
    output: Output = "table",
) -> None:
    """Puts a code onto the seller's own image and its snapshots, or onto a snapshot; it stays there."""
    made = call("POST", f"{_path(code)}/resources", {"ResourceId": resource})
    rows = [{"ResourceId": each, "ProductCode": code} for each in made["ResourceIds"]]
    show_rows(rows, {"resource": "ResourceId", "product code": "ProductCode"}, output, identifier="ResourceId")


@app.command
def subscribe(code: Code, /, *, output: Output = "table") -> None:
    """Subscribes to a product: from now on its images can be launched, and are charged."""
    show_one(call("PUT", f"{_path(code)}/subscription", {}), output, identifier="ProductCode")


@app.command
def unsubscribe(code: Code, /, *, output: Output = "table") -> None:
    """Ends a subscription.  What runs goes on running and is charged by the hour; nothing of it is taken away."""
    show_one(call("DELETE", f"{_path(code)}/subscription"), output, identifier="ProductCode")
    if output != "id":
        say("\nwhat still runs without a subscription: amiable product lapses")


@app.command
def subscriptions(
    code: Annotated[str | None, Parameter(help="A product code: its subscribers, for the seller.")] = None,
    /,
    *,
    output: Output = "table",
) -> None:
    """Lists the account's subscriptions, or a product's."""
    found = call("GET", "/subscriptions" if code is None else f"{_path(code)}/subscriptions")
    show_rows(found["Subscriptions"], SUBSCRIPTION_COLUMNS, output, identifier="ProductCode")


@app.command
def lapses(*, output: Output = "table") -> None:
    """Lists instances that run without a subscription: the account's own, and those of its products."""
    show_rows(call("GET", "/lapses")["Lapses"], LAPSE_COLUMNS, output, identifier="InstanceId")


@app.command
def statement(
    *,
    month: Annotated[str, Parameter(help="Year and month (UTC), like 2026-11.")],
    seller: Annotated[bool, Parameter(help="What the account's products earned, not what it owes.")] = False,
    output: Output = "table",
) -> None:
    """Says what a month cost, or with --seller brought in: computed from the metering records."""
    found = call("GET", f"/statements/{in_path(month)}" + ("/seller" if seller else ""))
    if output == "json":
        show_one(found, output, identifier="Month")
        return
    show_rows(found["Lines"], STATEMENT_COLUMNS, output, identifier="ProductCode")
    if output == "table":
        say(_totals(found))


def _totals(found: dict[str, Any]) -> str:
    sums = ", ".join(f"{each['Amount']} {each['Currency']}" for each in found["Totals"])
    return f"\n{found['Month']} as of {found['AsOf']}: {sums or 'nothing'}"


def _path(code: str) -> str:
    return f"/products/{in_path(code)}"
