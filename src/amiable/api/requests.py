"""What a request says of itself: the action it asks for, and a digest of its parameters."""

import hashlib
from collections.abc import Collection

import msgspec


def action_of(request: object) -> str:
    """The action that is asked for: every one has a request of its own, which is named for it."""
    return type(request).__name__.removesuffix("Request")


def parameter_hash(request: object, left_out: Collection[str]) -> bytes:
    """SHA-256 over every parameter but those left out; absent parameters count as absent."""
    assert isinstance(request, msgspec.Struct)
    parameters = {name: value for name, value in msgspec.structs.asdict(request).items() if name not in left_out}
    return hashlib.sha256(msgspec.json.encode(parameters, order="sorted")).digest()
