"""Upload policies: read, and held against fields."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.model.errors import S3Refusal
from amiable.rules.post_policy import Condition, check, read_policy, signature_v2

NOW = datetime(2026, 1, 2, tzinfo=UTC)
SAID = {
    "expiration": "2026-01-02T00:00:01.000Z",
    "conditions": [
        {"acl": "ec2-bundle-read"},
        ["eq", "$Bucket", "b"],
        ["starts-with", "$key", "pre/"],
        ["starts-with", "$x-amz-meta-a", ""],
        ["content-length-range", "1", 10],
    ],
}
FIELDS = {"acl": "ec2-bundle-read", "bucket": "b", "key": "pre/x", "x-amz-meta-a": "1", "policy": "p", "signature": "s"}


def encoded(said: Any) -> str:
    return base64.b64encode(json.dumps(said).encode()).decode()


def code_of(call: Any, *arguments: Any) -> str:
    with pytest.raises(S3Refusal) as caught:
        call(*arguments)
    return caught.value.code


def test_a_policy_is_read_whole() -> None:
    policy = read_policy(encoded(SAID))
    assert policy.expires_at == datetime(2026, 1, 2, 0, 0, 1, tzinfo=UTC)
    assert policy.conditions[1:3] == (Condition("eq", "bucket", "b"), Condition("starts-with", "key", "pre/"))
    assert (policy.size_bytes_min, policy.size_bytes_max) == (1, 10)
    check(policy, FIELDS, NOW)
    assert code_of(policy.check_size, 0) == "EntityTooSmall"
    assert code_of(policy.check_size, 11) == "EntityTooLarge"
    policy.check_size(1)
    policy.check_size(10)


def test_all_of_several_size_ranges_count() -> None:
    ranges = [["content-length-range", 5, 20], ["content-length-range", 1, 10], ["content-length-range", 2, 30]]
    policy = read_policy(encoded(SAID | {"conditions": ranges}))
    assert (policy.size_bytes_min, policy.size_bytes_max) == (5, 10)


@pytest.mark.parametrize(
    "change",
    [
        {"acl": "private"},
        {"bucket": "c"},
        {"key": "pre"},
        {"extra": ""},
        {"content-type": "text/x"},
        {"x-amz-meta-b": "1"},
    ],
)
def test_every_field_must_be_met_by_a_condition(change: dict[str, str]) -> None:
    assert code_of(check, read_policy(encoded(SAID)), FIELDS | change, NOW) == "AccessDenied"


def test_a_missing_field_meets_only_what_any_text_meets() -> None:
    policy = read_policy(encoded(SAID))
    check(policy, {name: value for name, value in FIELDS.items() if name != "x-amz-meta-a"}, NOW)
    assert code_of(check, policy, {n: v for n, v in FIELDS.items() if n != "acl"}, NOW) == "AccessDenied"


def test_a_policy_ends_at_its_expiration() -> None:
    policy = read_policy(encoded(SAID))
    assert code_of(check, policy, FIELDS, policy.expires_at) == "AccessDenied"


@pytest.mark.parametrize(
    "said",
    [
        [],
        {"conditions": []},
        {"expiration": "2026-01-02T00:00:01Z", "conditions": {}},
        {"expiration": "soon", "conditions": []},
        {"expiration": "2026-01-02T00:00:01+05:00", "conditions": []},
        {"expiration": "2026-01-02T00:00:01+05:00Z", "conditions": []},
        {"expiration": "2026-01-02", "conditions": []},
        *(
            {"expiration": "2026-01-02T00:00:01Z", "conditions": [one]}
            for one in (
                *(
                    "x",
                    {},
                    {"a": 1},
                    {"a": "1", "b": "2"},
                    ["eq", "key", "x"],
                    ["ends-with", "$key", "x"],
                    ["eq", "$key", 1],
                ),
                *(["content-length-range", 5], ["content-length-range", 5, 4], ["content-length-range", -1, 4]),
                *(["content-length-range", [], 4], ["content-length-range", 1, 1e999]),
            )
        ),
    ],
)
def test_what_is_no_policy_is_refused(said: Any) -> None:
    assert code_of(read_policy, encoded(said)) == "InvalidPolicyDocument"


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda b: base64.b64encode(b).decode()))
def test_any_text_is_a_policy_or_is_refused(text: str) -> None:
    assert code_of(read_policy, text) == "InvalidPolicyDocument"


def test_a_policy_too_long_or_too_deep_is_refused() -> None:
    assert code_of(read_policy, base64.b64encode(b"[" * 20_000).decode()) == "InvalidPolicyDocument"
    assert code_of(read_policy, "A" * 40_000) == "InvalidPolicyDocument"


def test_the_signature_is_openssls() -> None:
    # printf policy | openssl dgst -sha1 -hmac secret -binary | base64
    assert signature_v2("secret", "policy") == "DQYKsMXInaBeQ2OuQ0nMglptC1c="
