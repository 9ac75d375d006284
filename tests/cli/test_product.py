"""Paid images as people meet them: ``amiable product`` and Amiable's own API against a real server.  Nothing is booted."""

import json
from typing import Any

import pytest

from tests.support.journey import amiable
from tests.support.server import Server


def said(server: Server, *words: str, account: str | None = None) -> Any:
    """What the command prints as JSON."""
    return json.loads(amiable(server, "product", *words, "--output", "json", account=account).stdout)


def refused(server: Server, *words: str, account: str | None = None) -> str:
    """What the command says when the server refuses it."""
    done = amiable(server, "product", *words, account=account, check=False)
    assert done.returncode == 1, done
    return done.stderr


@pytest.fixture(scope="module")
def buyer(server: Server) -> str:
    made = json.loads(amiable(server, "account", "create", "buyer", "--output", "json").stdout)
    return str(made["AccountId"])


@pytest.fixture(scope="module")
def offer(server: Server) -> dict[str, Any]:
    made: dict[str, Any] = said(server, "create", "A Suite", "--hourly", "0.05", "--monthly", "30", "--currency", "EUR")
    return made


def test_an_offer_is_listed_shown_and_priced_anew(server: Server, offer: dict[str, Any], buyer: str) -> None:
    code = offer["ProductCode"]
    assert (offer["HourlyPrice"], offer["MonthlyFee"], offer["Currency"]) == ("0.05", "30.00", "EUR")
    assert said(server, "show", code, account=buyer) == offer
    assert offer in said(server, "list", account=buyer)
    assert "error: AuthFailure: Not authorized for product code" in refused(
        server, "price", code, "--hourly", "0", account=buyer
    )
    changed = said(server, "price", code, "--hourly", "0.0035", "--monthly", "60")
    assert (changed["HourlyPrice"], changed["MonthlyFee"]) == ("0.0035", "60.00")
    assert said(server, "price", code, "--hourly", "0.004")["MonthlyFee"] == "60.00"
    assert "Give a decimal number" in refused(server, "price", code, "--hourly", "5ct")


def test_attach_subscribe_statement_and_an_end(server: Server, offer: dict[str, Any], buyer: str) -> None:
    code = offer["ProductCode"]
    ebs = server.client("ebs")
    snapshot_id = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    assert said(server, "attach", code, snapshot_id) == [{"ResourceId": snapshot_id, "ProductCode": code}]
    first = said(server, "subscribe", code, account=buyer)
    assert (first["State"], first["SubscriberId"], first["EndedAt"]) == ("active", buyer, None)
    assert said(server, "subscriptions", account=buyer) == said(server, "subscriptions", code) == [first]
    month = first["StartedAt"][:7]
    for words, role, account in (((), "subscriber", buyer), (("--seller",), "seller", None)):
        found = said(server, "statement", "--month", month, *words, account=account)
        assert (found["Month"], found["Role"]) == (month, role)
        (line,) = found["Lines"]
        assert (line["ProductCode"], line["SubscriberId"], line["Hours"], line["FeeDays"]) == (code, buyer, 0, 1)
        assert found["Totals"] == [{"Currency": "EUR", "Amount": line["Total"]}]
        table = amiable(server, "product", "statement", "--month", month, *words, account=account)
        assert line["Fee"] in table.stdout
        assert f"{month} as of" in table.stderr and f"{line['Total']} EUR" in table.stderr
    assert "Give year and month" in refused(server, "statement", "--month", "soon", account=buyer)
    assert said(server, "unsubscribe", code, account=buyer)["State"] == "ended"
    assert "has no subscription" in refused(server, "unsubscribe", code, account=buyer)
    assert said(server, "lapses", account=buyer) == []


def test_a_launch_without_a_subscription_says_what_to_do(server: Server, offer: dict[str, Any], buyer: str) -> None:
    code, ebs, ec2 = offer["ProductCode"], server.client("ebs"), server.client("ec2")
    snapshot_id = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    ebs.complete_snapshot(SnapshotId=snapshot_id, ChangedBlocksCount=0)
    ec2.get_waiter("snapshot_completed").wait(SnapshotIds=[snapshot_id], WaiterConfig={"Delay": 1})
    image_id = ec2.register_image(
        Name="suite", Architecture="x86_64", RootDeviceName="/dev/sda1", VirtualizationType="hvm",
        BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": snapshot_id}}],
    )["ImageId"]  # fmt: skip
    said(server, "attach", code, image_id)
    ec2.modify_image_attribute(ImageId=image_id, LaunchPermission={"Add": [{"UserId": buyer}]})
    done = amiable(server, "launch", image_id, account=buyer, check=False)
    assert done.returncode == 1
    assert "error: OptInRequired: In order to use this AWS Marketplace product" in done.stderr
    assert f"amiable product subscribe {code}" in done.stderr


def test_what_the_own_api_does_not_take_is_refused(server: Server) -> None:
    assert "InvalidProductInfo: The product code 'no/body' does not exist" in refused(server, "show", "no/body")
