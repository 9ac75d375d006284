"""What an S3 request says, read from its path, query and headers.

Paths are literal: bucket, ``/``, and the rest is the key, each percent-decoded once.  ``..``, ``//``, a leading ``/`` and ``%2F``
are part of keys.  A header or parameter that asks for something Amiable does not do is refused, not overlooked.
"""

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import md5
from typing import Final
from urllib.parse import unquote_to_bytes

from starlette.datastructures import Headers

from amiable.api.s3.objects import Put
from amiable.api.s3.receive import Incoming, bad_digest
from amiable.model.bucket import METADATA_BYTES_MAX, Checksum, ObjectHeaders
from amiable.model.errors import RequestTooLarge, S3Refusal
from amiable.rules import sigv2
from amiable.rules.bucket import virtual_bucket
from amiable.rules.chunk_signature import ChunkChain
from amiable.rules.conditions import Conditions
from amiable.rules.http_date import read_http_date
from amiable.rules.object_checksum import ALGORITHMS, checksum_of, is_well_formed
from amiable.server.contracts import Authenticated, Body
from amiable.wire.aws_chunked import decode

DOCUMENT_BYTES_MAX: Final = 8 << 20
"""The XML of DeleteObjects with 1000 keys, or of CompleteMultipartUpload with 10,000 parts."""
READ_BYTES: Final = 1 << 18
TEXT_NUMBER_MAX: Final = 20

KEPT_HEADERS: Final = ("cache-control", "content-disposition", "content-encoding", "content-language", "expires")
METADATA_PREFIX: Final = "x-amz-meta-"
CHECKSUM_PREFIX: Final = "x-amz-checksum-"

SIGNATURE_PARAMETERS: Final = frozenset(
    f"X-Amz-{word}"
    for word in (
        "Algorithm",
        "Content-Sha256",
        "Credential",
        "Date",
        "Expires",
        "Security-Token",
        "Signature",
        "SignedHeaders",
    )
)

GRANT_HEADERS: Final = {
    "x-amz-grant-full-control": "FULL_CONTROL",
    "x-amz-grant-read": "READ",
    "x-amz-grant-read-acp": "READ_ACP",
    "x-amz-grant-write": "WRITE",
    "x-amz-grant-write-acp": "WRITE_ACP",
}

_KNOWN_HEADERS: Final = frozenset(
    {
        *GRANT_HEADERS,
        "x-amz-acl",
        "x-amz-content-sha256",
        "x-amz-copy-source",
        "x-amz-copy-source-if-match",
        "x-amz-copy-source-if-modified-since",
        "x-amz-copy-source-if-none-match",
        "x-amz-copy-source-if-unmodified-since",
        "x-amz-copy-source-range",
        "x-amz-date",
        "x-amz-decoded-content-length",
        "x-amz-expected-bucket-owner",
        "x-amz-metadata-directive",
        "x-amz-mp-object-size",
        "x-amz-optional-object-attributes",
        "x-amz-request-payer",
        "x-amz-sdk-checksum-algorithm",
        "x-amz-security-token",
        "x-amz-source-expected-bucket-owner",
        "x-amz-storage-class",
        "x-amz-te",
        "x-amz-trailer",
        "x-amz-user-agent",
    }
)


@dataclass(frozen=True, slots=True)
class Call:
    """One request with its address read."""

    request: Authenticated
    bucket: str
    key: str
    query: Mapping[str, str]
    headers: Headers
    """Those that were sent, and those that a presigned query carries in their stead."""

    def header(self, name: str) -> str | None:
        """The header's value."""
        return self.headers.get(name)


def read_call(request: Authenticated) -> Call:
    """The call; raises InvalidURI for a path that is not UTF-8, InvalidArgument for a parameter given twice."""
    query: dict[str, str] = {}
    for name, value in request.query.multi_items():
        if name in query:
            raise S3Refusal("InvalidArgument", 400, "A query parameter is given more than once.", ArgumentName=name)
        query[name] = value
    bucket, key = address_of(request.raw_path, request.headers.get("host", ""))
    is_version_2 = sigv2.is_of_version_2(request.signature.claim)
    signs_query = not is_version_2 or sigv2.SIGNATURE in query
    kept = {}
    hoisted = []
    for name, value in query.items():
        if name.lower().startswith("x-amz-") or (is_version_2 and name.lower() in sigv2.STANDING_FOR_HEADERS):
            if not signs_query:
                raise S3Refusal("InvalidRequest", 400, "Version 2 does not sign this parameter: send it as a header.")
            if name not in SIGNATURE_PARAMETERS and name.lower() not in request.headers:
                hoisted.append(as_header(name, value))
        elif not (is_version_2 and name in sigv2.OWN):
            kept[name] = value
    return Call(request, bucket, key, kept, Headers(raw=[*request.headers.raw, *hoisted]))


