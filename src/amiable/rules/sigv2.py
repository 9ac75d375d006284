"""Signature Version 2 in the query of an S3 request ("presigned"): what boto3 still makes by default outside AWS.

    string to sign = METHOD \\n Content-MD5 \\n Content-Type \\n Expires \\n x-amz-* headers path?subresources
    signature      = base64(HMAC-SHA1(secret, string to sign))

``Expires`` is a moment in Unix seconds.  Clients put the headers that they signed into the query (botocore: Content-Type,
Content-MD5, x-amz-*), so a parameter of such a name stands for the header.  The body is not covered.  As a header this version is not
taken.  Source: S3 developer guide, "Signing and authenticating REST requests", query string request authentication alternative.
"""

import base64
import hmac
from datetime import UTC, datetime
from hashlib import sha1
from typing import Final
from urllib.parse import unquote_plus

from amiable.model.errors import Unauthenticated
from amiable.rules.sigv4 import UNSIGNED_PAYLOAD, Claim, Request, Scope, Signature

KEY_ID: Final = "AWSAccessKeyId"
EXPIRES: Final = "Expires"
SIGNATURE: Final = "Signature"
OWN: Final = (KEY_ID, EXPIRES, SIGNATURE)
STANDING_FOR_HEADERS: Final = ("content-type", "content-md5")
YEARS_MAX_SECONDS: Final = 1 << 33

SUBRESOURCES: Final = frozenset(
    (
        *(
            "accelerate",
            "acl",
            "analytics",
            "cors",
            "delete",
            "inventory",
            "lifecycle",
            "location",
            "logging",
            "metrics",
        ),
        *("notification", "object-lock", "partNumber", "policy", "replication", "requestPayment", "restore", "select"),
        *(
            "select-type",
            "storageClass",
            "tagging",
            "torrent",
            "uploadId",
            "uploads",
            "versionId",
            "versioning",
            "versions",
        ),
        *("website", "response-cache-control", "response-content-disposition", "response-content-encoding"),
        *("response-content-language", "response-content-type", "response-expires"),
    )
)


def find_claim(request: Request, region: str) -> Claim | None:
    """The claim in the query, ``None`` without one; raises Unauthenticated for half a one.  ``region``: the installation's."""
    query = _pairs(request)
    found = {name: [value for key, value in query if key == name] for name in OWN}
    if not any(found.values()):
        return None
    if any(len(values) != 1 for values in found.values()):
        raise Unauthenticated("malformed", f"Query-string authentication needs {', '.join(OWN)}, each once.")
    expires = found[EXPIRES][0]
    if not (expires.isascii() and expires.isdigit()) or int(expires) > YEARS_MAX_SECONDS:
        raise Unauthenticated("malformed", f"{EXPIRES} must be a time in Unix seconds.")
    moment = datetime.fromtimestamp(int(expires), UTC)
    scope = Scope(found[KEY_ID][0], moment.strftime("%Y%m%d"), region, "s3")
    return Claim(scope, (), found[SIGNATURE][0], moment, 0, UNSIGNED_PAYLOAD)


def is_of_version_2(claim: Claim) -> bool:
    """Whether the claim is one of :func:`find_claim`: a SigV4 claim without signed headers is refused when it is read."""
    return not claim.signed_headers


def verify(request: Request, claim: Claim, secret: str, now: datetime) -> Signature:
    """The signature, verified under ``secret`` and not expired at ``now``; raises Unauthenticated."""
    if claim.time < now:
        raise Unauthenticated("expired", "Request has expired.")
    expected = base64.b64encode(hmac.new(secret.encode(), string_to_sign(request).encode("latin-1"), sha1).digest())
    if not hmac.compare_digest(expected, claim.signature.encode()):
        text = "The request signature we calculated does not match the signature you provided (signature version 2)."
        raise Unauthenticated("wrong-signature", text)
    return Signature(claim, b"")


def string_to_sign(request: Request) -> str:
    """What the secret signs."""
    query = _pairs(request)
    headers = {key.lower(): [value] for key, value in query if _stands_for_header(key)}
    for name, value in request.headers:
        if name in STANDING_FOR_HEADERS or name.startswith("x-amz-"):
            sent_in_query = any(key.lower() == name for key, _ in query)
            if not sent_in_query:
                headers.setdefault(name, []).append(value.strip())
    first = (request.method, *(",".join(headers.get(name, [])) for name in ("content-md5", "content-type")))
    expires = next(value for key, value in query if key == EXPIRES)
    amazon = "".join(f"{name}:{','.join(headers[name])}\n" for name in sorted(headers) if name.startswith("x-amz-"))
    return "\n".join((*first, expires, amazon + _resource(request)))


def _stands_for_header(name: str) -> bool:
    return name.lower() in STANDING_FOR_HEADERS or name.lower().startswith("x-amz-")


def _resource(request: Request) -> str:
    """The path as sent (a bucket's with a slash behind it), and the subresources by name; their values decoded."""
    named = [(key, equals, value) for key, equals, value in _raw(request) if key in SUBRESOURCES]
    texts = [
        f"{key}={unquote_plus(value, encoding='latin-1')}" if equals else key for key, equals, value in sorted(named)
    ]
    path = request.raw_path if request.raw_path.count("/") > 1 or request.raw_path == "/" else request.raw_path + "/"
    return path + ("?" + "&".join(texts) if texts else "")


def _raw(request: Request) -> list[tuple[str, str, str]]:
    return [pair.partition("=") for pair in request.raw_query.split("&") if pair]


def _pairs(request: Request) -> list[tuple[str, str]]:
    """Decoded pairs, as Latin-1 of their bytes, like everything that is signed."""
    return [(unquote_plus(k, encoding="latin-1"), unquote_plus(v, encoding="latin-1")) for k, _, v in _raw(request)]
