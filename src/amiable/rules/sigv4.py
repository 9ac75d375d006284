"""Signature Version 4: whether a request was signed by who it says, and what the signature covers.

    canonical request = METHOD \\n path \\n query \\n headers \\n\\n signed headers \\n payload hash
    string to sign    = AWS4-HMAC-SHA256 \\n time \\n scope \\n sha256(canonical request)
    signing key       = HMAC chain over secret, date, region, service, "aws4_request"

Two carriers: the ``Authorization`` header, or the query (``X-Amz-Algorithm`` …, "presigned") with an expiry.  Path and query:
``rules/canonical_url``.  S3 names the body's hash in a header; the others may leave it out, and then the hash of the body that came is
what was signed (:meth:`Claim.over`).  The clock is a parameter, so is the secret.

Source: AWS General Reference, "Signature Version 4 signing process"; S3 API reference, "Authenticating requests".
"""

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from amiable.model.errors import Unauthenticated
from amiable.rules.canonical_url import canonical_path, canonical_query, decoded_pairs
from amiable.rules.http_date import read_http_date

ALGORITHM: Final = "AWS4-HMAC-SHA256"
SKEW_MAX: Final = timedelta(minutes=15)
EXPIRES_SECONDS_MAX: Final = 7 * 86_400
UNSIGNED_PAYLOAD: Final = "UNSIGNED-PAYLOAD"
EMPTY_SHA256: Final = hashlib.sha256(b"").hexdigest()

STREAMING: Final = frozenset(
    {
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    }
)

