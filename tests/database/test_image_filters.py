"""The law of DescribeImages: SQL and predicate select the same images, for whatever images, viewers and filters."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, update
from sqlalchemy.dialects import postgresql

from amiable.database import images, schema
from amiable.database import tags as tag_rows
from amiable.database.image_filters import CONDITIONS, Viewpoint, conditions
from amiable.database.image_selection import Selection, list_ids, list_images, list_key
from amiable.model.ids import mint
from amiable.model.image import EVERYONE, Image, ImageDevice, ImageState, ImageType, StateReason
from amiable.model.instance_type_rule import InstanceTypeRule
from amiable.model.organization import Organization
from amiable.model.product import ProductCode, ProductCodeType
from amiable.model.watermark import Watermark
from amiable.rules.filters import Filter
from amiable.rules.image_filters import FIELDS, OWNERS_FIELDS, predicate, spell_time, spell_watermark_time
from amiable.services import Services
from tests.rules.images import AN_IMAGE
from tests.support.services import make_account, open_services

REGION = "us-east-1"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
ALIAS = "amazon"
NAMES = sorted({*FIELDS, *OWNERS_FIELDS, "tag:team", "tag:Team", "tag-key"})
TEXTS = st.text(alphabet=st.sampled_from("aAb*?[]\\%_-é\U0001f600"), min_size=1, max_size=4)
PATTERNS = st.text(alphabet=st.sampled_from("aAb*?[]\\%_-é\U0001f600"), max_size=5)


@dataclass(frozen=True)
class World:
    """An opened installation with three accounts: the first has an alias, the second and third are of one organization."""

    services: Services
    accounts: tuple[str, str, str]
    organization: Organization

    def words(self, viewer: str) -> frozenset[str]:
        """What stands for the viewer in a launch permission."""
        is_member = viewer in self.accounts[1:]
        return frozenset({viewer, EVERYONE, *([self.organization.arn] if is_member else [])})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("filters")
    with open_services(folder / "data") as services:
        first, second, third = (make_account(services, f"account {number}")[0].account_id for number in range(3))
        organization = Organization("o-" + "a" * 10, second, "ours")
        with services.database.write() as c:
            c.execute(update(schema.account).where(schema.account.c.id == first).values(owner_alias=ALIAS))
            c.execute(
                insert(schema.organization).values(
                    id=organization.id, account_id=second, name="ours", created_at=services.now()
                )
            )
            for member in (second, third):
                row = {"account_id": member, "organization_id": organization.id, "unit_id": None}
                c.execute(insert(schema.organization_member).values(**row))
        yield World(services, (first, second, third), organization)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


DEVICES = st.builds(
    ImageDevice,
    device_name=st.sampled_from(["/dev/sda1", "/dev/xvda", "/dev/sdb"]),
    snapshot_id=maybe(st.sampled_from(["snap-12345678", "snap-87654321"])),
    size_gib=maybe(st.sampled_from([1, 8, 80])),
    volume_type=maybe(st.sampled_from(["gp2", "gp3"])),
    delete_on_termination=maybe(st.booleans()),
    encrypted=maybe(st.booleans()),
)
MOMENTS = st.integers(0, 3).map(lambda n: datetime(2026, 2, 27 + n // 2, 1, 2, 3, 4000 * n, tzinfo=UTC))
WATERMARKS = st.builds(
    Watermark,
    name=st.sampled_from(["golden image", "a"]),
    account_id=st.sampled_from(["111111111111", "222222222222"]),
    source_image_id=st.sampled_from(["ami-12345678", "ami-87654321"]),
    source_image_region=st.sampled_from(["us-east-1", "eu-west-1"]),
    source_image_created_at=MOMENTS,
    created_at=MOMENTS,
)
CODES = st.builds(ProductCode, st.sampled_from(["abc", "Abd"]), st.sampled_from(list(ProductCodeType)))
TYPES = st.lists(st.sampled_from(["t3.*", "m5.large", "t3.micro"]), unique=True, max_size=3)


@st.composite
def drawn_images(draw: st.DrawFn, number: int) -> Image:
    """One image as a value: what hangs on it included, its owner and grantees as numbers and words to be replaced."""
    supported = draw(TYPES)
    state = draw(st.sampled_from(list(ImageState)))
    return replace(
        AN_IMAGE,
        id=mint("ami", (number * 7919 << 8).to_bytes(9, "big")),
        account_id=str(draw(st.integers(0, 2))),
        name=draw(TEXTS) + str(number),
        description=draw(maybe(TEXTS)),
        state=state,
        state_reason=draw(maybe(st.builds(StateReason, TEXTS, TEXTS | st.just("")))),
        image_type=draw(st.sampled_from(list(ImageType))),
        kernel_id=draw(maybe(st.just("aki-12345678"))),
        ramdisk_id=draw(maybe(st.just("ari-12345678"))),
        platform=draw(maybe(st.just("windows"))),
        boot_mode=draw(maybe(st.sampled_from(["uefi", "uefi-preferred"]))),
        sriov_net_support=draw(maybe(st.just("simple"))),
        ena_support=draw(st.booleans()),
        created_at=draw(MOMENTS),
        devices=tuple(draw(st.lists(DEVICES, max_size=3))),
        product_codes=tuple(draw(st.lists(CODES, unique_by=lambda code: code.code, max_size=2))),
        deprecation_at=draw(maybe(st.sampled_from([NOW - timedelta(days=1), NOW, NOW + timedelta(days=1)]))),
        source_instance_id=draw(maybe(st.just("i-12345678"))),
        source_image_id=draw(maybe(st.sampled_from(["ami-12345678", "ami-87654321"]))),
        source_image_region=draw(maybe(st.just("eu-west-1"))),
        deregistered_at=NOW if state in (ImageState.DEREGISTERED, ImageState.BINNED) else None,
        watermarks=tuple(draw(st.lists(WATERMARKS, unique_by=lambda mark: mark.key, max_size=2))),
        instance_types=InstanceTypeRule(tuple(supported), tuple(each for each in draw(TYPES) if each not in supported)),
        grantees=draw(st.frozensets(st.sampled_from(["0", "1", "2", EVERYONE, "organization"]), max_size=3)),
        tags=draw(st.dictionaries(st.sampled_from(["team", "Team", "a*"]), TEXTS | st.just(""), max_size=2)),
    )


def wanted_values(known: Sequence[Image], name: str) -> st.SearchStrategy[str]:
    """Values that are likely to meet a filter, as they are, with wildcards, in another case; and any others."""
    field = {**FIELDS, **OWNERS_FIELDS}.get(name)
    shown = [str(value) for image in known for value in (field(image) if field else image.tags.values()) if value]
    if not shown:
        return PATTERNS
    some = st.sampled_from(shown)
    wild = st.builds(
        lambda text, at, sign: text[:at] + sign + text[at + 1 :], some, st.integers(0, 9), st.sampled_from("*?")
    )
    prefix = st.builds(lambda text, at: text[:at] + "*", some, st.integers(0, 9))
    escaped = some.map(lambda text: "".join("\\" + each if each in "*?\\" else each for each in text))
    return some | wild | prefix | escaped | some.map(str.swapcase) | PATTERNS


@st.composite
def drawn_filters(draw: st.DrawFn, known: Sequence[Image]) -> tuple[Filter, ...]:
    """Some filters with some values each."""
    names = draw(st.lists(st.sampled_from(NAMES), max_size=2))
    return tuple(
        Filter(name, tuple(draw(st.lists(wanted_values(known, name), min_size=1, max_size=2)))) for name in names
    )


def placed(image: Image, world: World) -> Image:
    """The drawn image with real accounts for numbers."""
    names = {str(number): account for number, account in enumerate(world.accounts)}
    names |= {EVERYONE: EVERYONE, "organization": world.organization.arn}
    owner = names[image.account_id]
    alias = ALIAS if owner == world.accounts[0] else None
    granted = frozenset(names[each] for each in image.grantees)
    return replace(image, account_id=owner, owner_alias=alias, grantees=granted)


def write(world: World, known: Sequence[Image], tagger: str) -> None:
    """The images' rows and all that hangs on them."""
    with world.services.database.write() as c:
        for image in known:
            images.insert_image(c, image)
            images.change_grants(c, image.id, add=image.grantees, remove=[])
            tag_rows.put(c, tag_rows.TaggedResource(tagger, REGION, image.id, "image"), image.tags)
            for position, mark in enumerate(image.watermarks):
                fields = {name: getattr(mark, name) for name in Watermark.__dataclass_fields__}
                row = {"image_id": image.id, "key": mark.key, "position": position, **fields}
                c.execute(insert(schema.image_watermark).values(**row))
            for kind in ("supported", "unsupported"):
                for position, pattern in enumerate(getattr(image.instance_types, kind)):
                    row = {"image_id": image.id, "kind": kind, "position": position, "pattern": pattern}
                    c.execute(insert(schema.image_instance_type).values(**row))


