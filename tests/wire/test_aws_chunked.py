"""aws-chunked: however the network cuts it, the same bytes come out; signed chunks meet their chain in order."""

import contextlib
from hashlib import sha256
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.model.errors import S3Refusal
from amiable.wire.aws_chunked import LINE_BYTES_MAX, TRAILER_LINES_MAX, decode


class Recorder:
    """A chain that takes everything and remembers it."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def check_chunk(self, signature: str, sha256_hex: str) -> None:
        self.seen.append((signature, sha256_hex))

    def check_trailer(self, signature: str, trailer: bytes) -> None:
        self.seen.append((signature, trailer.decode()))


def cut(body: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(body), *(place % (len(body) + 1) for place in places)})
    return [body[first:last] for first, last in pairwise(edges)]


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=5), st.lists(st.integers(0, 500), max_size=10))
def test_how_the_body_is_cut_changes_nothing(pieces: list[bytes], places: list[int]) -> None:
    body = (
        b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
        + b"0\r\nX-Amz-Checksum-CRC32: abc= \r\n\r\n"
    )
    trailers: dict[str, str] = {}
    assert b"".join(decode(cut(body, places), chain=None, has_trailer=True, trailers=trailers)) == b"".join(pieces)
    assert trailers == {"x-amz-checksum-crc32": "abc="}


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=5), st.lists(st.integers(0, 900), max_size=10))
def test_each_signed_chunk_meets_the_chain_with_its_hash(pieces: list[bytes], places: list[int]) -> None:
    signatures = [f"{n:064x}" for n in range(len(pieces) + 2)]
    body = b"".join(
        b"%x;chunk-signature=%s\r\n%s" % (len(piece), signature.encode(), piece + b"\r\n" if piece else b"")
        for piece, signature in zip([*pieces, b""], signatures, strict=False)
    )
    body += b"x-amz-checksum-sha1:v\r\nx-amz-trailer-signature:" + signatures[-1].encode() + b"\r\n\r\n"
    recorder = Recorder()
    assert b"".join(decode(cut(body, places), chain=recorder, has_trailer=True, trailers={})) == b"".join(pieces)
    hashes = [sha256(piece).hexdigest() for piece in [*pieces, b""]]
    assert recorder.seen == [*zip(signatures, hashes, strict=False), (signatures[-1], "x-amz-checksum-sha1:v\n")]


@given(st.binary(max_size=200))
def test_any_bytes_are_decoded_or_refused(body: bytes) -> None:
    with contextlib.suppress(S3Refusal):
        list(decode([body] if body else [], chain=None, has_trailer=True, trailers={}))


@pytest.mark.parametrize(
    ("body", "has_trailer", "code"),
    [
        (b"0\r\na:b\r\n\r\n", False, "MalformedTrailerError"),
        (
            b"0\r\n" + b"".join(b"a%d:b\r\n" % n for n in range(TRAILER_LINES_MAX + 1)) + b"\r\n",
            True,
            "MalformedTrailerError",
        ),
        (b"0\r\nx-amz-trailer-signature:" + b"0" * 64 + b"\r\n\r\n", True, "MalformedTrailerError"),
        (b"0" * (LINE_BYTES_MAX + 2), True, "InvalidRequest"),
        (b"0\r\na:" + b"b" * LINE_BYTES_MAX + b"\r\n\r\n", True, "InvalidRequest"),
        (b"0\r\n\r\n", True, ""),
        (b"0\r\n\r\n", False, ""),
        (b"0\r\n", False, "IncompleteBody"),
    ],
)
def test_ends(body: bytes, has_trailer: bool, code: str) -> None:
    if not code:
        assert list(decode([body], chain=None, has_trailer=has_trailer, trailers={})) == []
        return
    with pytest.raises(S3Refusal) as caught:
        list(decode([body], chain=None, has_trailer=has_trailer, trailers={}))
    assert caught.value.code == code


def test_a_signed_body_without_a_trailer_signature_is_refused() -> None:
    body = b"0;chunk-signature=" + b"0" * 64 + b"\r\nx-amz-checksum-sha1:v\r\n\r\n"
    with pytest.raises(S3Refusal):
        list(decode([body], chain=Recorder(), has_trailer=True, trailers={}))
