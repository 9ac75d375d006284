"""The manifest's document: what is read, what is refused, and that what is written is read back."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amiable.bundle.keys import load_private_key
from amiable.bundle.manifest_xml import (
    MANIFEST_BYTES_MAX,
    read_manifest,
    signed_text,
    verify_signature,
    write_manifest,
)
from amiable.model.errors import BundleRefusal
from amiable.model.manifest import Bundler, Manifest, Mapping, Part, WrappedKey
from tests.support.cases import cases_dir

CASES = cases_dir() / "bundles"
GOOD = sorted(path.parent.name for path in CASES.glob("good/*/expect.json"))
USER_KEY = load_private_key((CASES / "keys/user.key").read_bytes())
USER_CERTIFICATE = (CASES / "keys/user.crt").read_bytes()

SMALL = Manifest(
    name="disk.img",
    account_id="123456789012",
    image_sha1="0123456789" * 4,
    size_bytes=20480,
    bundled_size_bytes=4096,
    ec2=WrappedKey("aa01", "bb02"),
    user=WrappedKey("cc03", "dd04"),
    parts=(Part(0, "disk.img.part.00", "ab" * 20),),
    bundler=Bundler("amiable", "1", "0"),
    architecture="x86_64",
    kernel_id="aki-12345678",
    block_device_mapping=(Mapping("ami", "sda1"), Mapping("root", "/dev/sda1")),
    product_codes=("AAAA", "BBBB"),
    image_type="machine",
    ancestor_ami_ids=("ami-12345678",),
)

GOLDEN = (
    "<?xml version='1.0'?><manifest><version>2007-10-10</version>"
    "<bundler><name>amiable</name><version>1</version><release>0</release></bundler>"
    "<machine_configuration><architecture>x86_64</architecture><block_device_mapping>"
    "<mapping><virtual>ami</virtual><device>sda1</device></mapping>"
    "<mapping><virtual>root</virtual><device>/dev/sda1</device></mapping></block_device_mapping>"
    "<kernel_id>aki-12345678</kernel_id>"
    "<product_codes><product_code>AAAA</product_code><product_code>BBBB</product_code></product_codes>"
    "</machine_configuration><image><name>disk.img</name><user>123456789012</user><type>machine</type>"
    "<ancestry><ancestor_ami_id>ami-12345678</ancestor_ami_id></ancestry>"
    "<digest algorithm='SHA1'>0123456789012345678901234567890123456789</digest>"
    "<size>20480</size><bundled_size>4096</bundled_size>"
    "<ec2_encrypted_key algorithm='AES-128-CBC'>aa01</ec2_encrypted_key>"
    "<user_encrypted_key algorithm='AES-128-CBC'>cc03</user_encrypted_key>"
    "<ec2_encrypted_iv>bb02</ec2_encrypted_iv><user_encrypted_iv>dd04</user_encrypted_iv>"
    "<parts count='1'><part index='0'><filename>disk.img.part.00</filename>"
    "<digest algorithm='SHA1'>abababababababababababababababababababab</digest></part></parts></image>"
    "<signature>SIGNATURE</signature></manifest>"
)


def case(name: str) -> tuple[dict[str, Any], bytes]:
    folder = CASES / "good" / name
    expected = json.loads((folder / "expect.json").read_text())
    return expected, (folder / expected["manifest"]).read_bytes()


def facts(manifest: Manifest) -> dict[str, Any]:
    return {
        "manifest_version": manifest.version,
        "bundler": {
            "name": manifest.bundler.name,
            "version": manifest.bundler.version,
            "release": manifest.bundler.release,
        },
        "arch": manifest.architecture,
        "kernel_id": manifest.kernel_id,
        "ramdisk_id": manifest.ramdisk_id,
        "block_device_mapping": {m.virtual: m.device for m in manifest.block_device_mapping},
        "product_codes": list(manifest.product_codes),
        "image_name": manifest.name,
        "account_id": manifest.account_id,
        "image_type": manifest.image_type,
        "kernel_name": manifest.kernel_name,
        "ancestor_ami_ids": list(manifest.ancestor_ami_ids),
        "image_digest_sha1": manifest.image_sha1,
        "image_size": manifest.size_bytes,
        "bundled_size": manifest.bundled_size_bytes,
        "part_count": len(manifest.parts),
        "part_filenames": [part.filename for part in manifest.parts],
    }


@pytest.mark.parametrize("name", GOOD)
def test_the_manifest_of_every_bundler_says_what_it_says(name: str) -> None:
    expected, document = case(name)
    wanted = {key: value for key, value in expected["manifest_facts"].items() if key != "part_sizes"}
    assert facts(read_manifest(document)) == wanted


@pytest.mark.parametrize("name", GOOD)
def test_a_signature_is_valid_under_its_own_certificate_and_no_other(name: str) -> None:
    expected, document = case(name)
    manifest = read_manifest(document)
    if expected["signature"]["state"] == "unsigned":
        with pytest.raises(BundleRefusal, match="not signed"):
            verify_signature(manifest, USER_CERTIFICATE)
        return
    certificate = (CASES / expected["signature"]["certificate"]).read_bytes()
    other = (CASES / "keys/other.crt").read_bytes()
    verify_signature(manifest, certificate)
    verify_signature(manifest, other + certificate)
    with pytest.raises(BundleRefusal, match="does not fit") as refused:
        verify_signature(manifest, other)
    assert refused.value.stage == "signature"


def test_the_document_is_in_amazons_order_and_quoting() -> None:
    document = write_manifest(SMALL, USER_KEY).decode()
    assert re.sub("<signature>[0-9a-f]{512}<", "<signature>SIGNATURE<", document) == GOLDEN


words = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-_.", min_size=1, max_size=12)
texts = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=","), min_size=1, max_size=20)
hexes = st.binary(min_size=1, max_size=8).map(bytes.hex)
digests = st.binary(min_size=20, max_size=20).map(bytes.hex)
wrapped = st.builds(WrappedKey, st.none() | hexes, st.none() | hexes)
names = words.filter(lambda name: name not in (".", "..")) | st.just('R&D\'s <disk> "1"')


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    part_names = draw(st.lists(names, min_size=1, max_size=5, unique=True))
    mapped = draw(st.dictionaries(words, texts, max_size=4))
    return Manifest(
        name=draw(names),
        account_id=draw(st.from_regex("[0-9]{12}", fullmatch=True)),
        image_sha1=draw(digests),
        size_bytes=draw(st.integers(1, 1 << 44)),
        bundled_size_bytes=16 * draw(st.integers(1, 1 << 40)),
        ec2=draw(wrapped),
        user=draw(wrapped),
        parts=tuple(Part(index, name, draw(digests)) for index, name in enumerate(part_names)),
        bundler=Bundler(draw(texts), draw(texts), draw(texts)),
        architecture=draw(words),
        kernel_id=draw(st.none() | words),
        ramdisk_id=draw(st.none() | words),
        block_device_mapping=tuple(Mapping(virtual, mapped[virtual]) for virtual in sorted(mapped)),
        product_codes=tuple(draw(st.lists(texts, max_size=3))),
        image_type=draw(st.sampled_from(["machine", "kernel", "ramdisk"])),
        kernel_name=draw(st.none() | texts),
        ancestor_ami_ids=tuple(draw(st.lists(texts, max_size=3))),
    )


@settings(deadline=None)
@given(manifests())
def test_what_is_written_is_read_back(manifest: Manifest) -> None:
    document = write_manifest(manifest, USER_KEY)
    read = read_manifest(document)
    assert replace(read, signature=None, signed_texts=()) == manifest
    verify_signature(read, USER_CERTIFICATE)


def test_a_manifest_pretty_printed_after_signing_is_still_verified() -> None:
    import xml.dom.minidom

    document = write_manifest(SMALL, USER_KEY)
    pretty = xml.dom.minidom.parseString(document).toprettyxml(indent="  ").encode()
    assert signed_text(pretty) != signed_text(document)
    manifest = read_manifest(pretty)
    verify_signature(manifest, USER_CERTIFICATE)
    assert replace(manifest, signature=None, signed_texts=()) == SMALL


DOCUMENT = write_manifest(SMALL, USER_KEY)


@pytest.mark.parametrize(
    ("old", "new", "offence"),
    [
        (b"<manifest>", b"<!DOCTYPE manifest><manifest>", "a DTD"),
        (b"<manifest>", b"<!DOCTYPE m [<!ENTITY e 'x'>]><manifest>", "a DTD"),
        (b"<image>", b"<!-- <image></image> --><image>", "a comment"),
        (b"<image>", b"<?php ?><image>", "a processing instruction"),
        (b">disk.img<", b"><![CDATA[disk.img]]><", "a CDATA section"),
        (b">disk.img<", b">&name;<", "undefined entity"),
        (b"<manifest>", b"<bundle>", "not <manifest>|mismatched"),
        (b"<size>", b"<size>1</size><size>", "<size> stands twice in <image>"),
        (b"</parts>", b"</parts><parts count='0'></parts>", "<parts> stands twice"),
        (b"<size>", b"<sise>1</sise><size>", "<sise> does not belong in <image>"),
        (b"<image>", b"<image id='1'>", "unknown attribute 'id'"),
        (b"<image>", b"<image >", "different things"),
        (b"<machine_configuration>", b"text<machine_configuration>", "<manifest> has text"),
        (b"algorithm='SHA1'", b"algorithm='SHA256'", "SHA1 is the only algorithm"),
        (b"algorithm='AES-128-CBC'", b"algorithm='AES-256-CBC'", "AES-128-CBC is the only cipher"),
        (b"<size>20480<", b"<size>0<", "<size> is 0"),
        (b"<size>20480<", b"<size>+20480<", "not a number"),
        (b"<size>20480<", b"<size> 20480<", "not a number"),
        (b"<bundled_size>4096<", b"<bundled_size>4097<", "multiple of 16"),
        (b"<type>machine<", b"<type>toaster<", "<type> is 'toaster'"),
        (b">cc03<", b">cc0<", "<user_encrypted_key> is not hexadecimal"),
        (b">disk.img.part.00<", b">..<", "not a plain file name"),
        (b">disk.img.part.00<", b">a&#10;b<", "not a plain file name"),
        (b">disk.img.part.00<", b"><", "not a plain file name"),
        (b"count='1'", b"", "count None"),
        (b"index='0'", b"index='1'", "1 stands where 0 belongs"),
        (b"<?xml version='1.0'?>", b"<?xml version='1.0' encoding='UTF-16'?>", "encoding is 'UTF-16'"),
        (b"<signature>", b"<signature>x", "<signature> is not hexadecimal"),
        (b"<version>2007-10-10<", b"<version>2014-01-14<", "<version> is '2014-01-14'"),
    ],
)
def test_a_strange_document_is_refused_and_the_offence_named(old: bytes, new: bytes, offence: str) -> None:
    assert old in DOCUMENT
    with pytest.raises(BundleRefusal, match=offence):
        read_manifest(DOCUMENT.replace(old, new, 1))


def test_a_manifest_beyond_the_bound_is_refused_unparsed() -> None:
    with pytest.raises(BundleRefusal, match="at most"):
        read_manifest(DOCUMENT + b" " * MANIFEST_BYTES_MAX)


@settings(deadline=None)
@given(st.binary(max_size=200) | st.binary(max_size=30).map(lambda noise: DOCUMENT[:900] + noise + DOCUMENT[900:]))
def test_noise_is_refused_or_read_and_nothing_else(noise: bytes) -> None:
    try:
        read_manifest(noise)
    except BundleRefusal as refusal:
        assert refusal.stage in ("manifest", "signature")


def test_values_come_from_the_text_that_is_signed(pem: Callable[[str], bytes], bundle_cases: Path) -> None:
    manifest = read_manifest(DOCUMENT)
    assert manifest.signed_texts[0] == signed_text(DOCUMENT)
    assert manifest.signed_texts[0].startswith(b"<machine_configuration>")
    assert manifest.signed_texts[0].endswith(b"</parts></image>")
