"""The plain query protocol, which STS speaks: a Result wrapper, ResponseMetadata, lists as ``Name.member.1``.

<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <GetCallerIdentityResult>…</GetCallerIdentityResult> <ResponseMetadata><RequestId>…</RequestId></ResponseMetadata>
</GetCallerIdentityResponse>

<ErrorResponse xmlns="…"><Error><Type>Sender</Type><Code>…</Code><Message>…</Message></Error><RequestId>…</RequestId></ErrorResponse>
"""

from typing import Any, Final

from amiable.model.errors import InvalidAction, NotImplementedAction
from amiable.wire.ec2_query import DECLARATION
from amiable.wire.generated import sts
from amiable.wire.parameters import Node
from amiable.wire.query_codec import QueryCodec
from amiable.wire.scalars import xml_text
from amiable.wire.shape import Operation

CONTENT_TYPE: Final = "text/xml"
VERSIONS: Final = frozenset({sts.SERVICE.version})

_CODEC = QueryCodec(sts.SERVICE, list_infix="member.")


def operation_of(action: str) -> Operation:
    """The operation; refuses one that AWS has and Amiable does not, and one that nobody has."""
    operation = sts.OPERATIONS.get(action)
    if operation is None:
        raise NotImplementedAction(action=action) if action in sts.ACTIONS else InvalidAction(action=action)
    return operation


def read_request(operation: Operation, root: Node) -> Any:
    """The typed request."""
    assert operation.input is not None
    return _CODEC.read(operation.input, root)


def write_response(operation: Operation, result: Any, *, request_id: str) -> bytes:
    """The answer's XML."""
    assert operation.output is not None
    name, body = operation.name, _CODEC.write_result(operation.output, result)
    metadata = f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>"
    opened = f'<{name}Response xmlns="{sts.SERVICE.namespace}">'
    return f"{opened}<{name}Result>{body}</{name}Result>{metadata}</{name}Response>".encode()


def write_error(code: str, message: str, *, request_id: str, is_senders_fault: bool) -> bytes:
    """An error's XML."""
    kind = "Sender" if is_senders_fault else "Receiver"
    error = f"<Error><Type>{kind}</Type><Code>{xml_text(code)}</Code><Message>{xml_text(message)}</Message></Error>"
    body = f'<ErrorResponse xmlns="{sts.SERVICE.namespace}">{error}<RequestId>{request_id}</RequestId></ErrorResponse>'
    return (DECLARATION + body).encode()
