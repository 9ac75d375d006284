"""The manifest's document, read strictly and written as Amazon's bundler wrote it.

What is signed is *text*: ``<machine_configuration>…</machine_configuration>`` followed by ``<image>…</image>``, each cut out of the
serialised document by a search for the tags (version 3 has only the second).  A search and a parser can be made to disagree
("signature wrapping": a comment that holds the signed text, the parser seeing other elements), so the reader

1. refuses DTD, entities, comments, processing instructions and CDATA, elements it does not know or meets twice;
2. cuts the signed text out of the raw bytes, parses *that*, and takes every value of the image and the machine from it;
3. demands that the whole document's parse says the same.

The writer's form (single quotes, no white space, five entities) is the one that every known verifier accepts, also those that
serialise the document anew before they verify.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa

from amiable.bundle import keys
from amiable.bundle.strict_xml import CHILDREN, Element, fault, parse, serialise
from amiable.model.errors import BundleRefusal, LocalRefusal
from amiable.model.manifest import (
    IMAGE_TYPES,
    MANIFEST_VERSION,
    Bundler,
    Manifest,
    Mapping,
    Part,
    WrappedKey,
)

MANIFEST_BYTES_MAX: Final = 5 * 1024 * 1024
PARTS_MAX: Final = 100_000
IMAGE_BYTES_MAX: Final = 1 << 44
"""16 TiB: no image of a bundle is larger; a declared size above it is an attack or a mistake."""

ARCHITECTURE_UNSAID: Final = "i386"
"""What a manifest without an architecture means: version 3 knew no other."""

FILENAME_BYTES_MAX: Final = 255
READABLE_VERSIONS: Final = ("2007-10-10", "2007-08-29", "20070829", "3")

_NUMBER: Final = re.compile(r"[0-9]{1,20}")
_SHA1: Final = re.compile(r"[0-9a-fA-F]{40}")
_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{2})+")


# ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def load_document(path: Path) -> bytes:
    """The document at ``path``; of a larger one than is read, no more than tells so."""
    try:
        with path.open("rb") as file:
            return file.read(MANIFEST_BYTES_MAX + 1)
    except OSError as error:
        raise LocalRefusal(f"{path} cannot be read: {error.strerror}", exit_code=74) from error


def read_manifest(document: bytes) -> Manifest:
    """The manifest in ``document``, its signature not yet verified; raises BundleRefusal at stage manifest.

    Values of image and machine come from the text that is signed.  ``signature`` is ``None`` where the element is absent, empty or
    ``UNSIGNED``.
    """
    if len(document) > MANIFEST_BYTES_MAX:
        raise fault(f"it has {len(document)} bytes; at most {MANIFEST_BYTES_MAX} are read.")
    root = parse(document, "manifest")
    version = root.need("version").text
    if version not in READABLE_VERSIONS:
        raise fault(f"<version> is {version!r}; known are {', '.join(READABLE_VERSIONS)}.")
    text = signed_text(document)
    signed = parse(b"<signed>" + text + b"</signed>", "signed")
    if signed.children != [child for tag in CHILDREN["signed"] if (child := root.find(tag))]:
        raise BundleRefusal("signature", "The signed text and the document say different things.")
    signature = (root.text_of("signature") or "").strip()
    if signature and signature != "UNSIGNED" and not _HEX.fullmatch(signature):
        raise fault("<signature> is not hexadecimal.")
    bundler = root.find("bundler") or Element("bundler")
    return _manifest(
        signed,
        version=version,
        bundler=Bundler(*(bundler.text_of(tag) or "" for tag in CHILDREN["bundler"])),
        signature=signature if signature and signature != "UNSIGNED" else None,
        signed_texts=(text, "".join(map(serialise, signed.children)).encode()),
    )


def signed_text(document: bytes) -> bytes:
    """The text of ``document`` that a signature is over: no canonical form, the bytes as they stand."""
    return b"".join(_slice(document, tag) for tag in (b"machine_configuration", b"image"))


def _slice(document: bytes, tag: bytes) -> bytes:
    start = document.find(b"<" + tag + b">")
    end = document.find(b"</" + tag + b">", start)
    return document[start : end + len(tag) + 3] if 0 <= start < end else b""


def _manifest(
    signed: Element, *, version: str, bundler: Bundler, signature: str | None, signed_texts: tuple[bytes, ...]
) -> Manifest:
    image = signed.need("image")
    machine = signed.find("machine_configuration") or Element("machine_configuration")
    size_bytes = _number(image, "size", 1, IMAGE_BYTES_MAX)
    bundled_size_bytes = _number(image, "bundled_size", 16, 2 * IMAGE_BYTES_MAX)
    if bundled_size_bytes % 16:
        raise fault(f"<bundled_size> {bundled_size_bytes} is not a multiple of 16, as AES-CBC makes it.")
    image_type = image.text_of("type")
    if image_type is not None and image_type not in IMAGE_TYPES:
        raise fault(f"<type> is {image_type!r}; known are {', '.join(IMAGE_TYPES)}.")
    mappings = machine.find("block_device_mapping") or Element("block_device_mapping")
    return Manifest(
        name=_basename("name", image.need("name").text),
        account_id=image.need("user").text,
        image_sha1=_sha1(image),
        size_bytes=size_bytes,
        bundled_size_bytes=bundled_size_bytes,
        ec2=WrappedKey(_wrapped(image, "ec2_encrypted_key"), _wrapped(image, "ec2_encrypted_iv")),
        user=WrappedKey(_wrapped(image, "user_encrypted_key"), _wrapped(image, "user_encrypted_iv")),
        parts=_parts(image.need("parts")),
        version=version,
        bundler=bundler,
        architecture=machine.text_of("architecture"),
        kernel_id=machine.text_of("kernel_id"),
        ramdisk_id=machine.text_of("ramdisk_id"),
        block_device_mapping=tuple(Mapping(m.need("virtual").text, m.need("device").text) for m in mappings.children),
        product_codes=machine.texts_in("product_codes"),
        image_type=image_type,
        kernel_name=image.text_of("kernel_name"),
        ancestor_ami_ids=image.texts_in("ancestry"),
        signature=signature,
        signed_texts=signed_texts,
    )


def _number(parent: Element, tag: str, least: int, most: int) -> int:
    text = parent.need(tag).text
    if not _NUMBER.fullmatch(text):
        raise fault(f"<{tag}> is {text[:40]!r}, not a number of bytes.")
    if not least <= int(text) <= most:
        raise fault(f"<{tag}> is {text}, outside {least} to {most}.")
    return int(text)


def _sha1(parent: Element) -> str:
    digest = parent.need("digest")
    if digest.attribute != "SHA1":
        raise fault(f"<digest> in <{parent.tag}> is by {digest.attribute!r}; SHA1 is the only algorithm of the format.")
    if not _SHA1.fullmatch(digest.text):
        raise fault(f"<digest> in <{parent.tag}> is not a SHA-1 in hex.")
    return digest.text.lower()


def _wrapped(image: Element, tag: str) -> str | None:
    found = image.find(tag)
    if found is None or not found.text:
        return None
    if found.attribute not in (None, "AES-128-CBC"):
        raise fault(f"<{tag}> is for {found.attribute!r}; AES-128-CBC is the only cipher of the format.")
    if not _HEX.fullmatch(found.text):
        raise fault(f"<{tag}> is not hexadecimal.")
    return found.text


def _basename(tag: str, name: str) -> str:
    if (
        not name
        or name in (".", "..")
        or "/" in name
        or any(ord(c) < 32 for c in name)
        or len(name.encode()) > FILENAME_BYTES_MAX
    ):
        raise fault(f"<{tag}> {name[:80]!r} is not a plain file name.")
    return name


def _parts(parts: Element) -> tuple[Part, ...]:
    if parts.attribute is None or not _NUMBER.fullmatch(parts.attribute):
        raise fault(f"<parts> has count {parts.attribute!r}, not a number.")
    if int(parts.attribute) != len(parts.children):
        raise fault(f"<parts> has count {int(parts.attribute)}, but {len(parts.children)} <part> elements.")
    if not 1 <= len(parts.children) <= PARTS_MAX:
        raise fault(f"there are {len(parts.children)} parts; 1 to {PARTS_MAX} are read.")
    read = sorted(map(_part, parts.children), key=lambda part: part.index)
    for expected, part in enumerate(read):
        if part.index != expected:
            raise fault(
                f"part indexes are not 0 to {len(read) - 1}, each once: {part.index} stands where {expected} belongs."
            )
    seen: set[str] = set()
    for part in read:
        if part.filename in seen:
            raise fault(f"two parts have the <filename> {part.filename[:80]!r}.")
        seen.add(part.filename)
    return tuple(read)


def _part(part: Element) -> Part:
    if part.attribute is None or not _NUMBER.fullmatch(part.attribute):
        raise fault(f"<part> has index {part.attribute!r}, not a number.")
    return Part(int(part.attribute), _basename("filename", part.need("filename").text), _sha1(part))


def verify_signature(manifest: Manifest, certificates_pem: str | bytes) -> None:
    """Raises BundleRefusal unless one of the certificates in ``certificates_pem`` signed what ``manifest`` was read from.

    The raw text first; then the same elements as Amazon's tools would serialise them anew (a manifest pretty-printed later).
    """
    if manifest.signature is None:
        raise BundleRefusal(
            "signature", "The manifest is not signed.", hint="Bundle again with a certificate and its private key."
        )
    for key in keys.load_public_keys(certificates_pem):
        if any(keys.is_signed_by(text, manifest.signature, key) for text in manifest.signed_texts):
            return
    raise BundleRefusal(
        "signature",
        "The manifest's signature does not fit: it was changed after signing, or another key signed it.",
        hint="Verify with the certificate of the user who made the bundle.",
    )


# ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def write_manifest(manifest: Manifest, private_key: rsa.RSAPrivateKey) -> bytes:
    """The document of ``manifest``, signed by ``private_key``: Amazon's element order and quoting, version 2007-10-10."""
    machine, image = _machine(manifest), _image(manifest)
    text = serialise(machine) + serialise(image)
    bundler = [Element("name", manifest.bundler.name), Element("version", manifest.bundler.version)]
    bundler.append(Element("release", manifest.bundler.release))
    root = Element(
        "manifest",
        children=[Element("version", MANIFEST_VERSION), Element("bundler", children=bundler), machine, image],
    )
    root.children.append(Element("signature", keys.sign(text.encode(), private_key)))
    document = ("<?xml version='1.0'?>" + serialise(root)).encode()
    assert signed_text(document) == text.encode()
    return document


