"""Uploads in parts: begun, fed, completed or aborted.

    create ─▶ part* ─▶ complete ─▶ (an object)
                 └───▶ abort

Each part is durable before its row, like an object.  Completing joins the parts' files into the object's file, durable before the
one transaction that puts the object's row and drops the upload's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import md5

from sqlalchemy import Connection

from amiable.api.s3.buckets import check_acl, listable, writable
from amiable.api.s3.objects import Put, check_source, commit_object
from amiable.api.s3.receive import Incoming, Received, bad_digest, kept, receive
from amiable.blocks.objects import read_chunks
from amiable.database import objects, uploads
from amiable.database.uploads import UploadSelection
from amiable.model.bucket import KEYS_MAX, OBJECT_BYTES_MAX, PART_BYTES_MIN, PARTS_MAX, Checksum, Object, Part, Upload
from amiable.model.errors import S3Refusal
from amiable.model.principal import Principal
from amiable.rules.bucket import check_key
from amiable.rules.conditions import Conditions, slice_of
from amiable.rules.object_checksum import COMPOSITE, FULL_OBJECT, TYPES, combined, composite
from amiable.services import Services
from amiable.services.objects import access_denied, readable


@dataclass(frozen=True, slots=True)
class Address:
    """Which upload: its id, and the bucket and key that it must be for."""

    bucket: str
    key: str
    upload_id: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """One part as CompleteMultipartUpload lists it."""

    number: int
    etag: str
    checksum: Checksum | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """CompleteMultipartUpload: the parts, and what must hold of the whole."""

    parts: Sequence[Claimed]
    checksum: Checksum | None = None
    size_bytes: int | None = None
    conditions: Conditions = field(default_factory=Conditions)


@dataclass(frozen=True, slots=True)
class PartSource:
    """Where UploadPartCopy reads; ``range_header`` as sent."""

    bucket: str
    key: str
    range_header: str | None = None
    conditions: Conditions = field(default_factory=Conditions)


def create_upload(
    services: Services,
    principal: Principal,
    request: Put,
    *,
    algorithm: str | None = None,
    checksum_type: str | None = None,
) -> Upload:
    """Begins an upload."""
    check_key(request.key)
    check_acl(request.acl)
    if algorithm is None and checksum_type is not None:
        raise S3Refusal(
            "InvalidRequest",
            400,
            "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.",
        )
    if algorithm is not None and checksum_type not in (None, *TYPES[algorithm]):
        text = f"The {checksum_type} checksum type cannot be used with the {algorithm} checksum algorithm."
        raise S3Refusal("InvalidRequest", 400, text)
    upload = Upload(
        id=services.entropy(24).hex(),
        bucket=request.bucket,
        key=request.key,
        account_id=principal.account_id,
        headers=request.headers,
        checksum_algorithm=algorithm,
        checksum_type=checksum_type or (TYPES[algorithm][0] if algorithm else None),
        acl=request.acl,
        created_at=services.now(),
    )
    with services.database.write() as c:
        writable(c, principal, request.bucket)
        uploads.insert_upload(c, upload)
    return upload


def upload_part(
    services: Services, principal: Principal, address: Address, number: int, incoming: Incoming
) -> Received:
    """Stores one part; replaces an earlier one of its number."""
    if not 1 <= number <= PARTS_MAX:
        text = f"Part number must be an integer between 1 and {PARTS_MAX}, inclusive"
        raise S3Refusal("InvalidArgument", 400, text, ArgumentName="partNumber", ArgumentValue=str(number))
    with services.database.read() as c:
        upload = _own_upload(c, principal, address)
    if upload.checksum_algorithm and incoming.algorithm not in (None, upload.checksum_algorithm):
        text = f"Checksum Type mismatch occurred, expected checksum Type: {upload.checksum_algorithm}, actual checksum Type: {incoming.algorithm}"
        raise S3Refusal("InvalidRequest", 400, text)
    received = receive(services, incoming, algorithm=upload.checksum_algorithm)
    checksum = received.checksum.value if received.checksum and upload.checksum_algorithm else None
    part = Part(number, received.file, received.size_bytes, received.etag, checksum, services.now())
    with kept(services, received.file), services.database.write() as c:
        _own_upload(c, principal, address)
        old = uploads.put_part(c, address.upload_id, part)
    if old is not None:
        services.objects.delete([old])
    return received


def upload_part_copy(
    services: Services, principal: Principal, address: Address, number: int, source: PartSource
) -> Received:
    """Stores a part with the bytes, or one range of the bytes, of an object."""
    with services.database.read() as c:
        _, found = readable(c, principal.account_id, source.bucket, source.key)
    check_source(source.conditions, found)
    chosen = slice_of(source.range_header, found.size_bytes)
    if source.range_header and chosen is None:
        raise S3Refusal(
            "InvalidArgument", 400, "The x-amz-copy-source-range value must be of the form bytes=first-last."
        )
    first, size_bytes = (chosen.first, chosen.size_bytes) if chosen else (0, found.size_bytes)
    with services.objects.read(found.file) as file:
        file.seek(first)
        return upload_part(services, principal, address, number, Incoming(read_chunks(file, size_bytes), size_bytes))


def abort_upload(services: Services, principal: Principal, address: Address) -> None:
    """Drops the upload and its parts."""
    with services.database.write() as c:
        _own_upload(c, principal, address)
        files = uploads.delete_upload(c, address.upload_id)
    services.objects.delete(files)


def list_parts(
    services: Services, principal: Principal, address: Address, *, after: int, limit: int
) -> tuple[Upload, list[Part], bool]:
    """The upload, one page of its parts behind number ``after``, and whether more follow."""
    with services.database.read() as c:
        upload = _own_upload(c, principal, address)
        parts = uploads.parts_of(c, upload.id, after=after, limit=limit + 1)
    return upload, parts[:limit], len(parts) > limit


def list_uploads(
    services: Services, principal: Principal, wanted: UploadSelection, *, limit: int
) -> tuple[list[Upload], bool]:
    """One page of the bucket's uploads, and whether more follow."""
    with services.database.read() as c:
        listable(c, principal, wanted.bucket)
        found = uploads.list_uploads(c, wanted, limit=min(limit, KEYS_MAX) + 1)
    return found[:limit], len(found) > limit


