"""What keeps an image or a snapshot: everything is named, with the command that frees it, and the bytes are exact."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sqlalchemy import select

from amiable.blocks.pack import HEADER
from amiable.database import instances, recycle_bin, schema
from amiable.model import ids
from amiable.model.principal import Principal
from amiable.model.units import BLOCK_BYTES
from amiable.rules.lifecycle import Event
from tests.api.ec2.launching import TINY, make_image, make_kernel, make_snapshot
from tests.server.edge import Edge, running_edge
from tests.support.services import make_account, open_services
from tests.support.work import run_jobs

REGION = "us-east-1"


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with open_services(tmp_path_factory.mktemp("why") / "data", instances_max=1000) as services:
        account, _ = make_account(services, "edge")
        with running_edge(services, account) as running:
            yield running


@pytest.fixture(scope="module")
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


class Hand:
    """An account at the edge."""

    def __init__(self, edge: Edge, account: Any, stack: ExitStack, *, administrator: bool = False) -> None:
        self.edge, self.services, self.account_id = edge, edge.services, account.account_id
        self.how = {"service": "amiable", "key": account.access_key_id, "secret": account.secret}
        self.principal = Principal(account.account_id, account.access_key_id, REGION, administrator)
        keys = {"aws_access_key_id": account.access_key_id, "aws_secret_access_key": account.secret}
        self.ec2, self.ebs, self.ssm = (
            stack.enter_context(closing(edge.client(name, **keys))) for name in ("ec2", "ebs", "ssm")
        )

    def ask(self, resource_id: str) -> tuple[int, dict[str, Any]]:
        target = f"/amiable/v1/why/{resource_id}"
        answer = self.edge.send("GET", target, b"", self.edge.sign("GET", target, **self.how))
        return answer.status, json.loads(answer.body)

    def keepers(self, resource_id: str) -> list[tuple[str, str, bool]]:
        status, found = self.ask(resource_id)
        assert status == 200, found
        return [(it["Kind"], it["ResourceId"], it["Blocks"]) for it in found["Keepers"]]

    def commands(self, resource_id: str) -> list[str | None]:
        return [it["Command"] for it in self.ask(resource_id)[1]["Keepers"]]

    def post(self, path: str, **body: Any) -> None:
        sent = json.dumps(body).encode()
        answer = self.edge.send(
            "POST", f"/amiable/v1/{path}", sent, self.edge.sign("POST", f"/amiable/v1/{path}", sent, **self.how)
        )
        assert answer.status == 200, answer.text

    def image(self, **facts: Any) -> str:
        return make_image(self.services, self.principal, **facts).id

    def run(self, image_id: str) -> str:
        made = self.ec2.run_instances(ImageId=image_id, InstanceType=TINY, MinCount=1, MaxCount=1)
        return str(made["Instances"][0]["InstanceId"])


@pytest.fixture(scope="module")
def owner(edge: Edge, stack: ExitStack) -> Hand:
    return Hand(edge, edge.account, stack)


@pytest.fixture(scope="module")
def other(edge: Edge, stack: ExitStack) -> Hand:
    return Hand(edge, make_account(edge.services, "other")[0], stack)


@pytest.fixture(scope="module")
def administrator(edge: Edge, stack: ExitStack) -> Hand:
    return Hand(edge, make_account(edge.services, "admin", administrator=True)[0], stack, administrator=True)


def snapshot_of(hand: Hand, image_id: str) -> str:
    (image,) = hand.ec2.describe_images(ImageIds=[image_id])["Images"]
    return str(image["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"])


def refusal(call: Any, **parameters: Any) -> tuple[str, str, str]:
    """Code, text and hint."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    answer = caught.value.response
    return (
        answer["Error"]["Code"],
        answer["Error"]["Message"],
        answer["ResponseMetadata"]["HTTPHeaders"].get("x-amiable-hint", ""),
    )


# ── images ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_keeps_a_fresh_image(owner: Hand) -> None:
    status, found = owner.ask(owner.image())
    assert status == 200 and found["Keepers"] == [] and found["FreeBytes"] == 0


