"""A form's parameters as a tree: ``Filter.1.Name=state`` stands at Filter → 1 → Name.

One pass over what was sent; whoever reads the tree walks it once, so a parameter that nobody knows is seen and refused.
"""

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

from amiable.model.errors import MalformedQueryString, UnknownParameter

PARAMETERS_MAX: Final = 10_000
DEPTH_MAX: Final = 16

SIGNATURE: Final = "X-Amz-"
"""What a presigned query's own parameters begin with."""


@dataclass(slots=True)
class Node:
    """One name's value, if it was sent one, and what was sent below it."""

    value: str | None = None
    children: dict[str, "Node"] = field(default_factory=dict)


def parse(*forms: str) -> Node:
    """The tree of all pairs of ``forms`` (query and body, urlencoded); a presigned query's own are left out.

    Raises MalformedQueryString for bytes that are not UTF-8, for a name sent twice, for too many parameters.
    """
    root = Node()
    for form in forms:
        if form:
            for name, value in _pairs(form):
                if not name.startswith(SIGNATURE):
                    _put(root, name, value)
    return root


def _pairs(form: str) -> list[tuple[str, str]]:
    if form.count("&") >= PARAMETERS_MAX:
        raise MalformedQueryString(why=f"it has more than {PARAMETERS_MAX} parameters.")
    try:
        halves = (pair.partition("=") for pair in form.split("&") if pair)
        return [(_decoded(name), _decoded(value)) for name, _, value in halves]
    except UnicodeDecodeError:
        raise MalformedQueryString(why="it is not UTF-8.") from None


def _decoded(text: str) -> str:
    """What ``urllib.parse.parse_qsl`` makes of it; most texts have nothing to decode."""
    if "+" in text:
        text = text.replace("+", " ")
    return unquote(text, errors="strict") if "%" in text else text


def _put(root: Node, name: str, value: str) -> None:
    parts = name.split(".", DEPTH_MAX)
    if len(parts) > DEPTH_MAX:
        raise UnknownParameter(parameter=name)
    node = root
    for part in parts:
        child = node.children.get(part)
        if child is None:
            child = node.children[part] = Node()
        node = child
    if node.value is not None:
        raise MalformedQueryString(why=f"the parameter {name} is there twice.")
    node.value = value
