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
import xml.parsers.expat
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa

from amiable.bundle import keys
from amiable.model.errors import BundleRefusal
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
TEXT_CHARACTERS_MAX: Final = 65_536
PARTS_MAX: Final = 100_000
IMAGE_BYTES_MAX: Final = 1 << 44
"""16 TiB: no image of a bundle is larger; a declared size above it is an attack or a mistake."""

FILENAME_BYTES_MAX: Final = 255
READABLE_VERSIONS: Final = ("2007-10-10", "2007-08-29", "20070829", "3")

# Which elements may stand in which, and whether more than once (*).  An element that is not named here holds text alone.
CHILDREN: Final[dict[str, tuple[str, ...]]] = {
    "manifest": ("version", "bundler", "machine_configuration", "image", "signature"),
    "signed": ("machine_configuration", "image"),
    "bundler": ("name", "version", "release"),
    "machine_configuration": ("architecture", "block_device_mapping", "kernel_id", "ramdisk_id", "product_codes"),
    "block_device_mapping": ("mapping*",),
    "mapping": ("virtual", "device"),
    "product_codes": ("product_code*",),
    "image": (
        "name", "user", "type", "kernel_name", "ancestry", "digest", "size", "bundled_size", "ec2_encrypted_key",
        "user_encrypted_key", "ec2_encrypted_iv", "user_encrypted_iv", "parts",
    ),
    "ancestry": ("ancestor_ami_id*",),
    "parts": ("part*",),
    "part": ("filename", "digest"),
}  # fmt: skip
ATTRIBUTES: Final = {
    "digest": "algorithm",
    "ec2_encrypted_key": "algorithm",
    "user_encrypted_key": "algorithm",
    "parts": "count",
    "part": "index",
}
ENTITIES: Final = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&apos;"))

_NUMBER: Final = re.compile(r"[0-9]{1,20}")
_SHA1: Final = re.compile(r"[0-9a-fA-F]{40}")
_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{2})+")


@dataclass(slots=True)
class Element:
    """An element as read or to be written: text or children, never both; at most one attribute."""

    tag: str
    text: str = ""
    attribute: str | None = None
    children: list["Element"] = field(default_factory=list)

    def find(self, tag: str) -> "Element | None":
        """The first child called ``tag``."""
        return next((child for child in self.children if child.tag == tag), None)

    def need(self, tag: str) -> "Element":
        """The child called ``tag``; refuses its absence."""
        found = self.find(tag)
        if found is None:
            raise _fault(f"<{self.tag}> has no <{tag}>.")
        return found

    def text_of(self, tag: str) -> str | None:
        """The text of the child called ``tag``; ``None`` where it is absent."""
        found = self.find(tag)
        return None if found is None else found.text

    def texts_in(self, tag: str) -> tuple[str, ...]:
        """The texts of the children of the child called ``tag``, split at commas, blanks left out."""
        found = self.find(tag)
        pieces = [piece.strip() for child in (found.children if found else []) for piece in child.text.split(",")]
        return tuple(piece for piece in pieces if piece)


def _fault(message: str) -> BundleRefusal:
    return BundleRefusal("manifest", f"The manifest is refused: {message}")


# ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def read_manifest(document: bytes) -> Manifest:
    """The manifest in ``document``, its signature not yet verified; raises BundleRefusal at stage manifest.

    Values of image and machine come from the text that is signed.  ``signature`` is ``None`` where the element is absent, empty or
    ``UNSIGNED``.
    """
    if len(document) > MANIFEST_BYTES_MAX:
        raise _fault(f"it has {len(document)} bytes; at most {MANIFEST_BYTES_MAX} are read.")
    root = _parse(document, "manifest")
    version = root.need("version").text
    if version not in READABLE_VERSIONS:
        raise _fault(f"<version> is {version!r}; known are {', '.join(READABLE_VERSIONS)}.")
    text = signed_text(document)
    signed = _parse(b"<signed>" + text + b"</signed>", "signed")
    if signed.children != [child for tag in CHILDREN["signed"] if (child := root.find(tag))]:
        raise BundleRefusal("signature", "The signed text and the document say different things.")
    signature = (root.text_of("signature") or "").strip()
    if signature and signature != "UNSIGNED" and not _HEX.fullmatch(signature):
        raise _fault("<signature> is not hexadecimal.")
    bundler = root.find("bundler") or Element("bundler")
    machine = signed.find("machine_configuration") or Element("machine_configuration")
    return _manifest(
        machine,
        signed.need("image"),
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


class _Strict:
    """Builds elements by the table above and refuses everything else, with the offending name."""

    def __init__(self, root_tag: str) -> None:
        self.root: Element | None = None
        self.root_tag = root_tag
        self.open: list[Element] = []

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        element = Element(tag)
        if not self.open:
            if tag != self.root_tag:
                raise _fault(f"the outermost element is <{tag}>, not <{self.root_tag}>.")
            self.root = element
        else:
            self._adopt(self.open[-1], element)
        for name, value in attributes.items():
            if ATTRIBUTES.get(tag) != name:
                raise _fault(f"<{tag}> has an unknown attribute {name!r}.")
            element.attribute = value
        self.open.append(element)

    @staticmethod
    def _adopt(parent: Element, element: Element) -> None:
        allowed = CHILDREN.get(parent.tag, ())
        if element.tag + "*" not in allowed:
            if element.tag not in allowed:
                raise _fault(f"<{element.tag}> does not belong in <{parent.tag}>.")
            if parent.find(element.tag) is not None:
                raise _fault(f"<{element.tag}> stands twice in <{parent.tag}>.")
        parent.children.append(element)

    def end(self, tag: str) -> None:
        element = self.open.pop()
        if element.tag in CHILDREN:
            if element.text.strip():
                raise _fault(f"<{tag}> has text where only elements belong.")
            element.text = ""

    def characters(self, text: str) -> None:
        element = self.open[-1]
        element.text += text
        if len(element.text) > TEXT_CHARACTERS_MAX:
            raise _fault(f"<{element.tag}> has more than {TEXT_CHARACTERS_MAX} characters.")


def _parse(document: bytes, root_tag: str) -> Element:
    strict = _Strict(root_tag)
    parser = xml.parsers.expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.StartElementHandler = strict.start
    parser.EndElementHandler = strict.end
    parser.CharacterDataHandler = strict.characters
    parser.XmlDeclHandler = _check_declaration
    for what, handler in (
        ("a DTD", "StartDoctypeDeclHandler"),
        ("an entity declaration", "EntityDeclHandler"),
        ("a comment", "CommentHandler"),
        ("a processing instruction", "ProcessingInstructionHandler"),
        ("a CDATA section", "StartCdataSectionHandler"),
    ):
        setattr(parser, handler, _refuser(what))
    try:
        parser.Parse(document, True)
    except xml.parsers.expat.ExpatError as error:
        raise _fault(f"it is not well-formed XML ({error}).") from error
    assert strict.root is not None
    return strict.root


def _refuser(what: str) -> object:
    def refuse(*_: object) -> None:
        raise _fault(f"it holds {what}, which no bundler writes.")

    return refuse


def _check_declaration(version: str, encoding: str | None, standalone: int) -> None:
    if encoding is not None and encoding.upper() not in ("ASCII", "US-ASCII", "UTF-8"):
        raise _fault(f"its encoding is {encoding!r}; ASCII and UTF-8 are read.")


def _manifest(
    machine: Element,
    image: Element,
    *,
    version: str,
    bundler: Bundler,
    signature: str | None,
    signed_texts: tuple[bytes, ...],
) -> Manifest:
    size_bytes = _number(image, "size", 1, IMAGE_BYTES_MAX)
    bundled_size_bytes = _number(image, "bundled_size", 16, 2 * IMAGE_BYTES_MAX)
    if bundled_size_bytes % 16:
        raise _fault(f"<bundled_size> {bundled_size_bytes} is not a multiple of 16, as AES-CBC makes it.")
    image_type = image.text_of("type")
    if image_type is not None and image_type not in IMAGE_TYPES:
        raise _fault(f"<type> is {image_type!r}; known are {', '.join(IMAGE_TYPES)}.")
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
        raise _fault(f"<{tag}> is {text[:40]!r}, not a number of bytes.")
    if not least <= int(text) <= most:
        raise _fault(f"<{tag}> is {text}, outside {least} to {most}.")
    return int(text)


def _sha1(parent: Element) -> str:
    digest = parent.need("digest")
    if digest.attribute != "SHA1":
        raise _fault(
            f"<digest> in <{parent.tag}> is by {digest.attribute!r}; SHA1 is the only algorithm of the format."
        )
    if not _SHA1.fullmatch(digest.text):
        raise _fault(f"<digest> in <{parent.tag}> is not a SHA-1 in hex.")
    return digest.text.lower()


def _wrapped(image: Element, tag: str) -> str | None:
    found = image.find(tag)
    if found is None or not found.text:
        return None
    if found.attribute not in (None, "AES-128-CBC"):
        raise _fault(f"<{tag}> is for {found.attribute!r}; AES-128-CBC is the only cipher of the format.")
    if not _HEX.fullmatch(found.text):
        raise _fault(f"<{tag}> is not hexadecimal.")
    return found.text


def _basename(tag: str, name: str) -> str:
    if (
        not name
        or name in (".", "..")
        or "/" in name
        or any(ord(c) < 32 for c in name)
        or len(name.encode()) > FILENAME_BYTES_MAX
    ):
        raise _fault(f"<{tag}> {name[:80]!r} is not a plain file name.")
    return name


def _parts(parts: Element) -> tuple[Part, ...]:
    if parts.attribute is None or not _NUMBER.fullmatch(parts.attribute):
        raise _fault(f"<parts> has count {parts.attribute!r}, not a number.")
    if int(parts.attribute) != len(parts.children):
        raise _fault(f"<parts> has count {int(parts.attribute)}, but {len(parts.children)} <part> elements.")
    if not 1 <= len(parts.children) <= PARTS_MAX:
        raise _fault(f"there are {len(parts.children)} parts; 1 to {PARTS_MAX} are read.")
    read = sorted(map(_part, parts.children), key=lambda part: part.index)
    for expected, part in enumerate(read):
        if part.index != expected:
            raise _fault(
                f"part indexes are not 0 to {len(read) - 1}, each once: {part.index} stands where {expected} belongs."
            )
    if len({part.filename for part in read}) != len(read):
        raise _fault("two parts have the same <filename>.")
    return tuple(read)


def _part(part: Element) -> Part:
    if part.attribute is None or not _NUMBER.fullmatch(part.attribute):
        raise _fault(f"<part> has index {part.attribute!r}, not a number.")
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


def serialise(element: Element) -> str:
    """``element`` in REXML's form: single quotes, no white space between elements, ``<e/>`` for an empty one."""
    attribute = f" {ATTRIBUTES[element.tag]}='{_escape(element.attribute)}'" if element.attribute is not None else ""
    inside = _escape(element.text) + "".join(map(serialise, element.children))
    return f"<{element.tag}{attribute}>{inside}</{element.tag}>" if inside else f"<{element.tag}{attribute}/>"


def _escape(text: str) -> str:
    for character, entity in ENTITIES:
        text = text.replace(character, entity)
    return text


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
            *_present(architecture=manifest.architecture),
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
