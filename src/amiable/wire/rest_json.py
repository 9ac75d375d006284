"""The rest-json protocol, which EBS direct speaks: members in the path, the query, headers, a JSON body, or the body itself.

    PUT /snapshots/{snapshotId}/blocks/{blockIndex}     x-amz-Data-Length, x-amz-Checksum, x-amz-Checksum-Algorithm, x-amz-Progress
    201, x-amz-Checksum, x-amz-Checksum-Algorithm       body of the request: the block

Timestamps are Unix seconds in JSON.  Errors are JSON ``{"Message", "Reason"}`` with the type in ``X-Amzn-ErrorType``.  The service's
own word for a bad request is ValidationException; its reason is chosen by the member at fault.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

import msgspec

from amiable.model.errors import EbsRefusal, InvalidParameterValue, MissingParameter, UnknownParameter
from amiable.wire import scalars
from amiable.wire.generated import ebs
from amiable.wire.parameters import SIGNATURE
from amiable.wire.scalars import invalid
from amiable.wire.shape import ListOf, Member, Operation, Scalar, Structure

JSON_TYPE: Final = "application/json"
BLOB_TYPE: Final = "application/octet-stream"

REASONS: Final = {
    "snapshotId": "INVALID_SNAPSHOT_ID",
    "ParentSnapshotId": "INVALID_SNAPSHOT_ID",
    "blockIndex": "INVALID_BLOCK",
    "blockToken": "INVALID_BLOCK_TOKEN",
    "pageToken": "INVALID_PAGE_TOKEN",
    "VolumeSize": "INVALID_VOLUME_SIZE",
    "Tags": "INVALID_TAG",
}
"""ValidationExceptionReason by wire name; every other member's is INVALID_PARAMETER_VALUE."""

JSON_TYPES: Final[dict[str, type | tuple[type, ...]]] = {
    "string": str,
    "integer": int,
    "long": int,
    "float": (int, float),
    "boolean": bool,
}

_READ_TEXT: Final = {
    name: scalars.compile_reader(shape) for name, shape in ebs.SHAPES.items() if isinstance(shape, Scalar)
}
_CHECK: Final = {name: scalars.compile_check(shape) for name, shape in ebs.SHAPES.items() if isinstance(shape, Scalar)}


def match(method: str, raw_path: str) -> tuple[Operation, dict[str, str]] | None:
    """The operation of a method and an encoded path, with the path's parameters decoded; ``None`` where none is bound there."""
    parts = raw_path.split("/")
    for operation in ebs.OPERATIONS.values():
        pattern = operation.uri.split("/")
        if operation.method != method or len(pattern) != len(parts):
            continue
        pairs = list(zip(pattern, parts, strict=True))
        if all(word == part or (word.startswith("{") and part) for word, part in pairs):
            return operation, {word[1:-1]: unquote(part) for word, part in pairs if word.startswith("{")}
    return None


def read_request(
    operation: Operation, path_parameters: Mapping[str, str], query: str, headers: Mapping[str, str], body: bytes
) -> Any:
    """The typed request.  ``query`` is as sent; ``headers`` is looked up case-insensitively, or has names in lower case.

    Raises EbsRefusal ValidationException, naming the wire name of what is wrong.
    """
    assert operation.input is not None
    shape = ebs.SHAPES[operation.input]
    assert isinstance(shape, Structure)
    try:
        return _read_structure(shape, path_parameters, _query(query), headers, body)
    except (InvalidParameterValue, MissingParameter, UnknownParameter) as refusal:
        name = str(refusal.facts["parameter"]).partition(".")[0]
        raise EbsRefusal("ValidationException", REASONS.get(name, "INVALID_PARAMETER_VALUE"), refusal.message) from None


def write_response(operation: Operation, result: Any) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an answer."""
    assert operation.output is not None
    shape = ebs.SHAPES[operation.output]
    assert isinstance(shape, Structure)
    headers: dict[str, str] = {}
    document: dict[str, Any] = {}
    payload: bytes | None = None
    for member in shape.members:
        value = getattr(result, member.attribute)
        if member.location == "payload":
            payload = value or b""
        elif value is None:
            continue
        elif member.location == "header":
            headers[member.answer] = _text(member, value)
        else:
            document[member.answer] = _json_value(member.shape, value)
    headers["Content-Type"] = JSON_TYPE if payload is None else BLOB_TYPE
    return operation.status, headers, msgspec.json.encode(document) if payload is None else payload


def write_error(exception: str, message: str, reason: str | None) -> tuple[dict[str, str], bytes]:
    """Headers and body of an error; the status is the exception's."""
    document = {"Message": message} if reason is None else {"Message": message, "Reason": reason}
    return {"X-Amzn-ErrorType": exception, "Content-Type": JSON_TYPE}, msgspec.json.encode(document)


# ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _query(query: str) -> dict[str, str]:
    """The query's parameters without a presigned query's own; a name sent twice is refused."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError:
        raise EbsRefusal("ValidationException", "INVALID_PARAMETER_VALUE", "The query string is malformed.") from None
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise EbsRefusal("ValidationException", "INVALID_PARAMETER_VALUE", f"The parameter {name} is there twice.")
        if not name.startswith(SIGNATURE):
            found[name] = value
    return found


def _read_structure(
    shape: Structure, path: Mapping[str, str], query: Mapping[str, str], headers: Mapping[str, str], body: bytes
) -> Any:
    sources: dict[str, Mapping[str, str]] = {"uri": path, "query": query, "header": headers}
    has_payload = any(member.location == "payload" for member in shape.members)
    document = {} if has_payload else _document(body)
    _refuse_unknown(document, (m.request for m in shape.members if m.location == "body"))
    _refuse_unknown(query, (m.request for m in shape.members if m.location == "query"))
    values: dict[str, Any] = {}
    for member in shape.members:
        if member.location == "payload":
            values[member.attribute] = body
        elif member.location == "body":
            if document.get(member.request) is not None:
                values[member.attribute] = _read_json(member.shape, document[member.request], member.request)
        else:
            text = sources[member.location].get(
                member.request.lower() if member.location == "header" else member.request
            )
            if text is not None:
                values[member.attribute] = _READ_TEXT[member.shape](text, member.request)
        if member.required and member.attribute not in values:
            raise MissingParameter(parameter=member.request)
    return shape.type(**values)


def _document(body: bytes) -> dict[str, Any]:
    """The body's JSON object; no body is an empty one."""
    if not body:
        return {}
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise EbsRefusal("ValidationException", "INVALID_PARAMETER_VALUE", "The body is not a JSON object.")
    return document


def _refuse_unknown(sent: Iterable[str], known: Iterable[str]) -> None:
    names = set(known)
    for name in sent:
        if name not in names:
            raise UnknownParameter(parameter=name)


def _read_json(name: str, value: Any, path: str) -> Any:
    shape = ebs.SHAPES[name]
    if isinstance(shape, Scalar):
        if not isinstance(value, JSON_TYPES[shape.kind]) or (isinstance(value, bool) and shape.kind != "boolean"):
            raise invalid(path, value, f"Expecting {'an' if shape.kind == 'integer' else 'a'} {shape.kind}.")
        if isinstance(value, str):
            return _READ_TEXT[name](value, path)
        _CHECK[name](value, path)
        return value
    if isinstance(shape, ListOf):
        if not isinstance(value, list):
            raise invalid(path, value, "Expecting a list.")
        return [_read_json(shape.item, item, f"{path}.{number}") for number, item in enumerate(value, 1)]
    if not isinstance(value, dict):
        raise invalid(path, value, "Expecting an object.")
    _refuse_unknown((f"{path}.{key}" for key in value), (f"{path}.{member.request}" for member in shape.members))
    values = {
        member.attribute: _read_json(member.shape, value[member.request], f"{path}.{member.request}")
        for member in shape.members
        if value.get(member.request) is not None
    }
    for member in shape.members:
        if member.required and member.attribute not in values:
            raise MissingParameter(parameter=f"{path}.{member.request}")
    return shape.type(**values)


# ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _text(member: Member, value: Any) -> str:
    shape = ebs.SHAPES[member.shape]
    assert isinstance(shape, Scalar)
    return _HEADER_TEXT[shape.kind](value)


_HEADER_TEXT: Final[dict[str, Callable[[Any], str]]] = {**scalars.WRITERS, "string": str}


def _json_value(name: str, value: Any) -> Any:
    shape = ebs.SHAPES[name]
    if isinstance(shape, ListOf):
        return [_json_value(shape.item, item) for item in value]
    if isinstance(shape, Structure):
        pairs = ((member, getattr(value, member.attribute)) for member in shape.members)
        return {member.answer: _json_value(member.shape, item) for member, item in pairs if item is not None}
    return unix_seconds(value) if isinstance(value, datetime) else value


def unix_seconds(moment: datetime) -> float:
    """Seconds since 1970, to the millisecond."""
    assert moment.tzinfo is not None, "naive datetimes do not leave"
    return round((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds(), 3)
