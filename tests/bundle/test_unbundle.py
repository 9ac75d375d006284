"""Opening: every good case by each of its keys, no bad one, and nothing left behind."""

import hashlib
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amiable.bundle.keys import load_private_key
from amiable.bundle.manifest_xml import read_manifest, signed_text, verify_signature, write_manifest
from amiable.bundle.parts import folder_opener
from amiable.bundle.pipeline import Recipe, create
from amiable.bundle.unbundle import SealedBundle, Waivers, find_bundle, open_image, read_bundle, unbundle, verify
from amiable.model.errors import BundleRefusal, LocalRefusal
from amiable.model.units import MIB
from tests.bundle.conftest import allocated_bytes, same_data, sparse_file, sparse_sha256
from tests.support.cases import cases_dir

Make = Callable[..., Recipe]
Pem = Callable[[str], bytes]

CASES = cases_dir() / "bundles"
EXPECTED: dict[str, dict[str, Any]] = {
    f"{path.parent.parent.name}/{path.parent.name}": json.loads(path.read_text())
    for path in sorted(CASES.glob("*/*/expect.json"))
}
GOOD = [name for name, expected in EXPECTED.items() if expected["result"] == "open"]
BAD = [name for name, expected in EXPECTED.items() if expected["result"] == "refuse"]
QUICK = [name for name in GOOD if not EXPECTED[name].get("slow")]
SLOW = [name for name in GOOD if EXPECTED[name].get("slow")]


def open_case(name: str, key: str, out: Path, waivers: Waivers = Waivers()) -> None:
    expected = EXPECTED[name]
    certificate = expected.get("certificate") or expected["signature"]["certificate"]
    unbundle(
        find_bundle(
            CASES / name / expected["manifest"],
            (CASES / certificate).read_bytes() if certificate else None,
            waivers=waivers,
        ),
        out,
        private_key_pem=(CASES / key).read_bytes(),
    )


def waivers_for(name: str) -> Waivers:
    expected = EXPECTED[name]
    return Waivers(expected["signature"]["state"] == "unsigned", not expected["stream"]["image_digest_is_true"])


def test_the_cases_are_there() -> None:
    assert len(GOOD) >= 25
    assert len(BAD) >= 60
    assert SLOW


@pytest.mark.parametrize("name", QUICK)
def test_a_good_bundle_opens_with_each_of_its_keys(name: str, tmp_path: Path) -> None:
    expected = EXPECTED[name]
    for key in expected["opens_with"]:
        out = tmp_path / "image"
        open_case(name, key, out, waivers_for(name))
        assert out.stat().st_size == expected["image"]["size"]
        assert hashlib.sha256(out.read_bytes()).hexdigest() == expected["image"]["sha256"]
        assert allocated_bytes(out) <= expected["image"]["data_bytes_on_disk"] + 4096
    for key in expected["does_not_open_with"]:
        with pytest.raises(BundleRefusal, match="does not open"):
            open_case(name, key, tmp_path / "other", waivers_for(name))
    assert list(tmp_path.iterdir()) == [out]


def test_images_beyond_8_gib_open_with_their_holes(tmp_path: Path) -> None:
    """Read as far as they hold data; the whole is hashed once, for it takes a while."""
    for name in SLOW:
        out = tmp_path / name.replace("/", "-")
        open_case(name, EXPECTED[name]["opens_with"][0], out)
        assert out.stat().st_size == EXPECTED[name]["image"]["size"]
        assert allocated_bytes(out) <= 1 * MIB
    wanted = {EXPECTED[name]["image"]["sha256"] for name in SLOW}
    assert len(wanted) == 1
    first, *others = sorted(tmp_path.iterdir())
    assert sparse_sha256(first) in wanted
    for other in others:
        assert same_data(first, other)


@pytest.mark.parametrize("name", [name for name in QUICK if waivers_for(name) != Waivers()])
def test_what_opens_only_by_a_waiver_is_refused_without_it(name: str, tmp_path: Path) -> None:
    with pytest.raises((BundleRefusal, LocalRefusal)):
        open_case(name, EXPECTED[name]["opens_with"][0], tmp_path / "image")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", BAD)
def test_a_bad_bundle_is_refused_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    expected = EXPECTED[name]
    destination = tmp_path / "destination"
    destination.mkdir()
    with pytest.raises(BundleRefusal) as refused:
        open_case(name, expected["key"], destination / "image")
    assert refused.value.message
    assert list(destination.iterdir()) == []
    assert list(tmp_path.iterdir()) == [destination]


@pytest.mark.parametrize("name", sorted({EXPECTED[n].get("derived_from") or EXPECTED[n]["control"] for n in BAD}))
def test_the_controls_of_the_bad_bundles_open(name: str, tmp_path: Path) -> None:
    open_case(name, "keys/user.key", tmp_path / "image", waivers_for(name))


WAIVABLE = [name for name in BAD if EXPECTED[name].get("opens_if_waived")]


@pytest.mark.parametrize("name", WAIVABLE)
def test_one_waiver_opens_what_fails_one_check_alone(name: str, tmp_path: Path) -> None:
    waived = EXPECTED[name]["opens_if_waived"]
    open_case(name, "keys/user.key", tmp_path / "image", Waivers(waived == "signature", waived == "image digest"))


def test_messages_tell_the_faults_apart(tmp_path: Path) -> None:
    messages: dict[str, str] = {}
    for name in BAD:
        with pytest.raises(BundleRefusal) as refused:
            open_case(name, EXPECTED[name]["key"], tmp_path / "image")
        messages[name] = f"{refused.value.stage}: {refused.value.message}"
    assert len(set(messages.values())) >= 40


