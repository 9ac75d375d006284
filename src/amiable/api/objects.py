"""Objects as the operations read them; jobs read them so too, hence it stands in ``services/objects``."""

from amiable.services.objects import (
    OpenObject,
    access_denied,
    bucket_of,
    holding_of,
    no_such_key,
    object_of,
    open_file,
    open_object,
    readable,
)

__all__ = [
    "OpenObject",
    "access_denied",
    "bucket_of",
    "holding_of",
    "no_such_key",
    "object_of",
    "open_file",
    "open_object",
    "readable",
]
