"""Chance in larger draws: as long as asked for, and never the same twice."""

import os
import threading
import uuid

import pytest

from amiable.services.entropy import DRAWN_BYTES, SHORT_BYTES_MAX, Entropy, mint_request_id


@pytest.mark.parametrize("size", [0, 1, 9, SHORT_BYTES_MAX, SHORT_BYTES_MAX + 1, 2 * DRAWN_BYTES])
def test_as_many_bytes_come_as_are_asked_for(size: int) -> None:
    entropy = Entropy()
    assert {len(entropy(size)) for _ in range(DRAWN_BYTES)} == {size}


def test_what_is_drawn_is_given_once_and_in_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    draws: list[int] = []

    def counted(size: int) -> bytes:
        draws.append(size)
        return bytes((len(draws) * 256 + at) % 251 for at in range(size))

    monkeypatch.setattr(os, "urandom", counted)
    entropy = Entropy()
    given = b"".join(entropy(16) for _ in range(DRAWN_BYTES // 16))
    assert draws == [DRAWN_BYTES] and given == bytes((256 + at) % 251 for at in range(DRAWN_BYTES))
    entropy(1)
    assert draws == [DRAWN_BYTES] * 2


def test_a_secret_is_drawn_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    entropy = Entropy()
    monkeypatch.setattr(os, "urandom", lambda size: b"x" * size)
    assert entropy(30) == b"x" * 30


def test_threads_never_share_a_name() -> None:
    entropy, found = Entropy(), [set[bytes]() for _ in range(8)]

    def draw(into: set[bytes]) -> None:
        into.update(entropy(12) for _ in range(2000))

    threads = [threading.Thread(target=draw, args=(each,)) for each in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set[bytes]().union(*found)) == 8 * 2000


def test_a_requests_id_is_a_uuid_of_version_4() -> None:
    ids = {mint_request_id() for _ in range(200)}
    assert len(ids) == 200
    assert {uuid.UUID(each).version for each in ids} == {4} and {uuid.UUID(each).variant for each in ids} == {
        uuid.RFC_4122
    }
    assert {str(uuid.UUID(each)) for each in ids} == ids
