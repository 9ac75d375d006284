"""Who sees what that is not its own: SQL says what the rules say, through organizations and under guards."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from amiable.database import (
    block_public_access,
    image_selection,
    images,
    organizations,
    sharing,
    snapshot_selection,
    snapshots,
)
from amiable.database.schema import (
    account_region_setting,
    create_volume_permission,
    image_device,
    launch_permission,
    organization,
    organization_member,
    organizational_unit,
)
from amiable.database.schema import image as I
from amiable.database.schema import snapshot as S
from amiable.database.snapshot_selection import Selection
from amiable.model.block_public_access import BLOCK_ALL_SHARING, BLOCK_NEW_SHARING, UNBLOCKED, BlockPublicAccess
from amiable.model.image import EVERYONE
from amiable.model.organization import Member, Organization, OrganizationalUnit
from amiable.model.snapshot import Snapshot
from amiable.rules.permission import may_see
from amiable.services import Services
from tests.rules.images import AN_IMAGE
from tests.support.services import make_account, open_services

ACCOUNTS = range(4)
UNITS = range(3)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Services, list[str]]]:
    """Services, and four accounts."""
    folder: Path = tmp_path_factory.mktemp("sharing")
    with open_services(folder / "data") as services:
        yield services, [make_account(services, f"account {number}")[0].account_id for number in ACCOUNTS]


def empty(services: Services) -> None:
    with services.database.write() as c:
        for table in (
            *(launch_permission, image_device, I, create_volume_permission, S, account_region_setting),
            *(organization_member, organizational_unit, organization),
        ):
            c.execute(table.delete())


@dataclass(frozen=True)
class World:
    """Units by the unit above each (None: the root), where each account lies (None: outside, -1: the root), and grants."""

    above: tuple[int | None, ...]
    places: tuple[int | None, ...]
    owner: int
    granted: frozenset[str]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    above = tuple(draw(st.none() | st.integers(0, number - 1)) if number else None for number in UNITS)
    places = tuple(draw(st.none() | st.integers(-1, UNITS[-1])) for _ in ACCOUNTS)
    words = ["all", "organization", "elsewhere", *(f"unit {each}" for each in UNITS), *map(str, ACCOUNTS)]
    return World(
        above, places, draw(st.sampled_from(ACCOUNTS)), draw(st.frozensets(st.sampled_from(words), max_size=3))
    )


def standing_for(world: World, account: int) -> set[str]:
    """The words that stand for an account, found by walking upwards."""
    words, place = {"all", str(account)}, world.places[account]
    if place is not None:
        words.add("organization")
        while place is not None and place >= 0:
            words.add(f"unit {place}")
            place = world.above[place]
    return words


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(world=worlds())
def test_an_image_is_seen_by_whom_a_granted_word_stands_for(opened: tuple[Services, list[str]], world: World) -> None:
    services, accounts = opened
    home = Organization("o-0123456789", accounts[0], "home")
    units: list[OrganizationalUnit] = []
    for number, above in enumerate(world.above):
        parent_id = None if above is None else units[above].id
        units.append(OrganizationalUnit(f"ou-root-0000000{number}", home, parent_id, f"unit {number}"))
    arns = {"all": EVERYONE, "organization": home.arn, "elsewhere": replace(home, id="o-9876543210").arn}
    arns |= {unit.name: unit.arn for unit in units} | {str(number): accounts[number] for number in ACCOUNTS}
    image = replace(AN_IMAGE, account_id=accounts[world.owner], name="shared")
    empty(services)
    with services.database.write() as c:
        organizations.insert_organization(c, home, now=services.now())
        organizations.delete_member(c, home.account_id)
        for unit in units:
            organizations.insert_unit(c, unit)
        for account_id, place in zip(accounts, world.places, strict=True):
            if place is not None:
                organizations.put_member(c, Member(account_id, home.id, units[place].id if place >= 0 else None))
        images.insert_image(c, image)
        images.change_grants(c, image.id, add=[arns[word] for word in world.granted], remove=())
    with services.database.read() as c:
        for number, viewer in enumerate(accounts):
            expected = number == world.owner or bool(standing_for(world, number) & world.granted)
            words = organizations.grantee_words(c, viewer)
            in_sql = c.execute(select(I.c.id).where(sharing.sees_image(viewer, words))).scalar() == image.id
            read = images.get(c, image.region, image.id, viewer=viewer)
            assert read is not None
            assert in_sql is may_see(read, viewer) is expected
            wanted = image_selection.Selection(viewer, image.region, ids=frozenset({image.id}))
            assert image_selection.list_ids(c, wanted) == ({image.id} if expected else set())


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    owner=st.sampled_from(ACCOUNTS),
    granted=st.frozensets(st.sampled_from([EVERYONE, *map(str, ACCOUNTS)])),
    guards=st.tuples(*(st.sampled_from([None, UNBLOCKED, BLOCK_NEW_SHARING, BLOCK_ALL_SHARING]) for _ in range(2))),
    hidden=st.sampled_from([None, "internal", "binned"]),
)
def test_a_snapshot_is_seen_by_whom_it_names_and_by_all_unless_its_owner_hides_it(
    opened: tuple[Services, list[str]],
    owner: int,
    granted: frozenset[str],
    guards: tuple[str | None, str | None],
    hidden: str | None,
) -> None:
    services, accounts = opened
    now = services.now()
    snapshot = Snapshot(
        id="snap-0123456789abcdef0", account_id=accounts[owner], region="here", state="completed", size_gib=1,
        started_at=now, touched_at=now, is_internal=hidden == "internal", binned_at=now if hidden == "binned" else None,
    )  # fmt: skip
    named = {word if word == EVERYONE else accounts[int(word)] for word in granted}
    empty(services)
    with services.database.write() as c:
        snapshots.insert_snapshot(c, snapshot)
        sharing.change_snapshot_grants(c, snapshot.id, add=named, remove=())
        for region, guard in zip(("here", "there"), guards, strict=True):
            if guard is not None:
                block_public_access.put(c, accounts[owner], region, BlockPublicAccess(snapshots=guard))
    is_public = EVERYONE in named and guards[0] != BLOCK_ALL_SHARING
    with services.database.read() as c:
        for viewer in accounts:
            expected = hidden is None and (viewer in {accounts[owner], *named} or is_public)
            found = snapshot_selection.list_snapshots(c, Selection(viewer, "here"))
            assert [each.snapshot for each in found] == ([snapshot] if expected else [])
            assert snapshots.find_seen(c, viewer, "here", snapshot.id) == (snapshot if expected else None)
            assert snapshot_selection.closed(c, viewer, "here", [snapshot.id]) == ([] if expected else [snapshot.id])
            assert snapshot_selection.list_snapshots(c, Selection(viewer, "there")) == []
