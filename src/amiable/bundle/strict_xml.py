"""The elements of a manifest, and a parser that takes these alone.

Refused, with the offence named: DTD, entities, comments, processing instructions, CDATA, elements that are unknown, misplaced or
repeated, unknown attributes, text between elements, encodings other than ASCII and UTF-8.
"""

import xml.parsers.expat
from dataclasses import dataclass, field
from typing import Final

from amiable.model.errors import BundleRefusal

TEXT_CHARACTERS_MAX: Final = 65_536

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
            raise fault(f"<{self.tag}> has no <{tag}>.")
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


def fault(message: str) -> BundleRefusal:
    """The refusal of a manifest that ``message`` is the matter with."""
    return BundleRefusal("manifest", f"The manifest is refused: {message}")


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
                raise fault(f"the outermost element is <{tag}>, not <{self.root_tag}>.")
            self.root = element
        else:
            self._adopt(self.open[-1], element)
        for name, value in attributes.items():
            if ATTRIBUTES.get(tag) != name:
                raise fault(f"<{tag}> has an unknown attribute {name!r}.")
            element.attribute = value
        self.open.append(element)

    @staticmethod
    def _adopt(parent: Element, element: Element) -> None:
        allowed = CHILDREN.get(parent.tag, ())
        if element.tag + "*" not in allowed:
            if element.tag not in allowed:
                raise fault(f"<{element.tag}> does not belong in <{parent.tag}>.")
            if parent.find(element.tag) is not None:
                raise fault(f"<{element.tag}> stands twice in <{parent.tag}>.")
        parent.children.append(element)

    def end(self, tag: str) -> None:
        element = self.open.pop()
        if element.tag in CHILDREN:
            if element.text.strip():
                raise fault(f"<{tag}> has text where only elements belong.")
            element.text = ""

    def refuser(self, what: str) -> object:
        """A handler that refuses ``what``, naming the element that it stands in."""

        def refuse(*_: object) -> None:
            where = f"in <{self.open[-1].tag}>" if self.open else "outside of all elements"
            raise fault(f"there is {what} {where}, which no bundler writes.")

        return refuse

    def characters(self, text: str) -> None:
        element = self.open[-1]
        element.text += text
        if len(element.text) > TEXT_CHARACTERS_MAX:
            raise fault(f"<{element.tag}> has more than {TEXT_CHARACTERS_MAX} characters.")


def parse(document: bytes, root_tag: str) -> Element:
    """The element ``root_tag`` that ``document`` consists of; raises BundleRefusal at stage manifest."""
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
        setattr(parser, handler, strict.refuser(what))
    try:
        parser.Parse(document, True)
    except xml.parsers.expat.ExpatError as error:
        raise fault(f"it is not well-formed XML ({error}).") from error
    assert strict.root is not None
    return strict.root


def _check_declaration(version: str, encoding: str | None, standalone: int) -> None:
    if encoding is not None and encoding.upper() not in ("ASCII", "US-ASCII", "UTF-8"):
        raise fault(f"its encoding is {encoding!r}; ASCII and UTF-8 are read.")


def serialise(element: Element) -> str:
    """``element`` in REXML's form: single quotes, no white space between elements, ``<e/>`` for an empty one."""
    attribute = f" {ATTRIBUTES[element.tag]}='{_escape(element.attribute)}'" if element.attribute is not None else ""
    inside = _escape(element.text) + "".join(map(serialise, element.children))
    return f"<{element.tag}{attribute}>{inside}</{element.tag}>" if inside else f"<{element.tag}{attribute}/>"


def _escape(text: str) -> str:
    for character, entity in ENTITIES:
        text = text.replace(character, entity)
    return text
