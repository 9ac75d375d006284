"""Where a rollback goes: against an undo stack of images, whatever was promoted and rolled back before."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.model.channel import Channel, ChannelVersion
from amiable.model.errors import InvalidParameterValue
from amiable.model.parameter_errors import NothingBefore
from amiable.rules.channels import check_name, own_parameter, parameters_of, public_parameter, rollback_target

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FIRST = ChannelVersion(number=1, image_id="image 0", created_at=NOW, created_by="AKIA")
CHANNEL = Channel(
    account_id="111111111111",
    region="us-east-1",
    name="debian-12/stable",
    description=None,
    is_public=False,
    is_house=False,
    created_at=NOW,
    current=FIRST,
)


@given(st.lists(st.none() | st.integers(0, 3), max_size=30))
def test_rollbacks_undo_promotions_like_a_stack(moves: list[int | None]) -> None:
    """None rolls back, a number promotes that image."""
    channel, versions, stack = CHANNEL, {1: FIRST}, ["image 0"]
    for move in moves:
        number = channel.current.number + 1
        if move is not None:
            version = ChannelVersion(number=number, image_id=f"image {move}", created_at=NOW, created_by="AKIA")
            stack.append(version.image_id)
        elif len(stack) == 1:
            with pytest.raises(NothingBefore):
                rollback_target(channel, versions)
            continue
        else:
            target = rollback_target(channel, versions)
            stack.pop()
            version = replace(target, number=number, restores=target.restores or target.number)
        versions[number] = version
        channel = replace(channel, current=version)
        assert channel.current.image_id == stack[-1]


@pytest.mark.parametrize("name", ["stable", "debian-12/stable", "a.b_c/1", "/".join("abcdefghij"), "12345678901/x"])
def test_words_between_slashes_are_names(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    "name", ["", "/", "/a", "a/", "a//b", "a b", "-a", "é", "a\n", "123456789012", "123456789012/a", "a" * 129]
)
def test_anything_else_is_refused(name: str) -> None:
    with pytest.raises(InvalidParameterValue):
        check_name(name)


def test_a_channel_is_read_by_its_owner_and_where_it_is_public_by_all() -> None:
    assert parameters_of(CHANNEL) == (own_parameter(CHANNEL),) == ("/amiable/channel/debian-12/stable",)
    assert public_parameter(CHANNEL) == "/aws/service/amiable/111111111111/debian-12/stable"
    assert public_parameter(replace(CHANNEL, is_house=True)) == "/aws/service/amiable/debian-12/stable"
    assert len(parameters_of(replace(CHANNEL, is_public=True))) == 2
