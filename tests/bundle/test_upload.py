"""A bundle's way into a bucket of a real server: whole, resumed, readable by the service, and nowhere else."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from amiable.bundle.transfer import Place, list_held
from amiable.bundle.unbundle import Waivers, read_bundle
from amiable.bundle.upload import Bundle, Uploaded, UploadOrder, upload
from amiable.model.errors import BundleRefusal, LocalRefusal
from tests.bundle.clients import Failing, answered, impatient
from tests.support.cases import cases_dir
from tests.support.server import Server

CASE = cases_dir() / "bundles" / "good" / "euca34-four-parts" / "small.img.manifest.xml"
PARTS = [f"small.img.part.0{index}" for index in range(4)]


@pytest.fixture
def s3(server: Server) -> Any:
    return server.client("s3", request_checksum_calculation="when_required")


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Place:
    """A bucket of the test's own, not yet made."""
    return Place(request.node.name.replace("_", "-")[5:60].rstrip("-"), "web/v1/")


def bundle_at(manifest: Path) -> Bundle:
    return Bundle(read_bundle(manifest, None, Waivers(signature=True)), manifest, manifest.parent)


def send(s3: Any, place: Place, manifest: Path = CASE, **changes: Any) -> Uploaded:
    return upload(s3, bundle_at(manifest), order=UploadOrder(place, **changes), patience=impatient())


def names_in(s3: Any, place: Place) -> set[str]:
    return {key.removeprefix(place.folder) for key in list_held(s3, place.bucket, "", impatient())}


def test_every_file_arrives_as_it_is_and_the_service_may_read_it(s3: Any, place: Place) -> None:
    advanced: list[int] = []
    done = upload(s3, bundle_at(CASE), order=UploadOrder(place), patience=impatient(), advance=advanced.append)
    assert done == Uploaded(f"{place.bucket}/web/v1/small.img.manifest.xml", "us-east-1", 4, 0)
    assert sum(advanced) == 57888
    for name in [*PARTS, CASE.name]:
        body = s3.get_object(Bucket=place.bucket, Key=place.key(name))["Body"].read()
        assert body == (CASE.parent / name).read_bytes()
        grantees = [
            grant["Grantee"]["ID"] for grant in s3.get_object_acl(Bucket=place.bucket, Key=place.key(name))["Grants"]
        ]
        assert "6aa5a366c34c1cbe25dc49211496e913e0351eb0e8c37aa3477e40942ec6b97c" in grantees


def test_a_broken_upload_goes_on_where_it_stood(s3: Any, place: Place) -> None:
    cut = Failing(s3, "put_object", first=2, count=1000)
    with pytest.raises(ConnectionClosedError):
        send(cut, place, workers=1)
    assert names_in(s3, place) == {PARTS[0], PARTS[1]}
    again = Failing(s3, "no such operation")
    assert send(again, place) == Uploaded(f"{place.bucket}/web/v1/small.img.manifest.xml", "us-east-1", 2, 2)
    assert sorted(again.keys_of("put_object")) == [place.key(name) for name in (CASE.name, PARTS[2], PARTS[3])]
    assert sorted(again.keys_of("put_object_acl")) == [place.key(PARTS[0]), place.key(PARTS[1])]


def test_transient_failures_are_waited_out_and_the_manifest_comes_last(s3: Any, place: Place) -> None:
    pauses: list[float] = []
    busy = Failing(s3, "put_object", count=3, error=lambda: answered(503, "SlowDown"))
    done = upload(busy, bundle_at(CASE), order=UploadOrder(place, workers=1), patience=impatient(pauses))
    assert (done.sent, pauses) == (4, [0.5, 1.0, 2.0])
    assert busy.keys_of("put_object") == [place.key(name) for name in [PARTS[0]] * 3 + [*PARTS, CASE.name]]


def test_before_anything_is_sent_every_part_is_known_to_be_there(s3: Any, place: Place, tmp_path: Path) -> None:
    for name in [CASE.name, *PARTS[:3]]:
        (tmp_path / name).write_bytes((CASE.parent / name).read_bytes())
    with pytest.raises(BundleRefusal, match=f"{PARTS[3]} is missing"):
        send(s3, place, tmp_path / CASE.name)
    assert place.bucket not in {row["Name"] for row in s3.list_buckets()["Buckets"]}
    send(s3, place, CASE, first_part=3, with_manifest=False)
    (tmp_path / PARTS[3]).mkdir()
    with pytest.raises(BundleRefusal, match=f"{PARTS[3]} cannot be read: it is no regular file"):
        send(s3, place, tmp_path / CASE.name)
    assert names_in(s3, place) == {PARTS[3]}


