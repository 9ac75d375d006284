"""S3's operations on objects, over HTTP."""

from collections.abc import AsyncIterator
from typing import BinaryIO, Final
from urllib.parse import unquote_to_bytes

from starlette.responses import Response, StreamingResponse

from amiable.api.s3 import buckets, objects
from amiable.model.bucket import Object
from amiable.model.errors import S3Refusal
from amiable.rules.conditions import Verdict, slice_of
from amiable.server.authorize import check_s3_object
from amiable.server.contracts import in_thread
from amiable.server.s3_acl import read_acl
from amiable.server.s3_answer import checksum_headers, object_headers, transfer, xml
from amiable.server.s3_request import Call, read_conditions, read_incoming, read_put
from amiable.services import Services
from amiable.services.objects import open_file
from amiable.wire import s3 as spell

SEND_BYTES: Final = 1 << 20
OVERRIDES: Final = {
    "response-cache-control": "cache-control",
    "response-content-disposition": "content-disposition",
    "response-content-encoding": "content-encoding",
    "response-content-language": "content-language",
    "response-content-type": "Content-Type",
    "response-expires": "expires",
}
COPY_CONDITIONS: Final = "x-amz-copy-source-"


async def put(services: Services, call: Call) -> Response:
    """PutObject, or CopyObject where a source is named."""
    if call.header("x-amz-copy-source") is not None:
        return await _copy(services, call)
    request = read_put(call, await read_acl(services, call))
    stored = await transfer(objects.put_object, services, call.request.principal, request, read_incoming(call))
    return Response(status_code=200, headers={"ETag": spell.quoted(stored.etag), **checksum_headers(stored.checksum)})


async def get(services: Services, call: Call) -> Response:
    """GetObject: all of it, or one range."""
    found, verdict = await _find(services, call)
    headers = _headers(call, found)
    if verdict is Verdict.NOT_MODIFIED:
        return Response(status_code=304, headers={"ETag": headers["ETag"], "Last-Modified": headers["Last-Modified"]})
    chosen = slice_of(call.header("range"), found.size_bytes)
    file = await in_thread(open_file, services, found)
    if chosen is None:
        return StreamingResponse(
            _sent(file, 0, found.size_bytes), 200, headers | {"Content-Length": str(found.size_bytes)}
        )
    headers |= {
        "Content-Length": str(chosen.size_bytes),
        "Content-Range": f"bytes {chosen.first}-{chosen.last}/{found.size_bytes}",
    }
    return StreamingResponse(_sent(file, chosen.first, chosen.size_bytes), 206, headers)


async def head(services: Services, call: Call) -> Response:
    """HeadObject: what GetObject would say, without the bytes."""
    found, verdict = await _find(services, call)
    headers = _headers(call, found)
    if verdict is Verdict.NOT_MODIFIED:
        return Response(status_code=304, headers={"ETag": headers["ETag"], "Last-Modified": headers["Last-Modified"]})
    chosen = slice_of(call.header("range"), found.size_bytes)
    if chosen is None:
        return Response(status_code=200, headers=headers | {"Content-Length": str(found.size_bytes)})
    headers |= {
        "Content-Length": str(chosen.size_bytes),
        "Content-Range": f"bytes {chosen.first}-{chosen.last}/{found.size_bytes}",
    }
    return Response(status_code=206, headers=headers)


async def delete(services: Services, call: Call) -> Response:
    """DeleteObject."""
    conditions = read_conditions(call)
    await in_thread(objects.delete_object, services, call.request.principal, call.bucket, call.key, conditions)
    return Response(status_code=204)


async def _copy(services: Services, call: Call) -> Response:
    bucket, key = await copy_source(services, call)
    directive = call.header("x-amz-metadata-directive") or "COPY"
    if directive not in ("COPY", "REPLACE"):
        raise S3Refusal(
            "InvalidArgument",
            400,
            "Unknown metadata directive.",
            ArgumentName="x-amz-metadata-directive",
            ArgumentValue=directive,
        )
    target = read_put(call, await read_acl(services, call))
    request = objects.Copy(bucket, key, target, directive == "REPLACE", read_conditions(call, COPY_CONDITIONS))
    return xml(spell.copy_result(await in_thread(objects.copy_object, services, call.request.principal, request)))


async def copy_source(services: Services, call: Call) -> tuple[str, str]:
    """Bucket and key of ``x-amz-copy-source``, its owner checked where the request says who it should be."""
    path, _, query = (call.header("x-amz-copy-source") or "").partition("?")
    if query and query != "versionId=null":
        raise S3Refusal("NotImplemented", 501, "Versions of objects are not implemented by Amiable.")
    try:
        bucket, _, key = unquote_to_bytes(path.removeprefix("/").encode("latin-1")).decode().partition("/")
    except UnicodeDecodeError:
        bucket = key = ""
    if not bucket or not key:
        text = "Copy Source must mention the source bucket and key: sourcebucket/sourcekey"
        raise S3Refusal("InvalidArgument", 400, text, ArgumentName="x-amz-copy-source", ArgumentValue=path)
    expected = call.header("x-amz-source-expected-bucket-owner")
    if expected is not None:
        await in_thread(buckets.check_owner, services, bucket, expected)
    check_s3_object(call.request.principal, "GetObject", f"{bucket}/{key}")
    return bucket, key


async def _find(services: Services, call: Call) -> tuple[Object, Verdict]:
    conditions = read_conditions(call)
    return await in_thread(objects.get_object, services, call.request.principal, call.bucket, call.key, conditions)


def _headers(call: Call, found: Object) -> dict[str, str]:
    """The object's headers; its checksum only with the whole of it, which it is over."""
    asked = (call.header("x-amz-checksum-mode") or "").upper() == "ENABLED" and call.header("range") is None
    headers = object_headers(found, with_checksum=asked)
    for parameter, name in OVERRIDES.items():
        if parameter in call.query:
            headers[name] = _header_text(parameter, call.query[parameter])
    return headers


def _header_text(parameter: str, value: str) -> str:
    """The value, if a header can carry it."""
    if not value.isprintable() or not value.isascii():
        raise S3Refusal(
            "InvalidArgument", 400, "Header value cannot be represented using ISO-8859-1.", ArgumentName=parameter
        )
    return value


async def _sent(file: BinaryIO, first: int, size_bytes: int) -> AsyncIterator[bytes]:
    """The file's bytes from ``first``; closes it whatever happens."""
    with file:
        await in_thread(file.seek, first)
        while size_bytes:
            chunk = await in_thread(file.read, min(SEND_BYTES, size_bytes))
            if not chunk:
                raise OSError("an object's file is shorter than its row says")
            size_bytes -= len(chunk)
            yield chunk
