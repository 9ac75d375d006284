"""``aws-chunked``: a body in chunks of its own, inside whatever HTTP does, so that checksums can follow it and chunks be signed.

    chunk   = hex size [";chunk-signature=" 64 hex] CRLF data CRLF
    body    = chunk* last-chunk
    last    = "0" [";chunk-signature=" 64 hex] CRLF trailer CRLF
    trailer = (name ":" value CRLF)*  ["x-amz-trailer-signature:" 64 hex CRLF]

A chunk's data is handed on before its signature is known to hold, so nothing may become permanent before the end is reached.
Source: S3 API reference, "Authenticating requests: using the Authorization header".
"""

import re
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Final, Protocol

from amiable.model.errors import S3Refusal

LINE_BYTES_MAX: Final = 4096
TRAILER_LINES_MAX: Final = 16
CHUNK_BYTES_MAX: Final = 5 << 30

_SIZE: Final = re.compile(rb"([0-9a-fA-F]{1,16})(?:;chunk-signature=([0-9a-f]{64}))?")
_TRAILER: Final = re.compile(rb"([A-Za-z0-9-]{1,128}):[ \t]*([\x20-\x7e]*?)[ \t]*")
_SIGNATURE_NAME: Final = "x-amz-trailer-signature"


class Chain(Protocol):
    """What verifies signed chunks and a signed trailer (``rules/chunk_signature.py``; a recorder in tests)."""

    def check_chunk(self, signature: str, sha256_hex: str) -> None: ...

    def check_trailer(self, signature: str, trailer: bytes) -> None: ...


def decode(
    body: Iterable[bytes], *, chain: Chain | None, has_trailer: bool, trailers: dict[str, str]
) -> Iterator[bytes]:
    """The data of ``body``'s chunks; at the end ``trailers`` holds the trailing headers, names in lower case.

    With ``chain`` every chunk must be signed, and so must the trailer.  Raises IncompleteBody where the body ends early,
    InvalidRequest or MalformedTrailerError where it is not as drawn above, and what ``chain`` raises.
    """
    source = _Source(body)
    while True:
        size_bytes, signature = _head(source.line(), is_signed=chain is not None)
        digest = sha256()
        if size_bytes:
            for data in source.take(size_bytes):
                if chain is not None:
                    digest.update(data)
                yield data
            if source.line():
                raise _malformed("a chunk is longer than its size says")
        if chain is not None:
            chain.check_chunk(signature, digest.hexdigest())
        if not size_bytes:
            break
    _read_trailer(source, chain if has_trailer else None, has_trailer=has_trailer, trailers=trailers)
    if not source.is_at_end():
        raise _malformed("bytes follow the last chunk")


class _Source:
    """Lines and runs of bytes from chunks of any size."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = b""

    def line(self) -> bytes:
        """The next line without its end."""
        while (end := self._rest.find(b"\n")) < 0:
            if len(self._rest) > LINE_BYTES_MAX:
                raise _malformed("a line is too long")
            self._more()
        line, self._rest = self._rest[:end], self._rest[end + 1 :]
        if len(line) > LINE_BYTES_MAX:
            raise _malformed("a line is too long")
        return line.removesuffix(b"\r")

    def take(self, size_bytes: int) -> Iterator[bytes]:
        """The next ``size_bytes`` bytes, in pieces."""
        while size_bytes:
            if not self._rest:
                self._more()
            piece, self._rest = self._rest[:size_bytes], self._rest[size_bytes:]
            size_bytes -= len(piece)
            yield piece

    def is_at_end(self) -> bool:
        """Whether nothing follows; reads on, so that whatever ends the body is met."""
        return not self._rest and not any(self._chunks)

    def _more(self) -> None:
        chunk = next(self._chunks, b"")
        if not chunk:
            raise S3Refusal("IncompleteBody", 400, "The request body terminated unexpectedly")
        self._rest += chunk


def _head(line: bytes, *, is_signed: bool) -> tuple[int, str]:
    found = _SIZE.fullmatch(line)
    if found is None:
        raise _malformed("a chunk does not begin with its size in hex")
    size_bytes = int(found[1], 16)
    if size_bytes > CHUNK_BYTES_MAX:
        raise _malformed("a chunk is too large")
    if is_signed != (found[2] is not None):
        raise _malformed("a chunk is not signed" if is_signed else "a chunk is signed and the request says it is not")
    return size_bytes, (found[2] or b"").decode()


def _read_trailer(source: _Source, chain: Chain | None, *, has_trailer: bool, trailers: dict[str, str]) -> None:
    signature: str | None = None
    canonical = b""
    for _ in range(TRAILER_LINES_MAX):
        line = source.line()
        if not line:
            # the documentation's own example has an empty line before the signature
            if chain is None or signature is not None:
                break
            continue
        found = _TRAILER.fullmatch(line)
        name = found[1].decode().lower() if found else ""
        if found is None or not has_trailer or name in trailers or signature is not None:
            raise _bad_trailer()
        if name == _SIGNATURE_NAME:
            signature = found[2].decode()
        else:
            trailers[name] = found[2].decode()
            canonical += name.encode() + b":" + found[2] + b"\n"
    else:
        raise _bad_trailer()
    if chain is not None:
        assert signature is not None
        chain.check_trailer(signature, canonical)
    elif signature is not None:
        raise _bad_trailer()


def _bad_trailer() -> S3Refusal:
    message = "The request contained trailing data that was not well-formed or did not conform to our published schema."
    return S3Refusal("MalformedTrailerError", 400, message)


def _malformed(why: str) -> S3Refusal:
    return S3Refusal("InvalidRequest", 400, f"The aws-chunked body is malformed: {why}.")
