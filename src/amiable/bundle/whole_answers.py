"""Answers that came whole, or else a lost connection: botocore takes one that broke off under way for an answer.

botocore tells urllib3 not to hold a body against its Content-Length.  Of a server that dies between an answer's head and its body it
then reads an empty document: of some services as an answer without anything in it (a bucket that looks empty, an upload that looks
stored), of others as a ResponseParserError, which is no BotoCoreError and is not tried again.  A lost connection is what it is.

    length told             whole: that many bytes
    told in chunks          whole: urllib3 saw the last chunk
    ended with the          whole: an XML or JSON document that can be read to its end; where even the head does not say that the
    connection              connection will be closed, more than nothing

Source: RFC 9112, 6.3 (Message Body Length) and 8 (Handling Incomplete Messages).
"""

import json
from contextlib import closing
from typing import Any, Final
from xml.etree import ElementTree

from botocore.exceptions import BotoCoreError, ClientError, ConnectionClosedError
from botocore.parsers import ResponseParserError

FAILURES: Final = (BotoCoreError, ClientError, ResponseParserError)
"""Whatever a call of a boto3 client fails with: refused, lost, or answered by something that is no such server."""

_BODILESS_STATUS: Final = (204, 304)
_HTTP_1_1: Final = 11


def whole_answers(client: Any) -> Any:
    """``client``, a boto3 client, told not to take a broken-off answer: it raises ConnectionClosedError, tried again as any other."""
    endpoint = client._endpoint  # botocore lets nobody choose the session by which a client sends
    endpoint.http_session = WholeAnswers(endpoint.http_session)
    return client


class WholeAnswers:
    """A session of botocore's whose ``send`` answers whole or raises ConnectionClosedError.

    A streamed body is its reader's affair: :func:`read_body`.
    """

    def __init__(self, session: Any) -> None:
        self._session = session

    def send(self, request: Any) -> Any:
        """The answer to a prepared request."""
        answer = self._session.send(request)
        if request.method != "HEAD" and answer.status_code not in _BODILESS_STATUS and not _is_whole(request, answer):
            answer.raw.close()
            raise ConnectionClosedError(endpoint_url=request.url, request=request)
        return answer

    def close(self) -> None:
        """Closes its connections."""
        self._session.close()


def read_body(body: Any, bytes_max: int) -> bytes:
    """The first ``bytes_max`` bytes of a streamed body, or all of a shorter one; raises as botocore does where it breaks off.

    The body is closed.  Inside ``with body as raw`` it would be urllib3's, which is not held against its length.
    """
    pieces, left = [], bytes_max
    with closing(body):
        while left and (piece := body.read(left)):
            pieces.append(piece)
            left -= len(piece)
    return b"".join(pieces)


def _is_whole(request: Any, answer: Any) -> bool:
    length = answer.headers.get("Content-Length", "")
    is_streamed = bool(request.stream_output)
    if length.isdecimal():
        return is_streamed or len(answer.content) >= int(length)
    if "chunked" in answer.headers.get("Transfer-Encoding", "").lower():
        return True
    will_close = answer.raw.version < _HTTP_1_1 or "close" in answer.headers.get("Connection", "").lower()
    if not will_close and (is_streamed or not answer.content):
        return False
    return is_streamed or _is_read_to_its_end(answer.content, answer.headers.get("Content-Type", "").lower())


def _is_read_to_its_end(body: bytes, content_type: str) -> bool:
    if not body or not ("xml" in content_type or "json" in content_type):
        return True
    try:
        json.loads(body) if "json" in content_type else ElementTree.fromstring(body)
    except (ValueError, ElementTree.ParseError):
        return False
    return True
