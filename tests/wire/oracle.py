"""botocore as the oracle: its serialiser writes what we read, its parser reads what we write; values come from a seeded generator."""

import base64
import random
import re
import string
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import urlencode

import botocore.session
from botocore.awsrequest import HeadersDict
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from amiable.wire.generate import attribute

TEXT = string.ascii_letters + string.digits + " .-_/:@<>&\"'%+=\u00e9\u4e2d\U0001f600"
DEPTH_MAX = 6


@cache
def model(service: str) -> Any:
    """botocore's model of ``service``."""
    return botocore.session.Session().get_service_model(service)


def serialise(service: str, operation: str, members: dict[str, Any]) -> dict[str, Any]:
    """The request as botocore's client would send it: ``url_path``, ``query_string``, ``headers``, ``body``."""
    found = model(service)
    serialiser = create_serializer(found.metadata["protocol"], include_validation=False)
    request: dict[str, Any] = serialiser.serialize_to_request(members, found.operation_model(operation))
    return request


def form(service: str, operation: str, members: dict[str, Any]) -> str:
    """The urlencoded body of a query-protocol request."""
    return urlencode(serialise(service, operation, members)["body"])


def parse(
    service: str, operation: str, body: bytes, *, headers: dict[str, str] | None = None, status: int = 200
) -> dict[str, Any]:
    """What botocore's client makes of an answer, without its metadata."""
    found = model(service)
    answer = {"body": body, "headers": HeadersDict(headers or {}), "status_code": status}
    parsed: dict[str, Any] = create_parser(found.metadata["protocol"]).parse(
        answer, found.operation_model(operation).output_shape
    )
    parsed.pop("ResponseMetadata", None)
    return parsed


class Maker:
    """Values for shapes: every member (``chance`` 1) or some, from a seed."""

    def __init__(self, seed: int, chance: float) -> None:
        self._random = random.Random(seed)
        self._chance = chance

    def value(self, shape: Any, depth: int = 0) -> Any:
        """A value of ``shape`` as botocore takes and gives it."""
        make: dict[str, Callable[[Any, int], Any]] = {
            "structure": self._structure,
            "list": self._list,
            "string": self._string,
            "integer": lambda s, d: self._number(s, 2**31 - 1),
            "long": lambda s, d: self._number(s, 2**53),
            "float": lambda s, d: self._fraction(s),
            "double": lambda s, d: self._fraction(s),
            "boolean": lambda s, d: self._random.random() < 0.5,
            "timestamp": lambda s, d: self._time(),
            "blob": lambda s, d: self._random.randbytes(self._random.randrange(1, 50)),
        }
        return make[shape.type_name](shape, depth)

    def _structure(self, shape: Any, depth: int) -> dict[str, Any]:
        names = [
            name
            for name, member in shape.members.items()
            if name in shape.required_members
            or (
                self._random.random() < self._chance
                and (depth < DEPTH_MAX or member.type_name not in ("structure", "list"))
            )
        ]
        if not names and shape.members:
            scalars = [n for n, m in shape.members.items() if m.type_name not in ("structure", "list")]
            names = [self._random.choice(scalars or list(shape.members))]
        return {name: self.value(shape.members[name], depth + 1) for name in names}

    def _list(self, shape: Any, depth: int) -> list[Any]:
        low, high = max(1, shape.metadata.get("min", 1)), shape.metadata.get("max", 11)
        size = min(high, max(low, self._random.choice((1, 2, 11) if depth < 3 else (1, 2))))
        return [self.value(shape.member, depth + 1) for _ in range(size)]

    def _string(self, shape: Any, _depth: int) -> str:
        pattern = shape.metadata.get("pattern", "")
        if "enum" in shape.metadata:
            return str(self._random.choice(shape.metadata["enum"]))
        if pattern.startswith("^snap-"):
            return "snap-" + "".join(self._random.choices("0123456789abcdef", k=17))
        if pattern == "[0-9a-zA-Z]{11}":
            return "".join(self._random.choices("0123456789abcdefXYZ", k=11))
        if shape.name == "RuleArn":
            return "arn:aws:rbin:us-east-1:123456789012:rule/" + "".join(self._random.choices("0123abcXYZ", k=11))
        if pattern.startswith("arn:"):
            return "arn:aws:kms:us-east-1:123456789012:key/abc"
        if pattern.startswith(("(/", "((/", "(\\u002F")):
            return "/path/"
        low = shape.metadata.get("min", 1)
        size = self._random.randint(low, max(low, min(shape.metadata.get("max", 30), 30)))
        if pattern.startswith("\\u002F"):
            return "/" + "".join(self._random.choices("abc/+=", k=size - 1))
        if re.fullmatch(r"\[[^]]*\][*+]", pattern) and "\\p" not in pattern:
            return "".join(
                self._random.choices([each for each in TEXT if re.fullmatch(pattern, each, re.ASCII)], k=size)
            )
        if "A-Za-z0-9" in pattern or pattern == "^[\\S]+$":
            return base64.b64encode(self._random.randbytes(9)).decode()
        return "".join(self._random.choices(TEXT, k=size))

    def _number(self, shape: Any, bound: int) -> int:
        low, high = shape.metadata.get("min", -bound), shape.metadata.get("max", bound)
        return self._random.choice((low, high, self._random.randint(low, high)))

    def _fraction(self, shape: Any) -> float:
        low: float = shape.metadata.get("min", -1000.0)
        high: float = shape.metadata.get("max", 1000.0)
        return min(high, max(low, self._random.randrange(-1000, 1000) / 8))

    def _time(self) -> datetime:
        return datetime(2000, 1, 1, tzinfo=UTC) + timedelta(milliseconds=self._random.randrange(2**40))


def agrees(shape: Any, ours: Any, theirs: Any) -> bool:
    """Whether our typed value says the same as botocore's, absent members (``None``) included."""
    if shape.type_name == "structure":
        return all(
            (getattr(ours, attribute(name)) is None) == (name not in theirs)
            and (name not in theirs or agrees(member, getattr(ours, attribute(name)), theirs[name]))
            for name, member in shape.members.items()
        )
    if shape.type_name == "list":
        return len(ours) == len(theirs) and all(agrees(shape.member, a, b) for a, b in zip(ours, theirs, strict=True))
    return bool(ours == theirs) and type(ours) is type(theirs)


def typed(module: Any, shape: Any, value: Any) -> Any:
    """botocore's ``value`` as an instance of the generated types in ``module``."""
    if shape.type_name == "structure":
        made = {attribute(name): typed(module, shape.members[name], item) for name, item in value.items()}
        return getattr(module, shape.name)(**made)
    if shape.type_name == "list":
        return [typed(module, shape.member, item) for item in value]
    return value
