"""Objects below HTTP: bytes before facts, and who may what."""

import io
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from amiable.api.s3 import buckets, listing, objects, uploads
from amiable.api.s3.listing import Listing
from amiable.api.s3.objects import Put
from amiable.api.s3.receive import Incoming
from amiable.api.s3.uploads import Address, Claimed, Completion
from amiable.blocks.objects import ObjectFiles
from amiable.database import objects as rows
from amiable.database.schema import multipart_part, object_
from amiable.database.uploads import UploadSelection
from amiable.model.errors import S3Refusal
from amiable.model.principal import Principal
from amiable.rules.conditions import Conditions
from amiable.services import Services
from amiable.services.objects import open_object


@pytest.fixture
def bucket(services: Services, principal: Principal) -> str:
    return buckets.create_bucket(services, principal, "bucket").name


def incoming(body: bytes) -> Incoming:
    return Incoming(iter([body] if body else []), len(body))


def put(services: Services, principal: Principal, key: str, body: bytes, acl: str = "private") -> str:
    return objects.put_object(services, principal, Put("bucket", key, acl=acl), incoming(body)).etag


def files(services: Services) -> set[str]:
    return {path.name for path in (services.data / "objects").iterdir()}


def named(services: Services) -> set[str]:
    with services.database.read() as c:
        return set(c.execute(select(object_.c.file)).scalars()) | set(
            c.execute(select(multipart_part.c.file)).scalars()
        )


