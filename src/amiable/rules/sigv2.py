"""Signature Version 2 of S3: the ``Authorization`` header of the classic uploaders, and the query ("presigned") that boto3 makes.

    Authorization: AWS <access key id>:<signature>          or  ?AWSAccessKeyId=…&Expires=…&Signature=…

    string to sign = METHOD \\n Content-MD5 \\n Content-Type \\n date \\n x-amz-* headers path?subresources
    signature      = base64(HMAC-SHA1(secret, string to sign))

``date`` is ``Date`` (nothing, where ``x-amz-date`` is sent, which is signed among the others), and must be within 15 minutes; of a
query it is ``Expires``, a moment in Unix seconds.  Clients put the headers that they signed into the query (botocore: Content-Type,
Content-MD5, x-amz-*), so there a parameter of such a name stands for the header, unless that is sent.  The path is signed as sent, a bucket's own with
or without a slash behind it (clients differ), under a virtual host with the bucket before it.  The body is covered only where the
request says its hash.  The query protocol's form of this version is ``rules/sigv2_form.py``.

Source: S3 developer guide, "Signing and authenticating REST requests".
"""

import base64
import hmac
import re
from datetime import UTC, datetime
from hashlib import sha1
from typing import Final
from urllib.parse import unquote_plus

from amiable.model.errors import Unauthenticated
from amiable.rules.bucket import virtual_bucket
from amiable.rules.http_date import read_http_date
from amiable.rules.sigv4 import SKEW_MAX, UNSIGNED_PAYLOAD, Claim, Request, Scope, Signature, read_time

KEY_ID: Final = "AWSAccessKeyId"
EXPIRES: Final = "Expires"
SIGNATURE: Final = "Signature"
OWN: Final = (KEY_ID, EXPIRES, SIGNATURE)
STANDING_FOR_HEADERS: Final = ("content-type", "content-md5")
SCHEME: Final = "AWS "

_SECONDS: Final = re.compile(r"\d{1,10}", re.ASCII)
_CREDENTIAL: Final = re.compile(r"AWS ([A-Za-z0-9]{1,128}):([A-Za-z0-9+/=]{1,128})")
_STATED_PAYLOAD: Final = re.compile(r"[0-9a-f]{64}|UNSIGNED-PAYLOAD|STREAMING-UNSIGNED-PAYLOAD-TRAILER", re.ASCII)

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


def has_header(request: Request) -> bool:
    """Whether ``Authorization`` is of this version: only S3's clients send that."""
    return any(value.startswith(SCHEME) for value in request.values("authorization"))


def find_claim(request: Request, region: str) -> Claim | None:
    """The claim in header or query, ``None`` without one; raises Unauthenticated for half a one or for two.

    ``region``: the installation's, which this version does not name.
    """
    in_query = any(key in OWN for key, _ in _pairs(request))
    if has_header(request):
        if in_query or len(request.values("authorization")) > 1:
            raise Unauthenticated("malformed", "Only one auth mechanism allowed; the request carries two signatures.")
        return _claim_of_header(request, region)
    return _claim_of_query(request, region) if in_query else None


def is_of_version_2(claim: Claim) -> bool:
    """Whether the claim is of version 2, here or in a form: a SigV4 claim without signed headers is refused when it is read."""
    return not claim.signed_headers


def verify(request: Request, claim: Claim, secret: str, now: datetime) -> Signature:
    """The signature, verified under ``secret`` and in time at ``now``; raises Unauthenticated."""
    if claim.expires_seconds is not None:
        if claim.time < now:
            raise Unauthenticated("expired", "Request has expired.")
    elif abs(claim.time - now) > SKEW_MAX:
        raise Unauthenticated("skewed", "The difference between the request's time and the server's is too large.")
    claimed = claim.signature.encode()
    for text in strings_to_sign(request):
        expected = base64.b64encode(hmac.new(secret.encode(), text.encode("latin-1"), sha1).digest())
        if hmac.compare_digest(expected, claimed):
            return Signature(claim, b"")
    text = "The request signature we calculated does not match the signature you provided (signature version 2)."
    raise Unauthenticated("wrong-signature", text)


