"""What is tried again and when, what a place is, and that work in parallel ends with its reader."""

from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError, SSLError
from hypothesis import given
from hypothesis import strategies as st

from amiable.bundle.delete import clear_bucket
from amiable.bundle.transfer import (
    ONE_TRY,
    Patience,
    Place,
    ensure_bucket,
    in_parallel,
    is_part_name,
    is_transient,
    list_held,
    read_place,
    region_of_location,
)
from amiable.model.errors import LocalRefusal
from tests.bundle.clients import answered, impatient, lost


def test_a_place_is_a_bucket_and_a_folder() -> None:
    assert read_place("images") == Place("images")
    assert read_place("/images//web/v1/") == Place("images", "web/v1/")
    assert read_place("images/web").location("a.manifest.xml") == "images/web/a.manifest.xml"
    for nothing in ("", "/", "//"):
        with pytest.raises(LocalRefusal):
            read_place(nothing)


def test_what_passes_by_itself_is_tried_again_and_what_was_refused_is_not() -> None:
    for error in (lost(), ConnectTimeoutError(endpoint_url="x"), *(answered(s) for s in (429, 500, 502, 503, 504))):
        assert is_transient(error)
    assert is_transient(answered(400, "RequestTimeout"))
    for error in (
        answered(403, "AccessDenied"),
        answered(404),
        answered(400, "InvalidArgument"),
        OSError(),
        SSLError(endpoint_url="x", error=Exception("name")),
    ):
        assert not is_transient(error)


def test_pauses_double_up_to_a_cap() -> None:
    pauses: list[float] = []
    failures = [lost()] * 7

    def action() -> str:
        if failures:
            raise failures.pop()
        return "done"

    assert impatient(pauses).run("it", action) == "done"
    assert pauses == [0.5, 1, 2, 4, 8, 16, 20]


def test_a_server_that_was_never_reached_is_not_waited_for() -> None:
    patience = impatient()
    calls: list[int] = []

    def refuse() -> None:
        calls.append(1)
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:9")

    with pytest.raises(EndpointConnectionError):
        patience.run("it", refuse)
    assert len(calls) == 1
    assert patience.run("it", lambda: "answer") == "answer"
    with pytest.raises(EndpointConnectionError):
        patience.run("it", refuse)
    assert len(calls) == 1 + patience.attempts_max


def test_the_last_failure_is_raised_when_patience_ends() -> None:
    pauses: list[float] = []

    def action() -> None:
        raise lost()

    with pytest.raises(type(lost())):
        impatient(pauses, attempts_max=3).run("it", action)
    assert len(pauses) == 2
    with pytest.raises(type(lost())):
        ONE_TRY.run("it", action)


@given(st.integers(1, 60), st.floats(0, 1, exclude_max=True))
def test_chance_shortens_a_pause_by_at_most_a_half(attempt: int, chance: float) -> None:
    whole = Patience(chance=lambda: 1.0).pause_seconds(attempt)
    assert whole / 2 <= Patience(chance=lambda: chance).pause_seconds(attempt) <= whole <= 20


def test_nothing_is_tried_again_once_another_has_failed() -> None:
    patience = impatient()
    patience.stopped.set()
    calls = []

    def action() -> None:
        calls.append(1)
        raise lost()

    with pytest.raises(type(lost())):
        patience.run("it", action)
    assert calls == [1]


def test_work_in_parallel_gives_every_result() -> None:
    assert sorted(in_parallel(lambda n: n * n, range(50), impatient(), workers=3)) == [n * n for n in range(50)]


def test_the_first_failure_ends_work_in_parallel() -> None:
    patience, started = impatient(), []

    def work(number: int) -> int:
        started.append(number)
        if number == 1:
            raise ValueError("one")
        assert patience.stopped.wait(30)
        return number

    with pytest.raises(ValueError, match="one"):
        list(in_parallel(work, range(1000), patience, workers=2))
    assert set(started) <= {0, 1}


def test_a_location_names_a_region() -> None:
    assert region_of_location(None) == region_of_location("") == region_of_location("US") == "us-east-1"
    assert region_of_location("EU") == "eu-west-1"
    assert region_of_location("sa-east-1") == "sa-east-1"


class Answering:
    """A client that answers each call of an operation with the next of ``answers``: errors are raised."""

    meta = SimpleNamespace(region_name="us-east-1")

    def __init__(self, **answers: list[object]) -> None:
        self._answers = answers

    def __getattr__(self, name: str) -> Any:
        def call(**_: object) -> object:
            answer = self._answers[name].pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


def test_a_bucket_whose_making_was_answered_by_nobody_counts_as_made() -> None:
    absent = answered(404, "404")
    s3 = Answering(head_bucket=[absent], create_bucket=[lost(), answered(409, "BucketAlreadyOwnedByYou")])
    assert ensure_bucket(s3, "images", None, impatient()) == "us-east-1"
    taken = Answering(head_bucket=[absent], create_bucket=[answered(409, "BucketAlreadyExists")])
    with pytest.raises(ClientError):
        ensure_bucket(taken, "images", None, impatient())


def test_a_bucket_whose_deletion_was_answered_by_nobody_counts_as_deleted() -> None:
    assert clear_bucket(Answering(delete_bucket=[lost(), answered(404, "NoSuchBucket")]), "images", impatient())
    assert not clear_bucket(Answering(delete_bucket=[answered(409, "BucketNotEmpty")]), "images", impatient())


def test_a_list_that_never_ends_is_refused() -> None:
    class Circling:
        def list_objects(self, **_: object) -> dict[str, object]:
            return {"Contents": [{"Key": "web.part.0", "Size": 1}], "IsTruncated": True}

    with pytest.raises(LocalRefusal, match="out of order"):
        list_held(Circling(), "bucket", "web", impatient())


@pytest.mark.parametrize("name", ["web.part.0", "small.img.part.003", "a b.part.12", "_.part.0"])
def test_the_names_that_writers_give_parts_are_taken(name: str) -> None:
    assert is_part_name(name)


@pytest.mark.parametrize(
    "name",
    ["authorized_keys", ".bashrc", ".x.part.0", "a/b.part.0", "../x.part.0", "x.part.", "x.part.0\n", "é.part.0"],
)
def test_names_that_could_be_anything_else_are_not(name: str) -> None:
    assert not is_part_name(name)
