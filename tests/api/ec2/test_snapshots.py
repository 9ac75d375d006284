"""DescribeSnapshots and DeleteSnapshot, in process."""

from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from amiable.api.ec2.images import deregister_image
from amiable.api.ec2.register_image import register_image
from amiable.api.ec2.snapshots import NO_VOLUME, USERS_TOLD_MAX, delete_snapshot, describe_snapshots
from amiable.api.ec2.tags import create_tags
from amiable.database import schema
from amiable.model.errors import (
    DryRunOperation,
    InvalidParameterCombination,
    InvalidParameterValue,
    InvalidSnapshotInUse,
    InvalidUserIDMalformed,
    Malformed,
    NotFound,
)
from amiable.model.principal import Principal
from amiable.services import Services
from amiable.wire.generated import ec2
from tests.api.ec2.conftest import MakeSnapshot
from tests.api.ec2.requests import registration, root_mapping


def listed(services: Services, principal: Principal, **fields: Any) -> set[str]:
    found = describe_snapshots(services, principal, ec2.DescribeSnapshotsRequest(**fields)).snapshots
    return {str(snapshot.snapshot_id) for snapshot in found or []}


def delete(services: Services, principal: Principal, snapshot_id: str) -> None:
    delete_snapshot(services, principal, ec2.DeleteSnapshotRequest(snapshot_id=snapshot_id))


def make_volume(services: Services, owner: Principal, volume_id: str, snapshot_id: str) -> None:
    with services.database.write() as c:
        c.execute(
            schema.volume.insert().values(
                id=volume_id, account_id=owner.account_id, region=owner.region, zone="z", state="in-use",
                snapshot_id=snapshot_id, size_gib=1, size_bytes=1 << 30, volume_type="gp2",
                is_instance_store=False, delete_on_termination=True, created_at=services.now(),
            )
        )  # fmt: skip


def test_a_snapshot_shows_its_facts(services: Services, principal: Principal, make_snapshot: MakeSnapshot) -> None:
    snapshot_id = make_snapshot(principal, size_gib=3, description="a disk")
    [snapshot] = describe_snapshots(services, principal, ec2.DescribeSnapshotsRequest()).snapshots or []
    assert (snapshot.snapshot_id, snapshot.owner_id) == (snapshot_id, principal.account_id)
    assert (snapshot.state, snapshot.progress, snapshot.volume_size) == ("completed", "100%", 3)
    assert (snapshot.description, snapshot.encrypted, snapshot.volume_id) == ("a disk", False, NO_VOLUME)
    assert snapshot.start_time is not None and snapshot.completion_time is not None


def test_each_account_and_region_sees_its_own_and_nobody_an_internal_one(
    services: Services, principal: Principal, other_principal: Principal, make_snapshot: MakeSnapshot
) -> None:
    mine = make_snapshot(principal)
    internal = make_snapshot(principal, is_internal=True)
    assert listed(services, principal) == {mine} and listed(services, other_principal) == set()
    assert listed(services, replace(principal, region="eu-west-1")) == set()
    assert listed(services, other_principal, snapshot_ids=[mine]) == set()
    for who, snapshot_id in ((replace(principal, region="eu-west-1"), mine), (principal, internal)):
        with pytest.raises(NotFound, match=f"The snapshot '{snapshot_id}' does not exist."):
            listed(services, who, snapshot_ids=[snapshot_id])
    for who, snapshot_id in ((other_principal, mine), (principal, internal)):
        with pytest.raises(NotFound):
            delete(services, who, snapshot_id)


def test_owners_and_filters_select(
    services: Services, principal: Principal, other_principal: Principal, make_snapshot: MakeSnapshot
) -> None:
    small, large = make_snapshot(principal), make_snapshot(principal, size_gib=9, description="large one")
    pending = make_snapshot(principal, complete=False)
    create_tags(services, principal, ec2.CreateTagsRequest(resources=[small], tags=[ec2.Tag(key="k", value="v")]))

    def by(name: str, *values: str) -> set[str]:
        return listed(services, principal, filters=[ec2.Filter(name=name, values=list(values))])

    assert by("status", "completed") == {small, large} and by("status", "pending") == {pending}
    assert by("volume-size", "9") == {large} and by("description", "large*") == {large}
    assert by("tag:k", "v") == {small} and by("tag-key", "k") == {small}
    assert by("snapshot-id", small, pending) == {small, pending}
    assert by("encrypted", "false") == {small, large, pending}
    assert listed(services, principal, owner_ids=["self"]) == {small, large, pending}
    assert listed(services, principal, owner_ids=[other_principal.account_id, "amazon"]) == set()
    assert listed(services, principal, restorable_by_user_ids=["self"]) == {small, large, pending}
    with pytest.raises(InvalidUserIDMalformed):
        listed(services, principal, owner_ids=["me"])
    assert by("owner-alias", "amazon") == by("transfer-type", "standard") == set()
    with pytest.raises(InvalidParameterValue, match="The filter 'owner' is invalid"):
        by("owner", "amazon")


