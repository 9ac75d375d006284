"""Channels: ``/amiable/v1/channels``; the slashes of a name are percent-encoded in the path."""

from typing import Final

import msgspec

from amiable.api import channels
from amiable.model.channel import Channel, ChannelVersion
from amiable.rules.channels import own_parameter, public_parameter
from amiable.server.amiable.calls import Answer, Routes, instant, read_body
from amiable.server.contracts import Authenticated
from amiable.services import Services


class CreateChannel(msgspec.Struct, frozen=True, rename="pascal", forbid_unknown_fields=True):
    """The body of POST channels."""

    name: str
    image_id: str
    description: str | None = None
    public: bool = False


class Promote(msgspec.Struct, frozen=True, rename="pascal", forbid_unknown_fields=True):
    """The body of POST channels/{name}/promote."""

    image_id: str
    expected_version: int | None = None


class Rollback(msgspec.Struct, frozen=True, rename="pascal", forbid_unknown_fields=True):
    """The body of POST channels/{name}/rollback."""

    version: int | None = None
    expected_version: int | None = None


class Visibility(msgspec.Struct, frozen=True, rename="pascal", forbid_unknown_fields=True):
    """The body of PUT channels/{name}/visibility."""

    public: bool


def _list(services: Services, request: Authenticated, _id: str, _body: bytes) -> Answer:
    found = channels.list_channels(services, request.principal)
    return {"Channels": [_channel(request, each) for each in found]}


def _create(services: Services, request: Authenticated, _id: str, body: bytes) -> Answer:
    wanted = read_body(body, CreateChannel)
    made = channels.create_channel(
        services,
        request.principal,
        channels.NewChannel(wanted.name, wanted.image_id, wanted.description, wanted.public),
    )
    return _channel(request, made)


def _show(services: Services, request: Authenticated, name: str, _body: bytes) -> Answer:
    return _channel(request, channels.find_channel(services, request.principal, name))


def _history(services: Services, request: Authenticated, name: str, _body: bytes) -> Answer:
    return {"Versions": [_version(each) for each in channels.history(services, request.principal, name)]}


def _promote(services: Services, request: Authenticated, name: str, body: bytes) -> Answer:
    wanted = read_body(body, Promote)
    moved = channels.promote(
        services, request.principal, name, image_id=wanted.image_id, expected=wanted.expected_version
    )
    return _channel(request, moved)


def _rollback(services: Services, request: Authenticated, name: str, body: bytes) -> Answer:
    wanted = read_body(body, Rollback)
    moved = channels.rollback(services, request.principal, name, to=wanted.version, expected=wanted.expected_version)
    return _channel(request, moved)


def _set_public(services: Services, request: Authenticated, name: str, body: bytes) -> Answer:
    wanted = read_body(body, Visibility)
    return _channel(request, channels.set_public(services, request.principal, name, wanted.public))


def _delete(services: Services, request: Authenticated, name: str, _body: bytes) -> Answer:
    return _channel(request, channels.delete_channel(services, request.principal, name))


def _version(version: ChannelVersion) -> Answer:
    return {
        "Version": version.number,
        "ImageId": version.image_id,
        "Restores": version.restores,
        "MovedAt": instant(version.created_at),
        "AccessKeyId": version.created_by,
    }


def _channel(request: Authenticated, channel: Channel) -> Answer:
    """What is told of a channel; how its owner reads it is told to its owner."""
    is_own = channel.account_id == request.principal.account_id
    return {
        "Name": channel.name,
        "OwnerId": channel.account_id,
        "ImageId": channel.current.image_id,
        "Version": channel.current.number,
        "Restores": channel.current.restores,
        "MovedAt": instant(channel.current.created_at),
        "Public": channel.is_public,
        "Description": channel.description or "",
        "CreatedAt": instant(channel.created_at),
        "Parameter": own_parameter(channel) if is_own else None,
        "PublicParameter": public_parameter(channel) if channel.is_public else None,
    }


ROUTES: Final[Routes] = {
    ("GET",    "channels"): _list,
    ("POST",   "channels"): _create,
    ("GET",    "channels/{}"): _show,
    ("DELETE", "channels/{}"): _delete,
    ("GET",    "channels/{}/history"): _history,
    ("POST",   "channels/{}/promote"): _promote,
    ("POST",   "channels/{}/rollback"): _rollback,
    ("PUT",    "channels/{}/visibility"): _set_public,
}  # fmt: skip
