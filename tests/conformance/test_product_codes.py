"""Paid images through stock boto3: codes that are inherited, launches that take a subscription, sellers that ask."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from amiable.api import products
from amiable.api.accounts import NewAccount
from amiable.api.products import Asked
from amiable.database import instances, metering, product_codes, snapshots
from amiable.model.principal import Principal
from amiable.model.product import ProductCode, ProductCodeType
from amiable.rules.lifecycle import Event
from tests.api.ec2.launching import make_image, make_instance_store_image, make_snapshot
from tests.server.edge import Edge, running_edge
from tests.support.services import make_account, open_services

TINY = {"InstanceType": "amiable.tiny", "MinCount": 1, "MaxCount": 1}
NO_INSTANCE = "i-" + "0" * 17


@dataclass(frozen=True)
class Market:
    """A seller's product on an image that is shared with a buyer."""

    edge: Edge
    seller: Principal
    buyer: Principal
    account: NewAccount  # the buyer's
    sold: Any  # the seller's boto3 client
    bought: Any  # the buyer's
    code: str
    image_id: str
    snapshot_id: str

    def subscribe(self) -> None:
        products.subscribe(self.edge.services, self.buyer, self.code)

    def unsubscribe(self) -> None:
        products.unsubscribe(self.edge.services, self.buyer, self.code)

    def launch(self) -> dict[str, Any]:
        """One instance of the buyer's."""
        (made,) = self.bought.run_instances(ImageId=self.image_id, **TINY)["Instances"]
        found: dict[str, Any] = made
        return found

    def move(self, instance_id: str, *events: Event) -> None:
        """Lets things happen to an instance."""
        with self.edge.services.database.write() as c:
            for event in events:
                instances.set_state(c, instance_id, event, now=self.edge.services.now())


def client(edge: Edge, account: NewAccount, service: str = "ec2") -> Any:
    return edge.client(service, aws_access_key_id=account.access_key_id, aws_secret_access_key=account.secret)


