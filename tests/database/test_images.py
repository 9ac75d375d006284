"""Image rows: what was written reads back, and moves as the states say."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, delete, func, select

from amiable.database import images, organizations, sharing
from amiable.database.schema import image as image_table
from amiable.model.image import EVERYONE, ImageDevice, ImageState, ImageType, StateReason
from amiable.model.organization import Member, Organization
from amiable.services import Services
from tests.rules.images import AN_IMAGE
from tests.support.services import make_account, open_services


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Services, list[str]]]:
    """Services, and three accounts."""
    folder: Path = tmp_path_factory.mktemp("images")
    with open_services(folder / "data") as services:
        yield services, [make_account(services, f"account {number}")[0].account_id for number in range(3)]


def test_an_image_reads_back_whole(opened: tuple[Services, list[str]]) -> None:
    services, accounts = opened
    image = replace(
        AN_IMAGE,
        account_id=accounts[0],
        name="whole",
        state=ImageState.PENDING,
        description="text",
        kernel_id="aki-12345678",
        ramdisk_id="ari-12345678",
        boot_mode="legacy-bios",
        size_bytes=12345678901,
        manifest_digest=bytes(range(32)),
        devices=(
            ImageDevice("/dev/sda1", "snap-0123456789abcdef0", 8, "io2", 4000, None, True, False),
            ImageDevice("/dev/sdb", virtual_name="ephemeral0"),
        ),
    )
    with services.database.write() as c:
        images.insert_image(c, image)
        assert images.get(c, image.region, image.id, viewer=accounts[0]) == image
        assert images.get(c, "eu-west-1", image.id, viewer=accounts[0]) is None
        assert images.find_name(c, accounts[0], image.region, "whole") == image.id
        c.rollback()


def test_what_bars_a_new_image_is_the_holder_of_its_name_and_the_count(opened: tuple[Services, list[str]]) -> None:
    services, accounts = opened
    own = replace(AN_IMAGE, account_id=accounts[0])
    region = own.region

    def asked(name: str, images_max: int, where: str = region) -> tuple[str | None, int | None]:
        return sharing.name_and_count(c, accounts[0], where, name=name, images_max=images_max)

    with services.database.write() as c:
        for number, account_id in enumerate((accounts[0], accounts[0], accounts[1])):
            image_id = f"ami-{number:017x}"
            images.insert_image(c, replace(own, id=image_id, account_id=account_id, name=f"name {number}"))
        assert asked("name 1", 2) == ("ami-00000000000000001", 2)
        assert asked("name 2", 2) == (None, 2)
        assert asked("name 1", 2, "eu-west-1") == (None, 0)
        images.deregister(c, "ami-00000000000000001", now=services.now())
        assert asked("name 1", 2) == (None, 1)
        c.rollback()


def test_images_are_counted_as_soon_as_they_may_be_as_many_as_are_allowed(
    opened: tuple[Services, list[str]],
) -> None:
    services, accounts = opened
    own = replace(AN_IMAGE, account_id=accounts[0])

    def count(images_max: int) -> int | None:
        return sharing.name_and_count(c, own.account_id, own.region, name="new", images_max=images_max)[1]

    with services.database.write() as c:
        before = c.execute(select(func.count()).select_from(image_table)).scalar_one()
        for number in range(3):
            images.insert_image(c, replace(own, id=f"ami-{number:017x}", name=f"name {number}"))
            assert count(number + 1) is not None and count(before + number + 1) == number + 1
        if c.dialect.name == "sqlite":
            assert count(before + 4) is None
        c.execute(delete(image_table).where(image_table.c.id == "ami-00000000000000000"))
        images.insert_image(c, replace(own, id="ami-00000000000000009", name="name 9"))
        assert count(before + 3) == 3, "a number that is free again counts for nothing too much"
        c.rollback()


@pytest.mark.parametrize(("first", "second"), list(product(("available", "failed", "deregistered"), repeat=2)))
def test_a_pending_image_moves_once_and_only_as_the_table_says(
    opened: tuple[Services, list[str]], first: str, second: str
) -> None:
    services, accounts = opened
    image = replace(AN_IMAGE, account_id=accounts[0], name="moving", state=ImageState.PENDING)
    reason = StateReason("Client.InvalidManifest", "why")

    def move(c: Connection, to: str) -> bool:
        if to == "available":
            return images.make_available(c, image.id, root_snapshot_id="snap-1")
        if to == "failed":
            return images.fail(c, image.id, reason)
        return images.deregister(c, image.id, now=services.now())

    with services.database.write() as c:
        images.insert_image(c, image)
        assert move(c, first)
        assert move(c, second) is (second == "deregistered" and first != "deregistered")
        after = images.get(c, image.region, image.id, viewer=accounts[0])
        assert after is not None and after.state == ("deregistered" if "deregistered" in (first, second) else first)
        c.rollback()


def test_the_twin_of_a_kernel_is_one_that_the_viewer_sees_its_own_first(opened: tuple[Services, list[str]]) -> None:
    services, (owner, other, member) = opened
    kernel = replace(AN_IMAGE, account_id=owner, image_type=ImageType.KERNEL, content_digest=b"k" * 32)
    organization = Organization("o-0123456789", owner, "works")
    with services.database.write() as c:
        organizations.insert_organization(c, organization, now=services.now())
        organizations.put_member(c, Member(member, organization.id, None))
        facts: tuple[tuple[str, dict[str, Any], str | None], ...] = (
            ("aki-00000001", {}, None),
            ("aki-00000002", {"region": "eu-west-1", "state": ImageState.FAILED}, EVERYONE),
            ("aki-00000003", {"region": "eu-west-1", "content_digest": b"o" * 32}, EVERYONE),
            ("ari-00000004", {"region": "eu-west-1", "image_type": ImageType.RAMDISK}, EVERYONE),
            ("aki-00000005", {"region": "eu-west-1"}, organization.arn),
        )
        for image_id, changes, grantee in facts:
            images.insert_image(c, replace(kernel, id=image_id, name=image_id, **changes))
            images.change_grants(c, image_id, add=[grantee] if grantee else [], remove=[])

        def twin(viewer: str) -> str | None:
            return images.find_twin(c, "aki-00000001", region="eu-west-1", viewer=viewer)

        assert [twin(viewer) for viewer in (owner, member, other)] == ["aki-00000005", "aki-00000005", None]
        for image_id, account_id in (("aki-00000006", other), ("aki-00000007", member)):
            images.insert_image(
                c, replace(kernel, id=image_id, name=image_id, account_id=account_id, region="eu-west-1")
            )
        assert [twin(viewer) for viewer in (owner, member, other)] == ["aki-00000005", "aki-00000007", "aki-00000006"]
        c.rollback()