def as_header(name: str, value: str) -> tuple[bytes, bytes]:
    """A parameter or field that stands for a header; refuses what no header can carry, which would begin another one."""
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in value):
        text = "The value holds control characters, which a header cannot carry."
        raise S3Refusal("InvalidArgument", 400, text, ArgumentName=name)
    return name.lower().encode("latin-1", "replace"), value.encode("latin-1", "replace")


def address_of(raw_path: str, host: str) -> tuple[str, str]:
    """Bucket and key, path style, or virtual-hosted under ``localhost``."""
    try:
        virtual = virtual_bucket(host)
        if virtual is not None:
            return virtual, _decoded(raw_path.removeprefix("/"))
        bucket, _, key = raw_path.removeprefix("/").partition("/")
        return _decoded(bucket), _decoded(key)
    except UnicodeDecodeError:
        raise S3Refusal("InvalidURI", 400, "Couldn't parse the specified URI.") from None


def _decoded(raw: str) -> str:
    return unquote_to_bytes(raw.encode("latin-1")).decode()


def check_headers(call: Call) -> None:
    """Refuses an ``x-amz-*`` header that Amiable does not act on."""
    for name in call.headers:
        if (
            name.startswith("x-amz-")
            and not name.startswith((METADATA_PREFIX, CHECKSUM_PREFIX))
            and name not in _KNOWN_HEADERS
        ):
            text = "A header you provided implies functionality that is not implemented"
            raise S3Refusal("NotImplemented", 501, text, Header=name)
    storage = call.header("x-amz-storage-class")
    if storage not in (None, "STANDARD"):
        raise S3Refusal(
            "InvalidStorageClass", 400, "The storage class you specified is not valid", StorageClass=storage or ""
        )


def read_put(call: Call, acl: str) -> Put:
    """Address, headers, ACL and conditions of what is to be stored."""
    return Put(call.bucket, call.key, read_object_headers(call), acl, read_conditions(call))


def read_object_headers(call: Call) -> ObjectHeaders:
    """What the object is to be given back with; raises MetadataTooLarge."""
    others: dict[str, str] = {}
    metadata_bytes = 0
    for name, value in call.headers.items():
        if name.startswith(METADATA_PREFIX):
            metadata_bytes += len(name) - len(METADATA_PREFIX) + len(value)
            others[name] = f"{others[name]},{value}" if name in others else value
        elif name in KEPT_HEADERS:
            others[name] = value
    if metadata_bytes > METADATA_BYTES_MAX:
        facts = {"Size": str(metadata_bytes), "MaxSizeAllowed": str(METADATA_BYTES_MAX)}
        raise S3Refusal(
            "MetadataTooLarge", 400, "Your metadata headers exceed the maximum allowed metadata size", **facts
        )
    codings = [coding.strip() for coding in others.pop("content-encoding", "").split(",")]
    kept = [coding for coding in codings if coding and coding.lower() != "aws-chunked"]
    if kept:
        others["content-encoding"] = ",".join(kept)
    content_type = call.header("content-type") or ObjectHeaders().content_type
    if len(content_type) > 255:
        raise S3Refusal("InvalidArgument", 400, "The Content-Type is too long.", ArgumentName="Content-Type")
    return ObjectHeaders(content_type, others)


def read_conditions(call: Call, prefix: str = "") -> Conditions:
    """The conditional headers, or those of a copy's source (``x-amz-copy-source-``)."""
    return Conditions(
        if_match=call.header(prefix + "if-match"),
        if_none_match=call.header(prefix + "if-none-match"),
        if_modified_since=_http_date(call.header(prefix + "if-modified-since")),
        if_unmodified_since=_http_date(call.header(prefix + "if-unmodified-since")),
    )


def _http_date(text: str | None) -> datetime | None:
    """The moment; a date that is none is overlooked, as HTTP says."""
    return None if text is None else read_http_date(text)


def read_number(call: Call, name: str, default: int, most: int) -> int:
    """A count in the query, at most ``most``; raises InvalidArgument."""
    text = call.query.get(name)
    if text is None or text == "":
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > TEXT_NUMBER_MAX or int(text) >= 2**31:
        text = "Provided " + name + " not an integer or within integer range"
        raise S3Refusal("InvalidArgument", 400, text, ArgumentName=name, ArgumentValue=call.query[name])
    return min(int(text), most)


def read_incoming(call: Call) -> Incoming:
    """The body as a stream of the object's bytes; iterate it in a worker thread only."""
    request = call.request
    payload = request.signature.payload
    raw = blocking(request.body)
    trailers: dict[str, str] = {}
    trailing = _trailing_algorithm(call)
    if payload.startswith("STREAMING-"):
        has_trailer = payload.endswith("-TRAILER")
        chain = None if payload.startswith("STREAMING-UNSIGNED") else ChunkChain(request.signature)
        chunks = decode(raw, chain=chain, has_trailer=has_trailer, trailers=trailers)
        size_bytes = _length(call, "x-amz-decoded-content-length")
    else:
        if trailing is not None:
            raise S3Refusal("InvalidRequest", 400, "x-amz-trailer needs an aws-chunked body.")
        chunks, size_bytes = raw, _length(call, "content-length")
    return Incoming(chunks, size_bytes, _md5(call), _header_checksum(call), trailing, trailers)


