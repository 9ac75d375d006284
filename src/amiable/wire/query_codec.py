"""The compiler under both query protocols, EC2's and the plain one: shapes in, closures out.

A reader walks what was *sent* (:class:`Node`) and meets each parameter once; a writer has its tags as literals and appends to one
list.  Both are compiled once, when the codec is made; a shape that contains itself is bound late.
"""

from collections.abc import Callable
from typing import Any

from amiable.model.errors import MissingParameter, UnknownParameter
from amiable.wire import scalars
from amiable.wire.parameters import Node
from amiable.wire.scalars import invalid
from amiable.wire.shape import ListOf, Member, Scalar, Service, Structure

Read = Callable[[Node, str], Any]
"""(node, its wire name) → value."""

Write = Callable[[list[str], Any], None]
"""(output, value): appends what stands between the element's tags."""


NAMES_OF_OTHERS = ("Id", "Arn", "AvailabilityZone", "KeyName")
"""How a parameter's name ends that names another thing: of no characters it names none.  Packer names the default VPC so."""


OF_ONE_ATTRIBUTE = ("Attribute", "AttributeResult")
"""How the shape of an answer about one attribute ends: ``ImageAttribute``, ``DescribeSnapshotAttributeResult``."""


class QueryCodec:
    """Readers and writers of one service.  ``list_infix``: what stands between a list's name and an index (``member.`` or nothing)."""

    def __init__(self, service: Service, *, list_infix: str = "") -> None:
        self.service = service
        self._infix = list_infix
        self._readers: dict[str, Read] = {}
        self._writers: dict[str, Write] = {}
        self._results: dict[str, Write] = {}
        for (
            operation
        ) in service.operations.values():  # all of them now: threads share the codec, and none finds it half made
            if operation.input is not None:
                self._reader(operation.input)
            if operation.output is not None:
                self._results[operation.output] = self._structure_writer(
                    service.shapes[operation.output], top=operation.output
                )

    def read(self, shape: str, root: Node) -> Any:
        """The structure ``shape`` from the tree ``root``, whose own parameters (Action, Version) are already gone."""
        return self._readers[shape](root, "")

    def write_result(self, shape: str, result: Any) -> str:
        """The members of the output ``shape`` as elements."""
        out: list[str] = []
        self._results[shape](out, result)
        return "".join(out)

    # ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _reader(self, name: str) -> Read:
        reader = self._readers.get(name)
        if reader is None:

            def late(node: Node, path: str) -> Any:
                """What a shape that contains itself meets while it is compiled."""
                return self._readers[name](node, path)

            self._readers[name] = late
            reader = self._readers[name] = self._compile_reader(name)
        return reader

    def _compile_reader(self, name: str) -> Read:
        shape = self.service.shapes[name]
        if isinstance(shape, Scalar):
            return _scalar_reader(shape)
        if isinstance(shape, ListOf):
            return _list_reader(shape, self._reader(shape.item), self._infix)
        return _structure_reader(
            shape, {member.request: (member, self._reader(member.shape)) for member in shape.members}
        )

    # ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _writer(self, name: str) -> Write:
        writer = self._writers.get(name)
        if writer is None:

            def late(out: list[str], value: Any) -> None:
                self._writers[name](out, value)

            self._writers[name] = late
            writer = self._writers[name] = self._compile_writer(name)
        return writer

    def _compile_writer(self, name: str) -> Write:
        shape = self.service.shapes[name]
        if isinstance(shape, Scalar):
            text = scalars.WRITERS[shape.kind]
            return lambda out, value: out.append(text(value))
        if isinstance(shape, ListOf):
            return _list_writer(shape, self._writer(shape.item))
        return self._structure_writer(shape, top=None)

    def _structure_writer(self, shape: Any, *, top: str | None) -> Write:
        assert isinstance(shape, Structure)
        rows = [
            (
                member.attribute,
                f"<{member.answer}>",
                f"</{member.answer}>",
                self._writer(member.shape),
                self._default(top, member),
            )
            for member in shape.members
        ]

        def write(out: list[str], value: Any) -> None:
            for attribute, opened, closed, writer, default in rows:
                item = getattr(value, attribute)
                if item is None:
                    if default:
                        out.append(default)
                    continue
                out.append(opened)
                writer(out, item)
                out.append(closed)

        return write

    def _default(self, top: str | None, member: Member) -> str:
        """What stands for ``None`` at the top of an answer: result sets are there even when empty, and ``return`` is true.

        Sets of tags are not results, and an answer about one attribute leaves the others out.
        """
        shape = self.service.shapes[member.shape]
        if top is None or top.endswith(OF_ONE_ATTRIBUTE):
            return ""
        if isinstance(shape, ListOf) and shape.item != "Tag" and isinstance(self.service.shapes[shape.item], Structure):
            return f"<{member.answer}/>"
        return "<return>true</return>" if member.answer == "return" else ""


def _scalar_reader(shape: Scalar) -> Read:
    read = scalars.compile_reader(shape)

    def reader(node: Node, path: str) -> Any:
        if node.children:
            raise UnknownParameter(parameter=f"{path}.{next(iter(node.children))}")
        return read(node.value or "", path)

    return reader


def _list_reader(shape: ListOf, item: Read, infix: str) -> Read:
    def reader(node: Node, path: str) -> list[Any]:
        if node.value:
            raise invalid(path, node.value, f"Expecting a list: {path}.{infix}1, {path}.{infix}2, and so on.")
        below = node
        if infix:
            for name in node.children:
                if name != infix[:-1]:
                    raise UnknownParameter(parameter=f"{path}.{name}")
            below = node.children.get(infix[:-1], node)
        for index in below.children:
            if not (index.isascii() and index.isdigit() and index[0] != "0" and len(index) <= 9):
                raise UnknownParameter(parameter=f"{path}.{infix}{index}")
        values = [item(below.children[index], f"{path}.{infix}{index}") for index in sorted(below.children, key=int)]
        if (shape.minimum is not None and len(values) < shape.minimum) or (
            shape.maximum is not None and len(values) > shape.maximum
        ):
            raise invalid(
                path,
                f"{len(values)} items",
                f"Expecting between {shape.minimum or 0} and {shape.maximum or 'any number of'} items.",
            )
        return values

    return reader


def _structure_reader(shape: Structure, members: dict[str, tuple[Member, Read]]) -> Read:
    made = shape.type
    required = tuple(member for member in shape.members if member.required)

    def reader(node: Node, path: str) -> Any:
        if node.value is not None:
            raise invalid(path, node.value, f"Expecting a structure: {path}.Name=value.")
        prefix = f"{path}." if path else ""
        values: dict[str, Any] = {}
        for name, child in node.children.items():
            found = members.get(name)
            if found is None:
                raise UnknownParameter(parameter=prefix + name)
            if name.endswith(NAMES_OF_OTHERS) and not child.value and not child.children:
                continue
            values[found[0].attribute] = found[1](child, prefix + name)
        for member in required:
            if member.attribute not in values:
                raise MissingParameter(parameter=prefix + member.request)
        return made(**values)

    return reader


def _list_writer(shape: ListOf, item: Write) -> Write:
    opened, closed = f"<{shape.element}>", f"</{shape.element}>"

    def write(out: list[str], values: list[Any]) -> None:
        for value in values:
            out.append(opened)
            item(out, value)
            out.append(closed)

    return write
