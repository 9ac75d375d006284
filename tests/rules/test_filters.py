"""Filters: wildcards, and what is refused."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.model.errors import FilterLimitExceeded, InvalidParameterValue, MissingParameter
from amiable.rules.filters import FILTER_VALUES_MAX, Filter, matcher, parse, predicate, tokenize, wildcard_match

WORDS = st.text(alphabet="ab*?\\", max_size=8)


def matches(pattern: str, text: str) -> bool:
    return wildcard_match(tokenize(pattern), text)


@given(pattern=WORDS, text=st.text(alphabet="ab*?\\", max_size=8))
def test_wildcards_mean_what_a_regular_expression_says_they_mean(pattern: str, text: str) -> None:
    spelled = ""
    at = 0
    while at < len(pattern):
        if pattern[at] == "\\" and at + 1 < len(pattern) and pattern[at + 1] in "*?\\":
            spelled += re.escape(pattern[at + 1])
            at += 2
            continue
        spelled += {"*": ".*", "?": "."}.get(pattern[at], re.escape(pattern[at]))
        at += 1
    assert matches(pattern, text) == (re.fullmatch(spelled, text, re.DOTALL) is not None)


@given(text=st.text(max_size=20))
def test_an_escaped_text_matches_itself_and_a_star_matches_everything(text: str) -> None:
    escaped = re.sub(r"[*?\\]", lambda found: "\\" + found[0], text)
    assert matches(escaped, text) and matches("*", text) and matches(escaped + "*", text + "more")


def test_a_question_mark_is_exactly_one_character() -> None:
    assert matches("a?c", "abc") and not matches("a?c", "ac") and not matches("a?c", "abbc")


def test_a_hostile_pattern_ends_soon() -> None:
    assert not matches("*a" * 100 + "b", "a" * 5000)


def test_matching_is_case_sensitive_and_any_value_will_do() -> None:
    test = matcher(["web", "db*"])
    assert test("web") and test("db-1") and not test("Web") and not test("xdb")


def test_filters_and_values_or_and_an_absent_attribute_never_matches() -> None:
    fields = {"color": lambda thing: (thing.get("color"),), "size": lambda thing: thing.get("sizes", ())}
    both = predicate([Filter("color", ("red", "blue")), Filter("size", ("1",))], fields)
    assert both({"color": "red", "sizes": ["2", "1"]})
    assert not both({"color": "green", "sizes": ["1"]})
    assert not both({"sizes": ["1"]})
    assert not predicate([Filter("color", ("*",))], fields)({})


def test_tags_are_filters_by_key_and_by_value() -> None:
    def test(name: str, *values: str) -> bool:
        return predicate([Filter(name, values)], {}, tags=lambda thing: thing)({"team": "a", "empty": ""})

    assert test("tag:team", "a", "b") and not test("tag:team", "b") and not test("tag:Team", "a")
    assert test("tag:empty", "") and test("tag-key", "te*") and not test("tag-key", "x")


@pytest.mark.parametrize("name", ["colour", "Color", "tag:", "tag-value", ""])
def test_an_unknown_filter_is_refused_by_name(name: str) -> None:
    with pytest.raises(InvalidParameterValue, match=f"The filter '{name}' is invalid"):
        predicate([Filter(name, ("x",))], {"color": lambda thing: (thing,)}, tags=lambda thing: {})


def test_a_filter_without_a_name_or_values_and_too_many_are_refused() -> None:
    with pytest.raises(MissingParameter, match=r"Filter\.1\.Name"):
        parse([(None, ["x"])])
    with pytest.raises(MissingParameter, match=r"Filter\.2\.Value"):
        parse([("a", ["x"]), ("b", [])])
    with pytest.raises(FilterLimitExceeded):
        parse([("a", ["x"] * (FILTER_VALUES_MAX + 1))])
    parse([("a", ["x"] * (FILTER_VALUES_MAX - 1)), ("b", ["x"])])