def test_pages_hold_every_snapshot_once(services: Services, principal: Principal, make_snapshot: MakeSnapshot) -> None:
    made = {make_snapshot(principal, complete=False) for _ in range(12)}
    request = ec2.DescribeSnapshotsRequest(max_results=5)
    seen: list[str] = []
    while True:
        answer = describe_snapshots(services, principal, request)
        seen += [str(snapshot.snapshot_id) for snapshot in answer.snapshots or []]
        if answer.next_token is None:
            break
        request = structs.replace(request, next_token=answer.next_token)
    assert len(seen) == 12 and set(seen) == made
    with pytest.raises(InvalidParameterValue, match="maxResults"):
        listed(services, principal, max_results=4)
    with pytest.raises(InvalidParameterCombination):
        listed(services, principal, max_results=5, snapshot_ids=[seen[0]])


def test_ids_that_are_wrong_are_named(services: Services, principal: Principal) -> None:
    with pytest.raises(Malformed, match='Invalid id: "ami-12345678"') as malformed:
        listed(services, principal, snapshot_ids=["ami-12345678"])
    assert malformed.value.code == "InvalidSnapshotID.Malformed"
    with pytest.raises(NotFound) as missing:
        listed(services, principal, snapshot_ids=["snap-12345678"])
    assert missing.value.code == "InvalidSnapshot.NotFound"


def test_a_snapshot_in_use_by_an_image_is_deleted_right_after_the_image(
    services: Services, principal: Principal, make_snapshot: MakeSnapshot
) -> None:
    snapshot_id = make_snapshot(principal)
    for number in range(20):
        image_id = register_image(services, principal, registration(snapshot_id, f"image {number}")).image_id
        with pytest.raises(InvalidSnapshotInUse, match=f"{snapshot_id} is currently in use by {image_id}"):
            delete(services, principal, snapshot_id)
        deregister_image(services, principal, ec2.DeregisterImageRequest(image_id=str(image_id)))
    with pytest.raises(DryRunOperation):
        delete_snapshot(services, principal, ec2.DeleteSnapshotRequest(snapshot_id=snapshot_id, dry_run=True))
    delete(services, principal, snapshot_id)
    assert listed(services, principal) == set()
    with pytest.raises(NotFound):
        delete(services, principal, snapshot_id)


def test_a_refusal_names_some_of_many_images_and_how_many_more(
    services: Services, principal: Principal, make_snapshot: MakeSnapshot
) -> None:
    snapshot_id = make_snapshot(principal)
    for number in range(USERS_TOLD_MAX + 3):
        register_image(services, principal, registration(snapshot_id, f"image {number:03}"))
    with pytest.raises(InvalidSnapshotInUse, match=r", 3 more$") as refused:
        delete(services, principal, snapshot_id)
    assert refused.value.message.count("ami-") == USERS_TOLD_MAX


def test_a_snapshot_of_a_data_volume_is_in_use_too(
    services: Services, principal: Principal, make_snapshot: MakeSnapshot
) -> None:
    root, data = make_snapshot(principal), make_snapshot(principal)
    maps = [root_mapping(root), root_mapping(data, "/dev/sdf")]
    image_id = register_image(services, principal, registration(root, block_device_mappings=maps)).image_id
    with pytest.raises(InvalidSnapshotInUse, match=str(image_id)):
        delete(services, principal, data)


def test_a_snapshot_under_a_live_volume_is_in_use(
    services: Services, principal: Principal, make_snapshot: MakeSnapshot
) -> None:
    snapshot_id = make_snapshot(principal)
    make_volume(services, principal, "vol-0123456789abcdef0", snapshot_id)
    with pytest.raises(InvalidSnapshotInUse, match=r"in use by vol-0123456789abcdef0$"):
        delete(services, principal, snapshot_id)


def test_the_owner_of_a_shared_snapshot_is_not_told_the_ids_of_others_volumes(
    services: Services, principal: Principal, other_principal: Principal, make_snapshot: MakeSnapshot
) -> None:
    snapshot_id = make_snapshot(principal)
    make_volume(services, other_principal, "vol-0000000000000000a", snapshot_id)
    with pytest.raises(InvalidSnapshotInUse, match=r"in use by a volume of another account$"):
        delete(services, principal, snapshot_id)
    make_volume(services, other_principal, "vol-0000000000000000b", snapshot_id)
    make_volume(services, principal, "vol-0000000000000000c", snapshot_id)
    with pytest.raises(
        InvalidSnapshotInUse, match=r"by vol-0000000000000000c, 2 volumes of other accounts$"
    ) as refused:
        delete(services, principal, snapshot_id)
    assert "vol-0000000000000000a" not in f"{refused.value} {refused.value.advice}"


def test_deleting_drops_the_map_and_makes_its_bytes_reclaimable(
    services: Services, principal: Principal, make_snapshot: MakeSnapshot
) -> None:
    snapshot_id = make_snapshot(principal)
    before = services.blocks.reclaimable_bytes()
    delete(services, principal, snapshot_id)
    assert services.blocks.reclaimable_bytes() > before
    pending = make_snapshot(principal, complete=False)
    services.blocks.write(pending, [(0, b"\x02" * (512 << 10))])
    delete(services, principal, pending)
    assert listed(services, principal) == set()
