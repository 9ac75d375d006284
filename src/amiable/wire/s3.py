"""S3's documents: results as XML, request bodies as values.  Source: S3 API reference."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import quote

from amiable.model.bucket import KEYS_MAX, PARTS_MAX, Bucket, Checksum, Object, Part, Upload
from amiable.model.errors import S3Refusal
from amiable.wire.rest_xml import NAMESPACE, Children, document, malformed_xml, read

_XSI: Final = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
PERMISSIONS: Final = ("READ", "WRITE", "READ_ACP", "WRITE_ACP", "FULL_CONTROL")
ALGORITHMS: Final = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")


@dataclass(frozen=True, slots=True)
class ClaimedPart:
    """One Part of a CompleteMultipartUpload."""

    number: int
    etag: str
    checksum: Checksum | None


@dataclass(frozen=True, slots=True)
class DeleteRequest:
    """The body of DeleteObjects."""

    keys: list[str]
    is_quiet: bool


@dataclass(frozen=True, slots=True)
class Spelling:
    """How keys are written: ``encoding-type=url`` or as they are."""

    is_url: bool

    @property
    def name(self) -> str | None:
        return "url" if self.is_url else None

    def key(self, text: str) -> str:
        return quote(text, safe="/") if self.is_url else text

    def optional(self, text: str | None) -> str | None:
        return None if not text else self.key(text)


def instant(moment: datetime) -> str:
    """``2026-01-02T03:04:05.000Z``."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def quoted(etag: str) -> str:
    """The entity tag as HTTP writes it."""
    return f'"{etag}"'


def list_buckets(buckets: Sequence[Bucket], owner: Children) -> bytes:
    """ListAllMyBucketsResult."""
    rows: Children = [
        ("Bucket", [("Name", b.name), ("CreationDate", instant(b.created_at)), ("BucketRegion", b.region)])
        for b in buckets
    ]
    return document("ListAllMyBucketsResult", [("Owner", owner), ("Buckets", rows)])


def location(region: str) -> bytes:
    """LocationConstraint: empty for us-east-1."""
    text = "" if region == "us-east-1" else region
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<LocationConstraint xmlns="{NAMESPACE}">{text}</LocationConstraint>'.encode()


def access_control_policy(owner: Children, grants: Sequence[tuple[str, str, str]]) -> bytes:
    """AccessControlPolicy; each grant is (``CanonicalUser`` or ``Group``, id or URI, permission)."""
    rows: Children = []
    for kind, who, permission in grants:
        grantee: Children = [("ID" if kind == "CanonicalUser" else "URI", who)]
        rows.append(("Grant", [(f'Grantee {_XSI} xsi:type="{kind}"', grantee), ("Permission", permission)]))
    return document("AccessControlPolicy", [("Owner", owner), ("AccessControlList", rows)])


def contents(objects: Sequence[Object], spelling: Spelling, owner_of: Callable[[Object], Children] | None) -> Children:
    """The Contents of a listing."""
    rows: Children = []
    for found in objects:
        row: Children = [
            ("Key", spelling.key(found.key)),
            ("LastModified", instant(found.modified_at)),
            ("ETag", quoted(found.etag)),
        ]
        if found.checksum is not None:
            row += [("ChecksumAlgorithm", found.checksum.algorithm), ("ChecksumType", found.checksum.type)]
        row += [
            ("Size", found.size_bytes),
            ("Owner", owner_of(found) if owner_of else None),
            ("StorageClass", "STANDARD"),
        ]
        rows.append(("Contents", row))
    return rows


def common_prefixes(prefixes: Sequence[str], spelling: Spelling) -> Children:
    """The CommonPrefixes of a listing."""
    return [("CommonPrefixes", [("Prefix", spelling.key(prefix))]) for prefix in prefixes]


def copy_result(copied: Object) -> bytes:
    """CopyObjectResult."""
    said: Children = [("LastModified", instant(copied.modified_at)), ("ETag", quoted(copied.etag))]
    return document("CopyObjectResult", said + checksum_elements(copied.checksum))


def copy_part_result(etag: str, checksum: Checksum | None, modified_at: datetime) -> bytes:
    """CopyPartResult."""
    said: Children = [("LastModified", instant(modified_at)), ("ETag", quoted(etag))]
    return document("CopyPartResult", said + checksum_elements(checksum)[:1])


def checksum_elements(checksum: Checksum | None) -> Children:
    """``ChecksumCRC32`` and its kin, and ChecksumType."""
    return (
        [] if checksum is None else [(f"Checksum{checksum.algorithm}", checksum.value), ("ChecksumType", checksum.type)]
    )


def initiated(upload: Upload) -> bytes:
    """InitiateMultipartUploadResult."""
    return document(
        "InitiateMultipartUploadResult", [("Bucket", upload.bucket), ("Key", upload.key), ("UploadId", upload.id)]
    )


def completed(made: Object, url: str) -> bytes:
    """CompleteMultipartUploadResult."""
    said: Children = [("Location", url), ("Bucket", made.bucket), ("Key", made.key), ("ETag", quoted(made.etag))]
    return document("CompleteMultipartUploadResult", said + checksum_elements(made.checksum))