def test_a_file_is_durable_before_its_row_and_gone_after_the_next(
    services: Services, principal: Principal, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(services, principal, "k", b"one")
    (old,) = files(services)
    events: list[str] = []
    real_write, real_put, real_delete = ObjectFiles.write, rows.put_object, ObjectFiles.delete

    def write(self: ObjectFiles, *args: Any, **kwargs: Any) -> object:
        written = real_write(self, *args, **kwargs)
        assert (self.folder / written.id).exists() and named(services) == {old}
        events.append("durable")
        return written

    def put_row(*args: Any) -> object:
        events.append("row")
        return real_put(*args)

    def delete(self: ObjectFiles, identifiers: list[str]) -> None:
        assert old not in named(services) and old in files(services)
        events.append("delete")
        real_delete(self, identifiers)

    monkeypatch.setattr(ObjectFiles, "write", write)
    monkeypatch.setattr(rows, "put_object", put_row)
    monkeypatch.setattr(ObjectFiles, "delete", delete)
    put(services, principal, "k", b"two")
    assert events == ["durable", "row", "delete"]
    assert files(services) == named(services) != {old}


def test_a_commit_that_fails_leaves_the_old_object_and_a_file_for_the_collector(
    services: Services, principal: Principal, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(services, principal, "k", b"one")
    before = named(services)

    def fail(*_: object) -> None:
        raise OperationalError("", {}, Exception("the connection broke"))

    monkeypatch.setattr(rows, "put_object", fail)
    with pytest.raises(OperationalError):
        put(services, principal, "k", b"two")
    assert named(services) == before < files(services)


def test_a_refusal_after_the_bytes_came_leaves_no_file(services: Services, principal: Principal, bucket: str) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"body"
        buckets.delete_bucket(services, principal, "bucket")

    with pytest.raises(S3Refusal) as caught:
        objects.put_object(services, principal, Put("bucket", "k"), Incoming(chunks(), 4))
    assert caught.value.code == "NoSuchBucket" and files(services) == set()


def test_of_many_writers_that_want_to_be_first_one_is(services: Services, principal: Principal, bucket: str) -> None:
    barrier, outcomes = threading.Barrier(6), []

    def write(number: int) -> None:
        barrier.wait()
        try:
            objects.put_object(
                services,
                principal,
                Put("bucket", "k", conditions=Conditions(if_none_match="*")),
                incoming(b"%d" % number),
            )
            outcomes.append("stored")
        except S3Refusal as refusal:
            outcomes.append(refusal.code)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["PreconditionFailed"] * 5 + ["stored"]
    assert files(services) == named(services) and len(files(services)) == 1


def test_an_objects_reader_keeps_it(services: Services, principal: Principal, bucket: str) -> None:
    put(services, principal, "k", b"one")
    with open_object(services, principal.account_id, "bucket", "k") as found:
        put(services, principal, "k", b"two")
        assert (found.stream.read(), found.size_bytes) == (b"one", 3)


def test_the_service_reads_what_its_acls_let_it(
    services: Services, principal: Principal, other_principal: Principal, bucket: str
) -> None:
    for acl in ("private", "aws-exec-read", "ec2-bundle-read", "public-read"):
        put(services, principal, acl, b"x", acl=acl)
    for acl in ("aws-exec-read", "ec2-bundle-read", "public-read"):
        with open_object(services, other_principal.account_id, "bucket", acl, as_service=True) as found:
            assert found.stream.read() == b"x"
    for account, key, as_service in (
        (principal.account_id, "private", True),
        (other_principal.account_id, "private", False),
        (other_principal.account_id, "aws-exec-read", False),
        (other_principal.account_id, "absent", False),
    ):
        with pytest.raises(S3Refusal) as caught, open_object(services, account, "bucket", key, as_service=as_service):
            pass
        assert caught.value.code == "AccessDenied"


def test_completing_an_upload_makes_one_file_of_its_parts(
    services: Services, principal: Principal, bucket: str
) -> None:
    upload = uploads.create_upload(
        services, principal, Put("bucket", "k"), algorithm="CRC32C", checksum_type="FULL_OBJECT"
    )
    address = Address("bucket", "k", upload.id)
    big = bytes(range(256)) * (5 << 12)
    etags = [
        uploads.upload_part(services, principal, address, n, incoming(body)).etag for n, body in ((1, big), (2, b"end"))
    ]
    assert len(files(services)) == 2
    completion = Completion([Claimed(n, etag) for n, etag in enumerate(etags, 1)])
    made = uploads.complete_upload(services, principal, address, completion)
    assert files(services) == named(services) == {made.file}
    with open_object(services, principal.account_id, "bucket", "k") as found:
        assert found.stream.read() == big + b"end"
    whole = objects.put_object(
        services,
        principal,
        Put("bucket", "whole"),
        Incoming(iter([big + b"end"]), len(big) + 3, checksum=made.checksum),
    )
    assert whole.checksum == made.checksum


def test_a_part_replaced_while_an_upload_is_completed_stops_it(
    services: Services, principal: Principal, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = uploads.create_upload(services, principal, Put("bucket", "k"))
    address = Address("bucket", "k", upload.id)
    etag = uploads.upload_part(services, principal, address, 1, incoming(b"old")).etag
    real_join = ObjectFiles.join

    def join(self: ObjectFiles, *args: Any, **kwargs: Any) -> str:
        joined = real_join(self, *args, **kwargs)
        uploads.upload_part(services, principal, address, 1, incoming(b"new"))
        return joined

    monkeypatch.setattr(ObjectFiles, "join", join)
    with pytest.raises(S3Refusal) as caught:
        uploads.complete_upload(services, principal, address, Completion([Claimed(1, etag)]))
    assert caught.value.code == "InvalidPart" and files(services) == named(services)
    with pytest.raises(S3Refusal), open_object(services, principal.account_id, "bucket", "k"):
        pass


def test_an_upload_of_another_account_is_denied(
    services: Services, principal: Principal, other_principal: Principal
) -> None:
    buckets.create_bucket(services, principal, "bucket", acl="public-read-write")
    upload = uploads.create_upload(services, principal, Put("bucket", "k"))
    address = Address("bucket", "k", upload.id)
    with pytest.raises(S3Refusal) as caught:
        uploads.upload_part(services, other_principal, address, 1, incoming(b"x"))
    assert caught.value.code == "AccessDenied" and files(services) == set()


def test_deleting_a_bucket_drops_its_uploads(services: Services, principal: Principal, bucket: str) -> None:
    upload = uploads.create_upload(services, principal, Put("bucket", "k"))
    uploads.upload_part(services, principal, Address("bucket", "k", upload.id), 1, incoming(b"x"))
    buckets.delete_bucket(services, principal, "bucket")
    assert files(services) == named(services) == set()


def test_uploads_are_listed_in_pages(services: Services, principal: Principal, bucket: str) -> None:
    made = [uploads.create_upload(services, principal, Put("bucket", key)) for key in ("a", "a", "b/x", "b/y", "B/z")]
    wanted = sorted((upload.key, upload.id) for upload in made)
    seen: list[tuple[str, str]] = []
    is_truncated = True
    while is_truncated:
        key, identifier = seen[-1] if seen else ("", "")
        page, is_truncated = uploads.list_uploads(
            services, principal, UploadSelection("bucket", after_key=key, after_id=identifier), limit=2
        )
        seen += [(upload.key, upload.id) for upload in page]
    assert seen == wanted
    found, _ = uploads.list_uploads(services, principal, UploadSelection("bucket", prefix="b/"), limit=10)
    assert sorted(upload.key for upload in found) == ["b/x", "b/y"]


def test_every_page_size_lists_the_same(
    services: Services, principal: Principal, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = sorted(
        [
            "a",
            "a/",
            "a/1",
            "a/2/x",
            "a//",
            "aa",
            "b/1",
            "b/2",
            "ü/1",
            "ü/2",
            "\U0010ffff",
            "z/\U0010ffff",
            "z/\U0010ffffa",
        ],
        key=str.encode,
    )
    for key in keys:
        put(services, principal, key, b"")
    for batch_rows in (2, 3, 1001):
        monkeypatch.setattr(listing, "BATCH_ROWS", batch_rows)
        for prefix in ("", "a", "a/", "ü", "nothing"):
            for delimiter in ("", "/", "1"):
                for limit in (1, 2, 3, 100):
                    wanted = Listing("bucket", prefix=prefix, delimiter=delimiter, limit=limit)
                    assert walk(services, principal, wanted) == expected(keys, prefix, delimiter), (batch_rows, wanted)


def walk(services: Services, principal: Principal, wanted: Listing) -> list[str]:
    found: list[str] = []
    first: str | None = ""
    while first is not None:
        page = listing.list_objects(
            services,
            principal,
            Listing(wanted.bucket, wanted.prefix, wanted.delimiter, first=first, limit=wanted.limit),
        )
        assert page.count <= wanted.limit
        found += sorted([*(o.key for o in page.objects), *page.prefixes], key=str.encode)
        first = page.next_first
    return found


def expected(keys: list[str], prefix: str, delimiter: str) -> list[str]:
    """S3's documentation in the plainest words: each key, or what it has up to the delimiter, once."""
    names = []
    for key in keys:
        if key.startswith(prefix):
            head, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
            names.append(prefix + head + found if found else key)
    return sorted(set(names), key=str.encode)


def test_a_stream_longer_or_shorter_than_it_says_is_refused(
    services: Services, principal: Principal, bucket: str
) -> None:
    for body, size_bytes, code in ((b"abc", 4, "IncompleteBody"), (b"abc", 2, "InvalidRequest")):
        with pytest.raises(S3Refusal) as caught:
            objects.put_object(services, principal, Put("bucket", "k"), Incoming(iter([body]), size_bytes))
        assert caught.value.code == code
    assert files(services) == set()


def test_an_import_reads_a_seekable_stream(services: Services, principal: Principal, bucket: str) -> None:
    put(services, principal, "disk", b"0123456789")
    with open_object(services, principal.account_id, "bucket", "disk") as found:
        assert found.stream.seek(5, io.SEEK_SET) == 5 and found.stream.read() == b"56789"
