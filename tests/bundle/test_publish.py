"""A bundle that leaves as it is made: whole in the bucket, or nothing of it there."""

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from amiable.bundle.download import DownloadOrder, download, fetch_manifest
from amiable.bundle.pipeline import Recipe
from amiable.bundle.publish import PublishOrder, published
from amiable.bundle.transfer import Place, list_held
from amiable.bundle.unbundle import find_bundle, unbundle
from amiable.model.errors import LocalRefusal, Refusal
from amiable.model.units import MIB, PART_BYTES
from tests.bundle.clients import Failing, answered, impatient
from tests.support.cases import cases_dir
from tests.support.server import Server

KEYS = cases_dir() / "bundles" / "keys"
PUT_LAST = ["web.assurance.json", "web.manifest.xml"]


@pytest.fixture
def s3(server: Server) -> Any:
    return server.client("s3", request_checksum_calculation="when_required")


@pytest.fixture
def place(request: pytest.FixtureRequest, s3: Any) -> Place:
    """A bucket of the test's own, with another's object in it."""
    bucket = re.sub("[^a-z0-9]+", "-", request.node.name)[5:60].strip("-")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="other", Body=b"of someone else")
    return Place(bucket, "v1/")


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    """Of an image that makes three parts, with a hole."""
    image = tmp_path / "web.img"
    with image.open("wb") as file:
        file.write(os.urandom(2 * PART_BYTES))
        file.seek(40 * MIB)
        file.write(os.urandom(100))
    return Recipe(
        image=image,
        name="web",
        account_id="123456789012",
        architecture="x86_64",
        certificate_pem=(KEYS / "user.crt").read_bytes(),
        private_key_pem=(KEYS / "user.key").read_bytes(),
        cloud_certificate_pem=(KEYS / "ec2.crt").read_bytes(),
    )


def names_in(s3: Any, place: Place) -> list[str]:
    return sorted(list_held(s3, place.bucket, "", impatient()))


def test_what_is_published_is_the_image(s3: Any, place: Place, recipe: Recipe, tmp_path: Path) -> None:
    watched = Failing(s3, "put_object", count=2, error=lambda: answered(503))
    told: list[tuple[int, int]] = []
    with published(
        watched,
        recipe,
        order=PublishOrder(place, waiting_max=1),
        patience=impatient(),
        progress=lambda *state: told.append(state),
    ) as location:
        assert location == f"{place.bucket}/v1/web.manifest.xml"
    puts = [key.removeprefix("v1/") for key in watched.keys_of("put_object")]
    assert puts == ["web.part.00"] * 3 + ["web.part.01", "web.part.02", *PUT_LAST]
    assert told[-1][0] == told[-1][1] > 2 * PART_BYTES

    document, _ = fetch_manifest(s3, place, "web.manifest.xml", impatient())
    order = DownloadOrder(place, "web.manifest.xml", tmp_path / "again")
    manifest = download(s3, order, document=document, patience=impatient()).manifest_path
    again, key, certificate = tmp_path / "again.img", recipe.private_key_pem, recipe.certificate_pem
    unbundle(find_bundle(manifest, certificate), again, private_key_pem=key)
    assert isinstance(recipe.image, Path)
    assert again.read_bytes() == recipe.image.read_bytes()


@pytest.mark.parametrize("first", [0, 1, 3, 4])
def test_whatever_file_fails_nothing_stays(s3: Any, place: Place, recipe: Recipe, first: int) -> None:
    told: list[str] = []
    cut = Failing(s3, "put_object", first=first, count=1000)
    with pytest.raises(ConnectionClosedError):
        with published(cut, recipe, order=PublishOrder(place), patience=impatient(attempts_max=2, tell=told.append)):
            raise AssertionError("not reached")
    assert names_in(s3, place) == ["other"]
    assert told[-1].startswith("removed the ")


def test_what_the_caller_is_not_content_with_is_removed(s3: Any, place: Place, recipe: Recipe) -> None:
    for error in (LocalRefusal("not registered"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            with published(s3, recipe, order=PublishOrder(place), patience=impatient()):
                assert len(names_in(s3, place)) == 6
                raise error
        assert names_in(s3, place) == ["other"]


def test_where_removing_fails_too_the_first_error_is_raised_and_what_stays_is_said(
    s3: Any, place: Place, recipe: Recipe
) -> None:
    told: list[str] = []
    stuck = Failing(s3, "delete_object", count=1000, error=lambda: answered(403, "AccessDenied"))
    with pytest.raises(LocalRefusal, match="not registered"):
        with published(stuck, recipe, order=PublishOrder(place), patience=impatient(tell=told.append)):
            raise LocalRefusal("not registered")
    assert told[-1].startswith(f"5 objects may stay in {place.bucket}/v1/")
    assert len(names_in(s3, place)) == 6


def test_a_bundle_of_that_name_is_refused_or_replaced(s3: Any, place: Place, recipe: Recipe) -> None:
    for name in ("v1/web.part.07", "v1/web.manifest.xml", "v1/website.part.00"):
        s3.put_object(Bucket=place.bucket, Key=name, Body=b"old")
    with pytest.raises(LocalRefusal, match=r"v1/web\.manifest\.xml exists already"):
        with published(s3, recipe, order=PublishOrder(place), patience=impatient()):
            raise AssertionError("not reached")
    assert len(names_in(s3, place)) == 4
    with published(s3, recipe, order=PublishOrder(place, replace=True, assured=False), patience=impatient()):
        pass
    wanted = ["v1/web.manifest.xml", *(f"v1/web.part.0{index}" for index in range(3))]
    assert names_in(s3, place) == ["other", *wanted, "v1/website.part.00"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"image": Path("/nowhere/web.img")}, "cannot be read"),
        ({"private_key_pem": (KEYS / "other.key").read_bytes()}, "do not belong together"),
        ({"cloud_certificate_pem": b"none"}, "No certificate was found"),
        ({"assurance_key_pem": b"none"}, "assurance key cannot be read"),
        ({"kernel_id": "aki 1"}, "cannot be a kernel"),
    ],
)
def test_what_can_be_refused_beforehand_publishes_nothing_and_replaces_nothing(
    changes: dict[str, Any], why: str, s3: Any, place: Place, recipe: Recipe
) -> None:
    s3.put_object(Bucket=place.bucket, Key="v1/web.manifest.xml", Body=b"old")
    order = PublishOrder(place, replace=True)
    with pytest.raises(Refusal, match=why):
        with published(s3, replace(recipe, **changes), order=order, patience=impatient()):
            raise AssertionError("not reached")
    assert names_in(s3, place) == ["other", "v1/web.manifest.xml"]


def test_a_bucket_that_is_not_there_is_told_at_once(s3: Any, recipe: Recipe) -> None:
    with pytest.raises(ClientError, match="NoSuchBucket"):
        with published(s3, recipe, order=PublishOrder(Place("not-there")), patience=impatient()):
            raise AssertionError("not reached")