_TIME = re.compile(r"\d{8}T\d{6}Z", re.ASCII)
_SECONDS = re.compile(r"\d{1,6}", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_SERVICE = re.compile(r"[^/]/[0-9]{8}/[^/]*/([a-z0-9-]{1,40})/aws4_request")
_CREDENTIAL = re.compile(r"([^/]+)/([0-9]{8})/([^/]+)/([^/]+)/aws4_request")
SIGNING_KEYS_KEPT: Final = 1024


@dataclass(frozen=True, slots=True)
class Scope:
    """The credential scope: which key, which day, where, for what."""

    access_key_id: str
    date: str
    region: str
    service: str

    @property
    def text(self) -> str:
        """As the string to sign has it, without the key."""
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request says about its signature, read but not yet verified."""

    scope: Scope
    signed_headers: tuple[str, ...]
    signature: str
    time: datetime
    expires_seconds: int | None  # presigned only
    payload: str  # x-amz-content-sha256's word; "" where the request does not say

    def over(self, body_sha256_hex: str) -> "Claim":
        """The claim with the body's hash for the payload, where the request does not state one."""
        return self if self.payload else replace(self, payload=body_sha256_hex)


@dataclass(frozen=True, slots=True)
class Signature:
    """A verified claim.  ``signing_key`` and ``claim.signature`` seed the chain of signed chunks."""

    claim: Claim
    signing_key: bytes = field(repr=False)

    @property
    def payload(self) -> str:
        """A hex SHA-256, ``UNSIGNED-PAYLOAD`` or a ``STREAMING-…`` word."""
        return self.claim.payload

    @property
    def body_sha256(self) -> str | None:
        """The SHA-256 that the body must have, in hex; ``None`` where the signature does not cover it as a whole."""
        return self.payload if _SHA256.fullmatch(self.payload) else None

    @property
    def amz_date(self) -> str:
        """The signature's time as signed: ``20260102T030405Z``."""
        return write_time(self.claim.time)


@dataclass(frozen=True, slots=True)
class Request:
    """What is signed, as it came: path and query still percent-encoded, header names in lower case, in order.

    All text is Latin-1 of the bytes on the wire, as HTTP's is.
    """

    method: str
    raw_path: str
    raw_query: str
    headers: Sequence[tuple[str, str]]
    _values: dict[str, list[str]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        values: dict[str, list[str]] = {}
        for name, value in self.headers:
            values.setdefault(name, []).append(value)
        object.__setattr__(self, "_values", values)

    def values(self, name: str) -> list[str]:
        """Every value of a header, in order."""
        return list(self._values.get(name, ()))


def named_service(request: Request) -> str:
    """The service that a credential scope in header or query names, sound or not; ``''`` without one.  For wording a refusal."""
    credentials = [value for key, value in decoded_pairs(request.raw_query) if key == "X-Amz-Credential"]
    for text in (*request.values("authorization"), *credentials):
        found = _SERVICE.search(text)
        if found:
            return found[1]
    return ""


def find_claim(request: Request) -> Claim | None:
    """The claim in header or query, ``None`` without one; raises Unauthenticated ``malformed`` for half a one or for two."""
    authorization = request.values("authorization")
    parameters = [(key, value) for key, value in decoded_pairs(request.raw_query) if key.startswith("X-Amz-")]
    presigned = any(key in ("X-Amz-Signature", "X-Amz-Algorithm", "X-Amz-Credential") for key, _ in parameters)
    if authorization and presigned:
        raise Unauthenticated(
            "malformed", "Only one auth mechanism allowed: the query carries a signature, and so does Authorization."
        )
    if presigned:
        return _claim_of_query(request, parameters)
    if not authorization:
        return None
    if len(authorization) > 1:
        raise Unauthenticated("malformed", "The request carries more than one Authorization header.")
    return _claim_of_header(request, authorization[0])


def security_token(request: Request) -> str | None:
    """The session's token in header or query (of either version), which the signature covers there; refuses several."""
    found = request.values("x-amz-security-token")
    found += [value for key, value in decoded_pairs(request.raw_query) if key.lower() == "x-amz-security-token"]
    if len(found) > 1:
        raise Unauthenticated("malformed", "The request carries more than one security token.")
    return found[0] if found else None


def claim_of_policy(credential: str, date: str, signature: str) -> Claim:
    """The claim of a signed upload policy: its scope, made at ``date``, covers no request; raises Unauthenticated."""
    scope, time = _scope(credential), _time(date)
    _check_scope_date(scope, time)
    if scope.service != "s3":
        raise Unauthenticated("malformed", "The policy's credential must be for the service s3.")
    return Claim(scope, ("host",), signature, time, None, UNSIGNED_PAYLOAD)


def verify(request: Request, claim: Claim, secret: str, now: datetime) -> Signature:
    """The signature, verified under ``secret`` and in time at ``now``; raises Unauthenticated.

    The body is not seen here: whoever reads it compares it with :attr:`Signature.body_sha256`.
    """
    _check_time(claim, now)
    _check_coverage(request, claim)
    key, text = signing_key(secret, claim.scope), string_to_sign(claim, canonical_request(request, claim))
    expected = hmac.digest(key, text.encode(), "sha256").hex()
    if not hmac.compare_digest(expected.encode(), claim.signature.encode()):
        raise Unauthenticated(
            "wrong-signature", "The request signature we calculated does not match the signature you provided."
        )
    return Signature(claim, key)


@lru_cache(SIGNING_KEYS_KEPT)
def signing_key(secret: str, scope: Scope) -> bytes:
    """The key of a day, region and service."""
    key = f"AWS4{secret}".encode()
    for part in (scope.date, scope.region, scope.service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def string_to_sign(claim: Claim, canonical: str) -> str:
    """What the signing key signs."""
    digest = hashlib.sha256(canonical.encode("latin-1")).hexdigest()
    return "\n".join((ALGORITHM, write_time(claim.time), claim.scope.text, digest))


def canonical_request(request: Request, claim: Claim) -> str:
    """The request in the one form that both sides hash."""
    headers = "".join(
        f"{name}:{','.join(' '.join(v.split()) for v in request.values(name))}\n" for name in claim.signed_headers
    )
    return "\n".join(
        (
            request.method,
            canonical_path(request.raw_path, claim.scope.service),
            canonical_query(request.raw_query),
            headers,
            ";".join(claim.signed_headers),
            claim.payload,
        )
    )


def _claim_of_header(request: Request, authorization: str) -> Claim:
    algorithm, _, rest = authorization.partition(" ")
    if algorithm != ALGORITHM:
        raise Unauthenticated("malformed", f"The signature's algorithm is not {ALGORITHM}.")
    fields: dict[str, str] = {}
    for part in rest.split(","):
        key, equals, value = part.strip().partition("=")
        if not equals or key in fields:
            raise Unauthenticated("malformed", "The Authorization header is malformed.")
        fields[key] = value
    if fields.keys() != {"Credential", "SignedHeaders", "Signature"}:
        raise Unauthenticated(
            "malformed", "Authorization must have Credential, SignedHeaders and Signature, and nothing else."
        )
    payloads = request.values("x-amz-content-sha256")
    if len(payloads) > 1:
        raise Unauthenticated("malformed", "The request has more than one X-Amz-Content-SHA256 header.")
    scope = _scope(fields["Credential"])
    time = _header_time(request)
    _check_scope_date(scope, time)
    return Claim(
        scope, _names(fields["SignedHeaders"]), fields["Signature"], time, None, payloads[0] if payloads else ""
    )


def _claim_of_query(request: Request, parameters: list[tuple[str, str]]) -> Claim:
    fields: dict[str, str] = {}
    for key, value in parameters:
        if key in fields:
            raise Unauthenticated("malformed", f"The query has {key} twice.")
        fields[key] = value
    needed = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Signature")
    for name in needed:
        if name not in fields:
            raise Unauthenticated("malformed", f"The query lacks {name}.")
    if fields["X-Amz-Algorithm"] != ALGORITHM:
        raise Unauthenticated("malformed", f"The signature's algorithm is not {ALGORITHM}.")
    scope = _scope(fields["X-Amz-Credential"])
    time = _time(fields["X-Amz-Date"])
    _check_scope_date(scope, time)
    expires = _expires(fields.get("X-Amz-Expires"))
    payload = _presigned_payload(request, fields, scope)
    return Claim(scope, _names(fields["X-Amz-SignedHeaders"]), fields["X-Amz-Signature"], time, expires, payload)


def _expires(text: str | None) -> int:
    """Seconds; 15 minutes where a presigned query does not say (as query-protocol clients may)."""
    if text is None:
        return int(SKEW_MAX.total_seconds())
    if not _SECONDS.fullmatch(text) or not 1 <= int(text) <= EXPIRES_SECONDS_MAX:
        raise Unauthenticated(
            "malformed", f"X-Amz-Expires must be a number of seconds between 1 and {EXPIRES_SECONDS_MAX}."
        )
    return int(text)


def _presigned_payload(request: Request, fields: dict[str, str], scope: Scope) -> str:
    """S3 presigns without the body; the others sign the body's hash and do not state it."""
    stated = request.values("x-amz-content-sha256")
    if stated:
        return stated[0]
    if "X-Amz-Content-Sha256" in fields:
        return fields["X-Amz-Content-Sha256"]
    return UNSIGNED_PAYLOAD if scope.service == "s3" else ""


def _scope(credential: str) -> Scope:
    found = _CREDENTIAL.fullmatch(credential)
    if found is None:
        raise Unauthenticated("malformed", "The credential must be KEY/YYYYMMDD/REGION/SERVICE/aws4_request.")
    return Scope(*found.groups())


def read_time(text: str) -> datetime | None:
    """The moment of ``20260102T030405Z``; ``None`` for other text."""
    try:
        return datetime.fromisoformat(text) if _TIME.fullmatch(text) else None
    except ValueError:
        return None


def write_time(moment: datetime) -> str:
    """What :func:`read_time` reads; a quarter of what ``strftime`` takes."""
    return moment.isoformat()[:19].replace("-", "").replace(":", "") + "Z"


def _time(text: str) -> datetime:
    moment = read_time(text)
    if moment is None:
        raise Unauthenticated("malformed", "The signature's time must look like 20260102T030405Z.")
    return moment


def _header_time(request: Request) -> datetime:
    """``X-Amz-Date``; without it ``Date``, which may be in HTTP's form."""
    amazon = request.values("x-amz-date")
    times = amazon or request.values("date")
    moment = read_time(times[0]) if times else None
    if moment is None and len(times) == 1 and not amazon:
        moment = read_http_date(times[0])
    if moment is None or len(times) > 1:
        raise Unauthenticated("malformed", "The request must have one X-Amz-Date header, like 20260102T030405Z.")
    return moment


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(";"))
    if list(names) != sorted(set(names)) or text != text.lower() or "" in names:
        raise Unauthenticated("malformed", "SignedHeaders must be lower case, sorted, each name once.")
    return names


def _check_scope_date(scope: Scope, time: datetime) -> None:
    if write_time(time)[:8] != scope.date:
        raise Unauthenticated("malformed", "The credential's date is not the date of the signature.")


def _check_time(claim: Claim, now: datetime) -> None:
    if claim.time > now + SKEW_MAX:
        raise Unauthenticated("skewed", f"The signature is not yet current: it was made at {claim.time.isoformat()}.")
    if claim.expires_seconds is None:
        if claim.time < now - SKEW_MAX:
            raise Unauthenticated("skewed", "The difference between the request's time and the server's is too large.")
    elif claim.time + timedelta(seconds=claim.expires_seconds) < now:
        raise Unauthenticated("expired", "Request has expired.")


def _check_coverage(request: Request, claim: Claim) -> None:
    """The host must be signed, and so must every x-amz-* header that came; a signed header must have come."""
    if "host" not in claim.signed_headers:
        raise Unauthenticated("malformed", "The host header must be signed.")
    present = {name for name, _ in request.headers}
    for name in claim.signed_headers:
        if name not in present:
            raise Unauthenticated("malformed", f"The header {name} is said to be signed but was not sent.")
    for name in present:
        if name.startswith("x-amz-") and name not in claim.signed_headers:
            raise Unauthenticated(
                "malformed", f"There were headers present in the request which were not signed: {name}."
            )
    _check_payload(claim)


def _check_payload(claim: Claim) -> None:
    """A hash; or no hash, which S3 and EBS direct allow; or, S3 only, a signature a chunk."""
    payload, service = claim.payload, claim.scope.service
    if (
        _SHA256.fullmatch(payload)
        or (payload == UNSIGNED_PAYLOAD and service in ("s3", "ebs"))
        or (payload in STREAMING and service == "s3")
    ):
        return
    raise Unauthenticated("malformed", "X-Amz-Content-SHA256 is missing, or not a value that this service takes.")
