"""The policy that ``amiable bundle instance`` makes is one that the server's own rules read, verify and find narrow."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from botocore.credentials import Credentials

from amiable.cli.bundle.instance import error_of, flat, storage_by_policy
from amiable.cli.client import NothingNamed
from amiable.model.errors import S3Refusal
from amiable.rules.post_policy import check, read_policy, signature_v2

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FIELDS = {"bucket": "b", "key": "images/one.part.00", "acl": "ec2-bundle-read"}


def test_the_policy_is_signed_and_lets_write_this_bundle_for_a_day_and_nothing_else() -> None:
    storage = storage_by_policy(Credentials("AKIAME", "secret"), "b", "images/one", now=NOW)
    assert (storage["Bucket"], storage["Prefix"], storage["AWSAccessKeyId"]) == ("b", "images/one", "AKIAME")
    encoded = base64.b64encode(storage["UploadPolicy"]).decode()
    assert storage["UploadPolicySignature"] == signature_v2("secret", encoded)
    policy = read_policy(encoded)
    check(policy, FIELDS, NOW + timedelta(hours=23))
    for changed in ({"bucket": "c"}, {"key": "images/two"}, {"acl": "public-read"}):
        with pytest.raises(S3Refusal):
            check(policy, {**FIELDS, **changed}, NOW)
    with pytest.raises(S3Refusal):
        check(policy, FIELDS, NOW + timedelta(hours=24))


def test_without_an_access_key_nothing_is_asked() -> None:
    with pytest.raises(NothingNamed):
        storage_by_policy(None, "b", "p", now=NOW)


def test_a_task_is_one_row_with_where_its_manifest_will_be() -> None:
    task = {"BundleId": "bun-1", "State": "failed", "Storage": {"S3": {"Bucket": "b", "Prefix": "images/one"}}}
    task["BundleTaskError"] = {"Code": "Client.Cancelled", "Message": "words"}
    assert flat(task)["Manifest"] == "b/images/one.manifest.xml"
    assert flat(task)["Error"] == error_of(task) == "Client.Cancelled: words"
