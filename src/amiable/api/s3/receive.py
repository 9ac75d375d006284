"""Bytes on their way in: stored, measured, and compared with everything the client said about them.

The file is durable when :func:`receive` returns, and no row names it yet; inside :func:`kept` a refusal removes it again.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from amiable.model.bucket import PUT_BYTES_MAX, Checksum
from amiable.model.errors import Refusal, S3Refusal
from amiable.rules.object_checksum import Summing, is_well_formed
from amiable.services import Services


@dataclass(frozen=True, slots=True)
class Incoming:
    """A body, freed from its framing, and what was said about it."""

    chunks: Iterable[bytes]
    size_bytes: int | None
    """``None`` where nobody says beforehand: a file in a form ends with its boundary."""
    md5: bytes | None = None
    checksum: Checksum | None = None
    trailing_algorithm: str | None = None
    """The checksum of this algorithm stands in ``trailers`` once the chunks have ended."""
    trailers: Mapping[str, str] = field(default_factory=dict)

    @property
    def algorithm(self) -> str | None:
        return self.checksum.algorithm if self.checksum else self.trailing_algorithm


@dataclass(frozen=True, slots=True)
class Received:
    """A durable file that no row names yet, with its digests."""

    file: str
    size_bytes: int
    etag: str
    checksum: Checksum | None


def receive(services: Services, incoming: Incoming, *, algorithm: str | None = None) -> Received:
    """Stores the body and verifies length, MD5 and checksum.  ``algorithm``: the checksum to make when the client sent none."""
    _check_size(incoming.size_bytes or 0)
    algorithm = incoming.algorithm or algorithm
    summing = Summing(algorithm) if algorithm else None
    file = services.objects.write(_measured(incoming, summing), now=services.now())
    with kept(services, file.id):
        if incoming.md5 is not None and incoming.md5 != file.md5:
            facts = {"ExpectedDigest": incoming.md5.hex(), "CalculatedDigest": file.md5.hex()}
            raise S3Refusal("BadDigest", 400, "The Content-MD5 you specified did not match what we received.", **facts)
        checksum = Checksum(algorithm, summing.base64()) if algorithm and summing else None
        _check_checksum(incoming, checksum)
    return Received(file.id, file.size_bytes, file.md5.hex(), checksum)


@contextmanager
def kept(services: Services, file: str) -> Iterator[None]:
    """Removes ``file`` when the block refuses: no row will name it.

    Whatever else is raised may come out of the commit itself, with the row on disk, so the file stays for the collector to judge.
    """
    try:
        yield
    except Refusal:
        services.objects.delete([file])
        raise


def _measured(incoming: Incoming, summing: Summing | None) -> Iterator[bytes]:
    size_bytes = 0
    for chunk in incoming.chunks:
        size_bytes += len(chunk)
        if incoming.size_bytes is None:
            _check_size(size_bytes)
        elif size_bytes > incoming.size_bytes:
            raise S3Refusal("InvalidRequest", 400, "The body is longer than the request says.")
        if summing is not None:
            summing.update(chunk)
        yield chunk
    if incoming.size_bytes is not None and size_bytes < incoming.size_bytes:
        text = "You did not provide the number of bytes specified by the Content-Length HTTP header"
        raise S3Refusal("IncompleteBody", 400, text)


def _check_size(size_bytes: int) -> None:
    if size_bytes > PUT_BYTES_MAX:
        facts = {"ProposedSize": str(size_bytes), "MaxSizeAllowed": str(PUT_BYTES_MAX)}
        raise S3Refusal("EntityTooLarge", 400, "Your proposed upload exceeds the maximum allowed size", **facts)


def _check_checksum(incoming: Incoming, calculated: Checksum | None) -> None:
    expected = incoming.checksum
    if incoming.trailing_algorithm is not None:
        value = incoming.trailers.get(f"x-amz-checksum-{incoming.trailing_algorithm.lower()}")
        if value is None or not is_well_formed(incoming.trailing_algorithm, value):
            text = "The trailing checksum that the request announced is missing or malformed."
            raise S3Refusal("MalformedTrailerError", 400, text)
        expected = Checksum(incoming.trailing_algorithm, value)
    if expected is not None and expected != calculated:
        raise bad_digest(expected.algorithm)


def bad_digest(algorithm: str) -> S3Refusal:
    """BadDigest of a checksum."""
    return S3Refusal("BadDigest", 400, f"The {algorithm} you specified did not match the calculated checksum.")