def test_what_the_server_refuses_is_not_tried_again(s3: Any, place: Place) -> None:
    refusing = Failing(s3, "put_object", count=1000, error=lambda: answered(403, "AccessDenied"))
    with pytest.raises(ClientError):
        send(refusing, place, workers=1)
    assert refusing.keys_of("put_object") == [place.key(PARTS[0])]
    assert names_in(s3, place) == set()


def test_a_part_with_other_bytes_is_sent_again(s3: Any, place: Place) -> None:
    send(s3, place)
    size = (CASE.parent / PARTS[1]).stat().st_size
    s3.put_object(Bucket=place.bucket, Key=place.key(PARTS[1]), Body=bytes(size))
    s3.put_object(Bucket=place.bucket, Key=place.key(PARTS[2]), Body=b"short")
    assert (send(s3, place).sent, send(s3, place).sent) == (2, 0)


def test_a_kept_part_gets_the_acl_that_is_asked_for(s3: Any, place: Place) -> None:
    send(s3, place, acl="private")
    assert send(s3, place).kept == 4
    grants = s3.get_object_acl(Bucket=place.bucket, Key=place.key(PARTS[0]))["Grants"]
    assert [grant["Permission"] for grant in grants] == ["FULL_CONTROL", "READ"]


def test_where_listing_or_setting_an_acl_is_forbidden_everything_is_sent(s3: Any, place: Place) -> None:
    send(s3, place)
    for operation in ("list_objects", "put_object_acl"):
        guarded = Failing(s3, operation, count=1000, error=lambda: answered(403, "AccessDenied"))
        assert send(guarded, place).sent == 4


def test_part_begins_there_and_skipmanifest_leaves_the_manifest_out(s3: Any, place: Place) -> None:
    send(s3, place, first_part=2, with_manifest=False)
    assert names_in(s3, place) == {PARTS[2], PARTS[3]}
    with pytest.raises(LocalRefusal, match="no part 4: the bundle's are 0 to 3"):
        send(s3, place, first_part=4)


def test_the_sidecar_goes_up_before_the_manifest(s3: Any, place: Place, tmp_path: Path) -> None:
    for file in CASE.parent.iterdir():
        shutil.copy(file, tmp_path)
    (tmp_path / "small.img.assurance.json").write_bytes(b"{}")
    watched = Failing(s3, "no such operation")
    send(watched, place, tmp_path / CASE.name)
    assert watched.keys_of("put_object")[-2:] == [place.key("small.img.assurance.json"), place.key(CASE.name)]


def test_an_older_bundles_sidecar_does_not_stay_beside_the_new_manifest(s3: Any, place: Place) -> None:
    send(s3, place)
    s3.put_object(Bucket=place.bucket, Key=place.key("small.img.assurance.json"), Body=b"{}")
    s3.put_object(Bucket=place.bucket, Key=place.key("small.img.assurance.json.bak"), Body=b"{}")
    send(s3, place)
    assert names_in(s3, place) == {CASE.name, "small.img.assurance.json.bak", *PARTS}


def test_a_damaged_part_ends_the_upload_before_the_manifest(s3: Any, place: Place) -> None:
    damaged = CASE.parents[2] / "bad" / "part-bit-flipped" / "small.img.manifest.xml"
    with pytest.raises(BundleRefusal, match=r"small\.img\.part\.01"):
        send(s3, place, damaged)
    assert CASE.name not in names_in(s3, place)


def test_a_bucket_is_made_where_it_is_wanted_and_one_elsewhere_is_refused(s3: Any, place: Place) -> None:
    assert send(s3, place, location="us-east-1").region == "us-east-1"
    assert send(s3, place, location="US").region == "us-east-1"
    with pytest.raises(LocalRefusal, match="is in us-east-1, not in eu-west-1") as refused:
        send(s3, place, location="EU")
    assert refused.value.exit_code == 10