def test_everything_that_keeps_an_image_is_named_with_what_frees_it(owner: Hand, other: Hand) -> None:
    image_id = owner.image()
    instance_id = owner.run(image_id)
    copy = owner.image(source_image_id=image_id, source_image_region=REGION)
    owner.ec2.modify_image_attribute(ImageId=image_id, LaunchPermission={"Add": [{"UserId": other.account_id}]})
    owner.ec2.enable_image_deregistration_protection(ImageId=image_id)
    owner.post("channels", Name="web/stable", ImageId=image_id)
    owner.ssm.put_parameter(Name="/golden", Value=image_id, Type="String", DataType="aws:ec2:image")
    run_jobs(owner.services)
    assert owner.keepers(image_id) == [
        ("protection", image_id, True),
        ("instance", instance_id, False),
        ("image", copy, False),
        ("share", other.account_id, False),
        ("channel", "web/stable", False),
        ("parameter", "/golden", False),
    ]
    assert owner.commands(image_id) == [
        f"aws ec2 disable-image-deregistration-protection --image-id {image_id}",
        f"amiable instance terminate {instance_id} --yes",
        f"amiable image deregister {copy} --yes",
        f"amiable image share {image_id} --remove --account {other.account_id}",
        "amiable channel promote web/stable OTHER-IMAGE",
        "aws ssm delete-parameter --name /golden",
    ]


def test_a_copy_in_another_region_is_freed_there(owner: Hand) -> None:
    image_id = owner.image()
    there = replace(owner.principal, region="eu-west-1")
    copy = make_image(owner.services, there, source_image_id=image_id, source_image_region=REGION).id
    assert owner.commands(image_id) == [f"AWS_REGION=eu-west-1 amiable image deregister {copy} --yes"]


def test_each_command_frees_what_it_is_for(owner: Hand, other: Hand) -> None:
    image_id = owner.image()
    instance_id = owner.run(image_id)
    owner.ec2.modify_image_attribute(ImageId=image_id, LaunchPermission={"Add": [{"UserId": other.account_id}]})
    owner.ec2.enable_image_deregistration_protection(ImageId=image_id)
    owner.ssm.put_parameter(Name="/freed", Value=image_id, Type="String", DataType="aws:ec2:image")
    assert len(owner.keepers(image_id)) == 4
    owner.ec2.disable_image_deregistration_protection(ImageId=image_id)
    owner.ec2.modify_image_attribute(ImageId=image_id, LaunchPermission={"Remove": [{"UserId": other.account_id}]})
    owner.ssm.delete_parameter(Name="/freed")
    with owner.services.database.write() as c:
        instances.set_state(c, instance_id, Event.LAUNCH_FAILED, now=owner.services.now())
    assert owner.keepers(image_id) == []
    owner.ec2.deregister_image(ImageId=image_id)
    assert owner.ask(image_id)[0] == 400


def test_a_kernel_is_kept_by_the_images_and_instances_that_boot_with_it(owner: Hand) -> None:
    kernel = make_kernel(owner.services, owner.principal).id
    image_id = owner.image(virtualization_type="paravirtual", kernel_id=kernel)
    assert ("image", image_id, False) in owner.keepers(kernel)


def test_anothers_instances_are_counted_and_not_named_but_to_the_administrator(
    owner: Hand, other: Hand, administrator: Hand
) -> None:
    image_id = owner.image(grantees=frozenset({"all"}))
    made = sorted([other.run(image_id), other.run(image_id)])
    found = [it for it in owner.ask(image_id)[1]["Keepers"] if it["Kind"] == "instance"]
    (counted,) = found
    assert (counted["ResourceId"], counted["AccountId"], counted["Count"]) == ("", other.account_id, 2)
    assert counted["Command"] is None
    assert [it[1] for it in administrator.keepers(image_id) if it[0] == "instance"] == made
    assert ("share", "all", False) in owner.keepers(image_id)


