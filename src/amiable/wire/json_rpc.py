"""The JSON 1.1 protocol, which Systems Manager speaks: one path, the action in a header, members in a JSON object.

    POST / HTTP/1.1                                    200
    X-Amz-Target: AmazonSSM.GetParameter               Content-Type: application/x-amz-json-1.1
    Content-Type: application/x-amz-json-1.1           {"Parameter": {…}}
    {"Name": "/a"}                                     400 {"__type": "ParameterNotFound", "message": "…"}

Timestamps are Unix seconds.  What the model does not allow is a ValidationException.
"""

from typing import Any, Final

import msgspec

from amiable.model.errors import InvalidAction, InvalidParameterValue, MissingParameter, UnknownParameter
from amiable.model.parameter_errors import SsmRefusal
from amiable.wire.generated import ssm
from amiable.wire.json_codec import JsonCodec, read_document
from amiable.wire.shape import Operation, Service

CONTENT_TYPE: Final = "application/x-amz-json-1.1"


class JsonRpcProtocol:
    """One service's actions; ``target`` is what stands before an action's name."""

    def __init__(self, service: Service, target: str) -> None:
        self.service = service
        self.target = f"{target}."
        self._codec = JsonCodec(service)

    def action_of(self, target: str) -> str:
        """The action that the header names; raises InvalidAction where AWS has none of that name."""
        action = target.removeprefix(self.target)
        if not target.startswith(self.target) or action not in self.service.actions:
            raise InvalidAction(action=target or "(no X-Amz-Target)")
        return action

    def read_request(self, operation: Operation, body: bytes) -> Any:
        """The typed request; raises SsmRefusal: SerializationException, ValidationException."""
        document = read_document(body)
        if document is None:
            raise SsmRefusal("SerializationException", "The request's body is not a JSON object.")
        assert operation.input is not None
        try:
            return self._codec.read(operation.input, document, "")
        except (InvalidParameterValue, MissingParameter, UnknownParameter) as refusal:
            raise SsmRefusal("ValidationException", f"1 validation error detected: {refusal.message}") from None

    def write_response(self, operation: Operation, result: Any) -> bytes:
        """The body of an answer."""
        assert operation.output is not None
        return msgspec.json.encode(self._codec.write(operation.output, result))

    def write_error(self, code: str, message: str) -> bytes:
        """The body of an error."""
        return msgspec.json.encode({"__type": code, "message": message})


SSM: Final = JsonRpcProtocol(ssm.SERVICE, "AmazonSSM")
