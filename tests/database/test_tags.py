"""A law: what DescribeTags finds in SQL is what the predicate over values says; and the plans of what is asked with each deletion."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from amiable.database import tags
from amiable.database.tags import TagSelection, list_tags
from amiable.model.principal import Principal
from amiable.model.tags import Tag
from amiable.rules.filters import Filter
from amiable.rules.tags import predicate
from amiable.services import Services
from tests.support.services import make_account, open_services

REGION = "us-east-1"
WORDS = ("", "a", "A", "ab", "b*", "b?", "é", "tag:a")
RESOURCES = ("ami-1", "ami-2", "snap-1")
PATTERNS = (*WORDS, "*", "?", "a*", "b\\*", "ami-*", "snap-1", "image")
NAMES = ("key", "value", "resource-id", "resource-type", "tag-key", "tag:a", "tag:b*")


@pytest.fixture(scope="module")
def tagged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Services, Principal]]:
    with open_services(tmp_path_factory.mktemp("tags") / "data") as services:
        _, principal = make_account(services)
        with services.database.write() as c:
            for number, resource_id in enumerate(RESOURCES):
                words = {key: WORDS[-1 - index - number] for index, key in enumerate(WORDS[1 : 5 + number])}
                tags.put(c, tags.TaggedResource(principal.account_id, REGION, resource_id, "image" if resource_id.startswith("ami") else "snapshot"), words)  # fmt: skip
        yield services, principal


def read(tagged: tuple[Services, Principal], *filters: Filter, **words: Any) -> list[Tag]:
    services, principal = tagged
    with services.database.read() as c:
        return list_tags(c, TagSelection(principal.account_id, REGION, filters=filters, **words))


FILTERS = st.builds(
    Filter, st.sampled_from(NAMES), st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=3).map(tuple)
)


@given(st.lists(FILTERS, max_size=2).map(tuple))
def test_sql_finds_what_the_predicate_finds(tagged: tuple[Services, Principal], filters: tuple[Filter, ...]) -> None:
    wanted = predicate(filters)
    assert read(tagged, *filters) == [tag for tag in read(tagged) if wanted(tag)]


def test_a_list_goes_on_behind_any_of_its_tags(tagged: tuple[Services, Principal]) -> None:
    everything = read(tagged)
    assert len(everything) == 15
    for index, tag in enumerate(everything):
        assert read(tagged, after=(tag.resource_id, tag.key), size=4) == everything[index + 1 : index + 5]


def test_a_page_of_tags_and_the_end_of_a_resource_read_no_other_tags(tmp_path: Path) -> None:
    with open_services(tmp_path / "data") as services, services.database.write() as c:
        for statement in (
            "DELETE FROM tag WHERE resource_id = 'ami-1'",
            "SELECT key FROM tag WHERE account_id = '1' AND region = 'r' AND resource_id >= 'ami-1' "
            "AND (resource_id > 'ami-1' OR key > 'k') ORDER BY resource_id, key LIMIT 5",
        ):
            plan = " ".join(row.detail for row in c.execute(text(f"EXPLAIN QUERY PLAN {statement}")))
            assert "SCAN" not in plan and "TEMP B-TREE" not in plan, plan