def test_an_image_in_the_recycle_bin_says_until_when(owner: Hand) -> None:
    image_id = owner.image()
    with owner.services.database.write() as c:
        exit_at = owner.services.now() + timedelta(days=1)
        here = schema.image.c.id == image_id
        values = {"state": "binned", "deregistered_at": owner.services.now(), "bin_exit_at": exit_at}
        c.execute(schema.image.update().where(here).values(**values))
    (keeper,) = owner.ask(image_id)[1]["Keepers"]
    assert (keeper["Kind"], keeper["Blocks"], keeper["Command"]) == ("bin", True, None)
    assert keeper["Why"] == f"in the Recycle Bin until {exit_at:%Y-%m-%dT%H:%M:%SZ}"


def test_a_snapshot_in_the_recycle_bin_says_until_when(owner: Hand) -> None:
    snapshot_id = snapshot_of(owner, owner.image())
    exit_at = owner.services.now() + timedelta(days=1)
    with owner.services.database.write() as c:
        recycle_bin.put_snapshot(c, snapshot_id, now=owner.services.now(), exit_at=exit_at)
    found = [it for it in owner.ask(snapshot_id)[1]["Keepers"] if it["Kind"] == "bin"]
    assert [(it["Why"], it["Blocks"], it["Command"]) for it in found] == [
        (f"in the Recycle Bin until {exit_at:%Y-%m-%dT%H:%M:%SZ}", True, None)
    ]


def test_who_may_ask_is_the_owner_and_the_administrator(owner: Hand, other: Hand, administrator: Hand) -> None:
    private, public = owner.image(), owner.image(grantees=frozenset({"all"}))
    assert other.ask(private)[1]["Code"] == "InvalidAMIID.NotFound"
    assert other.ask(public)[1]["Code"] == "AuthFailure"
    assert other.ask(snapshot_of(owner, private))[1]["Code"] == "InvalidSnapshot.NotFound"
    assert administrator.ask(private)[0] == administrator.ask(snapshot_of(owner, private))[0] == 200
    assert owner.ask("ami-x")[1]["Code"] == "InvalidAMIID.Malformed"
    assert owner.ask("snap-x")[1]["Code"] == "InvalidSnapshotID.Malformed"
    assert owner.ask("ami-0123456789abcdef0")[1]["Code"] == "InvalidAMIID.NotFound"


def test_a_protected_image_refuses_with_the_list(owner: Hand, other: Hand) -> None:
    image_id = owner.image()
    instance_id = owner.run(image_id)
    owner.ec2.enable_image_deregistration_protection(ImageId=image_id)
    code, text, hint = refusal(owner.ec2.deregister_image, ImageId=image_id)
    assert code == "OperationNotPermitted" and "deregistration protection is enabled" in text
    first, second = hint.split(" | ")
    assert first.endswith(
        f" (refuses deletion); to free it: aws ec2 disable-image-deregistration-protection --image-id {image_id}"
    )
    assert (
        second
        == f"instance {instance_id}: launched from it, pending; to free it: amiable instance terminate {instance_id} --yes"
    )
    assert refusal(other.ec2.deregister_image, ImageId=image_id)[2] == ""


# ── snapshots ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_everything_that_keeps_a_snapshot_is_named(owner: Hand, other: Hand) -> None:
    image_id = owner.image()
    snapshot_id = snapshot_of(owner, image_id)
    owner.run(image_id)
    owner.ec2.modify_snapshot_attribute(
        SnapshotId=snapshot_id, Attribute="createVolumePermission", OperationType="add", UserIds=[other.account_id]
    )
    owner.ec2.lock_snapshot(SnapshotId=snapshot_id, LockMode="governance", LockDuration=1)
    child = make_snapshot(owner.services, owner.principal, parent_id=snapshot_id)
    with owner.services.database.read() as c:
        volume_id = c.execute(select(schema.volume.c.id).where(schema.volume.c.snapshot_id == snapshot_id)).scalar_one()
    assert owner.keepers(snapshot_id) == [
        ("lock", snapshot_id, True),
        ("image", image_id, True),
        ("volume", volume_id, True),
        ("snapshot", child, False),
        ("share", other.account_id, False),
    ]
    code, _, hint = refusal(owner.ec2.delete_snapshot, SnapshotId=snapshot_id)
    assert code == "OperationNotPermitted"
    assert [line.split(":")[0] for line in hint.split(" | ")] == [
        f"lock {snapshot_id}",
        f"image {image_id}",
        f"volume {volume_id}",
        f"snapshot {child}",
        f"share {other.account_id}",
    ]
    owner.ec2.unlock_snapshot(SnapshotId=snapshot_id)
    code, text, hint = refusal(owner.ec2.delete_snapshot, SnapshotId=snapshot_id)
    assert code == "InvalidSnapshot.InUse"
    assert text == f"The snapshot {snapshot_id} is currently in use by {', '.join(sorted([image_id, volume_id]))}"
    assert f"to free it: amiable image deregister {image_id} --keep-snapshots --yes" in hint


