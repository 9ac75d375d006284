"""The sidecar: what it says, whom it binds, and sidecars that lie."""

import base64
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from amiable.bundle import keys
from amiable.bundle.assurance import (
    Assurance,
    read_assurance,
    read_beside,
    sidecar_name,
    write_assurance,
)
from amiable.bundle.assurance_tables import unseal
from amiable.bundle.dsse import ENVELOPE_BYTES_MAX, load_trusted_keys
from amiable.bundle.pipeline import Recipe, create
from amiable.bundle.recorder import Recorder
from amiable.bundle.unbundle import Waivers, find_bundle, read_bundle, unbundle, verify
from amiable.model.errors import BundleRefusal, LocalRefusal
from amiable.model.units import BLOCK_BYTES, MIB, PART_BYTES
from tests.bundle.assured import NAME, SIZE, Made
from tests.bundle.conftest import sparse_file

# ── what it says ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_stranger_can_check_all_of_it_by_the_formats_page(made: Made) -> None:
    envelope = json.loads(made.sidecar)
    payload = base64.b64decode(envelope["payload"])
    public = keys.load_public_keys(made.pem("user.crt"))[0]
    assert isinstance(public, rsa.RSAPublicKey)
    text = b"DSSEv1 28 application/vnd.in-toto+json %d " % len(payload) + payload
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    public.verify(base64.b64decode(envelope["signatures"][0]["sig"]), text, pss, hashes.SHA256())
    statement = json.loads(payload)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert len(statement["subject"]) == 1 + len(made.manifest.parts) == 3
    for subject in statement["subject"]:
        body = (made.folder / subject["name"]).read_bytes()
        assert subject["digest"] == {"sha256": hashlib.sha256(body).hexdigest()}
    predicate = statement["predicate"]
    assert predicate["imageBytes"] == SIZE and predicate["partBytes"] == PART_BYTES
    assert predicate["bundledBytes"] == made.manifest.bundled_size_bytes


def test_the_content_digest_is_the_one_of_the_image_however_it_is_read(made: Made) -> None:
    whole, at = hashlib.sha256(b"amiable-image-content-v1\0" + SIZE.to_bytes(8, "big")), 0
    with made.image.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            block = block.ljust(BLOCK_BYTES, b"\0")
            if any(block):
                whole.update(at.to_bytes(8, "big") + hashlib.sha256(block).digest())
            at += 1
    assert made.tables()["content_digest"] == whole.digest()


def test_the_sidecar_tells_nothing_of_the_image_but_sizes_and_the_streams_digest(made: Made) -> None:
    """What is under the cipher stays there: only who opens the bundle sees the digests of blocks, the map and the sizes of chunks."""
    assert set(made.statement()["predicate"]) == {"imageBytes", "bundledBytes", "partBytes", "tarStream", "sealed"}
    with pytest.raises(BundleRefusal, match="does not open"):
        unseal(made.assurance.sealed, bytes(16), bytes(16), made.manifest)


def test_what_was_written_is_read(made: Made) -> None:
    again = write_assurance(made.assurance, made.manifest_path.name, [made.key(), Ed25519PrivateKey.generate()])
    assert made.read(again) == made.assurance
    assert read_beside(made.manifest_path, made.manifest, load_trusted_keys(made.pem("user.crt"))) == made.assurance


def test_a_bundle_without_a_sidecar_has_none(made: Made, tmp_path: Path) -> None:
    path = tmp_path / made.manifest_path.name
    path.write_bytes(made.document)
    assert read_beside(path, made.manifest, []) is None


def test_the_sidecar_lies_beside_its_manifest() -> None:
    assert sidecar_name("a.b.manifest.xml") == "a.b.assurance.json"
    assert sidecar_name("manifest") == "manifest.assurance.json"


