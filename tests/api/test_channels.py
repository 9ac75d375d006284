"""Moves of a channel: atomic whoever else moves it, and never told differently by the parameters that show it."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amiable.api import channels
from amiable.database import parameters
from amiable.database.channels import pointing_at
from amiable.model.errors import InvalidParameterValue
from amiable.model.parameter import VERSIONS_MAX
from amiable.model.parameter_errors import ChannelMoved, NothingBefore
from amiable.model.principal import Principal
from amiable.rules.channels import own_parameter, public_parameter
from amiable.services import Services
from tests.api.ec2.launching import make_image


def shown(services: Services, principal: Principal, name: str) -> list[tuple[int, str]]:
    """The versions of a parameter that are kept."""
    with services.database.read() as c:
        return [
            (each.version, each.value) for each in parameters.history(c, principal.account_id, principal.region, name)
        ]


def test_of_many_who_move_from_one_version_one_wins(services: Services, principal: Principal) -> None:
    images = [make_image(services, principal).id for _ in range(9)]
    channels.create_channel(services, principal, channels.NewChannel("contended", images[0]))

    def move(image_id: str) -> str | None:
        try:
            return channels.promote(services, principal, "contended", image_id=image_id, expected=1).current.image_id
        except ChannelMoved:
            return None

    with ThreadPoolExecutor(8) as pool:
        moved = [image_id for image_id in pool.map(move, images[1:]) if image_id is not None]
    assert len(moved) == 1
    versions = channels.history(services, principal, "contended")
    assert [each.image_id for each in versions] == [images[0], *moved]
    assert shown(services, principal, "/amiable/channel/contended") == [(1, images[0]), (2, moved[0])]


def test_a_channel_keeps_all_its_versions_and_its_parameter_the_newest(
    services: Services, principal: Principal
) -> None:
    images = [make_image(services, principal).id for _ in range(2)]
    channels.create_channel(services, principal, channels.NewChannel("long", images[0]))
    for number in range(1, VERSIONS_MAX + 2):
        channels.promote(services, principal, "long", image_id=images[number % 2])
    assert len(channels.history(services, principal, "long")) == VERSIONS_MAX + 2
    kept = shown(services, principal, "/amiable/channel/long")
    assert [version for version, _ in kept] == list(range(3, VERSIONS_MAX + 3))
    assert channels.rollback(services, principal, "long", to=1).current.image_id == images[0]


MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("promote"), st.integers(0, 2)),
        st.tuples(st.just("rollback"), st.none() | st.integers(1, 5)),
        st.tuples(st.just("public"), st.booleans()),
    ),
    max_size=8,
)


@given(MOVES)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_channel_and_parameters_never_disagree(
    services: Services, principal: Principal, moves: list[tuple[str, int | bool | None]]
) -> None:
    images = [make_image(services, principal).id for _ in range(3)]
    channel = channels.create_channel(services, principal, channels.NewChannel("followed", images[0]))
    try:
        for verb, word in moves:
            try:
                if verb == "promote":
                    channel = channels.promote(services, principal, "followed", image_id=images[int(word or 0)])
                elif verb == "rollback":
                    channel = channels.rollback(services, principal, "followed", to=word)
                else:
                    channel = channels.set_public(services, principal, "followed", bool(word))
            except (InvalidParameterValue, NothingBefore):
                pass
            assert channels.find_channel(services, principal, "followed") == channel
            versions = [(each.number, each.image_id) for each in channels.history(services, principal, "followed")]
            assert versions[-1] == (channel.current.number, channel.current.image_id)
            assert shown(services, principal, own_parameter(channel)) == versions
            public = shown(services, principal, public_parameter(channel))
            assert public == (versions[-len(public) :] if channel.is_public else [])
            with services.database.read() as c:
                assert [each.name for each in pointing_at(c, [channel.current.image_id])] == ["followed"]
    finally:
        channels.delete_channel(services, principal, "followed")
    assert shown(services, principal, own_parameter(channel)) == []


def test_what_a_move_refuses_moves_nothing(
    services: Services, principal: Principal, other_principal: Principal
) -> None:
    mine, theirs = make_image(services, principal).id, make_image(services, other_principal).id
    channel = channels.create_channel(services, principal, channels.NewChannel("steady", mine))
    for image_id in (theirs, "ami-12345678", "nothing"):
        with pytest.raises(Exception, match=r"Not authorized|does not exist|Invalid id"):
            channels.promote(services, principal, "steady", image_id=image_id)
    for version in (0, 1, 2, -1):
        with pytest.raises(InvalidParameterValue):
            channels.rollback(services, principal, "steady", to=version)
    assert channels.find_channel(services, principal, "steady") == channel
    assert shown(services, principal, own_parameter(channel)) == [(1, mine)]