def read_form_file(call: Call, chunks: Iterator[bytes]) -> Incoming:
    """The file of a form, whose length nobody says; what the form says about its bytes is compared."""
    return Incoming(chunks, None, _md5(call), _header_checksum(call))


def blocking(body: Body) -> Iterator[bytes]:
    """The body's chunks for code that runs in a worker thread."""
    reader = body.reader()
    while chunk := reader.read(READ_BYTES):
        yield chunk


async def read_document(call: Call, *, has_own_checksum: bool = True) -> bytes:
    """The body of a call that carries XML, compared with its Content-MD5 and, if that is about the body, its checksum."""
    if call.request.signature.payload.startswith("STREAMING-"):
        raise S3Refusal("NotImplemented", 501, "aws-chunked is not implemented for this operation.")
    try:
        body = await call.request.body.read(DOCUMENT_BYTES_MAX)
    except RequestTooLarge:
        raise S3Refusal("MaxMessageLengthExceeded", 400, "Your request was too big.") from None
    expected = _md5(call)
    if expected is not None and md5(body, usedforsecurity=False).digest() != expected:
        raise S3Refusal("BadDigest", 400, "The Content-MD5 you specified did not match what we received.")
    checksum = _header_checksum(call) if has_own_checksum else None
    if checksum is not None and checksum_of(checksum.algorithm, body) != checksum.value:
        raise bad_digest(checksum.algorithm)
    return body


def has_digest(call: Call) -> bool:
    """Whether the request says what its body's MD5 or checksum is."""
    return call.header("content-md5") is not None or _header_checksum(call) is not None


def _length(call: Call, name: str) -> int:
    text = call.header(name)
    if text is None:
        raise S3Refusal("MissingContentLength", 411, "You must provide the Content-Length HTTP header.")
    if not (text.isascii() and text.isdigit()) or len(text) > TEXT_NUMBER_MAX:
        raise S3Refusal(
            "InvalidArgument", 400, "The length is not a number of bytes.", ArgumentName=name, ArgumentValue=text
        )
    return int(text)


def _md5(call: Call) -> bytes | None:
    text = call.header("content-md5")
    if text is None:
        return None
    try:
        digest = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != 16:
        raise S3Refusal("InvalidDigest", 400, "The Content-MD5 you specified was invalid.")
    return digest


def checksum_values(call: Call) -> list[Checksum]:
    """Every ``x-amz-checksum-ALGORITHM`` that the request carries."""
    found = []
    for name, value in call.headers.items():
        if not name.startswith(CHECKSUM_PREFIX) or name in (
            "x-amz-checksum-algorithm",
            "x-amz-checksum-type",
            "x-amz-checksum-mode",
        ):
            continue
        found.append(Checksum(known_algorithm(name.removeprefix(CHECKSUM_PREFIX)), value))
    if len(found) > 1:
        text = "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
        raise S3Refusal("InvalidRequest", 400, text)
    return found


def known_algorithm(name: str) -> str:
    """The algorithm in S3's spelling; refuses what Amiable does not calculate."""
    if name.upper() not in ALGORITHMS:
        raise S3Refusal("NotImplemented", 501, f"The checksum algorithm {name.upper()} is not implemented by Amiable.")
    return name.upper()


def _header_checksum(call: Call) -> Checksum | None:
    found = checksum_values(call)
    announced = call.header("x-amz-sdk-checksum-algorithm")
    if announced is not None:
        sent = found[0].algorithm if found else _trailing_algorithm(call)
        if sent is None:
            text = "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found."
            raise S3Refusal("InvalidRequest", 400, text)
        if sent != known_algorithm(announced):
            raise S3Refusal("InvalidRequest", 400, "Value for x-amz-sdk-checksum-algorithm header is invalid.")
    for checksum in found:
        if not is_well_formed(checksum.algorithm, checksum.value):
            name = CHECKSUM_PREFIX + checksum.algorithm.lower()
            raise S3Refusal("InvalidRequest", 400, f"Value for {name} header is invalid.")
    return found[0] if found else None


def _trailing_algorithm(call: Call) -> str | None:
    text = call.header("x-amz-trailer")
    if text is None:
        return None
    name = text.strip().lower()
    if not name.startswith(CHECKSUM_PREFIX) or checksum_values(call):
        raise S3Refusal("InvalidRequest", 400, "The value specified in the x-amz-trailer header is not supported")
    return known_algorithm(name.removeprefix(CHECKSUM_PREFIX))
