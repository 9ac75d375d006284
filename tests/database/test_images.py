"""Image rows: lists in SQL agree with the rules, and what was written reads back."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import product
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amiable.database import images
from amiable.database.image_selection import Selection, list_images, list_key
from amiable.database.schema import image as I
from amiable.database.schema import image_device, launch_permission
from amiable.model.ids import mint
from amiable.model.image import EVERYONE, Image, ImageDevice, ImageState, StateReason
from amiable.rules.permission import may_see
from amiable.services import Services
from tests.rules.images import AN_IMAGE
from tests.support.services import make_account, open_services

REGIONS = ("us-east-1", "eu-west-1")
NOBODY = "999999999999"


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Services, list[str]]]:
    """Services, and three accounts."""
    folder: Path = tmp_path_factory.mktemp("images")
    with open_services(folder / "data") as services:
        yield services, [make_account(services, f"account {number}")[0].account_id for number in range(3)]


@st.composite
def worlds(draw: st.DrawFn) -> list[tuple[int, int, ImageState, frozenset[int | str]]]:
    """(owner, region, state, grantees) of some images; accounts are numbers."""
    one = st.tuples(
        st.integers(0, 2),
        st.integers(0, 1),
        st.sampled_from(list(ImageState)),
        st.frozensets(st.one_of(st.integers(0, 2), st.just(EVERYONE)), max_size=3),
    )
    return draw(st.lists(one, max_size=8))


def as_seen(image: Image, granted: frozenset[str], viewer: str) -> Image:
    return replace(image, grantees=granted & {viewer, EVERYONE})


def selected(image: Image, granted: frozenset[str], wanted: Selection) -> bool:
    """What a list holds, said in values."""
    seen = as_seen(image, granted, wanted.viewer)
    if image.region != wanted.region or image.state is ImageState.DEREGISTERED or not may_see(seen, wanted.viewer):
        return False
    if wanted.ids is not None and image.id not in wanted.ids:
        return False
    if wanted.owners is not None and image.account_id not in wanted.owners:
        return False
    if wanted.executable_by is not None:
        known = granted if image.account_id == wanted.viewer else granted & {wanted.viewer, EVERYONE}
        if not known & wanted.executable_by:
            return False
    return wanted.after is None or list_key(image) > wanted.after


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(world=worlds(), data=st.data())
def test_a_list_in_sql_is_the_list_that_the_rules_say(
    opened: tuple[Services, list[str]],
    world: list[tuple[int, int, ImageState, frozenset[int | str]]],
    data: st.DataObject,
) -> None:
    services, accounts = opened
    known: list[tuple[Image, frozenset[str]]] = []
    for number, (owner, region, state, grants) in enumerate(world):
        image = replace(
            AN_IMAGE,
            id=mint("ami", (number * 7919 << 8).to_bytes(9, "big")),
            account_id=accounts[owner],
            region=REGIONS[region],
            name=f"image {number}",
            state=state,
            created_at=AN_IMAGE.created_at + timedelta(milliseconds=number // 2),
        )
        known.append((image, frozenset(accounts[g] if isinstance(g, int) else g for g in grants)))
    some = st.frozensets(st.sampled_from([*accounts, EVERYONE, NOBODY]), min_size=1)
    wanted = Selection(
        viewer=data.draw(st.sampled_from(accounts)),
        region=data.draw(st.sampled_from(REGIONS)),
        ids=data.draw(st.none() | st.just(frozenset(image.id for image, _ in known[::2]))),
        owners=data.draw(st.none() | some),
        executable_by=data.draw(st.none() | some),
        after=data.draw(st.none() | st.sampled_from([list_key(image) for image, _ in known] or ["0:"])),
    )
    try:
        with services.database.write() as c:
            for image, granted in known:
                images.insert_image(c, image)
                images.change_grants(c, image.id, add=granted, remove=[])
        with services.database.read() as c:
            found = list_images(c, wanted)
    finally:
        with services.database.write() as c:
            for table in (launch_permission, image_device, I):
                c.execute(table.delete())
    expected = [as_seen(image, granted, wanted.viewer) for image, granted in known if selected(image, granted, wanted)]
    assert found == sorted(expected, key=list_key)


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


@pytest.mark.parametrize(("first", "second"), list(product(("available", "failed", "deregistered"), repeat=2)))
def test_a_pending_image_moves_once_and_only_as_the_table_says(
    opened: tuple[Services, list[str]], first: str, second: str
) -> None:
    services, accounts = opened
    image = replace(AN_IMAGE, account_id=accounts[0], name="moving", state=ImageState.PENDING)
    reason = StateReason("Client.InvalidManifest", "why")

    def move(c: object, to: str) -> bool:
        if to == "available":
            return images.make_available(c, image.id, root_snapshot_id="snap-1")  # type: ignore[arg-type]
        if to == "failed":
            return images.fail(c, image.id, reason)  # type: ignore[arg-type]
        return images.deregister(c, image.id, now=services.now())  # type: ignore[arg-type]

    with services.database.write() as c:
        images.insert_image(c, image)
        assert move(c, first)
        assert move(c, second) is (second == "deregistered" and first != "deregistered")
        after = images.get(c, image.region, image.id, viewer=accounts[0])
        assert after is not None and after.state == ("deregistered" if "deregistered" in (first, second) else first)
        c.rollback()
