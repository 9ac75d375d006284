"""The plain query protocol, which STS and IAM speak: a Result wrapper, ResponseMetadata, lists as ``Name.member.1``.

<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <GetCallerIdentityResult>…</GetCallerIdentityResult> <ResponseMetadata><RequestId>…</RequestId></ResponseMetadata>
</GetCallerIdentityResponse>

<ErrorResponse xmlns="…"><Error><Type>Sender</Type><Code>…</Code><Message>…</Message></Error><RequestId>…</RequestId></ErrorResponse>

An operation without an output has no Result.
"""

from typing import Any, Final

from amiable.model.errors import InvalidAction, NotImplementedAction
from amiable.wire.ec2_query import DECLARATION
from amiable.wire.generated import iam, sts
from amiable.wire.parameters import Node
from amiable.wire.query_codec import QueryCodec
from amiable.wire.scalars import xml_text
from amiable.wire.shape import Operation, Service

CONTENT_TYPE: Final = "text/xml"


class QueryProtocol:
    """The protocol of one service."""

    def __init__(self, service: Service) -> None:
        self.name: Final = service.name
        self._service = service
        self._codec = QueryCodec(service, list_infix="member.")
        self.versions: Final = frozenset({service.version})

    def operation_of(self, action: str) -> Operation:
        """The operation; refuses one that AWS has and Amiable does not, and one that nobody has."""
        operation = self._service.operations.get(action)
        if operation is None:
            raise (
                NotImplementedAction(action=action) if action in self._service.actions else InvalidAction(action=action)
            )
        return operation

    def read_request(self, operation: Operation, root: Node) -> Any:
        """The typed request."""
        assert operation.input is not None
        return self._codec.read(operation.input, root)

    def write_response(self, operation: Operation, result: Any, *, request_id: str) -> bytes:
        """The answer's XML; ``result`` is the output's type, ``None`` for an operation without one."""
        name, body = operation.name, ""
        if operation.output is None:
            assert result is None, f"{name} has no output"
        else:
            body = f"<{name}Result>{self._codec.write_result(operation.output, result)}</{name}Result>"
        metadata = f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>"
        return f'<{name}Response xmlns="{self._service.namespace}">{body}{metadata}</{name}Response>'.encode()

    def write_error(self, code: str, message: str, *, request_id: str, is_senders_fault: bool) -> bytes:
        """An error's XML."""
        kind = "Sender" if is_senders_fault else "Receiver"
        error = f"<Error><Type>{kind}</Type><Code>{xml_text(code)}</Code><Message>{xml_text(message)}</Message></Error>"
        opened = f'<ErrorResponse xmlns="{self._service.namespace}">'
        return f"{DECLARATION}{opened}{error}<RequestId>{request_id}</RequestId></ErrorResponse>".encode()


STS: Final = QueryProtocol(sts.SERVICE)
IAM: Final = QueryProtocol(iam.SERVICE)
