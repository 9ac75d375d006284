"""What the image service reads of a bundle, and what it tells whom of what it cannot read."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from amiable.database import objects
from amiable.model.errors import InvalidManifest, InvalidParameterValue
from amiable.model.manifest import Manifest, Part, WrappedKey
from amiable.model.principal import Principal
from amiable.services import Services
from amiable.services.manifests import check_parts, part_key, read_manifest_object
from tests.support.buckets import make_bucket, put
from tests.support.services import make_account, open_services

KEY = "pre/img.manifest.xml"
NAMES = ("img.part.0", "img.part.1")
WRAPPED = WrappedKey("00", "00")
MANIFEST = Manifest(
    name="img",
    account_id="123456789012",
    image_sha1="0" * 40,
    size_bytes=1,
    bundled_size_bytes=2,
    ec2=WRAPPED,
    user=WRAPPED,
    parts=tuple(Part(index, name, "0" * 40) for index, name in enumerate(NAMES)),
)


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    with open_services(tmp_path / "data") as opened:
        yield opened


@pytest.fixture
def owner(services: Services) -> Principal:
    return make_account(services, "owner")[1]


@pytest.fixture
def bucket(services: Services, owner: Principal) -> str:
    name = make_bucket(services, owner)
    put(services, owner, name, KEY, b"<manifest/>", acl="aws-exec-read")
    for part in NAMES:
        put(services, owner, name, f"pre/{part}", b"x", acl="aws-exec-read")
    return name


def why(services: Services, caller: Principal, location: str) -> str:
    with pytest.raises(InvalidManifest) as caught:
        read_manifest_object(services, caller.account_id, location, region="us-east-1")
    return caught.value.message


@pytest.mark.parametrize("acl", ["aws-exec-read", "ec2-bundle-read", "public-read", "authenticated-read"])
def test_the_service_reads_what_its_acl_lets_it(services: Services, owner: Principal, bucket: str, acl: str) -> None:
    put(services, owner, bucket, KEY, b"document", acl=acl)
    assert read_manifest_object(services, owner.account_id, f"{bucket}/{KEY}", region="us-east-1") == b"document"


@pytest.mark.parametrize("acl", ["private", "bucket-owner-read", "bucket-owner-full-control"])
def test_the_owner_is_told_the_acl_that_keeps_the_service_out(
    services: Services, owner: Principal, bucket: str, acl: str
) -> None:
    put(services, owner, bucket, KEY, b"document", acl=acl)
    text = why(services, owner, f"{bucket}/{KEY}")
    assert text.startswith(f"HTTP 403 (Forbidden) response for s3://{bucket}/{KEY}")
    assert f"Its ACL is {acl}." in text and "aws-exec-read" in text


def test_a_missing_bucket_and_a_missing_key_are_told_apart(services: Services, owner: Principal, bucket: str) -> None:
    assert "HTTP 404 (NoSuchBucket)" in why(services, owner, f"nowhere/{KEY}")
    assert why(services, owner, f"{bucket}/pre/other.xml").startswith(
        f"HTTP 404 (NoSuchKey) response for s3://{bucket}/pre/other.xml"
    )


@pytest.mark.parametrize("key", [f"/{KEY}", "pre//img.manifest.xml", f"{KEY}/"])
def test_a_needless_slash_is_named_with_what_is_there_without_it(
    services: Services, owner: Principal, bucket: str, key: str
) -> None:
    text = why(services, owner, f"{bucket}/{key}")
    assert "double slash" in text and repr(key) in text and f"there is {bucket}/{KEY}" in text
    put(services, owner, bucket, key, b"document", acl="aws-exec-read")
    assert read_manifest_object(services, owner.account_id, f"{bucket}/{key}", region="us-east-1") == b"document"


def test_a_double_slash_that_hides_nothing_says_so(services: Services, owner: Principal, bucket: str) -> None:
    assert f"there is no {bucket}/a/b either" in why(services, owner, f"{bucket}/a//b")


def test_a_stranger_is_not_told_what_another_accounts_bucket_holds(
    services: Services, owner: Principal, bucket: str
) -> None:
    stranger = make_account(services, "stranger")[1]
    put(services, owner, bucket, "secret.manifest.xml", b"document")
    there = why(services, stranger, f"{bucket}/secret.manifest.xml")
    missing = why(services, stranger, f"{bucket}/nothing.manifest.xml")
    assert there.replace("secret", "nothing") == missing and "Forbidden" in there and "private" not in there


def test_a_bucket_of_another_region_is_named_with_its_region(services: Services, owner: Principal) -> None:
    there = make_bucket(services, replace(owner, region="eu-west-1"), "far-away")
    put(services, owner, there, KEY, b"document", acl="aws-exec-read")
    text = why(services, owner, f"{there}/{KEY}")
    assert text.startswith("HTTP 301 (Moved Permanently)") and "eu-west-1" in text and "us-east-1" in text


@pytest.mark.parametrize("location", ["bucket", "bucket/", "/key"])
def test_a_location_needs_bucket_and_key(services: Services, owner: Principal, location: str) -> None:
    with pytest.raises(InvalidParameterValue, match="ImageLocation"):
        read_manifest_object(services, owner.account_id, location, region="us-east-1")


def test_all_parts_must_be_there_and_readable(services: Services, owner: Principal, bucket: str) -> None:
    location = f"{bucket}/{KEY}"
    check_parts(services, owner.account_id, location, MANIFEST)
    put(services, owner, bucket, "pre/img.part.1", b"x", acl="private")
    with pytest.raises(InvalidManifest, match=r"Part img\.part\.1: HTTP 403 .*Its ACL is private"):
        check_parts(services, owner.account_id, location, MANIFEST)
    more = replace(MANIFEST, parts=(*MANIFEST.parts[:1], Part(1, "img.part.2", "0" * 40)))
    with pytest.raises(InvalidManifest, match=r"Part img\.part\.2: HTTP 404 \(NoSuchKey\)"):
        check_parts(services, owner.account_id, location, more)
    with pytest.raises(InvalidManifest, match="NoSuchBucket"):
        check_parts(services, owner.account_id, f"nowhere/{KEY}", MANIFEST)


def test_many_parts_are_found_at_once(services: Services, owner: Principal, bucket: str) -> None:
    names = [f"many.part.{index}" for index in range(1200)]
    made = put(services, owner, bucket, "many/first", b"x", acl="aws-exec-read")
    with services.database.write() as c:
        for name in names:
            objects.put_object(c, replace(made, key=f"many/{name}"))
    manifest = replace(MANIFEST, parts=tuple(Part(index, name, "0" * 40) for index, name in enumerate(names)))
    check_parts(services, owner.account_id, f"{bucket}/many/img.manifest.xml", manifest)


def test_parts_lie_beside_their_manifest() -> None:
    assert part_key("img.manifest.xml", "p") == "p"
    assert part_key("a/b/img.manifest.xml", "p") == "a/b/p"
    assert part_key("/img.manifest.xml", "p") == "/p"


def test_an_address_is_no_location(services: Services, owner: Principal, bucket: str) -> None:
    for location in (f"s3://{bucket}/{KEY}", f"http://127.0.0.1/{bucket}/{KEY}"):
        with pytest.raises(InvalidParameterValue, match="without s3://"):
            read_manifest_object(services, owner.account_id, location, region="us-east-1")