def clear(world: World) -> None:
    with world.services.database.write() as c:
        for name in ("tag", "image_watermark", "image_instance_type", "resource_product_code", "launch_permission"):
            c.execute(getattr(schema, name).delete())
        for table in (schema.image_device, schema.image):
            c.execute(table.delete())


def as_seen(image: Image, world: World, viewer: str, tagger: str) -> Image:
    """What of an image is told to the viewer."""
    tags = image.tags if viewer == tagger else {}
    return replace(image, grantees=image.grantees & world.words(viewer), tags=tags)


def is_selected(image: Image, world: World, wanted: Selection) -> bool:
    """What a list holds, said in values; ``image`` with all its grantees."""
    viewer, words = wanted.viewer, world.words(wanted.viewer)
    is_own = image.account_id == viewer
    if image.state in (ImageState.DEREGISTERED, ImageState.BINNED) or not (is_own or image.grantees & words):
        return False
    if image.state is ImageState.DISABLED and not (is_own and wanted.has_disabled):
        return False
    is_deprecated = image.deprecation_at is not None and image.deprecation_at <= NOW
    if is_deprecated and not (is_own or wanted.has_deprecated):
        return False
    if wanted.ids is not None and image.id not in wanted.ids:
        return False
    if wanted.owners is not None and not {image.account_id, image.owner_alias} & wanted.owners:
        return False
    if wanted.executable_by is not None:
        asked = wanted.executable_by - {viewer} | (
            words - {EVERYONE} if viewer in wanted.executable_by else frozenset()
        )
        if not (image.grantees if is_own else image.grantees & words) & asked:
            return False
    return wanted.after is None or list_key(image) > wanted.after


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_list_in_sql_is_the_list_that_the_rules_say(world: World, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, 6))
    known = [placed(data.draw(drawn_images(number)), world) for number in range(count)]
    viewer, tagger = (data.draw(st.sampled_from(world.accounts)) for _ in range(2))
    everyone = [*world.accounts, EVERYONE, "999999999999"]
    wanted = Selection(
        viewer=viewer,
        region=REGION,
        ids=data.draw(st.none() | st.just(frozenset(image.id for image in known[::2]))),
        owners=data.draw(st.none() | st.just(frozenset({viewer})) | st.frozensets(st.sampled_from([*world.accounts, ALIAS, "aws-marketplace"]), min_size=1)),
        executable_by=data.draw(st.none() | st.frozensets(st.sampled_from(everyone), min_size=1)),
        filters=data.draw(drawn_filters(known)),
        now=NOW,
        has_deprecated=data.draw(st.booleans()),
        has_disabled=data.draw(st.booleans()),
        after=data.draw(st.none() | st.sampled_from([list_key(image) for image in known] or ["0:"])),
        size=data.draw(st.none() | st.integers(1, 3)),
    )  # fmt: skip
    try:
        write(world, known, tagger)
        with world.services.database.read() as c:
            found = list_images(c, wanted)
            found_ids = list_ids(c, wanted)
    finally:
        clear(world)
    passes = predicate(wanted.filters, viewer)
    expected = [
        as_seen(image, world, viewer, tagger)
        for image in known
        if is_selected(image, world, wanted) and passes(as_seen(image, world, viewer, tagger))
    ]
    assert found == sorted(expected, key=list_key)[: wanted.size]
    without_page = replace(wanted, after=None)
    assert found_ids == {
        image.id
        for image in known
        if is_selected(image, world, without_page) and passes(as_seen(image, world, viewer, tagger))
    }


