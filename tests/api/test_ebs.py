"""EBS direct: what is acknowledged, what is refused and with which reason."""

import base64
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from amiable.api import ebs as api
from amiable.api.ebs_changes import list_changed_blocks
from amiable.database import jobs as queue
from amiable.database import snapshots, tags
from amiable.jobs.complete_snapshot import complete_snapshot as run_complete
from amiable.jobs.complete_snapshot import give_up
from amiable.jobs.context import JobContext
from amiable.model.block_map import ZERO_BLOCK
from amiable.model.errors import EbsRefusal
from amiable.model.principal import Principal
from amiable.model.units import BLOCK_BYTES
from amiable.rules import block_checksum
from amiable.services import Services
from amiable.wire.generated import ebs
from tests.support.services import make_account, open_services
from tests.support.work import run_jobs

ONES = b"\xff" * BLOCK_BYTES


def start(services: Services, principal: Principal, **parameters: Any) -> str:
    """A new snapshot's id."""
    request = ebs.StartSnapshotRequest(**{"volume_size": 1, **parameters})
    made = api.start_snapshot(services, principal, request).snapshot_id
    assert made is not None
    return made


def put(services: Services, principal: Principal, snapshot_id: str, index: int, data: bytes, **changed: Any) -> None:
    """Puts a block as a right client does, but for what is ``changed``."""
    checksum = base64.b64encode(sha256(data).digest()).decode()
    right = {"data_length": BLOCK_BYTES, "checksum": checksum, "checksum_algorithm": "SHA256"}
    request = ebs.PutSnapshotBlockRequest(
        snapshot_id=snapshot_id, block_index=index, block_data=data, **{**right, **changed}
    )
    api.put_snapshot_block(services, principal, request)


def complete(services: Services, principal: Principal, snapshot_id: str, count: int, **headers: Any) -> str | None:
    """CompleteSnapshot's status."""
    request = ebs.CompleteSnapshotRequest(snapshot_id=snapshot_id, changed_blocks_count=count, **headers)
    return api.complete_snapshot(services, principal, request).status


def listed(services: Services, principal: Principal, snapshot_id: str, **parameters: Any) -> list[tuple[int, str]]:
    """Index and token of each block on a page."""
    request = ebs.ListSnapshotBlocksRequest(snapshot_id=snapshot_id, **parameters)
    blocks = api.list_snapshot_blocks(services, principal, request).blocks or []
    return [(block.block_index or 0, block.block_token or "") for block in blocks]


def get(services: Services, principal: Principal, snapshot_id: str, index: int, token: str) -> bytes | None:
    """A block's bytes."""
    request = ebs.GetSnapshotBlockRequest(snapshot_id=snapshot_id, block_index=index, block_token=token)
    return api.get_snapshot_block(services, principal, request).block_data


def refused(call: Callable[[], object]) -> tuple[str, str | None]:
    """The exception and reason that a call is refused with."""
    with pytest.raises(EbsRefusal) as caught:
        call()
    return caught.value.exception, caught.value.reason


@pytest.fixture
def clock() -> list[datetime]:
    """The time, in a list so that a test can move it."""
    return [datetime(2026, 1, 1, tzinfo=UTC)]


@pytest.fixture
def timed(tmp_path: Path, clock: list[datetime]) -> Iterator[tuple[Services, Principal]]:
    """Services on ``clock``, and an account."""
    with open_services(tmp_path / "timed", clock=lambda: clock[0]) as opened:
        yield opened, make_account(opened)[1]


def test_what_was_put_is_got_with_the_tokens_of_the_list(services: Services, principal: Principal) -> None:
    snapshot = start(services, principal, description="a disk", tags=[ebs.Tag(key="a", value="b")])
    put(services, principal, snapshot, 0, ZERO_BLOCK)
    put(services, principal, snapshot, 2047, ONES)
    linear = "QuWhAEV7Qid0i9uuVwexaWSfKmFKH0P/+Oi8JqIj0tc="
    headers = {"checksum": linear, "checksum_algorithm": "SHA256", "checksum_aggregation_method": "LINEAR"}
    assert complete(services, principal, snapshot, 2, **headers) == "completed"
    first, second = listed(services, principal, snapshot), listed(services, principal, snapshot)
    assert [index for index, _ in first] == [0, 2047]
    assert not {token for _, token in first} & {token for _, token in second}
    assert all(len(token) <= 256 for _, token in first)
    assert [get(services, principal, snapshot, index, token) for index, token in first] == [ZERO_BLOCK, ONES]
    with services.database.read() as c:
        row = snapshots.get(c, snapshot)
        assert tags.tags_of(c, principal.account_id, [snapshot]) == {snapshot: {"a": "b"}}
    assert row is not None and (row.state, row.description, row.changed_block_count) == ("completed", "a disk", 2)


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        ([], "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
        ([ZERO_BLOCK], "3QyamIjs9/uk1ge+ZPpwA6Yo7YmArJ8I121qDaF+DcI="),
        ([ZERO_BLOCK, ZERO_BLOCK], "nXImO+I7J/Eb7uV+SQqV/renEAlPuF0+9WVrhRS/gHY="),
        ([ZERO_BLOCK, ONES], "QuWhAEV7Qid0i9uuVwexaWSfKmFKH0P/+Oi8JqIj0tc="),
    ],
)
def test_the_linear_checksum_is_the_reference_clients(blocks: list[bytes], expected: str) -> None:
    assert block_checksum.encode(block_checksum.linear(sha256(block).digest() for block in blocks)) == expected


