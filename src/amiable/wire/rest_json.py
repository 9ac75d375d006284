"""The rest-json protocol, which EBS direct and the Recycle Bin speak: members in the path, the query, headers, a JSON body, or the
body itself.

    PUT /snapshots/{snapshotId}/blocks/{blockIndex}     x-amz-Data-Length, x-amz-Checksum, x-amz-Checksum-Algorithm, x-amz-Progress
    201, x-amz-Checksum, x-amz-Checksum-Algorithm       body of the request: the block

Timestamps are Unix seconds in JSON.  Errors are JSON ``{"Message", "Reason"}`` with the type in ``X-Amzn-ErrorType``.  The services'
own word for a bad request is ValidationException; its reason is chosen by the member at fault.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

import msgspec

from amiable.model.errors import EbsRefusal, InvalidParameterValue, MissingParameter, Refusal, UnknownParameter
from amiable.model.retirement_errors import RbinRefusal
from amiable.wire import scalars
from amiable.wire.generated import ebs, rbin
from amiable.wire.json_codec import JsonCodec, read_document, refuse_unknown
from amiable.wire.parameters import SIGNATURE
from amiable.wire.shape import ListOf, Member, Operation, Scalar, Service, Structure

JSON_TYPE: Final = "application/json"
BLOB_TYPE: Final = "application/octet-stream"
NO_CONTENT: Final = 204

Refuse = Callable[[str, str, str], Refusal]
"""The service's refusal of (exception, reason, message)."""

_HEADER_TEXT: Final[dict[str, Callable[[Any], str]]] = {**scalars.WRITERS, "string": str}


