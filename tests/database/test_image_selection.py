"""Lists of images: by which index each is found, so that none reads what it does not show."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from amiable.database.image_selection import Selection, list_images
from amiable.rules.filters import Filter
from tests.support.services import make_account, open_services

ME, OTHER = "111111111111", "222222222222"
ORDER = "TEMP B-TREE FOR ORDER BY"


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A function from a selection to SQLite's plan of its query."""
    folder: Path = tmp_path_factory.mktemp("plans")
    with open_services(folder / "data") as services:
        make_account(services)

        def plan_of(**wanted: Any) -> str:
            asked: list[tuple[str, Any]] = []

            def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
                asked.append((statement, parameters))

            with services.database.read() as c:
                event.listen(services.database.engine, "before_cursor_execute", note)
                list_images(c, Selection(ME, "us-east-1", now=services.now(), **wanted))
                event.remove(services.database.engine, "before_cursor_execute", note)
                statement, parameters = next(each for each in asked if "FROM image JOIN" in each[0])
                return "\n".join(
                    row[3] for row in c.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
                )

        yield plan_of


@pytest.mark.parametrize("owner", [ME, OTHER])
@pytest.mark.parametrize("pattern", ["web-*", "web-?", "web"])
def test_a_name_and_its_owner_are_found_by_the_index_of_names(plan: Any, owner: str, pattern: str) -> None:
    found = plan(owners=frozenset({owner}), filters=(Filter("name", (pattern,)),))
    assert "USING INDEX uq_image_name_in_use (account_id=? AND region=? AND name" in found


def test_a_name_without_an_owner_is_found_by_the_index_of_names(plan: Any) -> None:
    assert "USING INDEX ix_image_region_name (region=? AND name>? AND name<?)" in plan(
        filters=(Filter("name", ("web-*",)),)
    )


@pytest.mark.parametrize(
    "filter_", [Filter("block-device-mapping.snapshot-id", ("snap-1",)), Filter("tag:a", ("b",)), Filter("tag-key", ("b",)),
                Filter("product-code", ("c",)), Filter("image-watermark.watermark-key", ("k",))]
)  # fmt: skip
def test_what_lies_beside_an_image_finds_it_by_its_id(plan: Any, filter_: Filter) -> None:
    for owners in (None, frozenset({ME})):
        assert "SEARCH image USING INDEX sqlite_autoindex_image_1 (id=?)" in plan(filters=(filter_,), owners=owners)


def test_named_ids_are_found_by_their_ids(plan: Any) -> None:
    found = plan(ids=frozenset({"ami-12345678"}))
    assert "SEARCH image USING INDEX sqlite_autoindex_image_1 (id=?)" in found


def test_pages_are_read_in_the_order_of_an_index(plan: Any) -> None:
    after = "00001767323045678:ami-12345678"
    own = plan(owners=frozenset({ME}), size=10, after=after)
    assert "ix_image_account_created (account_id=? AND region=? AND created_at>?)" in own and ORDER not in own
    everybodys = plan(size=10, after=after)
    assert "ix_image_region_created (region=? AND created_at>?)" in everybodys and ORDER not in everybodys


def test_a_list_of_everything_begins_at_what_is_visible(plan: Any) -> None:
    found = plan()
    assert "SEARCH image USING INDEX sqlite_autoindex_image_1 (id=?)" in found
    assert "ix_launch_permission_grantee (grantee=?)" in found