def test_a_wrong_count_or_aggregate_fails_the_snapshot_for_good(services: Services, principal: Principal) -> None:
    over_text = "vy2Ajd+aKdbXzgwsaCBgrP1Ye8PuIrgJqVcFRxP2UtA="
    wrong = {"checksum": over_text, "checksum_algorithm": "SHA256", "checksum_aggregation_method": "LINEAR"}
    cases: list[tuple[int, dict[str, str]]] = [(2, {}), (0, {}), (1, wrong)]
    for count, headers in cases:
        snapshot = start(services, principal)
        put(services, principal, snapshot, 0, ZERO_BLOCK)
        answer = refused(partial(complete, services, principal, snapshot, count, **headers))
        assert answer == ("ValidationException", "INVALID_PARAMETER_VALUE")
        with services.database.read() as c:
            row = snapshots.get(c, snapshot)
        assert row is not None and row.state == "error" and row.state_message
        assert refused(partial(put, services, principal, snapshot, 1, ONES))[1] == "INVALID_SNAPSHOT_ID"
        assert refused(partial(complete, services, principal, snapshot, 1))[1] == "INVALID_SNAPSHOT_ID"


def test_half_of_the_aggregate_headers_is_refused_and_harms_nothing(services: Services, principal: Principal) -> None:
    snapshot = start(services, principal)
    assert refused(lambda: complete(services, principal, snapshot, 0, checksum="AAAA"))[1] == "INVALID_PARAMETER_VALUE"
    assert complete(services, principal, snapshot, 0) == "completed"
    assert complete(services, principal, snapshot, 99) == "completed"
    assert refused(lambda: put(services, principal, snapshot, 0, ONES)) == (
        "ValidationException",
        "INVALID_SNAPSHOT_ID",
    )


@pytest.mark.parametrize(
    ("index", "data", "changed", "reason"),
    [
        (0, ONES[:-1], {}, "INVALID_BLOCK"),
        (0, ONES + b"x", {}, "INVALID_BLOCK"),
        (0, ONES, {"data_length": 512}, "INVALID_PARAMETER_VALUE"),
        (2048, ONES, {}, "INVALID_BLOCK"),
        (0, ONES, {"checksum": "B4VNL+8pega6gWheZgwzLeNtXRjVRpJ9MNqtbX/aFUE="}, "INVALID_PARAMETER_VALUE"),
        (0, ONES, {"checksum": "no base64"}, "INVALID_PARAMETER_VALUE"),
        (0, ONES, {"checksum_algorithm": "MD5"}, "INVALID_PARAMETER_VALUE"),
    ],
)
def test_a_bad_block_is_refused_and_may_be_sent_again(
    services: Services, principal: Principal, index: int, data: bytes, changed: dict[str, Any], reason: str
) -> None:
    snapshot = start(services, principal)
    assert refused(lambda: put(services, principal, snapshot, index, data, **changed)) == (
        "ValidationException",
        reason,
    )
    put(services, principal, snapshot, 0, ONES)
    assert complete(services, principal, snapshot, 1) == "completed"


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"volume_size": 0}, "INVALID_VOLUME_SIZE"),
        ({"volume_size": 65537}, "INVALID_VOLUME_SIZE"),
        ({"timeout": 9}, "INVALID_PARAMETER_VALUE"),
        ({"encrypted": True}, "INVALID_PARAMETER_VALUE"),
        ({"kms_key_arn": "arn:aws:kms:us-east-1:123456789012:key/x"}, "INVALID_PARAMETER_VALUE"),
        ({"encrypted": False, "parent_snapshot_id": "snap-00000000"}, "INVALID_PARAMETER_VALUE"),
        ({"parent_snapshot_id": "vol-00000000"}, "INVALID_SNAPSHOT_ID"),
        ({"tags": [ebs.Tag(key="a"), ebs.Tag(key="a")]}, "INVALID_TAG"),
        ({"tags": [ebs.Tag(key="aws:a")]}, "INVALID_TAG"),
        ({"tags": [ebs.Tag(key=str(number)) for number in range(51)]}, "INVALID_TAG"),
    ],
)
def test_a_bad_start_is_refused_with_its_reason(
    services: Services, principal: Principal, parameters: dict[str, Any], reason: str
) -> None:
    assert refused(lambda: start(services, principal, **parameters)) == ("ValidationException", reason)