@contextmanager
def open_market(folder: Path) -> Iterator[Market]:
    with ExitStack() as stack:
        services = stack.enter_context(open_services(folder / "data"))
        (account, seller), (other, buyer) = make_account(services, "seller"), make_account(services, "buyer")
        edge = stack.enter_context(running_edge(services, account))
        code = products.create_product(
            services, seller, products.NewProduct("A Suite", "USD", Asked("0.05", "10"))
        ).product.code
        snapshot_id = make_snapshot(services, seller)
        clients = client(edge, account), client(edge, other)
        for each in clients:
            stack.callback(each.close)
        mapping = [{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": snapshot_id}}]
        image_id = clients[0].register_image(
            Name="suite", Architecture="x86_64", RootDeviceName="/dev/sda1", VirtualizationType="hvm",
            BlockDeviceMappings=mapping,
        )["ImageId"]  # fmt: skip
        clients[0].modify_image_attribute(ImageId=image_id, LaunchPermission={"Add": [{"UserId": buyer.account_id}]})
        products.attach(services, seller, code, image_id)
        yield Market(edge, seller, buyer, other, *clients, code, image_id, snapshot_id)


@pytest.fixture
def market(tmp_path: Path) -> Iterator[Market]:
    with open_market(tmp_path) as opened:
        yield opened


def refused(call: Any, **parameters: Any) -> tuple[str, str, int]:
    """Code, message and status of the refusal."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error = caught.value.response
    return error["Error"]["Code"], error["Error"]["Message"], error["ResponseMetadata"]["HTTPStatusCode"]


def opt_in(market: Market) -> tuple[str, str, int]:
    text = (
        "In order to use this AWS Marketplace product you need to accept terms and subscribe. "
        f"To do so please run: amiable product subscribe {market.code}"
    )
    return "OptInRequired", text, 401


@pytest.mark.proves("ec2", "RunInstances", "DescribeInstances")
def test_a_launch_without_a_subscription_is_refused_and_with_one_carries_the_codes(market: Market) -> None:
    assert refused(market.bought.run_instances, ImageId=market.image_id, **TINY) == opt_in(market)
    assert refused(market.bought.run_instances, ImageId=market.image_id, DryRun=True, **TINY) == opt_in(market)
    assert market.bought.describe_instances()["Reservations"] == []
    market.subscribe()
    made = market.launch()
    codes = [{"ProductCodeId": market.code, "ProductCodeType": "marketplace"}]
    assert made["ProductCodes"] == codes
    wanted = [{"Name": "product-code", "Values": [market.code]}]
    ((found,),) = [each["Instances"] for each in market.bought.describe_instances(Filters=wanted)["Reservations"]]
    assert found["ProductCodes"] == codes
    with market.edge.services.database.read() as c:
        volume_id = found["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
        assert [each.code for each in product_codes.codes_of(c, volume_id)] == [market.code]


@pytest.mark.proves("ec2", "DescribeInstanceAttribute")
def test_an_instance_tells_its_codes_as_an_attribute(market: Market) -> None:
    market.subscribe()
    asked = {"InstanceId": market.launch()["InstanceId"], "Attribute": "productCodes"}
    found = market.bought.describe_instance_attribute(**asked)["ProductCodes"]
    assert found == [{"ProductCodeId": market.code, "ProductCodeType": "marketplace"}]


@pytest.mark.proves("ec2", "RunInstances")
def test_the_seller_itself_needs_no_subscription(market: Market) -> None:
    (made,) = market.sold.run_instances(ImageId=market.image_id, **TINY)["Instances"]
    assert made["ProductCodes"] == [{"ProductCodeId": market.code, "ProductCodeType": "marketplace"}]


@pytest.mark.proves("ec2", "RegisterImage", "DescribeImages", "DescribeImageAttribute")
def test_an_image_of_snapshots_takes_the_codes_of_all_the_roots_first(market: Market) -> None:
    services = market.edge.services
    data, plain = make_snapshot(services, market.seller), make_snapshot(services, market.seller)
    with services.database.write() as c:
        product_codes.put_codes(c, data, (ProductCode("DATA"), ProductCode(market.code)))
    ids = {"/dev/sdf": data, "/dev/sdg": plain, "/dev/sda1": market.snapshot_id}
    image_id = market.sold.register_image(
        Name="of three", Architecture="x86_64", RootDeviceName="/dev/sda1", VirtualizationType="hvm",
        BlockDeviceMappings=[{"DeviceName": name, "Ebs": {"SnapshotId": each}} for name, each in ids.items()],
    )["ImageId"]  # fmt: skip
    codes = [
        {"ProductCodeId": market.code, "ProductCodeType": "marketplace"},
        {"ProductCodeId": "DATA", "ProductCodeType": "devpay"},
    ]
    (image,) = market.sold.describe_images(ImageIds=[image_id])["Images"]
    assert image["ProductCodes"] == codes
    asked = market.sold.describe_image_attribute(ImageId=image_id, Attribute="productCodes")
    assert asked["ProductCodes"] == codes
    for name, value, count in (("product-code", market.code, 2), ("product-code.type", "devpay", 1)):
        found = market.sold.describe_images(Filters=[{"Name": name, "Values": [value]}])["Images"]
        assert len(found) == count, name


@pytest.mark.proves("ec2", "ModifyImageAttribute")
def test_an_image_with_codes_is_shared_with_accounts_but_never_made_public(market: Market) -> None:
    everyone = {"Add": [{"Group": "all"}]}
    text = f"The image {market.image_id} carries product codes and cannot be made public: {market.code}."
    assert refused(market.sold.modify_image_attribute, ImageId=market.image_id, LaunchPermission=everyone) == (
        "OperationNotPermitted", text, 400,
    )  # fmt: skip
    asked = market.sold.describe_image_attribute(ImageId=market.image_id, Attribute="launchPermission")
    assert asked["LaunchPermissions"] == [{"UserId": market.buyer.account_id}]


@pytest.mark.proves("ec2", "RunInstances")
def test_what_was_public_before_its_code_came_stays_so_and_takes_a_subscription(market: Market) -> None:
    services = market.edge.services
    public = make_image(services, market.seller, grantees=frozenset({"all"}))
    products.attach(services, market.seller, market.code, public.id)
    (seen,) = market.bought.describe_images(ImageIds=[public.id])["Images"]
    assert seen["Public"] and seen["ProductCodes"][0]["ProductCodeId"] == market.code
    assert refused(market.bought.run_instances, ImageId=public.id, **TINY) == opt_in(market)


@pytest.mark.proves("ec2", "StartInstances", "StopInstances", "TerminateInstances")
def test_a_lapse_lets_an_instance_run_stop_and_end_but_not_start_again(market: Market) -> None:
    market.subscribe()
    instance_id = market.launch()["InstanceId"]
    market.move(instance_id, Event.BOOTED)
    assert products.list_lapses(market.edge.services, market.buyer) == []
    market.unsubscribe()
    for viewer in (market.buyer, market.seller):
        (lapse,) = products.list_lapses(market.edge.services, viewer)
        assert (lapse.instance_id, lapse.code, lapse.seller_id) == (instance_id, market.code, market.seller.account_id)
        assert (lapse.account_id, lapse.state) == (market.buyer.account_id, "running") and lapse.lapsed_at is not None
    market.bought.reboot_instances(InstanceIds=[instance_id])
    market.bought.stop_instances(InstanceIds=[instance_id])
    market.move(instance_id, Event.STOPPED)
    assert products.list_lapses(market.edge.services, market.buyer) == []
    assert refused(market.bought.start_instances, InstanceIds=[instance_id]) == opt_in(market)
    market.subscribe()
    market.bought.start_instances(InstanceIds=[instance_id])
    market.unsubscribe()
    market.bought.terminate_instances(InstanceIds=[instance_id])


@pytest.mark.proves("ec2", "DescribeSnapshots")
@pytest.mark.proves("ebs", "ListSnapshotBlocks")
def test_after_a_lapse_the_data_stays_its_owners_to_read_and_copy(market: Market) -> None:
    services, buyer = market.edge.services, market.buyer
    mine = make_snapshot(services, buyer)
    with services.database.write() as c:
        product_codes.put_codes(c, mine, (ProductCode(market.code, ProductCodeType.MARKETPLACE),))
    assert market.bought.describe_snapshots(SnapshotIds=[mine])["Snapshots"][0]["State"] == "completed"
    asked = market.bought.describe_snapshot_attribute(SnapshotId=mine, Attribute="productCodes")
    assert asked["ProductCodes"] == [{"ProductCodeId": market.code, "ProductCodeType": "marketplace"}]
    keys = {"aws_access_key_id": market.account.access_key_id, "aws_secret_access_key": market.account.secret}
    with closing(market.edge.client("ebs", **keys)) as ebs:
        assert ebs.list_snapshot_blocks(SnapshotId=mine)["Blocks"] == []
        assert ebs.start_snapshot(VolumeSize=2, ParentSnapshotId=mine)["Status"] == "pending"
    mapping = [{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": mine}}]
    image_id = market.bought.register_image(
        Name="mine", Architecture="x86_64", RootDeviceName="/dev/sda1", VirtualizationType="hvm",
        BlockDeviceMappings=mapping,
    )["ImageId"]  # fmt: skip
    assert refused(market.bought.run_instances, ImageId=image_id, **TINY) == opt_in(market)
    plain = make_image(services, buyer)
    data = [{"DeviceName": "/dev/sdf", "Ebs": {"SnapshotId": mine}}]
    (made,) = market.bought.run_instances(ImageId=plain.id, BlockDeviceMappings=data, **TINY)["Instances"]
    assert [each["ProductCodeId"] for each in made["ProductCodes"]] == [market.code]  # another machine reads the data


@pytest.mark.proves("ec2", "ModifySnapshotAttribute")
def test_a_snapshot_with_a_code_is_never_made_public(market: Market) -> None:
    change = {"SnapshotId": market.snapshot_id, "Attribute": "createVolumePermission", "OperationType": "add"}
    text = f"The snapshot {market.snapshot_id} carries product codes and cannot be made public: {market.code}."
    assert refused(market.sold.modify_snapshot_attribute, GroupNames=["all"], **change) == (
        "OperationNotPermitted", text, 400,
    )  # fmt: skip
    market.sold.modify_snapshot_attribute(UserIds=[market.buyer.account_id], **change)


@pytest.mark.proves("ec2", "ConfirmProductInstance")
def test_the_seller_learns_whether_an_instance_carries_its_code_and_whose_it_is(market: Market) -> None:
    market.subscribe()
    carries = market.launch()["InstanceId"]
    plain = make_image(market.edge.services, market.buyer)
    (without,) = market.bought.run_instances(ImageId=plain.id, **TINY)["Instances"]
    confirm = market.sold.confirm_product_instance
    found = confirm(InstanceId=carries, ProductCode=market.code)
    assert (found["Return"], found["OwnerId"]) == (True, market.buyer.account_id)
    other = confirm(InstanceId=without["InstanceId"], ProductCode=market.code)
    assert other["Return"] is False and "OwnerId" not in other
    code, _, status = refused(confirm, InstanceId=carries, ProductCode=market.code, DryRun=True)
    assert (code, status) == ("DryRunOperation", 412)


@pytest.mark.proves("ec2", "ConfirmProductInstance")
def test_only_the_seller_may_ask_and_only_about_what_there_is(market: Market) -> None:
    market.subscribe()
    instance_id = market.launch()["InstanceId"]
    confirm = market.sold.confirm_product_instance
    assert refused(market.bought.confirm_product_instance, InstanceId=instance_id, ProductCode=market.code) == (
        "AuthFailure", f"Not authorized for product code:{market.code}", 401,
    )  # fmt: skip
    assert refused(confirm, InstanceId="i-xyz", ProductCode=market.code)[:2] == (
        "InvalidInstanceID.Malformed", 'Invalid id: "i-xyz" (expecting "i-...")',
    )  # fmt: skip
    assert refused(confirm, InstanceId=NO_INSTANCE, ProductCode=market.code)[:2] == (
        "InvalidInstanceID.NotFound", f"The instance ID '{NO_INSTANCE}' does not exist",
    )  # fmt: skip
    assert refused(confirm, InstanceId=instance_id, ProductCode="nobody")[:2] == (
        "InvalidProductInfo", "The product code 'nobody' does not exist.",
    )  # fmt: skip


@pytest.mark.proves("ebs", "StartSnapshot")
def test_a_child_of_a_snapshot_inherits_its_codes(market: Market) -> None:
    services = market.edge.services
    with closing(market.edge.client("ebs")) as ebs:
        child = ebs.start_snapshot(VolumeSize=2, ParentSnapshotId=market.snapshot_id)["SnapshotId"]
    with services.database.read() as c:
        kept = product_codes.codes_of(c, child)
    assert kept == (ProductCode(market.code, ProductCodeType.MARKETPLACE),)
    with services.database.write() as c:
        assert snapshots.delete_row(c, child)
        assert product_codes.codes_of(c, child) == ()


@pytest.mark.proves("ec2", "RunInstances")
def test_a_code_that_nobody_sells_here_is_a_mark_and_no_more(market: Market) -> None:
    image = make_instance_store_image(market.edge.services, market.buyer, product_codes=(ProductCode("774F4FF8"),))
    (made,) = market.bought.run_instances(ImageId=image.id, **TINY)["Instances"]
    assert made["ProductCodes"] == [{"ProductCodeId": "774F4FF8", "ProductCodeType": "devpay"}]


@pytest.mark.proves("ec2", "RunInstances")
def test_a_plain_volume_of_a_paid_instance_carries_no_code(market: Market) -> None:
    market.subscribe()
    mapping = [{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1}}]
    (made,) = market.bought.run_instances(ImageId=market.image_id, BlockDeviceMappings=mapping, **TINY)["Instances"]
    (found,) = market.bought.describe_instances(InstanceIds=[made["InstanceId"]])["Reservations"][0]["Instances"]
    volumes = {each["DeviceName"]: each["Ebs"]["VolumeId"] for each in found["BlockDeviceMappings"]}
    with market.edge.services.database.read() as c:
        assert product_codes.codes_of(c, volumes["/dev/sdf"]) == ()
        assert [each.code for each in product_codes.codes_of(c, volumes["/dev/sda1"])] == [market.code]


@pytest.mark.proves("ec2", "RunInstances")
def test_a_launch_carries_the_codes_of_every_disk_and_asks_for_those_of_its_image_alone(market: Market) -> None:
    grant = {"Attribute": "createVolumePermission", "OperationType": "add", "UserIds": [market.buyer.account_id]}
    market.sold.modify_snapshot_attribute(SnapshotId=market.snapshot_id, **grant)
    free = make_image(market.edge.services, market.buyer)
    mapping = [{"DeviceName": "/dev/sdf", "Ebs": {"SnapshotId": market.snapshot_id}}]
    (made,) = market.bought.run_instances(ImageId=free.id, BlockDeviceMappings=mapping, **TINY)["Instances"]
    assert [each["ProductCodeId"] for each in made["ProductCodes"]] == [market.code]
    market.move(made["InstanceId"], Event.BOOTED)
    with market.edge.services.database.read() as c:
        assert metering.codes_run_by(c, market.buyer.account_id) == {market.code}


@pytest.mark.proves("ec2", "CreateReplaceRootVolumeTask")
def test_a_root_is_not_replaced_around_a_subscription(market: Market) -> None:
    services = market.edge.services
    paid, free = make_image(services, market.seller, grantees=frozenset({"all"})), make_image(services, market.buyer)
    assert paid.devices[0].snapshot_id is not None
    (before,) = market.bought.run_instances(ImageId=paid.id, **TINY)["Instances"]
    (other,) = market.bought.run_instances(ImageId=free.id, **TINY)["Instances"]
    for each in (before, other):
        market.move(each["InstanceId"], Event.BOOTED)
    products.attach(services, market.seller, market.code, paid.devices[0].snapshot_id)
    ask = market.bought.create_replace_root_volume_task
    assert refused(ask, InstanceId=before["InstanceId"]) == opt_in(market)
    code, text, _ = refused(ask, InstanceId=other["InstanceId"], ImageId=paid.id)
    assert code == "InvalidParameterValue" and f"those of the instance: none, not {market.code}" in text
    market.subscribe()
    assert ask(InstanceId=before["InstanceId"])["ReplaceRootVolumeTask"]["TaskState"] == "pending"
