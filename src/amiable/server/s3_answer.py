"""What S3's answers have in common: owners, headers of an object, transfers in threads of their own."""

from collections.abc import Callable
from email.utils import format_datetime
from typing import ParamSpec, TypeVar

import anyio.to_thread
from starlette.responses import Response

from amiable.model.bucket import Checksum, Object
from amiable.rules.acl import canonical_id
from amiable.server import limits
from amiable.wire.rest_xml import Children
from amiable.wire.s3 import quoted

P = ParamSpec("P")
T = TypeVar("T")


async def transfer(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """``function(*args, **kwargs)`` in a worker thread that may wait for the client."""
    return await anyio.to_thread.run_sync(lambda: function(*args, **kwargs), limiter=limits.transfers())


def xml(body: bytes) -> Response:
    """A document."""
    return Response(body, 200, {"Content-Type": "application/xml"})


def owner_of(account_id: str) -> Children:
    """The account as S3 names owners."""
    return [("ID", canonical_id(account_id)), ("DisplayName", account_id)]


def object_headers(found: Object, *, with_checksum: bool) -> dict[str, str]:
    """What GET and HEAD say of an object, without its length."""
    headers = {
        "Content-Type": found.headers.content_type,
        "ETag": quoted(found.etag),
        "Last-Modified": format_datetime(found.modified_at, usegmt=True),
        "Accept-Ranges": "bytes",
        **found.headers.others,
    }
    return headers | (checksum_headers(found.checksum) if with_checksum else {})


def checksum_headers(checksum: Checksum | None) -> dict[str, str]:
    """``x-amz-checksum-crc32`` and its kin, with the type."""
    if checksum is None:
        return {}
    return {f"x-amz-checksum-{checksum.algorithm.lower()}": checksum.value, "x-amz-checksum-type": checksum.type}