def test_a_client_token_makes_one_snapshot(
    services: Services, principal: Principal, other_principal: Principal
) -> None:
    first = start(services, principal, client_token="t")
    assert start(services, principal, client_token="t") == first
    assert start(services, other_principal, client_token="t") != first
    assert refused(lambda: start(services, principal, client_token="t", volume_size=2)) == ("ConflictException", None)
    assert refused(lambda: start(services, principal, client_token="x" * 65))[1] == "INVALID_PARAMETER_VALUE"


def test_an_incremental_snapshot_counts_its_own_blocks_and_lists_all(services: Services, principal: Principal) -> None:
    parent = start(services, principal)
    for index in (0, 1):
        put(services, principal, parent, index, ONES)
    assert refused(lambda: start(services, principal, parent_snapshot_id=parent))[1] == "INVALID_SNAPSHOT_ID"
    complete(services, principal, parent, 2)
    assert start(services, principal, parent_snapshot_id=parent, volume_size=2)
    child = start(services, principal, parent_snapshot_id=parent)
    put(services, principal, child, 1, ZERO_BLOCK)
    linear = block_checksum.encode(block_checksum.linear([sha256(ZERO_BLOCK).digest()]))
    headers = {"checksum": linear, "checksum_algorithm": "SHA256", "checksum_aggregation_method": "LINEAR"}
    assert complete(services, principal, child, 1, **headers) == "completed"
    blocks = listed(services, principal, child)
    assert [get(services, principal, child, *block) for block in blocks] == [ONES, ZERO_BLOCK]
    big = start(services, principal, volume_size=2)
    complete(services, principal, big, 0)
    assert refused(lambda: start(services, principal, parent_snapshot_id=big))[1] == "INVALID_VOLUME_SIZE"


def test_pages_run_through_all_blocks_and_their_tokens_are_bound(services: Services, principal: Principal) -> None:
    snapshot, other = start(services, principal), start(services, principal)
    services.blocks.write(snapshot, [(index, ZERO_BLOCK) for index in range(250)])
    services.blocks.complete(snapshot)
    services.blocks.complete(other)
    seen: list[int] = []
    token = None
    for _ in range(3):
        request = ebs.ListSnapshotBlocksRequest(
            snapshot_id=snapshot, max_results=100, next_token=token, starting_block_index=240
        )
        page = api.list_snapshot_blocks(services, principal, replace_start(request, seen))
        seen += [block.block_index or 0 for block in page.blocks or []]
        if token is None:
            token = page.next_token
            assert token is not None and len(token) <= 256
            elsewhere = partial(listed, services, principal, other, next_token=token)
            assert refused(elsewhere)[1] == "INVALID_PAGE_TOKEN"
        else:
            token = page.next_token
    assert seen == list(range(250)) and token is None
    assert [index for index, _ in listed(services, principal, snapshot, starting_block_index=248)] == [248, 249]
    assert listed(services, principal, snapshot, starting_block_index=2000) == []


def replace_start(request: ebs.ListSnapshotBlocksRequest, seen: list[int]) -> ebs.ListSnapshotBlocksRequest:
    """The first page starts at 0; later ones show that the token overrides the start."""
    if seen:
        return request
    return ebs.ListSnapshotBlocksRequest(snapshot_id=request.snapshot_id, max_results=request.max_results)