@pytest.fixture(scope="module")
def small(pem: Pem, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest of a small bundle of ours."""
    folder = tmp_path_factory.mktemp("small")
    image = sparse_file(folder / "in", 3 * MIB, {0: os.urandom(5000), 2 * MIB: b"text " * 1000})
    return create(
        Recipe(image, "small", "123456789012", "x86_64", pem("user.crt"), pem("user.key"), pem("ec2.crt")), folder
    )


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_changed_byte_in_any_part_is_refused(small: Path, pem: Pem, tmp_path: Path, data: st.DataObject) -> None:
    manifest = read_manifest(small.read_bytes())
    (part,) = manifest.parts
    damaged = changed(data, (small.parent / part.filename).read_bytes())
    (tmp_path / part.filename).write_bytes(damaged)
    with pytest.raises(BundleRefusal, match="is damaged"):
        open_image(SealedBundle(manifest, folder_opener(tmp_path)), pem("user.key"), lambda *_: None)


def changed(data: st.DataObject, whole: bytes, start: int = 0, length: int | None = None) -> bytes:
    """``whole`` with one byte, of ``length`` from ``start``, that is another."""
    end = len(whole) if length is None else start + length
    place = data.draw(st.integers(start, end - 1) | st.sampled_from([start, end - 1]))
    other = data.draw(st.integers(1, 255))
    return whole[:place] + bytes([whole[place] ^ other]) + whole[place + 1 :]


def test_a_flipped_bit_beneath_the_parts_is_refused_too(small: Path, pem: Pem, tmp_path: Path) -> None:
    """As the digests were made anew: gzip's CRC, the tar's checks and the image's digest still hold."""
    from dataclasses import replace

    manifest = read_manifest(small.read_bytes())
    (part,) = manifest.parts
    body = (small.parent / part.filename).read_bytes()
    chance = random.Random(8)
    for place in {0, 16, 40, *(chance.randrange(len(body)) for _ in range(60))}:
        damaged = bytearray(body)
        damaged[place] ^= 1 << chance.randrange(8)
        (tmp_path / part.filename).write_bytes(damaged)
        lying = replace(manifest, parts=(replace(part, sha1=hashlib.sha1(damaged).hexdigest()),))
        if place in range(4, 10):  # gzip's time, flags of speed and system carry no meaning
            continue
        with pytest.raises(BundleRefusal):
            open_image(SealedBundle(lying, folder_opener(tmp_path)), pem("user.key"), lambda *_: None)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_changed_byte_in_the_signed_text_is_refused(small: Path, pem: Pem, data: st.DataObject) -> None:
    document = small.read_bytes()
    damaged = changed(data, document, document.index(b"<machine_configuration>"), len(signed_text(document)))
    with pytest.raises(BundleRefusal):
        verify_signature(read_manifest(damaged), pem("user.crt"))


def test_the_sink_gets_data_in_order_and_no_zeros(small: Path, pem: Pem) -> None:
    manifest = read_bundle(small, pem("user.crt"))
    image = bytearray(manifest.size_bytes)
    end = 0

    def sink(offset: int, data: bytes) -> None:
        nonlocal end
        assert offset >= end
        assert 0 < len(data) <= MIB
        assert any(data)
        end = offset + len(data)
        image[offset:end] = data

    seen: list[tuple[int, int]] = []
    open_image(
        SealedBundle(manifest, folder_opener(small.parent)), pem("ec2.key"), sink, progress=lambda *at: seen.append(at)
    )
    assert bytes(image) == (small.parent / "in").read_bytes()
    assert seen[-1] == (manifest.bundled_size_bytes, manifest.bundled_size_bytes)


def test_what_the_sink_raises_comes_out(small: Path, pem: Pem) -> None:
    def sink(offset: int, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        open_image(SealedBundle(read_bundle(small, pem("user.crt")), folder_opener(small.parent)), pem("ec2.key"), sink)


def test_verify_without_a_key_checks_signature_and_parts(small: Path, pem: Pem, tmp_path: Path) -> None:
    verify(find_bundle(small, pem("user.crt")), private_key_pem=None)
    with pytest.raises(BundleRefusal, match="does not fit"):
        verify(find_bundle(small, pem("other.crt")), private_key_pem=None)
    with pytest.raises(BundleRefusal, match="is missing"):
        verify(find_bundle(small, pem("user.crt"), source=tmp_path), private_key_pem=None)
    with pytest.raises(LocalRefusal, match="no certificate"):
        verify(find_bundle(small, None), private_key_pem=None)


def test_an_image_that_was_there_stays_when_its_bundle_is_refused(small: Path, pem: Pem, tmp_path: Path) -> None:
    out = tmp_path / "image"
    out.write_bytes(b"old")
    with pytest.raises(BundleRefusal):
        unbundle(find_bundle(small, pem("user.crt")), out, private_key_pem=pem("other.key"))
    assert out.read_bytes() == b"old"
    unbundle(find_bundle(small, pem("user.crt")), out, private_key_pem=pem("user.key"))
    assert out.read_bytes() == (small.parent / "in").read_bytes()


def test_a_manifest_that_is_not_there_is_refused(pem: Pem, tmp_path: Path) -> None:
    with pytest.raises(LocalRefusal, match="cannot be read"):
        read_bundle(tmp_path / "none.xml", pem("user.crt"))


def test_a_bundle_signed_by_another_of_the_accounts_certificates_is_verified(small: Path, pem: Pem) -> None:
    manifest = read_manifest(small.read_bytes())
    again = read_manifest(write_manifest(manifest, load_private_key(pem("other.key"))))
    verify_signature(again, pem("user.crt") + pem("other.crt"))
