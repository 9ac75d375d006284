"""Deleting a bundle deletes its own objects and no other."""

from typing import Any

import pytest

from amiable.bundle.delete import clear_bucket, delete_keys, keys_of_manifest, keys_of_name
from amiable.bundle.transfer import Place, list_held
from amiable.bundle.unbundle import Waivers, read_bundle
from amiable.model.errors import BundleRefusal
from tests.bundle.clients import Failing, impatient
from tests.support.cases import cases_dir
from tests.support.server import Server

CASE = cases_dir() / "bundles" / "good" / "euca34-four-parts" / "small.img.manifest.xml"
PARTS = [f"small.img.part.0{index}" for index in range(4)]
OTHERS = [
    "a/small.img",
    "a/small.img.part.",
    "a/small.img.part.00.bak",
    "a/small.img.part.x",
    "a/small.img.manifest.xml.bak",
    "a/small.img2.part.00",
    "a/small.img.old.manifest.xml",
    "a/deeper/small.img.part.00",
    "small.img.part.00",
    "b/small.img.part.01",
]


@pytest.fixture
def s3(server: Server) -> Any:
    return server.client("s3")


@pytest.fixture
def place(s3: Any) -> Place:
    """A bucket in which a bundle lies among others' objects."""
    s3.create_bucket(Bucket="mixed")
    for name in [CASE.name, "small.img.assurance.json", "small.img.part.10", *PARTS]:
        s3.put_object(Bucket="mixed", Key="a/" + name, Body=b"of the bundle")
    for key in OTHERS:
        s3.put_object(Bucket="mixed", Key=key, Body=b"of someone else")
    return Place("mixed", "a/")


def left(s3: Any) -> list[str]:
    return sorted(list_held(s3, "mixed", "", impatient()))


def test_by_name_exactly_the_bundle_s_objects_are_found(s3: Any, place: Place) -> None:
    keys = keys_of_name(s3, place, "small.img", impatient())
    assert keys == ["a/" + name for name in (CASE.name, "small.img.assurance.json", *PARTS, "small.img.part.10")]
    assert keys_of_name(s3, place, "small", impatient()) == []
    assert keys_of_name(s3, Place("mixed"), "small.img", impatient()) == ["small.img.part.00"]


def test_by_manifest_only_what_it_names_is_found(s3: Any, place: Place) -> None:
    manifest = read_bundle(CASE, None, Waivers(signature=True))
    keys = keys_of_manifest(s3, place, manifest, CASE.name, patience=impatient())
    assert keys == ["a/" + name for name in (CASE.name, "small.img.assurance.json", *PARTS)]


def test_a_manifest_that_names_other_things_parts_is_refused(s3: Any, place: Place, tmp_path: Any) -> None:
    hostile = tmp_path / CASE.name
    hostile.write_bytes(CASE.read_bytes().replace(b">small.img.part.02<", b">accounts.db<"))
    manifest = read_bundle(hostile, None, Waivers(signature=True))
    with pytest.raises(BundleRefusal, match=r"accounts\.db"):
        keys_of_manifest(s3, place, manifest, CASE.name, patience=impatient())


def test_the_manifest_goes_first_and_everything_else_stays(s3: Any, place: Place) -> None:
    told: list[str] = []
    watched = Failing(s3, "delete_object", count=2)
    delete_keys(
        watched, "mixed", keys_of_name(s3, place, "small.img", impatient()), patience=impatient(), told=told.append
    )
    assert told[:2] == ["a/small.img.manifest.xml", "a/small.img.assurance.json"]
    assert len(told) == 7
    assert left(s3) == sorted(OTHERS)


def test_a_bucket_goes_only_when_it_is_empty(s3: Any, place: Place) -> None:
    assert not clear_bucket(s3, "mixed", impatient())
    assert left(s3)
    delete_keys(s3, "mixed", left(s3), patience=impatient(), told=lambda _: None)
    assert clear_bucket(s3, "mixed", impatient())
