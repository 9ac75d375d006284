"""Channels: made, moved forward and back, read, deleted.

A move is one transaction: the channel's new version, and the same version of each parameter that shows it.  An image is pointed at
only if the channel's owner could launch it now; who launches through the channel later is checked on the image again.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from amiable.database import channels, images, parameters
from amiable.model import ids
from amiable.model.channel import Channel, ChannelVersion
from amiable.model.errors import (
    AuthFailure,
    InvalidAMIIDUnavailable,
    InvalidParameterValue,
    Malformed,
    NotFound,
    OperationNotPermitted,
    ResourceLimitExceeded,
)
from amiable.model.image import ImageType
from amiable.model.parameter import IMAGE, Parameter, ParameterType
from amiable.model.parameter_errors import ChannelExists, ChannelMoved, ChannelNotFound
from amiable.model.principal import Principal
from amiable.rules import channels as rules
from amiable.rules.permission import check_launch
from amiable.services import Services
from amiable.services.allowed_images import check_allowed


@dataclass(frozen=True, slots=True)
class NewChannel:
    """A channel as a request says it, and the image that it shall point at."""

    name: str
    image_id: str
    description: str | None = None
    is_public: bool = False


def create_channel(services: Services, principal: Principal, wanted: NewChannel) -> Channel:
    """A new channel of the caller's."""
    rules.check_name(wanted.name)
    rules.check_description(wanted.description)
    now = services.now()
    with services.database.write() as c:
        there = channels.find_channel(c, principal.account_id, principal.region, wanted.name)
        if there is not None:
            raise ChannelExists(name=wanted.name, image_id=there.current.image_id)
        if channels.count_channels(c, principal.account_id, principal.region) >= rules.CHANNELS_MAX:
            raise ResourceLimitExceeded(f"An account may have {rules.CHANNELS_MAX} channels in a region.")
        _check_image(services, c, principal, wanted.image_id)
        first = ChannelVersion(number=1, image_id=wanted.image_id, created_at=now, created_by=principal.access_key_id)
        made = Channel(
            account_id=principal.account_id,
            region=principal.region,
            name=wanted.name,
            description=wanted.description or None,
            is_public=wanted.is_public,
            is_house=principal.is_administrator,
            created_at=now,
            current=first,
        )
        channels.insert_channel(c, made)
        for parameter in rules.parameters_of(made):
            _check_free(c, principal, parameter)
            _show(c, principal, made, parameter)
    return made


def promote(
    services: Services, principal: Principal, name: str, *, image_id: str, expected: int | None = None
) -> Channel:
    """Points the channel at the image; with ``expected`` only from that version."""

    def choose(c: Connection, channel: Channel) -> ChannelVersion:
        if channel.current.image_id == image_id:
            raise InvalidParameterValue(
                parameter="ImageId",
                value=image_id,
                why=f"The channel {name} points at it already, since version {channel.current.number}.",
            )
        return replace(channel.current, image_id=image_id, restores=None)

    return _move(services, principal, name, expected, choose)


def rollback(
    services: Services, principal: Principal, name: str, *, to: int | None = None, expected: int | None = None
) -> Channel:
    """Points the channel back at where it pointed before the current image came, or at its version ``to``.

    An image that cannot be launched any more is refused, not passed by: who asked for it shall know.
    """

    def choose(c: Connection, channel: Channel) -> ChannelVersion:
        versions = {version.number: version for version in channels.versions_of(c, channel)}
        if to is not None and (to not in versions or to == channel.current.number):
            raise InvalidParameterValue(
                parameter="Version", value=to, why=f"The channel {name} has versions 1 to {channel.current.number - 1}."
            )
        target = rules.rollback_target(channel, versions) if to is None else versions[to]
        return replace(channel.current, image_id=target.image_id, restores=target.restores or target.number)

    try:
        return _move(services, principal, name, expected, choose)
    except (AuthFailure, InvalidAMIIDUnavailable, NotFound) as refusal:
        if to is None:
            refusal.advice = (
                f"to go back past it: amiable channel history {name}; amiable channel rollback {name} --to VERSION"
            )
        raise


