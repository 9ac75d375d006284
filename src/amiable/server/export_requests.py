"""What the exporter is asked on its control socket, each a line of JSON."""

import msgspec


class Add(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="add"):
    """Serve ``volume`` by the map ``map`` on the UNIX socket ``socket``, to ``uid``, as a disk of ``size_bytes`` (None: the map's)."""

    volume: str
    map: str
    socket: str
    uid: int
    size_bytes: int | None = None


class Remove(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="remove"):
    """Serve ``volume`` no more."""

    volume: str


class Ping(msgspec.Struct, frozen=True, tag_field="do", tag="ping"):
    """Say who serves."""


Request = Add | Remove | Ping
