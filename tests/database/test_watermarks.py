"""Watermark rows: read back with their image, in order, and taken over by what is made of it."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection

from amiable.database import accounts, images, watermarks
from amiable.model.watermark import Watermark
from amiable.services import Services
from tests.rules.images import AN_IMAGE, OTHER, OWNER

MOMENT = datetime(2026, 5, 6, 7, 8, 9, 10000, tzinfo=UTC)
COPY = replace(AN_IMAGE, id="ami-0fedcba9876543210", name="a copy", account_id=OTHER, watermarks=())


@pytest.fixture(autouse=True)
def some_images(services: Services) -> None:
    with services.database.write() as c:
        for account_id in (OWNER, OTHER):
            accounts.insert_account(c, accounts.Account(account_id, account_id, False, MOMENT))
        for image in (AN_IMAGE, COPY):
            images.insert_image(c, image)


def mark(name: str, account_id: str = OWNER) -> Watermark:
    return Watermark(name, account_id, AN_IMAGE.id, AN_IMAGE.region, AN_IMAGE.created_at, MOMENT)


def seen(c: Connection, image_id: str) -> tuple[Watermark, ...]:
    """The watermarks as the image brings them."""
    image = images.get(c, AN_IMAGE.region, image_id, viewer=OWNER)
    assert image is not None and image.watermarks == watermarks.watermarks_of(c, image_id)
    return image.watermarks


def test_they_read_back_in_the_order_of_their_attachment(services: Services) -> None:
    wanted = (mark("zebra"), mark("ant"), mark("ant", OTHER))
    with services.database.write() as c:
        assert all(watermarks.attach(c, AN_IMAGE.id, each) for each in wanted)
        assert not watermarks.attach(c, AN_IMAGE.id, replace(wanted[0], created_at=MOMENT.replace(year=2027)))
        assert seen(c, AN_IMAGE.id) == wanted
        assert watermarks.detach(c, AN_IMAGE.id, wanted[1].key)
        assert not watermarks.detach(c, AN_IMAGE.id, wanted[1].key)
        assert watermarks.attach(c, AN_IMAGE.id, wanted[1])
        assert seen(c, AN_IMAGE.id) == (wanted[0], wanted[2], wanted[1])
        assert seen(c, COPY.id) == ()


def test_a_copy_takes_them_over_and_keeps_them(services: Services) -> None:
    with services.database.write() as c:
        for each in (mark("first"), mark("second")):
            watermarks.attach(c, AN_IMAGE.id, each)
        own = replace(mark("first"), source_image_id=COPY.id)
        watermarks.attach(c, COPY.id, own)
        watermarks.inherit(c, [AN_IMAGE.id, "ami-12345678", AN_IMAGE.id], COPY.id)
        watermarks.detach(c, AN_IMAGE.id, mark("second").key)
        assert seen(c, COPY.id) == (own, mark("second"))
        assert seen(c, AN_IMAGE.id) == (mark("first"),)