# ── bytes ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def written(hand: Hand, *blocks: bytes, parent: str | None = None) -> str:
    """A completed snapshot of these blocks."""
    begun = hand.ebs.start_snapshot(VolumeSize=1, **({"ParentSnapshotId": parent} if parent else {}))["SnapshotId"]
    for index, seed in enumerate(blocks):
        content = seed * BLOCK_BYTES
        hand.services.blocks.write(begun, [(index, content)])
    hand.ebs.complete_snapshot(SnapshotId=begun, ChangedBlocksCount=len(blocks))
    run_jobs(hand.services)
    return str(begun)


def stored_bytes(hand: Hand, *snapshot_ids: str) -> int:
    """What the snapshots' blocks take, each once, summed by hand."""
    with hand.services.database.read() as c:
        lengths = dict(c.execute(select(schema.block.c.digest, schema.block.c.stored_length)).all())
    digests = {digest for each in snapshot_ids for _, digest in hand.services.blocks.blocks_of(each)}
    return sum(HEADER.size + lengths[digest] for digest in digests if digest in lengths)


def test_only_blocks_that_nothing_else_refers_to_come_free(owner: Hand) -> None:
    first = written(owner, b"\x01", b"\x02", b"\0")
    alone = owner.ask(first)[1]["FreeBytes"]
    assert alone == stored_bytes(owner, first) > 0
    second = written(owner, b"\x02", b"\x03")
    child = written(owner, b"\x04", parent=first)  # shares what it has not replaced
    assert owner.ask(first)[1]["FreeBytes"] == stored_bytes(owner, first, second, child) - stored_bytes(
        owner, second, child
    )
    owner.ec2.delete_snapshot(SnapshotId=child)
    before = owner.services.blocks.reclaimable_bytes()
    promised = owner.ask(first)[1]["FreeBytes"]
    assert promised == stored_bytes(owner, first, second) - stored_bytes(owner, second)
    owner.ec2.delete_snapshot(SnapshotId=first)
    assert owner.services.blocks.reclaimable_bytes() - before == promised


def test_with_an_image_go_the_snapshots_that_no_other_image_is_made_of(owner: Hand) -> None:
    own, common = written(owner, b"\x11"), written(owner, b"\x12")
    mapping = [
        {"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": own}},
        {"DeviceName": "/dev/sdb", "Ebs": {"SnapshotId": common}},
    ]
    words = {"RootDeviceName": "/dev/sda1", "VirtualizationType": "hvm", "Architecture": "x86_64"}
    image_id = owner.ec2.register_image(Name="two disks", BlockDeviceMappings=mapping, **words)["ImageId"]
    assert owner.ask(image_id)[1]["FreeBytes"] == stored_bytes(owner, own, common)
    shared_root = [{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": common}}]
    owner.ec2.register_image(Name="one disk", BlockDeviceMappings=shared_root, **words)
    assert owner.ask(image_id)[1]["FreeBytes"] == stored_bytes(owner, own)


def test_a_block_that_a_pending_snapshot_refers_to_stays(owner: Hand) -> None:
    snapshot_id = written(owner, b"\x21", b"\x22")
    begun = owner.ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    owner.services.blocks.write(begun, [(5, b"\x21" * BLOCK_BYTES)])
    assert ids.is_well_formed(ids.SNAPSHOT, begun)
    free = owner.ask(snapshot_id)[1]["FreeBytes"]
    assert 0 < free < stored_bytes(owner, snapshot_id)