def strings_to_sign(request: Request) -> list[str]:
    """What the secret may have signed: one text, or two for a bucket's own path, which clients sign with a slash or without."""
    query = [] if has_header(request) else _pairs(request)
    headers: dict[str, list[str]] = {}
    for name, value in request.headers:
        if _stands_for_header(name):
            headers.setdefault(name, []).append(value.strip())
    sent = frozenset(headers)
    for key, value in query:
        if _stands_for_header(key) and key.lower() not in sent:
            headers.setdefault(key.lower(), []).append(value)
    first = (request.method, *(",".join(headers.get(name, [])) for name in ("content-md5", "content-type")))
    date = next((value for key, value in query if key == EXPIRES), None)
    if date is None:
        date = "" if "x-amz-date" in headers else ",".join(request.values("date")).strip()
    amazon = "".join(f"{name}:{','.join(headers[name])}\n" for name in sorted(headers) if name.startswith("x-amz-"))
    return ["\n".join((*first, date, amazon + resource)) for resource in _resources(request)]


def _claim_of_header(request: Request, region: str) -> Claim:
    found = _CREDENTIAL.fullmatch(request.values("authorization")[0].strip())
    if found is None:
        raise Unauthenticated("malformed", "The Authorization header must be AWS AccessKeyId:Signature.")
    dates = request.values("x-amz-date") or request.values("date")
    if len(dates) != 1:
        raise Unauthenticated("malformed", "The request must have one Date or one x-amz-date header.")
    moment = _date(dates[0])
    stated = request.values("x-amz-content-sha256")
    if len(stated) > 1 or (stated and not _STATED_PAYLOAD.fullmatch(stated[0])):
        raise Unauthenticated("malformed", "x-amz-content-sha256 is not a value that signature version 2 can have.")
    scope = Scope(found[1], moment.strftime("%Y%m%d"), region, "s3")
    return Claim(scope, (), found[2], moment, None, stated[0] if stated else UNSIGNED_PAYLOAD)


def _date(text: str) -> datetime:
    """The moment of a Date header, in HTTP's form or in that of version 4."""
    moment = read_time(text.strip()) or read_http_date(text)
    if moment is None:
        raise Unauthenticated("malformed", "The request's Date header is no date.")
    return moment


def _claim_of_query(request: Request, region: str) -> Claim:
    query = _pairs(request)
    found = {name: [value for key, value in query if key == name] for name in OWN}
    if any(len(values) != 1 for values in found.values()):
        raise Unauthenticated("malformed", f"Query-string authentication needs {', '.join(OWN)}, each once.")
    expires = found[EXPIRES][0]
    if not _SECONDS.fullmatch(expires):
        raise Unauthenticated("malformed", f"{EXPIRES} must be a time in Unix seconds.")
    moment = datetime.fromtimestamp(int(expires), UTC)
    scope = Scope(found[KEY_ID][0], moment.strftime("%Y%m%d"), region, "s3")
    return Claim(scope, (), found[SIGNATURE][0], moment, 0, UNSIGNED_PAYLOAD)


def _stands_for_header(name: str) -> bool:
    return name.lower() in STANDING_FOR_HEADERS or name.lower().startswith("x-amz-")


def _resources(request: Request) -> list[str]:
    """The path as sent with the subresources by name, both decoded; a bucket's own path with a slash, then without."""
    decoded = [
        (unquote_plus(key, encoding="latin-1"), equals, unquote_plus(value, encoding="latin-1"))
        for key, equals, value in _raw(request)
    ]
    texts = [key + equals + value for key, equals, value in sorted(decoded) if key in SUBRESOURCES]
    tail = "?" + "&".join(texts) if texts else ""
    bucket = virtual_bucket(next(iter(request.values("host")), ""))
    path = request.raw_path if bucket is None else f"/{bucket}{request.raw_path}"
    if path.count("/") > 1 or path == "/":
        return [path + tail]
    return [f"{path}/{tail}", path + tail]


def _raw(request: Request) -> list[tuple[str, str, str]]:
    return [pair.partition("=") for pair in request.raw_query.split("&") if pair]


def _pairs(request: Request) -> list[tuple[str, str]]:
    """Decoded pairs, as Latin-1 of their bytes, like everything that is signed."""
    return [(unquote_plus(k, encoding="latin-1"), unquote_plus(v, encoding="latin-1")) for k, _, v in _raw(request)]
