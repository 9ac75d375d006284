"""Signature Version 2 of the query protocol, as ec2-api-tools, boto 2 and euca2ools sign a form: in its own parameters.

    AWSAccessKeyId=…&SignatureVersion=2&SignatureMethod=HmacSHA256&Timestamp=2010-01-31T23:59:59Z&Signature=…

    string to sign = METHOD \\n host, lower case \\n path \\n every other parameter, by name, percent-encoded once, joined by &
    signature      = base64(HMAC(secret, string to sign))             HMAC: HmacSHA256 or HmacSHA1

All parameters are signed, those of the query and those of the body, so nothing of a form can be changed.  ``Expires`` may stand for
``Timestamp``.  Versions 0 and 1 are refused: they join names and values without a separator, so one signature fits several requests.

Source: AWS General Reference, "Signature version 2 signing process".
"""

import base64
import hmac
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha1, sha256
from typing import Any, Final
from urllib.parse import quote, unquote_to_bytes

from amiable.model.errors import Unauthenticated
from amiable.rules.sigv4 import EXPIRES_SECONDS_MAX, SKEW_MAX, UNSIGNED_PAYLOAD, Claim, Request, Scope, Signature

METHODS: Final[dict[str, Any]] = {"HmacSHA256": sha256, "HmacSHA1": sha1}
OWN: Final = frozenset(
    (
        *("AWSAccessKeyId", "Signature", "SignatureMethod", "SignatureVersion"),
        *("Timestamp", "Expires", "SecurityToken"),
    )
)
"""The signature's own parameters; the operation's are all others."""
VERSIONS: Final = {b"2011-06-15": "sts", b"2010-05-08": "iam"}
"""A form names no service but by its version."""

_TIME: Final = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z?", re.ASCII)

Pairs = Sequence[tuple[bytes, bytes]]


def pairs_of(*forms: str) -> Pairs:
    """The decoded parameters of query and body, in order."""
    return [
        (unquote_to_bytes(name.replace("+", " ")), unquote_to_bytes(value.replace("+", " ")))
        for form in forms
        for name, _, value in (pair.partition("=") for pair in form.split("&") if pair)
    ]


def find_claim(pairs: Pairs, region: str) -> Claim | None:
    """The claim among a form's parameters, ``None`` without one; raises Unauthenticated for half a one."""
    names = [name for name, _ in pairs]
    if b"AWSAccessKeyId" not in names:
        return None
    if len(set(names)) < len(names):
        raise Unauthenticated("malformed", "A parameter is there twice.")
    values = dict(pairs)
    if values.get(b"SignatureVersion") != b"2":
        raise Unauthenticated("malformed", "SignatureVersion must be 2 (or sign by version 4).")
    if values.get(b"SignatureMethod", b"").decode("latin-1") not in METHODS:
        raise Unauthenticated("malformed", f"SignatureMethod must be one of {', '.join(METHODS)}.")
    if b"Signature" not in values or (b"Timestamp" in values) == (b"Expires" in values):
        raise Unauthenticated("malformed", "A signed form needs Signature and either Timestamp or Expires.")
    expires = values.get(b"Expires")
    moment = _time(values[b"Timestamp"] if expires is None else expires)
    service = VERSIONS.get(values.get(b"Version", b""), "ec2")
    scope = Scope(values[b"AWSAccessKeyId"].decode("latin-1"), moment.strftime("%Y%m%d"), region, service)
    signature = values[b"Signature"].decode("latin-1")
    return Claim(scope, (), signature, moment, None if expires is None else 0, UNSIGNED_PAYLOAD)


def security_token(pairs: Pairs) -> str | None:
    """The session's token, if the form has one."""
    return next((value.decode("latin-1") for name, value in pairs if name == b"SecurityToken"), None)


def verify(request: Request, pairs: Pairs, claim: Claim, secret: str, now: datetime) -> Signature:
    """The signature, verified under ``secret`` and in time at ``now``; raises Unauthenticated."""
    if claim.expires_seconds is not None:
        if not now <= claim.time <= now + timedelta(seconds=EXPIRES_SECONDS_MAX):
            raise Unauthenticated("expired", "Request has expired, or expires in more than seven days.")
    elif abs(claim.time - now) > SKEW_MAX:
        raise Unauthenticated("skewed", "The difference between the request's time and the server's is too large.")
    method = METHODS[dict(pairs)[b"SignatureMethod"].decode("latin-1")]
    expected = base64.b64encode(hmac.new(secret.encode(), string_to_sign(request, pairs).encode(), method).digest())
    if not hmac.compare_digest(expected, claim.signature.encode()):
        text = "The request signature we calculated does not match the signature you provided (signature version 2)."
        raise Unauthenticated("wrong-signature", text)
    return Signature(claim, b"")


def string_to_sign(request: Request, pairs: Pairs) -> str:
    """What the secret signs."""
    host = next(iter(request.values("host")), "").lower()
    signed = sorted((name, value) for name, value in pairs if name != b"Signature")
    query = "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in signed)
    return "\n".join((request.method, host, request.raw_path or "/", query))


def _time(text: bytes) -> datetime:
    try:
        if not _TIME.fullmatch(text):
            raise ValueError
        return datetime.fromisoformat(text.decode().removesuffix("Z")).replace(tzinfo=UTC)
    except ValueError:
        raise Unauthenticated("malformed", "The time must look like 2010-01-31T23:59:59Z.") from None
