"""Upload policies: who may write what into a bucket, as S3's POST forms and BundleInstance carry it.

    {"expiration": "2026-01-01T12:00:00Z",
     "conditions": [{"acl": "ec2-bundle-read"}, {"bucket": B}, ["starts-with", "$key", PREFIX], ["content-length-range", 0, N]]}

The text is base64; its signature is base64 of the HMAC-SHA1 of *that text* with the secret of an access key.  Every field of the form
must be what a condition allows, and a condition on a field that the form does not have fails.  Source: S3 API, "POST policy".
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from amiable.model.errors import AuthFailure, InvalidParameterValue

POLICY_BYTES_MAX: Final = 20 * 1024
CONDITIONS_MAX: Final = 100
TIMES: Final = ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.%fZ")
CONTENT_TYPE: Final = "application/octet-stream"
EQUALS, STARTS_WITH, LENGTH = "eq", "starts-with", "content-length-range"


@dataclass(frozen=True, slots=True)
class Condition:
    """``field`` (lower case, without ``$``) equals ``value``, or starts with it."""

    field: str
    operator: str
    value: str

    def holds(self, fields: Mapping[str, str]) -> bool:
        """Whether the form has the field, with a value that is allowed."""
        found = fields.get(self.field)
        if found is None:
            return False
        return found.startswith(self.value) if self.operator == STARTS_WITH else found == self.value

    def __str__(self) -> str:
        return json.dumps([self.operator, f"${self.field}", self.value])


@dataclass(frozen=True, slots=True)
class UploadPolicy:
    """A policy that was read, not verified.  ``length`` are the fewest and the most bytes of one object."""

    expires_at: datetime
    conditions: tuple[Condition, ...]
    length: tuple[int, int] | None

    def value_of(self, field: str) -> str | None:
        """The one value that the policy allows for ``field``; None where it names none."""
        named = (each.value for each in self.conditions if each.field == field and each.operator == EQUALS)
        return next(named, None)

    def has(self, field: str) -> bool:
        """Whether any condition is on ``field``."""
        return any(each.field == field for each in self.conditions)


def read_policy(policy: bytes) -> UploadPolicy:
    """The policy in its JSON text; raises InvalidParameterValue, naming what is wrong."""
    if len(policy) > POLICY_BYTES_MAX:
        raise _wrong(f"It has {len(policy)} bytes, {POLICY_BYTES_MAX} at most.")
    try:
        document = json.loads(policy.decode())
    except (ValueError, RecursionError):
        raise _wrong("It is not base64 of a JSON text.") from None
    if not isinstance(document, dict) or not isinstance(document.get("conditions"), list):
        raise _wrong('It is no object with an "expiration" and a list of "conditions".')
    if len(document["conditions"]) > CONDITIONS_MAX:
        raise _wrong(f"It has more than {CONDITIONS_MAX} conditions.")
    conditions: list[Condition] = []
    length = None
    for each in document["conditions"]:
        if isinstance(each, list) and len(each) == 3 and each[0] == LENGTH:
            length = _length(each[1], each[2])
        else:
            conditions += _conditions(each)
    return UploadPolicy(_expiration(document.get("expiration")), tuple(conditions), length)


def check_signature(policy: bytes, signature: str, secret: str) -> None:
    """Raises AuthFailure unless ``signature`` is that of the policy's base64 text by ``secret``."""
    text = base64.b64encode(policy)
    expected = hmac.new(secret.encode(), text, hashlib.sha1).digest()
    try:
        given = base64.b64decode(signature.strip(), validate=True)
    except (binascii.Error, ValueError):
        given = b""
    if not hmac.compare_digest(expected, given):
        raise AuthFailure(
            "The upload policy's signature does not match: it is base64 of the HMAC-SHA1 of the policy's base64 text, "
            "with the secret of the access key that Storage.S3.AWSAccessKeyId names."
        )


def form_fields(bucket: str, key: str, acl: str) -> dict[str, str]:
    """The fields of the upload of one object, as conditions name them."""
    return {"bucket": bucket, "key": key, "acl": acl, "content-type": CONTENT_TYPE}


def check_upload(policy: UploadPolicy, fields: Mapping[str, str], *, size_bytes: int | None, now: datetime) -> None:
    """Raises AuthFailure unless the policy allows a form of these ``fields`` (lower case) now; no size: it is not known yet."""
    if now >= policy.expires_at:
        raise AuthFailure(f"The upload policy expired at {policy.expires_at:%Y-%m-%dT%H:%M:%SZ}.")
    failed = next((each for each in policy.conditions if not each.holds(fields)), None)
    if failed is not None:
        raise AuthFailure(f"The upload policy does not allow it: the condition {failed} fails.")
    if policy.length is not None and size_bytes is not None:
        least, most = policy.length
        if not least <= size_bytes <= most:
            raise AuthFailure(
                f"The upload policy does not allow it: an object of {size_bytes} bytes is outside of {LENGTH} {least} to {most}."
            )


def _conditions(each: Any) -> list[Condition]:
    if isinstance(each, dict) and all(isinstance(value, str) for value in each.values()):
        return [Condition(field.lower(), EQUALS, value) for field, value in each.items()]
    if isinstance(each, list) and len(each) == 3 and all(isinstance(word, str) for word in each):
        operator, field, value = each
        if operator.lower() in (EQUALS, STARTS_WITH) and field.startswith("$"):
            return [Condition(field[1:].lower(), operator.lower(), value)]
    raise _wrong(f"The condition {json.dumps(each)[:200]} is none that S3 knows.")


def _length(least: Any, most: Any) -> tuple[int, int]:
    try:
        return int(least), int(most)
    except (TypeError, ValueError):
        raise _wrong(f"The condition {LENGTH} takes two numbers.") from None


def _expiration(text: Any) -> datetime:
    for form in TIMES:
        try:
            return datetime.strptime(str(text), form).replace(tzinfo=UTC)
        except ValueError:
            continue
    raise _wrong('Its "expiration" is no time such as 2026-01-31T12:00:00Z.')


def _wrong(why: str) -> InvalidParameterValue:
    return InvalidParameterValue(f"The upload policy (Storage.S3.UploadPolicy) cannot be used. {why}")
