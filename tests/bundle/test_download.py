"""A bundle's way out of a bucket: every part checked, hostile manifests refused, a broken download resumed."""

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError

from amiable.bundle.download import Downloaded, DownloadOrder, download, fetch_manifest
from amiable.bundle.transfer import Place
from amiable.bundle.unbundle import Waivers, read_bundle
from amiable.bundle.upload import Bundle, UploadOrder, upload
from amiable.model.errors import BundleRefusal, LocalRefusal
from tests.bundle.clients import BreakingOff, Failing, impatient
from tests.support.cases import cases_dir
from tests.support.server import Server

CASE = cases_dir() / "bundles" / "good" / "euca34-four-parts" / "small.img.manifest.xml"
PARTS = [f"small.img.part.0{index}" for index in range(4)]


@pytest.fixture(scope="module")
def s3(server: Server) -> Any:
    return server.client("s3", request_checksum_calculation="when_required")


@pytest.fixture(scope="module")
def place(s3: Any) -> Place:
    """A bucket with a bundle and an assurance."""
    found = Place("bundles", "web/")
    bundle = Bundle(read_bundle(CASE, None, Waivers(signature=True)), CASE, CASE.parent)
    upload(s3, bundle, order=UploadOrder(found), patience=impatient())
    s3.put_object(Bucket="bundles", Key="web/small.img.assurance.json", Body=b"{}")
    return found


def fetch(s3: Any, place: Place, folder: Path, **changes: Any) -> Downloaded:
    document, _ = fetch_manifest(s3, place, CASE.name, impatient())
    order = DownloadOrder(place, CASE.name, folder, **changes)
    return download(s3, order, document=document, patience=impatient())


