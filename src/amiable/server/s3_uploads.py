"""S3's uploads in parts, over HTTP."""

from starlette.responses import Response

from amiable.api.s3 import uploads
from amiable.api.s3.uploads import Address, Claimed, Completion, PartSource
from amiable.model.bucket import KEYS_MAX, PARTS_MAX, Checksum
from amiable.model.errors import S3Refusal
from amiable.rules.object_checksum import COMPOSITE, FULL_OBJECT
from amiable.server.contracts import in_thread
from amiable.server.s3_acl import read_acl
from amiable.server.s3_answer import checksum_headers, owner_of, transfer, xml
from amiable.server.s3_objects import COPY_CONDITIONS, copy_source
from amiable.server.s3_request import (
    Call,
    checksum_values,
    known_algorithm,
    read_conditions,
    read_document,
    read_incoming,
    read_number,
    read_put,
)
from amiable.services import Services
from amiable.wire import s3 as spell


async def create(services: Services, call: Call) -> Response:
    """CreateMultipartUpload."""
    algorithm, checksum_type = call.header("x-amz-checksum-algorithm"), call.header("x-amz-checksum-type")
    if checksum_type not in (None, FULL_OBJECT, COMPOSITE):
        raise S3Refusal("InvalidRequest", 400, "Value for x-amz-checksum-type header is invalid.")
    if algorithm is not None:
        algorithm = known_algorithm(algorithm)
    upload = await in_thread(
        uploads.create_upload,
        services,
        call.request.principal,
        read_put(call, await read_acl(services, call)),
        algorithm=algorithm,
        checksum_type=checksum_type,
    )
    answer = xml(spell.initiated(upload))
    if upload.checksum_algorithm and upload.checksum_type:
        answer.headers["x-amz-checksum-algorithm"] = upload.checksum_algorithm
        answer.headers["x-amz-checksum-type"] = upload.checksum_type
    return answer


async def put_part(services: Services, call: Call) -> Response:
    """UploadPart, or UploadPartCopy where a source is named."""
    number = read_number(call, "partNumber", 0, PARTS_MAX + 1)
    if call.header("x-amz-copy-source") is not None:
        return await _copy_part(services, call, number)
    received = await transfer(
        uploads.upload_part, services, call.request.principal, _address(call), number, read_incoming(call)
    )
    headers = checksum_headers(received.checksum)
    headers.pop("x-amz-checksum-type", None)
    return Response(status_code=200, headers={"ETag": spell.quoted(received.etag), **headers})


async def complete(services: Services, call: Call) -> Response:
    """CompleteMultipartUpload."""
    # its x-amz-checksum-* headers are about the object, not about this body
    body = await read_document(call, has_own_checksum=False)
    parts = [Claimed(part.number, part.etag, part.checksum) for part in spell.read_complete(body)]
    size = call.header("x-amz-mp-object-size")
    if size is not None and not (size.isascii() and size.isdigit() and len(size) <= 20):
        raise S3Refusal(
            "InvalidArgument", 400, "The size is not a number of bytes.", ArgumentName="x-amz-mp-object-size"
        )
    completion = Completion(parts, _whole_checksum(call), int(size) if size else None, read_conditions(call))
    made = await transfer(uploads.complete_upload, services, call.request.principal, _address(call), completion)
    host = call.header("host") or ""
    return xml(spell.completed(made, f"http://{host}{call.request.raw_path}"))


async def abort(services: Services, call: Call) -> Response:
    """AbortMultipartUpload."""
    await in_thread(uploads.abort_upload, services, call.request.principal, _address(call))
    return Response(status_code=204)


async def parts(services: Services, call: Call) -> Response:
    """ListParts."""
    after = read_number(call, "part-number-marker", 0, PARTS_MAX)
    limit = read_number(call, "max-parts", KEYS_MAX, KEYS_MAX)
    upload, found, is_truncated = await in_thread(
        uploads.list_parts, services, call.request.principal, _address(call), after=after, limit=limit
    )
    return xml(spell.parts(upload, owner_of(upload.account_id), spell.PartsPage(found, after, limit, is_truncated)))


async def _copy_part(services: Services, call: Call, number: int) -> Response:
    bucket, key = await copy_source(services, call)
    source = PartSource(bucket, key, call.header("x-amz-copy-source-range"), read_conditions(call, COPY_CONDITIONS))
    received = await transfer(
        uploads.upload_part_copy, services, call.request.principal, _address(call), number, source
    )
    return xml(spell.copy_part_result(received.etag, received.checksum, services.now()))


def _whole_checksum(call: Call) -> Checksum | None:
    found = checksum_values(call)
    return found[0] if found else None


def _address(call: Call) -> Address:
    return Address(call.bucket, call.key, call.query["uploadId"])