def test_a_manifest_appears_after_its_sidecar_and_force_clears_both(
    made: Made, tmp_path: Path, recipe: Callable[..., Recipe]
) -> None:
    image = sparse_file(tmp_path / "small", MIB, {0: b"x"})
    with Recorder() as recorder:
        create(recipe(image), tmp_path, recorder=recorder)
    sidecar, manifest = tmp_path / f"{NAME}.assurance.json", tmp_path / f"{NAME}.manifest.xml"
    parts = list(tmp_path.glob(f"{NAME}.part.*"))
    assert max(part.stat().st_ctime_ns for part in parts) <= sidecar.stat().st_ctime_ns <= manifest.stat().st_ctime_ns
    with pytest.raises(LocalRefusal, match="exists already"):
        create(recipe(image), tmp_path)
    create(recipe(image), tmp_path, force=True)
    assert manifest.exists() and not sidecar.exists()


def test_a_sidecar_that_cannot_be_written_leaves_nothing(tmp_path: Path, recipe: Callable[..., Recipe]) -> None:
    image = sparse_file(tmp_path / "small", MIB, {0: b"x"})
    with Recorder() as recorder, pytest.raises(BundleRefusal):
        create(recipe(image, assurance_key_pem=b"no key"), tmp_path, recorder=recorder)
    assert list(tmp_path.iterdir()) == [image]


# ── what it refuses ─────────────────────────────────────────────────────────────────────────────────────────────────────


def opened(made: Made, assurance: Assurance, folder: Path | None = None) -> None:
    verify(
        find_bundle(made.manifest_path, made.pem("user.crt"), source=folder, assurance=assurance),
        private_key_pem=made.pem("user.key"),
    )


def test_the_bundle_fits_its_sidecar(made: Made, tmp_path: Path) -> None:
    opened(made, made.assurance)
    out = tmp_path / "out"
    unbundle(
        find_bundle(made.manifest_path, made.pem("user.crt"), assurance=made.assurance),
        out,
        private_key_pem=made.pem("ec2.key"),
    )
    assert out.read_bytes() == made.image.read_bytes()


def test_an_image_is_unbundled_without_the_sealed_tables_where_they_do_not_open(made: Made, tmp_path: Path) -> None:
    out = tmp_path / "out"
    unbundle(
        find_bundle(made.manifest_path, made.pem("user.crt"), assurance=replace(made.assurance, sealed=bytes(64))),
        out,
        private_key_pem=made.pem("user.key"),
    )
    assert out.read_bytes() == made.image.read_bytes()


def test_each_digest_is_checked_when_the_bundle_is_opened(made: Made) -> None:
    part = made.manifest.parts[1].filename
    lies = {
        "Part disk.img.part.01": replace(made.assurance, part_sha256s=made.assurance.part_sha256s | {part: bytes(32)}),
        "no SHA-256 of part": replace(made.assurance, part_sha256s={}),
        "The tar stream is not": replace(made.assurance, stream_sha256=bytes(32)),
        "The image is not": made.sealed({"content_digest": bytes(32)}),
    }
    for words, assurance in lies.items():
        with pytest.raises(BundleRefusal, match=words) as refused:
            opened(made, assurance)
        assert refused.value.stage == "assurance"


def test_without_a_private_key_the_parts_are_still_checked(made: Made) -> None:
    part = made.manifest.parts[0].filename
    lie = replace(made.assurance, part_sha256s=made.assurance.part_sha256s | {part: bytes(32)})
    for assurance in (made.assurance, lie):
        try:
            verify(find_bundle(made.manifest_path, made.pem("user.crt"), assurance=assurance), private_key_pem=None)
        except BundleRefusal as refusal:
            assert assurance is lie and refusal.stage == "assurance"
        else:
            assert assurance is made.assurance


def test_a_manifest_that_was_changed_no_longer_fits(made: Made) -> None:
    changed = made.document.replace(b"<release>0<", b"<release>1<")
    with pytest.raises(BundleRefusal, match="belongs to another manifest"):
        read_assurance(made.sidecar, load_trusted_keys(made.pem("user.crt")), made.manifest, changed)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 255))
def test_a_flipped_byte_in_the_sidecar_is_refused_or_changes_nothing(made: Made, place: int, flip: int) -> None:
    sidecar = bytearray(made.sidecar)
    sidecar[place % len(sidecar)] ^= flip
    try:
        assert made.read(bytes(sidecar)) == made.assurance
    except BundleRefusal as refusal:
        assert refusal.stage == "assurance"