def _present(**texts: str | None) -> Iterator[Element]:
    """An element for every text that is not ``None``, in order."""
    return (Element(tag, text) for tag, text in texts.items() if text is not None)


def _listed(tag: str, children: list[Element]) -> list[Element]:
    return [Element(tag, children=children)] if children else []


def _machine(manifest: Manifest) -> Element:
    mappings = [
        Element("mapping", children=[Element("virtual", m.virtual), Element("device", m.device)])
        for m in sorted(manifest.block_device_mapping, key=lambda m: m.virtual)
    ]
    return Element(
        "machine_configuration",
        children=[
            *_present(architecture=manifest.architecture or ARCHITECTURE_UNSAID),
            *_listed("block_device_mapping", mappings),
            *_present(kernel_id=manifest.kernel_id, ramdisk_id=manifest.ramdisk_id),
            *_listed("product_codes", [Element("product_code", code) for code in manifest.product_codes]),
        ],
    )


def _image(manifest: Manifest) -> Element:
    parts = [
        Element(
            "part",
            attribute=str(p.index),
            children=[Element("filename", p.filename), Element("digest", p.sha1, "SHA1")],
        )
        for p in manifest.parts
    ]
    return Element(
        "image",
        children=[
            *_present(
                name=manifest.name, user=manifest.account_id, type=manifest.image_type, kernel_name=manifest.kernel_name
            ),
            *_listed("ancestry", [Element("ancestor_ami_id", ami) for ami in manifest.ancestor_ami_ids]),
            Element("digest", manifest.image_sha1, "SHA1"),
            *_present(size=str(manifest.size_bytes), bundled_size=str(manifest.bundled_size_bytes)),
            Element("ec2_encrypted_key", manifest.ec2.key or "", "AES-128-CBC"),
            Element("user_encrypted_key", manifest.user.key or "", "AES-128-CBC"),
            *_present(ec2_encrypted_iv=manifest.ec2.iv or "", user_encrypted_iv=manifest.user.iv or ""),
            Element("parts", attribute=str(len(parts)), children=parts),
        ],
    )
