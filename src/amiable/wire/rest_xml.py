"""S3's XML: written from nested pairs, read without document types, entities or depth.

A body comes from whoever holds a key, so it is read by expat under limits: no DOCTYPE (so no entity of any kind), bounded depth
and element count.  The size is the caller's to bound.
"""

from dataclasses import dataclass, field
from typing import Final, TypeAlias
from xml.parsers import expat
from xml.sax.saxutils import escape

from amiable.model.errors import S3Refusal

NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"
DEPTH_MAX: Final = 8
ELEMENTS_MAX: Final = 100_000

Value: TypeAlias = "str | int | bool | Children"
Children: TypeAlias = "list[tuple[str, Value | None]]"

_CONTROLS: Final = {chr(code): f"&#x{code:X};" for code in range(0x20) if chr(code) not in "\t\n"}


def document(root: str, children: Children, *, namespace: str | None = NAMESPACE) -> bytes:
    """The document: each pair an element, a list its children, ``None`` left out."""
    out = ['<?xml version="1.0" encoding="UTF-8"?>\n', f'<{root} xmlns="{namespace}">' if namespace else f"<{root}>"]
    _write(out, children)
    out.append(f"</{root}>")
    return "".join(out).encode(errors="xmlcharrefreplace")


def _write(out: list[str], children: Children) -> None:
    for name, value in children:
        if value is None:
            continue
        out.append(f"<{name}>")
        if isinstance(value, list):
            _write(out, value)
        elif isinstance(value, bool):
            out.append("true" if value else "false")
        else:
            # control characters go out as references, as S3's own do: clients that mind ask for encoding-type=url
            out.append(escape(str(value), _CONTROLS))
        out.append(f"</{name.split(' ', 1)[0]}>")


@dataclass(slots=True)
class Element:
    """One element; names without their namespace."""

    name: str
    text: str = ""
    children: list["Element"] = field(default_factory=list)

    def all(self, name: str) -> list["Element"]:
        """The children of this name."""
        return [child for child in self.children if child.name == name]

    def get(self, name: str) -> str | None:
        """The text of the one child of this name; ``None`` without one; refuses several."""
        found = self.all(name)
        if len(found) > 1:
            raise malformed_xml()
        return found[0].text.strip() if found else None

    def check_children(self, *names: str) -> None:
        """Refuses children of any other name."""
        if any(child.name not in names for child in self.children):
            raise malformed_xml()


def read(body: bytes, *roots: str) -> Element:
    """The document's root, which must be one of ``roots``; raises MalformedXML."""
    reading = _Reading()
    parser = expat.ParserCreate(namespace_separator="}")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = reading.refuse
    parser.EntityDeclHandler = reading.refuse
    parser.StartElementHandler = reading.start
    parser.EndElementHandler = reading.end
    parser.CharacterDataHandler = reading.data
    try:
        parser.Parse(body, True)
    except expat.ExpatError:
        raise malformed_xml() from None
    root = reading.top.children[0]
    if root.name not in roots:
        raise malformed_xml()
    return root


class _Reading:
    def __init__(self) -> None:
        self.top = Element("")
        self._open = [self.top]
        self._elements = 0

    def start(self, name: str, _attributes: dict[str, str]) -> None:
        self._elements += 1
        if len(self._open) > DEPTH_MAX or self._elements > ELEMENTS_MAX:
            raise malformed_xml()
        element = Element(name.rpartition("}")[2])
        self._open[-1].children.append(element)
        self._open.append(element)

    def end(self, _name: str) -> None:
        self._open.pop()

    def data(self, text: str) -> None:
        self._open[-1].text += text

    def refuse(self, *_: object) -> None:
        raise malformed_xml()


def malformed_xml() -> S3Refusal:
    """MalformedXML."""
    message = "The XML you provided was not well-formed or did not validate against our published schema"
    return S3Refusal("MalformedXML", 400, message)
