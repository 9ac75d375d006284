"""Bodies: streamed once, bounded, and ended only when the hash agrees."""

import hashlib
from collections.abc import AsyncIterator

import anyio
import pytest

from amiable.model.errors import RequestTimeout, RequestTooLarge, Unauthenticated
from amiable.server import limits
from amiable.server.contracts import Body
from amiable.server.s3_answer import transfer

CHUNKS = (b"one", b"", b"two", b"three")
WHOLE = b"".join(CHUNKS)


async def chunks() -> AsyncIterator[bytes]:
    for chunk in CHUNKS:
        yield chunk


def body(sha256_hex: str | None = None) -> Body:
    return Body(chunks(), sha256_hex)


def test_a_body_streams_in_order_without_empty_chunks() -> None:
    async def main() -> list[bytes]:
        return [chunk async for chunk in body(hashlib.sha256(WHOLE).hexdigest()).stream()]

    assert anyio.run(main) == [b"one", b"two", b"three"]


def test_a_wrong_hash_is_raised_in_place_of_the_end() -> None:
    seen: list[bytes] = []

    async def main() -> None:
        async for chunk in body("0" * 64).stream():
            seen.append(chunk)

    with pytest.raises(Unauthenticated) as refused:
        anyio.run(main)
    assert refused.value.kind == "wrong-body"
    assert b"".join(seen) == WHOLE


def test_a_body_that_was_read_may_be_read_again() -> None:
    async def main() -> None:
        read = body()
        assert await read.read(100) == await read.read(100) == WHOLE
        assert [chunk async for chunk in read.stream()] == [WHOLE]
        with pytest.raises(RequestTooLarge):
            await read.read(len(WHOLE) - 1)

    anyio.run(main)


def test_a_body_over_the_limit_is_refused() -> None:
    async def main() -> bytes:
        return await body().read(len(WHOLE) - 1)

    with pytest.raises(RequestTooLarge):
        anyio.run(main)


def test_a_client_that_stands_still_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHUNK_SECONDS_MAX", 0.01)

    async def stuck() -> AsyncIterator[bytes]:
        yield b"one"
        await anyio.sleep_forever()

    async def main() -> bytes:
        return await Body(stuck(), None).read(100)

    with pytest.raises(RequestTimeout):
        anyio.run(main)


@pytest.mark.parametrize("size", [1, 2, 100])
def test_a_worker_thread_reads_the_body_as_a_file(size: int) -> None:
    async def main() -> bytes:
        reader = body().reader()

        def drain() -> bytes:
            parts = []
            while part := reader.read(size):
                parts.append(part)
            return b"".join(parts)

        return await transfer(drain)

    assert anyio.run(main) == WHOLE


def test_a_worker_thread_meets_the_wrong_hash_too() -> None:
    async def main() -> bytes:
        return await transfer(body("0" * 64).reader().readall)

    with pytest.raises(Unauthenticated):
        anyio.run(main)