def set_public(services: Services, principal: Principal, name: str, is_public: bool) -> Channel:
    """Lets everybody of the region read the channel, or nobody but its owner; its images are shared by themselves."""
    with services.database.write() as c:
        channel = _own(c, principal, name)
        changed = replace(channel, is_public=is_public)
        if channel.is_public != is_public:
            channels.set_public(c, channel, is_public)
            parameter = rules.public_parameter(channel)
            if is_public:
                _check_free(c, principal, parameter)
                _show(c, principal, changed, parameter)
            else:
                parameters.delete_parameter(c, principal.account_id, principal.region, parameter)
    return changed


def delete_channel(services: Services, principal: Principal, name: str) -> Channel:
    """Deletes the channel, its history and what showed it; its images stay."""
    with services.database.write() as c:
        channel = _own(c, principal, name)
        for parameter in rules.parameters_of(channel):
            parameters.delete_parameter(c, principal.account_id, principal.region, parameter)
        channels.delete_channel(c, channel)
    return channel


def list_channels(services: Services, principal: Principal) -> list[Channel]:
    """The caller's channels and the public ones of the region."""
    with services.database.read() as c:
        return channels.list_channels(c, principal.account_id, principal.region)


def find_channel(services: Services, principal: Principal, name: str) -> Channel:
    """One of the caller's channels."""
    with services.database.read() as c:
        return _own(c, principal, name)


def history(services: Services, principal: Principal, name: str) -> list[ChannelVersion]:
    """Where one of the caller's channels pointed, oldest first."""
    with services.database.read() as c:
        return channels.versions_of(c, _own(c, principal, name))


def _move(
    services: Services,
    principal: Principal,
    name: str,
    expected: int | None,
    choose: Callable[[Connection, Channel], ChannelVersion],
) -> Channel:
    with services.database.write() as c:
        channel = _own(c, principal, name)
        here = channel.current.number
        if expected not in (None, here):
            raise ChannelMoved(name=name, version=here, expected=expected)
        chosen = replace(
            choose(c, channel), number=here + 1, created_at=services.now(), created_by=principal.access_key_id
        )
        _check_image(services, c, principal, chosen.image_id)
        if not channels.move(c, channel, chosen):
            raise ChannelMoved(name=name, version=here + 1, expected=here)
        moved = replace(channel, current=chosen)
        for parameter in rules.parameters_of(moved):
            _show(c, principal, moved, parameter)
    return moved


def _own(c: Connection, principal: Principal, name: str) -> Channel:
    found = channels.find_channel(c, principal.account_id, principal.region, name)
    if found is None:
        raise ChannelNotFound(name=name)
    return found


def _check_image(services: Services, c: Connection, principal: Principal, image_id: str) -> None:
    """Refuses what the channel's owner could not launch now."""
    if not ids.is_well_formed(ids.AMI, image_id):
        raise Malformed("image", image_id, ids.AMI)
    image = images.get(c, principal.region, image_id, viewer=principal.account_id)
    if image is None or image.image_type is not ImageType.MACHINE:
        raise NotFound("image", [image_id])
    check_allowed(services, c, principal, image)
    check_launch(image, principal.account_id)


def _check_free(c: Connection, principal: Principal, name: str) -> None:
    """Refuses to show a channel where an ordinary parameter lies."""
    if parameters.find_parameter(c, principal.account_id, principal.region, [name]) is not None:
        raise OperationNotPermitted(
            f"There is a parameter {name} already, where the channel would be read.",
            hint=f"aws ssm delete-parameter --name {name}",
        )


def _show(c: Connection, principal: Principal, channel: Channel, name: str) -> None:
    """The channel's current version as the same version of the parameter."""
    shown = Parameter(
        account_id=channel.account_id,
        region=channel.region,
        name=name,
        version=channel.current.number,
        type=ParameterType.STRING,
        value=channel.current.image_id,
        data_type=IMAGE,
        description=channel.description,
        modified_at=channel.current.created_at,
        modified_by=principal.arn,
        channel=channel.name,
    )
    parameters.put_version(c, shown)