def test_every_file_arrives_as_it_was(s3: Any, place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    assert fetch(s3, place, folder) == Downloaded(folder / CASE.name, 4, 0)
    assert sorted(path.name for path in folder.iterdir()) == ["small.img.assurance.json", CASE.name, *PARTS]
    for name in [CASE.name, *PARTS]:
        assert (folder / name).read_bytes() == (CASE.parent / name).read_bytes()


def test_a_broken_download_goes_on_where_it_stood(s3: Any, place: Place, tmp_path: Path) -> None:
    document, _ = fetch_manifest(s3, place, CASE.name, impatient())
    order = DownloadOrder(place, CASE.name, tmp_path, workers=1)
    cut = Failing(s3, "get_object", first=2, count=1000)
    with pytest.raises(ConnectionClosedError):
        download(cut, order, document=document, patience=impatient())
    assert sorted(path.name for path in tmp_path.iterdir()) == PARTS[:2]
    watched = Failing(s3, "no such operation")
    done = download(watched, order, document=document, patience=impatient())
    assert (done.fetched, done.kept) == (2, 2)
    assert watched.keys_of("get_object") == [place.key(name) for name in (*PARTS[2:], "small.img.assurance.json")]


def test_a_body_that_breaks_off_is_fetched_again_from_its_beginning(s3: Any, place: Place, tmp_path: Path) -> None:
    """What came of it does not count against ``bundled_size``, and nothing of it stays."""
    breaking = BreakingOff(s3, count=6, size_bytes=16_000)
    document, _ = fetch_manifest(s3, place, CASE.name, impatient())
    done = download(
        breaking, DownloadOrder(place, CASE.name, tmp_path, workers=1), document=document, patience=impatient()
    )
    assert (done.fetched, breaking.left) == (4, 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.img.assurance.json", CASE.name, *PARTS]
    for name in PARTS:
        assert (tmp_path / name).read_bytes() == (CASE.parent / name).read_bytes()


def test_a_damaged_part_is_refused_and_leaves_nothing_of_its_name(s3: Any, place: Place, tmp_path: Path) -> None:
    s3.put_object(Bucket="bundles", Key="damaged/" + PARTS[0], Body=(CASE.parent / PARTS[0]).read_bytes()[:-1] + b"!")
    s3.put_object(Bucket="bundles", Key="damaged/" + CASE.name, Body=CASE.read_bytes())
    with pytest.raises(BundleRefusal, match=r"small\.img\.part\.00 .* is damaged"):
        fetch(s3, Place("bundles", "damaged/"), tmp_path, workers=1)
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_goes_on_is_cut_off_at_the_size_that_the_manifest_says(s3: Any, tmp_path: Path) -> None:
    s3.create_bucket(Bucket="bundles")
    s3.put_object(Bucket="bundles", Key="long/" + PARTS[0], Body=bytes(3 << 20))
    s3.put_object(Bucket="bundles", Key="long/" + CASE.name, Body=CASE.read_bytes())
    with pytest.raises(BundleRefusal, match="more than bundled_size"):
        fetch(s3, Place("bundles", "long/"), tmp_path, workers=1)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_part_is_named(s3: Any, place: Place, tmp_path: Path) -> None:
    s3.put_object(Bucket="bundles", Key="gone/" + CASE.name, Body=CASE.read_bytes())
    with pytest.raises(BundleRefusal, match=r"small\.img\.part\.00 is missing from bundles"):
        fetch(s3, Place("bundles", "gone/"), tmp_path / "new" / "folder", workers=1)
    assert list(tmp_path.iterdir()) == []  # no folder stays either


@pytest.mark.parametrize("name", ["authorized_keys", ".profile", "../small.img.part.00", "x.manifest.xml"])
def test_a_manifest_that_names_something_else_a_part_writes_nothing(s3: Any, tmp_path: Path, name: str) -> None:
    s3.create_bucket(Bucket="bundles")
    hostile = CASE.read_bytes().replace(b"<filename>small.img.part.02<", f"<filename>{name}<".encode())
    assert hostile != CASE.read_bytes()
    s3.put_object(Bucket="bundles", Key="hostile/" + CASE.name, Body=hostile)
    with pytest.raises(BundleRefusal):
        fetch(s3, Place("bundles", "hostile/"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_lies_there_is_replaced_only_when_that_is_asked_for(s3: Any, place: Place, tmp_path: Path) -> None:
    for name in (PARTS[3], CASE.name):
        (tmp_path / name).write_text("mine")
        with pytest.raises(LocalRefusal, match="is something else"):
            fetch(s3, place, tmp_path)
        assert (tmp_path / name).read_text() == "mine"
        fetch(s3, place, tmp_path, replace=True)
        assert (tmp_path / name).read_bytes() == (CASE.parent / name).read_bytes()


def test_an_older_bundles_sidecar_gives_way_only_when_that_is_asked_for(s3: Any, place: Place, tmp_path: Path) -> None:
    s3.put_object(Bucket="bundles", Key="plain/" + CASE.name, Body=CASE.read_bytes())
    for name in PARTS:
        s3.put_object(Bucket="bundles", Key="plain/" + name, Body=(CASE.parent / name).read_bytes())
    sidecar = tmp_path / "small.img.assurance.json"
    sidecar.write_text("{}")
    with pytest.raises(LocalRefusal, match=r"assurance\.json exists already"):
        fetch(s3, Place("bundles", "plain/"), tmp_path)
    assert sidecar.read_text() == "{}" and not (tmp_path / CASE.name).exists()
    fetch(s3, Place("bundles", "plain/"), tmp_path, replace=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [CASE.name, *PARTS]


def test_a_link_that_lies_there_is_not_followed(s3: Any, place: Place, tmp_path: Path) -> None:
    folder, other = tmp_path / "folder", tmp_path / "other"
    folder.mkdir()
    other.write_text("mine")
    (folder / PARTS[1]).symlink_to(other)
    with pytest.raises(LocalRefusal, match="is something else"):
        fetch(s3, place, folder)
    fetch(s3, place, folder, replace=True)
    assert other.read_text() == "mine"
    assert not (folder / PARTS[1]).is_symlink()


def test_no_manifest_is_no_bundle(s3: Any, place: Place) -> None:
    with pytest.raises(LocalRefusal, match=r"there is no bundles/web/other\.manifest\.xml"):
        fetch_manifest(s3, place, "other.manifest.xml", impatient())
