"""The EC2 query protocol: a form in, XML out, typed on the inside.

    POST / (or GET /?…)   Action=DescribeImages&Version=2016-11-15&Owner.1=self&Filter.1.Name=state&Filter.1.Value.1=available

    <DescribeImagesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
      <requestId>…</requestId> <imagesSet><item>…</item></imagesSet>
    </DescribeImagesResponse>

    <Response><Errors><Error><Code>…</Code><Message>…</Message></Error></Errors><RequestID>…</RequestID></Response>

Lists are flat and from 1; a gap is no end.  There is no Result wrapper; an operation without an output answers
``<return>true</return>``.  The answer's namespace carries the version that was asked for.  Source: ``reference/wire.md`` §2.
"""

from collections.abc import Sequence
from typing import Any, Final

from amiable.model.errors import InvalidAction, MissingAction, MissingParameter, NoSuchVersion, NotImplementedAction
from amiable.wire.generated import ec2
from amiable.wire.parameters import Node
from amiable.wire.query_codec import QueryCodec
from amiable.wire.scalars import xml_text
from amiable.wire.shape import Operation

CONTENT_TYPE: Final = "text/xml;charset=UTF-8"
DECLARATION: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'

# The versions that clients still send: botocore's models, boto 2 (2010-08-31 to 2014-10-01) and euca2ools (from 2009-11-30).  The
# names on the wire have only been added to since.
VERSIONS: Final = frozenset(
    {
        "2009-11-30",
        "2010-06-15",
        "2010-08-31",
        "2010-11-15",
        "2011-01-01",
        "2011-02-28",
        "2011-05-15",
        "2011-07-15",
        "2011-11-01",
        "2011-12-15",
        "2012-03-01",
        "2012-04-01",
        "2012-05-01",
        "2012-06-01",
        "2012-06-15",
        "2012-07-20",
        "2012-08-15",
        "2012-10-01",
        "2012-12-01",
        "2013-02-01",
        "2013-10-15",
        "2014-02-01",
        "2014-05-01",
        "2014-06-15",
        "2014-09-01",
        "2014-10-01",
        "2015-03-01",
        "2015-04-15",
        "2015-10-01",
        "2016-04-01",
        "2016-09-15",
        "2016-11-15",
    }
)

_CODEC = QueryCodec(ec2.SERVICE)


def take_frame(root: Node, versions: frozenset[str] = VERSIONS) -> tuple[str, str]:
    """Takes ``Action`` and ``Version`` out of the tree and returns them; refuses a missing one and an unknown version."""
    action, version = root.children.pop("Action", None), root.children.pop("Version", None)
    if action is None or not action.value or action.children:
        raise MissingAction()
    if version is None or not version.value or version.children:
        raise MissingParameter(parameter="Version")
    if version.value not in versions:
        raise NoSuchVersion(version=version.value)
    return action.value, version.value


def operation_of(action: str) -> Operation:
    """The operation; refuses one that AWS has and Amiable does not, and one that nobody has."""
    operation = ec2.OPERATIONS.get(action)
    if operation is None:
        raise NotImplementedAction(action=action) if action in ec2.ACTIONS else InvalidAction(action=action)
    return operation


def read_request(operation: Operation, root: Node) -> Any:
    """The typed request.  Raises UnknownParameter, MissingParameter or InvalidParameterValue, each naming the wire name."""
    assert operation.input is not None
    return _CODEC.read(operation.input, root)


def write_response(operation: Operation, result: Any, *, request_id: str, version: str = ec2.SERVICE.version) -> bytes:
    """The answer's XML; ``result`` is the output's type, ``None`` for an operation without one."""
    if operation.output is None:
        assert result is None, f"{operation.name} has no output"
        body = "<return>true</return>"
    else:
        body = _CODEC.write_result(operation.output, result)
    name = f"{operation.name}Response"
    opened = f'<{name} xmlns="http://ec2.amazonaws.com/doc/{version}/"><requestId>{request_id}</requestId>'
    return f"{DECLARATION}{opened}{body}</{name}>".encode()


def write_error(code: str, message: str, *, request_id: str, ids: Sequence[str] = ()) -> bytes:
    """An error's XML: no namespace, ``RequestID`` with two capitals.

    ``Ids`` is Amiable's own element: every id that is refused, where EC2's text names one.  It is one text, as botocore hands on
    elements that it does not know.
    """
    own = f"<Ids>{xml_text(', '.join(ids))}</Ids>" if ids else ""
    error = f"<Error><Code>{xml_text(code)}</Code><Message>{xml_text(message)}</Message>{own}</Error>"
    return f"{DECLARATION}<Response><Errors>{error}</Errors><RequestID>{request_id}</RequestID></Response>".encode()
