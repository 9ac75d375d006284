"""Metadata options: who decides each, and what is refused."""

from itertools import product

import pytest

from amiable.model.errors import InvalidParameterValue, UnsupportedOperation
from amiable.model.instance import MetadataOptions
from amiable.model.metadata_defaults import MetadataDefaults
from amiable.rules.metadata_options import AskedMetadata, change, check_tag_keys, choose


@pytest.mark.parametrize(
    ("asked", "default", "is_v2"),
    list(product([None, "optional", "required"], [None, "optional", "required"], [False, True])),
)
def test_the_launch_decides_before_the_account_and_the_account_before_the_image(
    asked: str | None, default: str | None, is_v2: bool
) -> None:
    chosen = choose(AskedMetadata(http_tokens=asked), MetadataDefaults(http_tokens=default), is_v2_image=is_v2)
    assert chosen.http_tokens == (asked or default or ("required" if is_v2 else "optional"))


@pytest.mark.parametrize(("asked", "default", "is_v2", "hops"), [
    (None, None, False, 1), (None, None, True, 2), (None, 5, True, 5), (64, 5, True, 64), (1, None, True, 1),
])  # fmt: skip
def test_hops_are_two_where_the_image_wants_tokens_and_nobody_says_otherwise(
    asked: int | None, default: int | None, is_v2: bool, hops: int
) -> None:
    chosen = choose(AskedMetadata(http_hop_limit=asked), MetadataDefaults(http_hop_limit=default), is_v2_image=is_v2)
    assert chosen.http_hop_limit == hops


def test_where_tokens_are_enforced_only_a_change_to_optional_is_refused() -> None:
    enforced, old = (
        MetadataDefaults(http_tokens_enforced="enabled"),
        MetadataOptions("optional", "enabled", 1, "disabled"),
    )
    with pytest.raises(UnsupportedOperation, match="can't launch instances with IMDSv1"):
        choose(AskedMetadata(), enforced, is_v2_image=False)
    with pytest.raises(UnsupportedOperation, match="can't change httpTokens to optional"):
        change(old, AskedMetadata(http_tokens="optional"), enforced)
    assert choose(AskedMetadata(), enforced, is_v2_image=True).http_tokens == "required"
    assert change(old, AskedMetadata(http_hop_limit=3), enforced).http_hop_limit == 3


def test_what_is_not_said_stays() -> None:
    old = MetadataOptions("required", "disabled", 9, "enabled", "enabled")
    assert change(old, AskedMetadata(), MetadataDefaults(http_tokens="optional")) == old
    with pytest.raises(InvalidParameterValue, match="It is 1 to 64"):
        change(old, AskedMetadata(http_hop_limit=65), MetadataDefaults())


@pytest.mark.parametrize("key", ["a b", "a/b", "", ".", "..", "_index", "\u00e9", "x" * 256])
def test_a_key_that_cannot_stand_in_a_path_is_refused(key: str) -> None:
    with pytest.raises(InvalidParameterValue, match="is not a valid tag key"):
        check_tag_keys(["fine", key])


def test_other_keys_are_taken() -> None:
    check_tag_keys(["Name", "a-b_c+d=e,f.g@h:i", "...", "x" * 255])
