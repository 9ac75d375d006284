"""Page tokens are sealed, short-lived, and for one question."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from amiable.api.paging import PAGE_SIZE_MAX, PageBounds, open_page
from amiable.model.errors import InvalidPaginationToken, InvalidParameterValue
from amiable.model.principal import Principal
from amiable.services import Services
from amiable.wire.generated import ec2

LETTERS = list("abcdefg")


class DescribeLettersRequest(ec2.DescribeTagsRequest, kw_only=True, frozen=True):
    """The request of another action, with the very same parameters."""


def ask(
    services: Services,
    who: Principal,
    kind: type[ec2.DescribeTagsRequest] = ec2.DescribeTagsRequest,
    *,
    filters: list[ec2.Filter] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> tuple[list[str], str | None]:
    page = open_page(services, who, kind(filters=filters, max_results=max_results, next_token=next_token))
    return page.cut(LETTERS, lambda letter: letter)


def test_pages_cut_a_list_without_gap_or_overlap(services: Services, principal: Principal) -> None:
    seen, token, sizes = [], None, [3, 1, 2, 5]
    for size in sizes:
        letters, token = ask(services, principal, max_results=size, next_token=token)
        seen += letters
    assert seen == LETTERS and token is None


def test_without_a_size_all_comes_and_the_last_page_has_no_token(services: Services, principal: Principal) -> None:
    assert ask(services, principal) == (LETTERS, None)
    assert ask(services, principal, max_results=len(LETTERS)) == (LETTERS, None)


def test_a_token_names_its_caller_its_region_its_action_and_its_question(
    services: Services, principal: Principal, other_principal: Principal
) -> None:
    _, token = ask(services, principal, max_results=2)
    asked_else = [ec2.Filter(name="key", values=["x"])]
    changes: tuple[Callable[[], object], ...] = (
        lambda: ask(services, other_principal, max_results=2, next_token=token),
        lambda: ask(services, replace(principal, region="eu-west-1"), max_results=2, next_token=token),
        lambda: ask(services, principal, DescribeLettersRequest, max_results=2, next_token=token),
        lambda: ask(services, principal, max_results=2, next_token=token, filters=asked_else),
        lambda: ask(services, principal, max_results=2, next_token=str(token)[:-8]),
        lambda: ask(services, principal, max_results=2, next_token="A" * 5000),
        lambda: ask(services, principal, max_results=2, next_token="é"),
    )
    for change in changes:
        with pytest.raises(InvalidPaginationToken):
            change()
    assert ask(services, principal, max_results=2, next_token=token)[0] == ["c", "d"]


def test_a_token_serves_for_an_hour(services: Services, principal: Principal) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)

    def after(minutes: int) -> Services:
        return replace(services, clock=lambda: start + timedelta(minutes=minutes))

    now, soon, late = after(0), after(59), after(61)
    _, token = ask(now, principal, max_results=2)
    assert ask(soon, principal, max_results=2, next_token=token)[0] == ["c", "d"]
    with pytest.raises(InvalidPaginationToken):
        ask(late, principal, max_results=2, next_token=token)


def test_sizes_have_bounds(services: Services, principal: Principal) -> None:
    request = ec2.DescribeTagsRequest(max_results=4)
    with pytest.raises(InvalidParameterValue, match="maxResults"):
        open_page(services, principal, request, PageBounds(size_min=5))
    huge = ec2.DescribeTagsRequest(max_results=10**9)
    page = open_page(services, principal, huge)
    assert (page.after, page.size) == (None, PAGE_SIZE_MAX)
    fewer = open_page(services, principal, huge, PageBounds(held_max=500))
    assert (fewer.size, open_page(services, principal, request, PageBounds(held_max=500)).size) == (500, 4)