def test_statements_that_are_something_else_are_refused(made: Made) -> None:
    statement = made.statement()
    subject, predicate = statement["subject"], statement["predicate"]
    lies: dict[str, object] = {
        "predicate type": statement | {"predicateType": "https://slsa.dev/provenance/v1"},
        "type": statement | {"_type": "https://in-toto.io/Statement/v0.1"},
        "no object": [statement],
        "deep": {"x": None},
        "no subject": statement | {"subject": []},
        "twice": statement | {"subject": [*subject, subject[0]]},
        "no manifest": statement | {"subject": subject[1:]},
        "no part": statement | {"subject": subject[:-1]},
        "hex": statement | {"subject": [{"name": "a", "digest": {"sha256": "00"}}, *subject]},
        "capitals": statement | {"subject": [{"name": "a", "digest": {"sha256": "A" * 64}}, *subject]},
        "no digest": statement | {"subject": [{"name": "a"}, *subject]},
    }
    for field in ("imageBytes", "bundledBytes", "partBytes"):
        for value in (-1, 0, 1, 2**63, 2**70, 1.5, True, "1", None, [1]):
            lies[f"{field} {value}"] = statement | {"predicate": predicate | {field: value}}
    for name, payload in lies.items():
        with pytest.raises(BundleRefusal) as refused:
            made.read(made.signed(payload))
        assert refused.value.stage == "assurance", name


def test_members_that_are_not_known_are_ignored(made: Made) -> None:
    """In-toto: "Consumers MUST ignore unrecognized fields"."""
    statement = made.statement() | {"later": {"anything": [1, 2]}}
    statement["subject"].append({"name": "more", "uri": "x:y", "digest": {"sha256": "0" * 64, "sha512": "1"}})
    assert made.read(made.signed(statement)) == made.assurance


def test_a_huge_sidecar_is_refused_before_it_is_parsed(made: Made, tmp_path: Path) -> None:
    path = tmp_path / made.manifest_path.name
    path.write_bytes(made.document)
    with (tmp_path / f"{NAME}.assurance.json").open("wb") as file:
        file.truncate(ENVELOPE_BYTES_MAX * 100)
    with pytest.raises(BundleRefusal, match="more than"):
        read_beside(path, made.manifest, [])


def test_a_sidecar_that_is_no_file_is_refused(made: Made, tmp_path: Path) -> None:
    path = tmp_path / made.manifest_path.name
    path.write_bytes(made.document)
    sidecar = tmp_path / f"{NAME}.assurance.json"
    sidecar.symlink_to(made.folder / f"{NAME}.assurance.json")
    with pytest.raises(BundleRefusal, match="cannot be read"):
        read_beside(path, made.manifest, [])
    sidecar.unlink()
    os.mkfifo(sidecar)
    with pytest.raises(BundleRefusal):
        read_beside(path, made.manifest, load_trusted_keys(made.pem("user.crt")))


def test_what_lies_in_the_sidecars_place_is_told_by_name_with_the_way_round_it(made: Made, tmp_path: Path) -> None:
    path = tmp_path / "disk.manifest.xml"
    path.write_bytes(made.document)
    sidecar = tmp_path / "disk.assurance.json"
    for make, why in (
        (sidecar.mkdir, "no regular file"),
        (lambda: os.mkfifo(sidecar), "no regular file"),
        (lambda: sidecar.symlink_to("nowhere"), "a symbolic link"),
        (lambda: sidecar.write_text("{"), "not what it should be"),
    ):
        make()
        with pytest.raises(BundleRefusal, match=why) as refusal:
            read_beside(path, made.manifest, [])
        assert "--waive-assurance" in refusal.value.advice
        if sidecar.is_dir():
            sidecar.rmdir()
        else:
            sidecar.unlink()


def test_an_unsigned_manifest_can_still_have_a_sidecar(made: Made) -> None:
    """The waivers are one each: an unknown signer of the manifest waives nothing of the sidecar."""
    manifest = read_bundle(made.manifest_path, None, Waivers(signature=True))
    with pytest.raises(BundleRefusal, match="not signed by a key that is trusted"):
        read_beside(made.manifest_path, manifest, load_trusted_keys(made.pem("ec2.crt")))