def complete_upload(services: Services, principal: Principal, address: Address, completion: Completion) -> Object:
    """Joins the claimed parts into the object, and drops the upload.

    Repeated after a lost answer it answers the same, as long as the object stands that the upload became.
    """
    try:
        return _complete(services, principal, address, completion)
    except S3Refusal as refusal:
        made = _made_before(services, address, completion) if refusal.code == "NoSuchUpload" else None
        if made is None:
            raise
        return made


def _made_before(services: Services, address: Address, completion: Completion) -> Object | None:
    """The object that the upload became, of the parts that are claimed again; whether the caller may write there is known."""
    with services.database.read() as c:
        found = objects.find_object(c, address.bucket, address.key)
    if found is None or found.upload_id != address.upload_id:
        return None
    try:
        return found if found.etag == _etag([claimed.etag.strip('"') for claimed in completion.parts]) else None
    except ValueError:  # a claimed ETag that is no MD5
        return None


def _etag(parts: Sequence[str]) -> str:
    digests = md5(b"".join(bytes.fromhex(part) for part in parts), usedforsecurity=False)
    return f"{digests.hexdigest()}-{len(parts)}"


def _complete(services: Services, principal: Principal, address: Address, completion: Completion) -> Object:
    with services.database.read() as c:
        upload = _own_upload(c, principal, address)
        held = {part.number: part for part in uploads.parts_of(c, upload.id)}
    chosen = _chosen(completion, held, upload)
    checksum = _whole_checksum(upload, chosen)
    if completion.checksum is not None and completion.checksum != checksum:
        raise bad_digest(completion.checksum.algorithm)
    try:
        file = services.objects.join([part.file for part in chosen], now=services.now())
    except FileNotFoundError:
        raise _no_such_upload() from None  # aborted, or completed by another, meanwhile
    stored = Object(
        bucket=upload.bucket,
        key=upload.key,
        file=file,
        account_id=upload.account_id,
        size_bytes=sum(part.size_bytes for part in chosen),
        etag=_etag([part.etag for part in chosen]),
        headers=upload.headers,
        checksum=checksum,
        acl=upload.acl,
        modified_at=services.now(),
        upload_id=upload.id,
    )
    request = Put(upload.bucket, upload.key, conditions=completion.conditions)
    commit_object(services, principal, request, stored, also=_drop(principal, address, chosen))
    return stored