class RestJsonProtocol:
    """The protocol of one service, called ``title``.

    ``reasons``: a ValidationException's reason by the wire name at fault; every other name's is INVALID_PARAMETER_VALUE.
    """

    def __init__(self, service: Service, title: str, *, refuse: Refuse, reasons: Mapping[str, str]) -> None:
        self.name: Final = service.name
        self.title: Final = title
        self._service = service
        self._codec = JsonCodec(service)
        self._refuse = refuse
        self._reasons = reasons

    def match(self, method: str, raw_path: str) -> tuple[Operation, dict[str, str]] | None:
        """The operation of a method and an encoded path, with the path's parameters decoded; ``None`` where none is bound there."""
        parts = raw_path.split("/")
        for operation in self._service.operations.values():
            pattern = operation.uri.split("/")
            if operation.method != method or len(pattern) != len(parts):
                continue
            pairs = list(zip(pattern, parts, strict=True))
            if all(word == part or (word.startswith("{") and part) for word, part in pairs):
                return operation, {word[1:-1]: unquote(part) for word, part in pairs if word.startswith("{")}
        return None

    def read_request(
        self, operation: Operation, *, path: Mapping[str, str], query: str, headers: Mapping[str, str], body: bytes
    ) -> Any:
        """The typed request.  ``query`` is as sent; ``headers`` is looked up case-insensitively, or has names in lower case.

        Raises the service's ValidationException, naming the wire name of what is wrong.
        """
        assert operation.input is not None
        shape = self._service.shapes[operation.input]
        assert isinstance(shape, Structure)
        sources: dict[str, Mapping[str, str]] = {"uri": path, "header": headers}
        has_payload = any(member.location == "payload" for member in shape.members)
        document = {} if has_payload else self._document(body)
        pairs = self._pairs(query)
        try:
            refuse_unknown(document, (m.request for m in shape.members if m.location == "body"))
            refuse_unknown(pairs, (m.request for m in shape.members if m.location == "query"))
            values = {
                member.attribute: value
                for member in shape.members
                if (value := self._value(member, sources, pairs, body if has_payload else document)) is not None
            }
        except (InvalidParameterValue, MissingParameter, UnknownParameter) as refusal:
            raise self.invalid(str(refusal.facts["parameter"]).partition(".")[0], refusal.message) from None
        return shape.type(**values)

    def invalid(self, name: str, message: str) -> Refusal:
        """The service's refusal of what stands at the wire name ``name``."""
        return self._refuse("ValidationException", self._reasons.get(name, "INVALID_PARAMETER_VALUE"), message)

    def write_response(self, operation: Operation, result: Any) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of an answer."""
        assert operation.output is not None
        shape = self._service.shapes[operation.output]
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
                headers[member.answer] = self._text(member, value)
            else:
                document[member.answer] = self._codec.write(member.shape, value)
        if operation.status == NO_CONTENT:
            assert not document, f"{operation.name} answers without a body"
            return operation.status, headers, b""
        headers["Content-Type"] = JSON_TYPE if payload is None else BLOB_TYPE
        return operation.status, headers, msgspec.json.encode(document) if payload is None else payload

    def _value(
        self,
        member: Member,
        sources: Mapping[str, Mapping[str, str]],
        pairs: Mapping[str, list[str]],
        body: bytes | dict[str, Any],
    ) -> Any:
        """The member's value, ``None`` where it was not sent; raises MissingParameter for one that must be."""
        if member.location == "payload":
            return body
        value: Any = None
        if member.location == "body":
            assert isinstance(body, dict)
            if body.get(member.request) is not None:
                value = self._codec.read(member.shape, body[member.request], member.request)
        elif member.location == "query":
            value = self._query_value(member, pairs.get(member.request, []))
        else:
            text = sources[member.location].get(
                member.request.lower() if member.location == "header" else member.request
            )
            value = None if text is None else self._codec.read_text(member.shape, text, member.request)
        if value is None and member.required:
            raise MissingParameter(parameter=member.request)
        return value

    def _query_value(self, member: Member, texts: list[str]) -> Any:
        """A list has its name once an item; any other name is there once."""
        shape = self._service.shapes[member.shape]
        if not texts:
            return None
        if isinstance(shape, ListOf):
            read = [self._codec.read_text(shape.item, text, member.request) for text in texts]
            return self._codec.check_count(shape, read, member.request)
        if len(texts) > 1:
            raise self.invalid("", f"The parameter {member.request} is there twice.")
        return self._codec.read_text(member.shape, texts[0], member.request)

    def _document(self, body: bytes) -> dict[str, Any]:
        document = read_document(body)
        if document is None:
            raise self.invalid("", "The body is not a JSON object.")
        return document

    def _pairs(self, query: str) -> dict[str, list[str]]:
        """The query's parameters, without a presigned query's own."""
        try:
            pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=300)
        except ValueError:
            raise self.invalid("", "The query string is malformed.") from None
        found: dict[str, list[str]] = {}
        for name, value in pairs:
            if not name.startswith(SIGNATURE):
                found.setdefault(name, []).append(value)
        return found

    def _text(self, member: Member, value: Any) -> str:
        shape = self._service.shapes[member.shape]
        assert isinstance(shape, Scalar)
        return _HEADER_TEXT[shape.kind](value)


def write_error(exception: str, message: str, reason: str | None) -> tuple[dict[str, str], bytes]:
    """Headers and body of an error; the status is the exception's."""
    document = {"Message": message} if reason is None else {"Message": message, "Reason": reason}
    return {"X-Amzn-ErrorType": exception, "Content-Type": JSON_TYPE}, msgspec.json.encode(document)


EBS: Final = RestJsonProtocol(
    ebs.SERVICE,
    "EBS direct",
    refuse=EbsRefusal,
    reasons={
        "Content-Encoding": "INVALID_CONTENT_ENCODING",
        "snapshotId": "INVALID_SNAPSHOT_ID",
        "ParentSnapshotId": "INVALID_SNAPSHOT_ID",
        "blockIndex": "INVALID_BLOCK",
        "blockToken": "INVALID_BLOCK_TOKEN",
        "pageToken": "INVALID_PAGE_TOKEN",
        "VolumeSize": "INVALID_VOLUME_SIZE",
        "Tags": "INVALID_TAG",
    },
)
RBIN: Final = RestJsonProtocol(
    rbin.SERVICE, "the Recycle Bin", refuse=RbinRefusal, reasons={"NextToken": "INVALID_PAGE_TOKEN"}
)