def test_both_sayings_know_the_same_filters_and_all_of_ec2s() -> None:
    assert set(CONDITIONS) == {*FIELDS, *OWNERS_FIELDS, "tag-key"}
    assert len(CONDITIONS) == 52, "the named ones; the 53rd is tag:<key>"


@pytest.mark.parametrize("name", sorted({*CONDITIONS, "tag:team"}))
def test_every_filter_compiles_for_postgresql(name: str) -> None:
    viewpoint = Viewpoint("111111111111", REGION, schema.image.c.name == "allowed")
    (condition,) = conditions([Filter(name, ("a", "b*?", "true"))], viewpoint)
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy does not say its type
    text = str(condition.compile(dialect=dialect))
    assert "GLOB" not in text and "strftime" not in text and "json_each" not in text


def test_times_are_spelled_with_milliseconds() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 6000, tzinfo=UTC)
    assert spell_time(moment) == "2026-01-02T03:04:05.006Z"
    assert spell_watermark_time(moment) == "2026-01-02T03:04:05.006000+00:00"


@pytest.mark.parametrize(
    ("pattern", "matched"),
    [("*a" * 40 + "b", False), ("*a" * 40, True), ("a\0*", False), ("\U0010ffff*", False), ("?" * 5000, False), ("*" * 5000, True)],
)  # fmt: skip
def test_hostile_patterns_end_soon_and_as_the_rules_say(world: World, pattern: str, matched: bool) -> None:
    image = replace(AN_IMAGE, account_id=world.accounts[0], name="a" * 128, product_codes=())
    wanted = Selection(world.accounts[0], REGION, filters=(Filter("name", (pattern,)),))
    assert predicate(wanted.filters, wanted.viewer)(image) is matched
    with world.services.database.write() as c:
        images.insert_image(c, image)
        assert bool(list_images(c, wanted)) is matched
        c.rollback()
