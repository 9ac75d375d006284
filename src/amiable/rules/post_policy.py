"""Upload policies: what whoever holds a signed policy, and no secret, may put where, until when.

    {"expiration": "2026-01-02T03:04:05Z",
     "conditions": [{"acl": "ec2-bundle-read"}, {"bucket": "b"}, ["starts-with", "$key", "images/"], ["content-length-range", 1, 10485760]]}

The policy travels as base64 text, and that text is signed: version 2 by base64(HMAC-SHA1(secret, text)), version 4 by the signing key's
HMAC-SHA256 in hex.  Every field of a form must be met by a condition, but for the signature's own, ``file`` and ``x-ignore-*``; so a
policy without a condition on ``acl`` lets nobody choose one.  Names of fields are read in any case.

Source: S3 API reference, "POST policy"; for BundleInstance EC2's ``Storage.S3.UploadPolicy``, which is the same document.
"""

import base64
import binascii
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha1, sha256
from typing import Any, Final

from amiable.model.errors import S3Refusal

POLICY_BYTES_MAX: Final = 32 << 10
FREE_FIELDS: Final = frozenset(
    ("awsaccesskeyid", "signature", "file", "policy", "x-amz-signature", "x-amz-security-token")
)
"""Fields that need no condition; the token is no authority but the key's, and old tools do not name it in their policies."""

SIZE_RANGE: Final = "content-length-range"


@dataclass(frozen=True, slots=True)
class Condition:
    """``eq`` or ``starts-with`` of one field."""

    operator: str
    field: str
    value: str

    def is_met(self, value: str) -> bool:
        """Whether the field's value fits."""
        return value == self.value if self.operator == "eq" else value.startswith(self.value)

    def __str__(self) -> str:
        return json.dumps([self.operator, f"${self.field}", self.value])


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy as read; ``size_bytes_max`` is ``None`` where it bounds no size."""

    expires_at: datetime
    conditions: tuple[Condition, ...]
    size_bytes_min: int = 0
    size_bytes_max: int | None = None

    def check_size(self, size_bytes: int) -> None:
        """Refuses a whole file of that size: EntityTooSmall or EntityTooLarge."""
        if size_bytes < self.size_bytes_min:
            facts = {"ProposedSize": str(size_bytes), "MinSizeAllowed": str(self.size_bytes_min)}
            raise S3Refusal(
                "EntityTooSmall", 400, "Your proposed upload is smaller than the minimum allowed size", **facts
            )
        if self.size_bytes_max is not None and size_bytes > self.size_bytes_max:
            facts = {"ProposedSize": str(size_bytes), "MaxSizeAllowed": str(self.size_bytes_max)}
            raise S3Refusal("EntityTooLarge", 400, "Your proposed upload exceeds the maximum allowed size", **facts)


def signature_v2(secret: str, encoded: str) -> str:
    """The signature of the policy's base64 text by version 2."""
    return base64.b64encode(hmac.new(secret.encode(), encoded.encode(), sha1).digest()).decode()


def signature_v4(signing_key: bytes, encoded: str) -> str:
    """The signature of the policy's base64 text by version 4."""
    return hmac.new(signing_key, encoded.encode(), sha256).hexdigest()


def read_policy(encoded: str) -> Policy:
    """The policy of its base64 text; raises InvalidPolicyDocument, naming what is wrong."""
    if len(encoded) > POLICY_BYTES_MAX:
        raise _invalid(f"the policy has more than {POLICY_BYTES_MAX} characters")
    try:
        said = json.loads(base64.b64decode("".join(encoded.split()), validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise _invalid("it is not JSON in base64") from None
    if not isinstance(said, dict) or set(said) != {"expiration", "conditions"}:
        raise _invalid("expecting an object with expiration and conditions")
    conditions: list[Condition] = []
    sizes: list[tuple[int, int]] = []
    if not isinstance(said["conditions"], list):
        raise _invalid("conditions must be a list")
    for one in said["conditions"]:
        if isinstance(one, list) and one[:1] == [SIZE_RANGE]:
            sizes.append(_sizes(one))
        else:
            conditions.append(_condition(one))
    smallest = max((least for least, _ in sizes), default=0)
    largest = min((most for _, most in sizes), default=None)
    return Policy(_moment(said["expiration"]), tuple(conditions), smallest, largest)


def check(policy: Policy, fields: Mapping[str, str], now: datetime) -> None:
    """Refuses fields (names in lower case, ``bucket`` among them) that the policy does not allow at ``now``."""
    if policy.expires_at <= now:
        raise _refused("Policy expired.")
    for condition in policy.conditions:
        if not condition.is_met(fields.get(condition.field, "")):
            raise _refused(f"Policy Condition failed: {condition}")
    met = {condition.field for condition in policy.conditions} | FREE_FIELDS | {"bucket"}
    extra = sorted(name for name in fields if name not in met and not name.startswith("x-ignore-"))
    if extra:
        raise _refused(f"Extra input fields: {', '.join(extra)}")


def _condition(said: Any) -> Condition:
    if isinstance(said, dict) and len(said) == 1:
        name, value = next(iter(said.items()))
        if isinstance(value, str):
            return Condition("eq", name.lower(), value)
    if isinstance(said, list) and len(said) == 3 and all(isinstance(word, str) for word in said):
        operator, name, value = said
        if operator.lower() in ("eq", "starts-with") and name.startswith("$"):
            return Condition(operator.lower(), name[1:].lower(), value)
    raise _invalid(f"not a condition: {json.dumps(said)[:200]}")


def _sizes(said: list[Any]) -> tuple[int, int]:
    try:
        _, smallest, largest = said
        found = int(smallest), int(largest)
    except (ValueError, TypeError, OverflowError):
        raise _invalid(f"{SIZE_RANGE} needs two numbers") from None
    if not 0 <= found[0] <= found[1]:
        raise _invalid(f"{SIZE_RANGE} must rise from 0 or more")
    return found


def _moment(said: Any) -> datetime:
    try:
        if not isinstance(said, str) or not said.endswith("Z"):
            raise ValueError
        moment = datetime.fromisoformat(said)
        if moment.utcoffset() != timedelta(0):
            raise ValueError
        return moment
    except ValueError:
        raise _invalid("expiration must look like 2026-01-02T03:04:05Z") from None


def _invalid(why: str) -> S3Refusal:
    return S3Refusal("InvalidPolicyDocument", 400, f"Invalid Policy: {why}.")


def _refused(why: str) -> S3Refusal:
    return S3Refusal("AccessDenied", 403, f"Invalid according to Policy: {why}")