def test_a_block_token_opens_one_block_of_one_snapshot(services: Services, principal: Principal) -> None:
    snapshot, other = start(services, principal), start(services, principal)
    for one in (snapshot, other):
        put(services, principal, one, 0, ONES)
        put(services, principal, one, 1, ONES)
        complete(services, principal, one, 2)
    (_, token), (_, second) = listed(services, principal, snapshot)
    altered = ("B" if token[40] == "A" else "A").join((token[:40], token[41:]))
    page_like = token[:-4]
    for snapshot_id, index, wrong in [
        (snapshot, 1, token),
        (snapshot, 0, second),
        (other, 0, token),
        (snapshot, 5, token),
        (snapshot, 0, altered),
        (snapshot, 0, page_like),
        (snapshot, 0, "AAAA"),
        (snapshot, 0, "?"),
    ]:
        answer = refused(partial(get, services, principal, snapshot_id, index, wrong))
        assert answer == ("ValidationException", "INVALID_BLOCK_TOKEN")


def test_tokens_end_in_time(timed: tuple[Services, Principal], clock: list[datetime]) -> None:
    services, principal = timed
    snapshot = start(services, principal)
    services.blocks.write(snapshot, [(index, ZERO_BLOCK) for index in range(150)])
    services.blocks.complete(snapshot)
    request = ebs.ListSnapshotBlocksRequest(snapshot_id=snapshot, max_results=100)
    page = api.list_snapshot_blocks(services, principal, request)
    assert page.blocks and page.blocks[0].block_token and page.next_token
    assert page.expiry_time == clock[0] + timedelta(days=7)
    clock[0] += timedelta(minutes=59)
    assert len(listed(services, principal, snapshot, next_token=page.next_token)) == 50
    clock[0] += timedelta(minutes=2)
    assert refused(lambda: listed(services, principal, snapshot, next_token=page.next_token))[1] == "INVALID_PAGE_TOKEN"
    token = page.blocks[0].block_token
    clock[0] += timedelta(days=6)
    assert get(services, principal, snapshot, 0, token) == ZERO_BLOCK
    clock[0] += timedelta(days=1)
    assert refused(lambda: get(services, principal, snapshot, 0, token))[1] == "INVALID_BLOCK_TOKEN"


def test_a_snapshot_that_waits_too_long_goes_to_error(timed: tuple[Services, Principal], clock: list[datetime]) -> None:
    services, principal = timed
    late, forgotten, sealed = (start(services, principal, timeout=10) for _ in range(3))
    with services.database.write() as c:
        snapshots.seal(c, sealed, 0)
    clock[0] += timedelta(minutes=11)
    assert refused(lambda: put(services, principal, late, 0, ONES)) == ("ValidationException", "WRITE_REQUEST_TIMEOUT")
    assert refused(lambda: put(services, principal, late, 0, ONES)) == ("ValidationException", "INVALID_SNAPSHOT_ID")
    with services.database.write() as c:
        assert snapshots.expire(c, now=clock[0]) == [forgotten]
    assert complete(services, principal, sealed, 0) == "completed"


def test_only_the_owner_in_the_same_region_sees_a_snapshot(
    services: Services, principal: Principal, other_principal: Principal
) -> None:
    snapshot = start(services, principal)
    elsewhere = replace(principal, region="eu-west-1")
    assert refused(lambda: put(services, other_principal, snapshot, 0, ONES)) == (
        "AccessDeniedException",
        "UNAUTHORIZED_ACCOUNT",
    )
    assert refused(lambda: complete(services, elsewhere, snapshot, 0)) == (
        "ResourceNotFoundException",
        "SNAPSHOT_NOT_FOUND",
    )
    assert refused(lambda: listed(services, principal, "snap-00000000")) == (
        "ResourceNotFoundException",
        "SNAPSHOT_NOT_FOUND",
    )
    assert refused(lambda: listed(services, principal, "snap-x")) == ("ValidationException", "INVALID_SNAPSHOT_ID")
    assert refused(lambda: listed(services, principal, snapshot)) == ("ValidationException", "INVALID_SNAPSHOT_ID")
    complete(services, principal, snapshot, 0)
    assert refused(lambda: listed(services, other_principal, snapshot)) == (
        "AccessDeniedException",
        "UNAUTHORIZED_ACCOUNT",
    )


def test_a_large_snapshot_that_inherits_is_completed_by_a_job(services: Services, principal: Principal) -> None:
    size_gib = api.INLINE_GIB_MAX + 1
    whole = start(services, principal, volume_size=size_gib)
    assert complete(services, principal, whole, 0) == "completed"
    child = start(services, principal, volume_size=size_gib, parent_snapshot_id=whole)
    assert complete(services, principal, child, 0) == "pending"
    assert run_jobs(services) == 1
    with services.database.read() as c:
        found, parent = snapshots.get(c, child), snapshots.get(c, whole)
    assert found is not None and parent is not None
    assert (found.state, found.content_digest) == ("completed", parent.content_digest)


