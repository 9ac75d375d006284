"""Upload policies as euca2ools and the AWS command line make them for BundleInstance."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any


def make_policy(
    bucket: str, prefix: str, *, acl: str = "ec2-bundle-read", hours: float = 24, more: tuple[Any, ...] = ()
) -> bytes:
    """The policy's JSON text."""
    expires = datetime.now(UTC) + timedelta(hours=hours)
    conditions = [{"acl": acl}, {"bucket": bucket}, ["starts-with", "$key", prefix], *more]
    return json.dumps({"conditions": conditions, "expiration": f"{expires:%Y-%m-%dT%H:%M:%SZ}"}).encode()


def sign(policy: bytes, secret: str) -> str:
    """Its signature."""
    return base64.b64encode(hmac.new(secret.encode(), base64.b64encode(policy), hashlib.sha1).digest()).decode()


def storage(bucket: str, prefix: str, key_id: str, secret: str, **changes: Any) -> dict[str, Any]:
    """BundleInstance's ``Storage`` as boto3 takes it."""
    policy = make_policy(bucket, prefix, **changes)
    return {
        "S3": {
            "Bucket": bucket,
            "Prefix": prefix,
            "AWSAccessKeyId": key_id,
            "UploadPolicy": policy,
            "UploadPolicySignature": sign(policy, secret),
        }
    }
