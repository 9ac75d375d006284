"""Whom a request shares with, as words."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.model.errors import (
    InvalidAMIAttributeItemValue,
    InvalidParameterCombination,
    InvalidParameterValue,
    MissingParameter,
    ResourceLimitExceeded,
)
from amiable.model.organization import Organization, OrganizationalUnit
from amiable.rules.sharing import (
    SNAPSHOT_CHANGES_MAX,
    AskedOfSnapshot,
    Grants,
    Permission,
    check_room,
    grantees_of,
    permission_of,
    plan_snapshot_grants,
)

ALL = Permission(group="all")
ACCOUNTS = st.from_regex(r"[0-9]{12}", fullmatch=True).filter(str.isascii)
ORGANIZATIONS = st.builds(Organization, st.from_regex(r"o-[a-z0-9]{10,32}", fullmatch=True), ACCOUNTS, st.just("n"))
UNITS = st.builds(
    OrganizationalUnit,
    st.from_regex(r"ou-[0-9a-z]{4,32}-[0-9a-z]{8,32}", fullmatch=True),
    ORGANIZATIONS,
    st.none(),
    st.just("n"),
)
PERMISSIONS = st.one_of(
    st.just(ALL),
    st.builds(lambda user: Permission(user_id=user), ACCOUNTS),
    st.builds(lambda each: Permission(organization_arn=each.arn), ORGANIZATIONS),
    st.builds(lambda each: Permission(organizational_unit_arn=each.arn), UNITS),
)


@given(st.lists(PERMISSIONS))
def test_every_permission_reads_back_as_it_was_written(permissions: list[Permission]) -> None:
    assert {permission_of(word) for word in grantees_of(permissions)} == set(permissions)


@pytest.mark.parametrize(
    ("item", "value", "named"),
    [
        ("organization_arn", "o-abcdefghij", "organizationArn"),
        ("organization_arn", "arn:aws:organizations::12345678901:organization/o-abcdefghij", "organizationArn"),
        ("organization_arn", "arn:aws:organizations::123456789012:organization/o-abcdefghij\n", "organizationArn"),
        ("organization_arn", "arn:aws:organizations::12345678901\u0662:organization/o-abcdefghij", "organizationArn"),
        ("organizational_unit_arn", "arn:aws:organizations::\u066123456789012:ou/o-abcdefghij/ou-root-00000001", "organizationalUnitArn"),
        ("organization_arn", "all", "organizationArn"),
        ("organizational_unit_arn", "arn:aws:organizations::123456789012:organization/o-abcdefghij", "organizationalUnitArn"),
        ("organizational_unit_arn", "123456789012", "organizationalUnitArn"),
        ("user_id", "all", "userId"),
        ("group", "123456789012", "UserGroup"),
    ],
)  # fmt: skip
def test_a_word_is_of_its_own_kind_and_whole(item: str, value: str, named: str) -> None:
    with pytest.raises(InvalidAMIAttributeItemValue) as caught:
        grantees_of([ALL, Permission(**{item: value})])
    assert caught.value.message == f'Invalid attribute item value "{value}" for {named} item type.'


def test_an_image_has_room_for_so_many_entities_of_any_kind() -> None:
    present = [f"{number:012d}" for number in range(10)]
    more = Grants(add=frozenset({"arn:aws:organizations::123456789012:organization/o-abcdefghij"}))
    with pytest.raises(ResourceLimitExceeded, match="shared with 10 entities at most; this would make 11"):
        check_room(present, more, grantees_max=10)
    check_room(present, Grants(add=more.add, remove=frozenset(present[:1])), grantees_max=10)
    check_room(present, Grants(add=frozenset(present)), grantees_max=10)
    check_room(present, Grants(remove=frozenset(present[:1])), grantees_max=5)  # a quota that was lowered since
    for grantees_max in (10, 5):
        check_room(present, Grants(add=frozenset({"all"})), grantees_max=grantees_max)  # no entity
    check_room(["all", *present[1:]], Grants(add=frozenset(present)), grantees_max=10)
    with pytest.raises(ResourceLimitExceeded, match="this would make 11"):
        check_room(["all", *present], more, grantees_max=10)


@given(permissions=st.lists(st.sampled_from([ALL, Permission(user_id="1" * 12)]), min_size=1), verb=st.booleans())
def test_both_styles_of_a_snapshots_permission_mean_the_same(permissions: list[Permission], verb: bool) -> None:
    named = tuple(permissions)
    structured = AskedOfSnapshot(add=named) if verb else AskedOfSnapshot(remove=named)
    flat = AskedOfSnapshot(operation_type="add" if verb else "remove", flat=named)
    words = grantees_of(named)
    expected = Grants(add=words) if verb else Grants(remove=words)
    assert plan_snapshot_grants(structured) == plan_snapshot_grants(flat) == expected
    assert plan_snapshot_grants(replace(structured, flat=named)) == expected
    assert plan_snapshot_grants(replace(flat, add=structured.add, remove=structured.remove)) == expected


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        ({}, MissingParameter),
        ({"operation_type": "add"}, MissingParameter),
        ({"flat": (ALL,)}, MissingParameter),
        ({"operation_type": "toggle", "flat": (ALL,)}, InvalidParameterValue),
        ({"attribute": "productCodes", "add": (ALL,)}, InvalidParameterValue),
        ({"add": (ALL,), "remove": (Permission(user_id="1" * 12),)}, InvalidParameterCombination),
        ({"add": (ALL,), "flat": (Permission(user_id="1" * 12),)}, InvalidParameterCombination),
        ({"add": (ALL,), "operation_type": "remove"}, InvalidParameterCombination),
        ({"remove": (ALL,), "flat": (ALL,), "operation_type": "add"}, InvalidParameterCombination),
        ({"add": (Permission(user_id="1" * 12, group="all"),)}, InvalidParameterCombination),
        ({"add": (ALL,) * (SNAPSHOT_CHANGES_MAX + 1)}, InvalidParameterValue),
    ],
)
def test_what_is_no_change_of_a_snapshots_permission_is_refused(
    words: dict[str, Any], refusal: type[Exception]
) -> None:
    with pytest.raises(refusal):
        plan_snapshot_grants(AskedOfSnapshot(**words))