def test_a_large_snapshot_is_completed_by_a_job(
    services: Services, principal: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "INLINE_BLOCKS_MAX", 2)
    snapshots_ = [start(services, principal) for _ in range(2)]
    for snapshot in snapshots_:
        services.blocks.write(snapshot, [(index, ONES) for index in range(3)])
        for _ in range(2):
            assert complete(services, principal, snapshot, 3) == "pending"
    lease, now = queue.Lease("o", services.host, "t"), services.now()
    for end in (run_complete, lambda context: give_up(context, "the disk burned")):
        with services.database.write() as c:
            job = queue.pick(c, ["complete-snapshot"], lease, now=now)
        assert job is not None
        end(JobContext(services, job))
        end(JobContext(services, job))
    with services.database.read() as c:
        found = [snapshots.get(c, snapshot) for snapshot in snapshots_]
        assert sorted(each.state for each in found if each) == ["completed", "error"]
        assert {s.state_message for s in (snapshots.get(c, i) for i in snapshots_) if s} == {
            None,
            "the disk burned",
        }


def changed(
    services: Services, principal: Principal, first: str, second: str, **how: Any
) -> ebs.ListChangedBlocksResponse:
    """A page of ListChangedBlocks."""
    request = ebs.ListChangedBlocksRequest(first_snapshot_id=first, second_snapshot_id=second, **how)
    return list_changed_blocks(services, principal, request)


def test_changed_blocks_are_those_that_differ_with_a_token_where_they_are(
    services: Services, principal: Principal
) -> None:
    parent = start(services, principal, volume_size=2)
    for index in (0, 1, 2049):
        put(services, principal, parent, index, ONES)
    complete(services, principal, parent, 3)
    child = start(services, principal, parent_snapshot_id=parent, volume_size=2)
    for index, data in ((0, ONES), (1, ZERO_BLOCK), (7, ONES)):  # the same again, another, and a new one
        put(services, principal, child, index, data)
    complete(services, principal, child, 3)
    page = changed(services, principal, parent, child)
    blocks = page.changed_blocks or []
    assert [block.block_index for block in blocks] == [1, 7]
    assert (page.volume_size, page.block_size, page.next_token) == (2, BLOCK_BYTES, None)
    other, new = blocks
    assert get(services, principal, parent, 1, other.first_block_token or "") == ONES
    assert get(services, principal, child, 1, other.second_block_token or "") == ZERO_BLOCK
    assert new.first_block_token is None and new.second_block_token is not None
    back = changed(services, principal, child, parent).changed_blocks or []
    assert back[1].second_block_token is None and back[1].first_block_token is not None
    assert changed(services, principal, parent, parent).changed_blocks == []
    later = changed(services, principal, parent, child, starting_block_index=2).changed_blocks or []
    assert [block.block_index for block in later] == [7]


def test_pages_of_changed_blocks_are_bound_to_both_snapshots(services: Services, principal: Principal) -> None:
    parent = start(services, principal)
    complete(services, principal, parent, 0)
    child = start(services, principal, parent_snapshot_id=parent)
    services.blocks.write(child, [(index, ZERO_BLOCK) for index in range(250)])
    services.blocks.complete(child)
    seen, token = [], None
    for _ in range(3):
        page = changed(services, principal, parent, child, max_results=1, next_token=token)
        seen += [block.block_index for block in page.changed_blocks or []]
        token = page.next_token
        if token is not None:
            swapped = partial(changed, services, principal, child, parent, next_token=token)
            assert refused(swapped)[1] == "INVALID_PAGE_TOKEN"
    assert seen == list(range(250)) and token is None


def test_what_cannot_be_compared_is_refused_by_its_reason(
    services: Services, principal: Principal, other_principal: Principal
) -> None:
    one, two = start(services, principal), start(services, principal)
    for each in (one, two):
        complete(services, principal, each, 0)
    waiting = start(services, principal, parent_snapshot_id=one)
    assert refused(lambda: changed(services, principal, one, two))[1] == "UNRELATED_SNAPSHOTS"
    assert refused(lambda: changed(services, principal, one, waiting))[1] == "INVALID_SNAPSHOT_ID"
    assert refused(lambda: changed(services, principal, one, one, max_results=10_001))[1] == "INVALID_PARAMETER_VALUE"
    assert refused(lambda: changed(services, other_principal, one, one))[1] == "UNAUTHORIZED_ACCOUNT"
    alone = ebs.ListChangedBlocksRequest(second_snapshot_id=one)
    assert refused(lambda: list_changed_blocks(services, principal, alone))[1] == "INVALID_PARAMETER_VALUE"
