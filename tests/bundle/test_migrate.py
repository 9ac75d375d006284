"""A migrated bundle: another manifest over the same parts, opened by the user and by the target, signed, assured again."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from amiable.bundle import keys
from amiable.bundle.assurance import read_assurance, sidecar_name
from amiable.bundle.dsse import load_trusted_keys
from amiable.bundle.manifest_xml import read_manifest, verify_signature
from amiable.bundle.migrate import (
    CopyOrder,
    Signer,
    Target,
    migrate_in_buckets,
    migrate_manifest,
    migrate_sidecar,
    replace_manifest,
)
from amiable.bundle.pipeline import Recipe, create
from amiable.bundle.recorder import Recorder
from amiable.bundle.transfer import Place, list_held
from amiable.bundle.unbundle import find_bundle, unbundle, unwrap_keys
from amiable.bundle.upload import Bundle, UploadOrder, upload
from amiable.model.errors import BundleRefusal, LocalRefusal
from tests.bundle.clients import Failing, impatient
from tests.support.cases import cases_dir
from tests.support.server import Server

CASES = cases_dir() / "bundles"
KEYS = CASES / "keys"
OTHER_CLOUD = (KEYS / "other.crt").read_bytes()
OTHER_CLOUD_KEY = (KEYS / "other.key").read_bytes()
SIGNER = Signer((KEYS / "user.crt").read_bytes(), (KEYS / "user.key").read_bytes())
TARGET = Target("aki-12345678", None, OTHER_CLOUD)
CASE = CASES / "good" / "euca34-four-parts" / "small.img.manifest.xml"
WEAK = Signer((KEYS / "user-1024.crt").read_bytes(), (KEYS / "user-1024.key").read_bytes())
WRITERS = [
    "amazon12-manifest-v3",
    "amazon15-machine",
    "euca21-machine-ext4-prefix",
    "euca30-machine-twelve-parts",
    "euca34-four-parts",
    "euca34-unsigned",
]


@pytest.mark.parametrize("case", WRITERS)
def test_bundles_of_every_writer_fit_the_target_and_say_the_same_otherwise(case: str) -> None:
    (path,) = (CASES / "good" / case).glob("*.manifest.xml")
    old = read_manifest(path.read_bytes())
    signer = WEAK if old.version == "3" else SIGNER
    new = read_manifest(migrate_manifest(old, TARGET, signer))
    verify_signature(new, signer.certificate_pem)
    opened = unwrap_keys(old, keys.load_private_key(signer.private_key_pem))
    for pem in (signer.private_key_pem, OTHER_CLOUD_KEY):
        assert unwrap_keys(new, keys.load_private_key(pem)) == opened
    with pytest.raises(BundleRefusal):
        unwrap_keys(new, keys.load_private_key((KEYS / "ec2.key").read_bytes()))
    assert (new.version, new.kernel_id, new.ramdisk_id) == ("2007-10-10", "aki-12345678", None)
    assert new.architecture == (old.architecture or "i386")
    same = ("name", "account_id", "image_sha1", "size_bytes", "bundled_size_bytes", "parts", "product_codes")
    for field in (*same, "ancestor_ami_ids", "kernel_name"):
        assert getattr(new, field) == getattr(old, field), field
    assert set(new.block_device_mapping) == set(old.block_device_mapping)


def test_the_account_changes_where_that_is_asked_for() -> None:
    old = read_manifest(CASE.read_bytes())
    assert (
        read_manifest(migrate_manifest(old, replace(TARGET, account_id="999999999999"), SIGNER)).account_id == "9" * 12
    )


def test_who_cannot_open_a_bundle_cannot_migrate_it() -> None:
    stranger = Signer(OTHER_CLOUD, OTHER_CLOUD_KEY)
    with pytest.raises(BundleRefusal, match="does not open this bundle"):
        migrate_manifest(read_manifest(CASE.read_bytes()), TARGET, stranger)
    with pytest.raises(LocalRefusal, match="do not belong together"):
        migrate_manifest(read_manifest(CASE.read_bytes()), TARGET, replace(SIGNER, certificate_pem=OTHER_CLOUD))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """The manifest of a bundle with an assurance."""
    image = tmp_path / "web.img"
    image.write_bytes(bytes(range(256)) * 4096)
    recipe = Recipe(
        image=image,
        name="web",
        account_id="123456789012",
        architecture="x86_64",
        certificate_pem=SIGNER.certificate_pem,
        private_key_pem=SIGNER.private_key_pem,
        cloud_certificate_pem=(KEYS / "ec2.crt").read_bytes(),
        kernel_id="aki-919dcaf8",
    )
    folder = tmp_path / "bundle"
    folder.mkdir()
    with Recorder() as recorder:
        return create(recipe, folder, recorder=recorder)


def test_on_disk_the_old_manifest_and_assurance_are_kept_and_the_new_ones_open(bundle: Path, tmp_path: Path) -> None:
    old, sidecar = bundle.read_bytes(), bundle.with_name("web.assurance.json")
    old_sidecar = sidecar.read_bytes()
    new = migrate_manifest(read_manifest(old), TARGET, SIGNER)
    assert replace_manifest(bundle, new, SIGNER)
    assert bundle.read_bytes() == new
    assert bundle.with_name("web.manifest.xml.bak").read_bytes() == old
    assert sidecar.with_name("web.assurance.json.bak").read_bytes() == old_sidecar
    trusted = load_trusted_keys(SIGNER.certificate_pem)
    again = read_assurance(sidecar.read_bytes(), trusted, read_manifest(new), new)
    before = read_assurance(old_sidecar, trusted, read_manifest(old), old)
    assert replace(again, manifest_sha256=b"") == replace(before, manifest_sha256=b"")
    for key in (SIGNER.private_key_pem, OTHER_CLOUD_KEY):
        out = tmp_path / "out"
        unbundle(find_bundle(bundle, SIGNER.certificate_pem), out, private_key_pem=key)
        assert out.read_bytes() == (tmp_path / "web.img").read_bytes()

    with pytest.raises(LocalRefusal, match=r"\.bak exists already"):
        replace_manifest(bundle, migrate_manifest(read_manifest(new), TARGET, SIGNER), SIGNER)
    assert bundle.read_bytes() == new
    assert bundle.with_name("web.manifest.xml.bak").read_bytes() == old


def test_a_copy_of_the_assurance_that_is_in_the_way_changes_nothing(bundle: Path) -> None:
    bundle.with_name("web.assurance.json.bak").write_bytes(b"of a first bundle")
    before = {path: path.read_bytes() for path in bundle.parent.iterdir()}
    with pytest.raises(LocalRefusal, match=r"json\.bak exists already"):
        replace_manifest(bundle, migrate_manifest(read_manifest(bundle.read_bytes()), TARGET, SIGNER), SIGNER)
    assert {path: path.read_bytes() for path in bundle.parent.iterdir()} == before


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"account_id": "me"}, "'me' is not an account number"),
        ({"kernel_id": "aki 1"}, "cannot be a kernel"),
        ({"ramdisk_id": "ari-1,ari-2"}, "cannot be a ramdisk"),
    ],
)
def test_what_could_not_be_bundled_is_no_target_either(changes: dict[str, str], why: str) -> None:
    with pytest.raises(LocalRefusal, match=why):
        migrate_manifest(read_manifest(CASE.read_bytes()), replace(TARGET, **changes), SIGNER)


def test_an_assurance_that_the_signer_did_not_sign_is_not_vouched_for(bundle: Path) -> None:
    old = bundle.read_bytes()
    new = migrate_manifest(read_manifest(old), TARGET, SIGNER)
    sidecar = bundle.with_name(sidecar_name(bundle.name))
    body = sidecar.read_bytes()
    stranger = Signer(OTHER_CLOUD, OTHER_CLOUD_KEY)
    assert migrate_sidecar(body, old, new, manifest_name=bundle.name, signer=stranger) is None
    sidecar.write_bytes(body[:-20])
    assert not replace_manifest(bundle, new, SIGNER)
    assert not sidecar.exists()
    assert sidecar.with_name(sidecar.name + ".bak").read_bytes() == body[:-20]


def test_in_buckets_the_server_copies_the_parts_and_the_manifest_comes_last(server: Server, bundle: Path) -> None:
    s3 = server.client("s3", request_checksum_calculation="when_required")
    source, destination = Place("here", "a/"), Place("there", "b/")
    old = bundle.read_bytes()
    new = migrate_manifest(read_manifest(old), TARGET, SIGNER)
    order = CopyOrder(source, destination, bundle.name)
    upload(s3, Bundle(read_manifest(old), bundle, bundle.parent), order=UploadOrder(source), patience=impatient())

    def go(client: Any, order: CopyOrder = order) -> tuple[str, bool]:
        return migrate_in_buckets(client, order, documents=(old, new), signer=SIGNER, patience=impatient())

    busy = Failing(s3, "copy_object", count=2)
    assert go(busy) == ("there/b/web.manifest.xml", True)
    assert sorted(list_held(s3, "there", "", impatient())) == [
        "b/web.assurance.json",
        "b/web.manifest.xml",
        "b/web.part.00",
    ]
    for name in ("web.part.00", "web.manifest.xml"):
        body = s3.get_object(Bucket="there", Key=f"b/{name}")["Body"].read()
        assert body == (new if name.endswith("xml") else (bundle.parent / name).read_bytes())
        assert len(s3.get_object_acl(Bucket="there", Key=f"b/{name}")["Grants"]) == 2
    assert busy.keys_of("put_object") == ["b/web.assurance.json", "b/web.manifest.xml"]

    again = Failing(s3, "no such operation")
    assert go(again)[1]
    assert again.keys_of("copy_object") == []
    s3.delete_object(Bucket="here", Key="a/web.assurance.json")
    assert go(s3) == ("there/b/web.manifest.xml", False)
    assert "b/web.assurance.json" not in list_held(s3, "there", "", impatient())
    with pytest.raises(LocalRefusal, match="onto itself"):
        go(s3, replace(order, destination=source))
    s3.delete_object(Bucket="here", Key="a/web.part.00")
    with pytest.raises(BundleRefusal, match="is missing from here"):
        go(s3, replace(order, destination=Place("third")))
    assert "web.manifest.xml" not in list_held(s3, "third", "", impatient())
