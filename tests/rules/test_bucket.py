"""Names of buckets and keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.model.errors import S3Refusal
from amiable.rules.bucket import check_bucket_name, check_key, region_of, successor

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


@pytest.mark.parametrize("name", ["abc", "a.b-c.9", "0" * 63, "999"])
def test_these_are_buckets(name: str) -> None:
    check_bucket_name(name)


@pytest.mark.parametrize(
    "name",
    ["ab", "a" * 64, "Abc", "a_b", "a..b", "a.-b", "a-.b", "-ab", "ab.", "10.0.0.1", "xn--x", "a--x-s3", "abc\n"],
)
def test_these_are_not(name: str) -> None:
    with pytest.raises(S3Refusal, match="not valid"):
        check_bucket_name(name)


@pytest.mark.parametrize("key", ["/", "..", "a//b", "\x01", "ü" * 512])
def test_keys_are_nearly_anything(key: str) -> None:
    check_key(key)


@pytest.mark.parametrize("key", ["", "a\0b", "ü" * 513])
def test_but_not_empty_not_nul_and_not_too_long(key: str) -> None:
    with pytest.raises(S3Refusal):
        check_key(key)


REGIONS = ("us-east-1", "eu-west-1")


def test_old_names_of_regions_are_known() -> None:
    assert region_of("", "eu-west-1", REGIONS) == region_of("EU", "eu-west-1", REGIONS) == "eu-west-1"
    assert region_of("US", "us-east-1", REGIONS) == "us-east-1"
    assert region_of("EU", "us-east-1", REGIONS) == "eu-west-1"
    with pytest.raises(S3Refusal, match="us-east-1"):
        region_of("EU", "us-east-1", ("us-east-1",))
    with pytest.raises(S3Refusal, match="incompatible for the region specific endpoint"):
        region_of("us-east-1", "eu-west-1", REGIONS)


@given(TEXT, TEXT)
def test_the_successor_is_behind_every_text_with_the_prefix_and_no_other(prefix: str, text: str) -> None:
    following = successor(prefix)
    is_inside = prefix.encode() <= text.encode() and (following is None or text.encode() < following.encode())
    assert is_inside == text.startswith(prefix) or (following is None and not prefix.strip("\U0010ffff"))
    if text.startswith(prefix):
        assert is_inside


def test_the_successor_steps_over_the_surrogates() -> None:
    assert successor("a\ud7ff") == "a\ue000"
    assert successor("a\U0010ffff") == "b"
    assert successor("\U0010ffff") is None
