"""The one spelling of a path and a query."""

from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.rules.canonical_url import SAFE, canonical_path, canonical_query, decoded_pairs


@pytest.mark.parametrize(
    ("raw", "s3", "others"),
    [
        ("", "/", "/"),
        ("/a%2Fb", "/a%2Fb", "/a%252Fb"),
        ("/a b", "/a%20b", "/a%20b"),
        ("//a/../b/", "//a/../b/", "//a/../b/"),
        ("/%7e", "/~", "/%257e"),
        ("/+", "/%2B", "/%2B"),
    ],
)
def test_s3_signs_a_path_encoded_once_and_others_what_was_sent_encoded_again(raw: str, s3: str, others: str) -> None:
    assert (canonical_path(raw, "s3"), canonical_path(raw, "ec2")) == (s3, others)


def test_a_query_is_sorted_by_name_then_value_encoded_once_and_without_the_signature() -> None:
    assert canonical_query("b=2&a=%7e&a=+&X-Amz-Signature=0&c&&a=%2B") == "a=%20&a=%2B&a=~&b=2&c="


def test_pairs_are_decoded_and_what_is_no_utf_8_is_replaced() -> None:
    assert decoded_pairs("a=%C3%A9&b&c=%FF=") == [("a", "é"), ("b", ""), ("c", "�=")]


@given(st.text(st.characters(codec="utf-8"), max_size=20))
def test_a_key_of_s3_has_one_spelling_however_it_was_sent(key: str) -> None:
    spelled = canonical_path("/" + quote(key, safe=SAFE), "s3")
    assert canonical_path(spelled, "s3") == spelled
    assert unquote(spelled[1:]) == key