def _drop(principal: Principal, address: Address, chosen: Sequence[Part]) -> Callable[[Connection], list[str]]:
    """What drops the upload in the object's transaction, if its parts are still those that were joined."""

    def drop(c: Connection) -> list[str]:
        _own_upload(c, principal, address)
        held = {part.number: part.file for part in uploads.parts_of(c, address.upload_id)}
        if any(held.get(part.number) != part.file for part in chosen):
            raise S3Refusal("InvalidPart", 400, "A part was replaced while the upload was completed.")
        return uploads.delete_upload(c, address.upload_id)

    return drop


def _chosen(completion: Completion, held: dict[int, Part], upload: Upload) -> list[Part]:
    """The held parts that the completion claims, checked against it."""
    numbers = [claimed.number for claimed in completion.parts]
    if numbers != sorted(set(numbers)):
        text = "The list of parts was not in ascending order. Parts must be ordered by part number."
        raise S3Refusal("InvalidPartOrder", 400, text, UploadId=upload.id)
    chosen = [_match(claimed, held.get(claimed.number), upload) for claimed in completion.parts]
    for part in chosen[:-1]:
        if part.size_bytes < PART_BYTES_MIN:
            facts = {
                "ProposedSize": str(part.size_bytes),
                "MinSizeAllowed": str(PART_BYTES_MIN),
                "PartNumber": str(part.number),
                "ETag": part.etag,
            }
            text = "Your proposed upload is smaller than the minimum allowed size"
            raise S3Refusal("EntityTooSmall", 400, text, **facts)
    size_bytes = sum(part.size_bytes for part in chosen)
    if size_bytes > OBJECT_BYTES_MAX:
        raise S3Refusal("EntityTooLarge", 400, "Your proposed upload exceeds the maximum allowed size")
    if completion.size_bytes not in (None, size_bytes):
        raise S3Refusal(
            "InvalidRequest", 400, f"The parts have {size_bytes} bytes, and the request says {completion.size_bytes}."
        )
    return chosen


def _match(claimed: Claimed, part: Part | None, upload: Upload) -> Part:
    agrees = part is not None and part.etag == claimed.etag.strip('"')
    if agrees and claimed.checksum is not None and upload.checksum_algorithm is not None:
        assert part is not None
        agrees = claimed.checksum == Checksum(upload.checksum_algorithm, part.checksum or "")
    if part is None or not agrees:
        text = (
            "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified"
            " entity tag may not match the part's entity tag."
        )
        raise S3Refusal("InvalidPart", 400, text, UploadId=upload.id, PartNumber=str(claimed.number), ETag=claimed.etag)
    return part


def _whole_checksum(upload: Upload, parts: Sequence[Part]) -> Checksum | None:
    """The checksum of the whole, of the upload's algorithm and type."""
    algorithm = upload.checksum_algorithm
    if algorithm is None:
        return None
    values = [(part.checksum or "", part.size_bytes) for part in parts]
    if upload.checksum_type == FULL_OBJECT:
        return Checksum(algorithm, combined(algorithm, values))
    assert upload.checksum_type == COMPOSITE
    return Checksum(algorithm, composite(algorithm, [value for value, _ in values]))


def _own_upload(c: Connection, principal: Principal, address: Address) -> Upload:
    """The upload, if it is for this bucket and key and the caller's; raises NoSuchUpload or AccessDenied."""
    writable(c, principal, address.bucket)
    found = uploads.find_upload(c, address.upload_id)
    if found is None or (found.bucket, found.key) != (address.bucket, address.key):
        raise _no_such_upload()
    if found.account_id != principal.account_id:
        raise access_denied()
    return found


def _no_such_upload() -> S3Refusal:
    text = "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."
    return S3Refusal("NoSuchUpload", 404, text)
