"""Law: what the criteria allow in SQL and of values is the same, for any image and any criteria."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from amiable.api.amiable import set_owner_alias
from amiable.database import allowed_images, images
from amiable.database import watermarks as watermark_rows
from amiable.database.schema import image as I
from amiable.model.allowed_images import AllowedImages, AllowedImagesState, ImageCriterion, WatermarkCriterion
from amiable.model.image import Image
from amiable.model.principal import Principal
from amiable.model.product import ProductCode, ProductCodeType
from amiable.model.watermark import Watermark
from amiable.rules.allowed_images import is_allowed
from amiable.services import Services
from tests.api.ec2.launching import make_image
from tests.support.clock import Clock
from tests.support.services import make_account, open_services

NAMES = ("debian-12", "Debian-12", "debian_12", "a[b]", "what*")
PATTERNS = ("debian-*", "debian?12", "DEBIAN-12", "a[b]", "what\\*", "*", "???")
REGIONS = ("us-east-1", "eu-west-1")
DAYS = st.one_of(st.none(), st.integers(0, 6))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Services, Clock, list[Principal], list[Image]]]:
    """Images of three owners, one with an alias, of several ages, deprecated or not, marked and sold or not."""
    clock = Clock()
    with open_services(tmp_path_factory.mktemp("world") / "data", clock=clock) as services:
        administrator = make_account(services, "administrator", administrator=True)[1]
        owners = [make_account(services, f"owner {number}")[1] for number in range(3)]
        set_owner_alias(services, administrator, owners[0].account_id, "amazon")
        made = []
        for number in range(12):
            owner = owners[number % 3]
            facts = {
                "name": f"{NAMES[number % len(NAMES)]}",
                "region": "us-east-1",
                "created_at": clock() - timedelta(days=number % 5),
                "deprecation_at": None if number % 4 else clock() - timedelta(days=number % 7 - 2),
                "product_codes": (ProductCode("abc", ProductCodeType.MARKETPLACE),) if number % 3 == 0 else (),
            }
            if number >= len(NAMES):
                facts["name"] = f"{facts['name']} {number}"
            image = make_image(services, owner, **facts)
            if number % 2:
                mark = Watermark(
                    "hard", owner.account_id, image.id, REGIONS[number % 4 // 2], image.created_at, clock()
                )
                with services.database.write() as c:
                    watermark_rows.attach(c, image.id, mark)
            made.append(image.id)
        with services.database.read() as c:
            read = [images.get(c, "us-east-1", each, viewer=owners[0].account_id) for each in made]
        yield services, clock, owners, [image for image in read if image is not None]


def criteria_of(owners: list[Principal]) -> st.SearchStrategy[ImageCriterion]:
    providers = ["amazon", "aws-marketplace", *(owner.account_id for owner in owners)]
    marks = st.builds(
        WatermarkCriterion,
        key=st.sampled_from((None, "*:hard", f"{owners[1].account_id}:*", "nobody:?")),
        source_image_region=st.sampled_from((None, "us-*", "eu-west-?")),
        source_image_created_days_max=DAYS,
        created_days_max=DAYS,
    )
    return st.builds(
        ImageCriterion,
        providers=st.lists(st.sampled_from(providers), max_size=2).map(tuple),
        product_codes=st.sampled_from(((), ("abc",), ("zzz",))),
        names=st.lists(st.sampled_from((*PATTERNS, *NAMES)), max_size=2).map(tuple),
        deprecated_days_max=DAYS,
        created_days_max=DAYS,
        watermarks=st.lists(marks, max_size=2).map(tuple),
    )


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_sql_and_predicate_allow_the_same_images(
    world: tuple[Services, Clock, list[Principal], list[Image]], data: st.DataObject
) -> None:
    services, clock, owners, made = world
    criteria = tuple(data.draw(st.lists(criteria_of(owners), max_size=3)))
    chosen = AllowedImages(AllowedImagesState.ENABLED, criteria)
    viewer = data.draw(st.sampled_from([owner.account_id for owner in owners] + ["999999999999"]))
    with services.database.read() as c:
        wanted = allowed_images.allows(chosen, viewer, clock())
        found = set(c.execute(select(I.c.id).where(wanted)).scalars())
    assert found == {image.id for image in made if is_allowed(chosen, image, viewer, clock())}


def test_settings_are_read_as_they_were_put(
    world: tuple[Services, Clock, list[Principal], list[Image]],
) -> None:
    services, _, owners, _ = world
    chosen = AllowedImages(AllowedImagesState.AUDIT_MODE, (ImageCriterion(names=("a*",), created_days_max=0),))
    with services.database.write() as c:
        allowed_images.put(c, owners[0].account_id, "us-east-1", chosen)
        assert allowed_images.find(c, owners[0].account_id, "us-east-1") == chosen
        assert allowed_images.find(c, owners[0].account_id, "eu-west-1") == AllowedImages()
