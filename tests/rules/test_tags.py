"""What may be a tag."""

import pytest

from amiable.model.errors import InvalidParameterValue, InvalidTagKeyMalformed, TagLimitExceeded
from amiable.rules.tags import check_tag, merge


@pytest.mark.parametrize("key", ["", "x" * 128])
def test_a_key_has_1_to_127_characters(key: str) -> None:
    check_tag("x" * 127, "")
    with pytest.raises(InvalidTagKeyMalformed):
        check_tag(key, "v")


@pytest.mark.parametrize("key", ["aws:x", "AWS:x", "Aws:"])
def test_the_aws_prefix_is_reserved_in_any_case(key: str) -> None:
    check_tag("awsome", "v")
    with pytest.raises(InvalidParameterValue, match="reserved"):
        check_tag(key, "v")


def test_a_value_has_256_characters_at_most() -> None:
    check_tag("k", "x" * 256)
    with pytest.raises(InvalidParameterValue, match="256"):
        check_tag("k", "x" * 257)


def test_a_resource_has_50_tags_at_most_and_replacing_one_needs_no_room() -> None:
    full = {str(number): "v" for number in range(50)}
    assert merge(full, {"0": "new"})["0"] == "new"
    with pytest.raises(TagLimitExceeded):
        merge(full, {"one more": "v"})


def test_the_services_own_tags_take_no_room() -> None:
    full = {str(number): "v" for number in range(50)}
    launched = {**full, "aws:ec2launchtemplate:id": "lt-1"}
    assert len(merge(launched, {"0": "new"})) == 51
