"""The parameters of a query-protocol request, from its query string and its body."""

from amiable.model.errors import MalformedQueryString
from amiable.rules import sigv2, sigv2_form
from amiable.server.contracts import Authenticated
from amiable.wire.parameters import Node, parse

FORM_TYPE = "application/x-www-form-urlencoded"


async def read_form(request: Authenticated, limit_bytes: int) -> Node:
    """The tree of what was sent, without a signature's own parameters.  A body of another type than a form is refused."""
    if request.method not in ("GET", "POST"):
        raise MalformedQueryString(why=f"the method is {request.method}; GET and POST are understood.")
    body = await request.body.read(limit_bytes)
    media_type = request.headers.get("content-type", FORM_TYPE).partition(";")[0].strip().lower()
    if body and media_type != FORM_TYPE:
        raise MalformedQueryString(why=f"the body is {media_type}; {FORM_TYPE} is understood.")
    try:
        root = parse(request.raw_query, body.decode("ascii"))
    except UnicodeDecodeError:
        raise MalformedQueryString(why="the body has bytes outside ASCII that are not percent-encoded.") from None
    if sigv2.is_of_version_2(request.signature.claim):
        for name in sigv2_form.OWN:
            root.children.pop(name, None)
    return root