@dataclass(frozen=True, slots=True)
class PartsPage:
    """The parts behind number ``after``, ``limit`` at most."""

    parts: Sequence[Part]
    after: int
    limit: int
    is_truncated: bool


def parts(upload: Upload, owner: Children, page: PartsPage) -> bytes:
    """ListPartsResult."""
    said: Children = [("Bucket", upload.bucket), ("Key", upload.key), ("UploadId", upload.id)]
    said += [("Initiator", owner), ("Owner", owner), ("StorageClass", "STANDARD"), ("PartNumberMarker", page.after)]
    said += [
        ("NextPartNumberMarker", page.parts[-1].number if page.parts else None),
        ("MaxParts", page.limit),
        ("IsTruncated", page.is_truncated),
    ]
    said += [("ChecksumAlgorithm", upload.checksum_algorithm), ("ChecksumType", upload.checksum_type)]
    for part in page.parts:
        row: Children = [("PartNumber", part.number), ("LastModified", instant(part.modified_at))]
        row += [("ETag", quoted(part.etag)), ("Size", part.size_bytes)]
        row += [(f"Checksum{upload.checksum_algorithm}", part.checksum)] if upload.checksum_algorithm else []
        said.append(("Part", row))
    return document("ListPartsResult", said)


def deleted(done: Sequence[tuple[str, S3Refusal | None]], *, is_quiet: bool) -> bytes:
    """DeleteResult; quiet tells of failures only."""
    rows: Children = []
    for key, refusal in done:
        if refusal is not None:
            rows.append(("Error", [("Key", key), ("Code", refusal.code), ("Message", refusal.message)]))
        elif not is_quiet:
            rows.append(("Deleted", [("Key", key)]))
    return document("DeleteResult", rows)


def read_access_control_policy(body: bytes) -> tuple[str | None, list[tuple[str, str, str]]]:
    """The owner's canonical id, if said, and each grant: (``id``, ``uri`` or ``emailAddress``; whom; permission)."""
    root = read(body, "AccessControlPolicy")
    root.check_children("Owner", "AccessControlList")
    lists, owners = root.all("AccessControlList"), root.all("Owner")
    if len(lists) != 1 or len(owners) > 1:
        raise malformed_xml()
    lists[0].check_children("Grant")
    kinds = {"ID": "id", "URI": "uri", "EmailAddress": "emailAddress"}
    grants = []
    for grant in lists[0].children:
        grant.check_children("Grantee", "Permission")
        grantee, permission = grant.all("Grantee"), grant.get("Permission")
        named = [child for child in grantee[0].children if child.name in kinds] if len(grantee) == 1 else []
        if len(named) != 1 or permission not in PERMISSIONS:
            raise malformed_xml()
        grants.append((kinds[named[0].name], named[0].text.strip(), permission))
    return (owners[0].get("ID") if owners else None), grants


def read_create_bucket(body: bytes) -> str:
    """The location that a CreateBucket asks for; ``''`` without one.

    Both roots are taken: AWS's, and the one that ec2-ami-tools send.
    """
    if not body.strip():
        return ""
    root = read(body, "CreateBucketConfiguration", "CreateBucketConstraint")
    for child in root.children:
        if child.name != "LocationConstraint":
            raise S3Refusal("NotImplemented", 501, f"CreateBucket with {child.name} is not implemented by Amiable.")
    return root.get("LocationConstraint") or ""


def read_delete(body: bytes) -> DeleteRequest:
    """The keys of a DeleteObjects."""
    root = read(body, "Delete")
    root.check_children("Object", "Quiet")
    found = root.all("Object")
    if not 1 <= len(found) <= KEYS_MAX:
        raise malformed_xml()
    keys = []
    for element in found:
        element.check_children("Key", "VersionId")
        key = element.all("Key")
        if len(key) != 1:
            raise malformed_xml()
        if element.get("VersionId") not in (None, "", "null"):
            raise S3Refusal("NotImplemented", 501, "Versions of objects are not implemented by Amiable.")
        keys.append(key[0].text)
    return DeleteRequest(keys, (root.get("Quiet") or "").lower() == "true")


def read_complete(body: bytes) -> list[ClaimedPart]:
    """The parts of a CompleteMultipartUpload."""
    root = read(body, "CompleteMultipartUpload")
    root.check_children("Part")
    if not 1 <= len(root.children) <= PARTS_MAX:
        raise malformed_xml()
    claimed = []
    for part in root.children:
        part.check_children("PartNumber", "ETag", *(f"Checksum{a}" for a in ALGORITHMS))
        number, etag = part.get("PartNumber") or "", part.get("ETag")
        if not (number.isascii() and number.isdigit() and len(number) <= 5) or etag is None:
            raise malformed_xml()
        sums = [Checksum(a, value) for a in ALGORITHMS if (value := part.get(f"Checksum{a}"))]
        if len(sums) > 1:
            raise malformed_xml()
        claimed.append(ClaimedPart(int(number), etag, sums[0] if sums else None))
    return claimed
