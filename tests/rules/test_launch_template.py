"""What a template may be called, and which version a request means."""

from datetime import UTC, datetime

import pytest

from amiable.model.errors import Refusal
from amiable.model.launch_template import LaunchTemplate
from amiable.rules.launch_template import Named, check_description, check_name, named, number_of, wanted_numbers

IT = LaunchTemplate(
    "lt-0123456789abcdef0", "1" * 12, "us-east-1", "web", 2, 5, 7, datetime(2026, 1, 1, tzinfo=UTC), "me"
)


@pytest.mark.parametrize("name", ["web", "a" * 128, "a(b)c.d-e/f_9"])
def test_names_that_may_be(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "ab", "a" * 129, "a b c", "caf\u00e9", "abc\n", "a:b:c"])
def test_names_that_may_not(name: str) -> None:
    with pytest.raises(Refusal) as caught:
        check_name(name)
    assert caught.value.code == "InvalidLaunchTemplateName.MalformedException"


@pytest.mark.parametrize(("text", "number"), [("$Latest", 5), ("$Default", 2), ("1", 1), ("9", 9), ("007", 7)])
def test_a_version_is_a_number_or_one_of_two_words(text: str, number: int) -> None:
    assert number_of(text, IT) == number


@pytest.mark.parametrize("text", ["", "0", "-1", "$latest", "1.5", "\u0661", "9" * 10, "x"])
def test_nothing_else_is_a_version(text: str) -> None:
    with pytest.raises(Refusal) as caught:
        number_of(text, IT)
    assert caught.value.code == "InvalidParameterValue"


def test_a_version_that_is_meant_twice_is_wanted_once() -> None:
    assert wanted_numbers(["$Latest", "5", "$Default", "2", "1"], IT) == [5, 2, 1]


@pytest.mark.parametrize(
    ("template_id", "name", "code"),
    [
        (None, None, "MissingParameter"),
        ("", "", "MissingParameter"),
        (IT.id, "web", "InvalidParameterCombination"),
        ("lt-1", None, "InvalidLaunchTemplateId.Malformed"),
        ("ami-0123456789abcdef0", None, "InvalidLaunchTemplateId.Malformed"),
    ],
)
def test_a_template_is_named_in_one_way(template_id: str | None, name: str | None, code: str) -> None:
    with pytest.raises(Refusal) as caught:
        named(template_id, name)
    assert caught.value.code == code


def test_a_template_is_named_by_id_or_name() -> None:
    assert (named(IT.id, None), named(None, "web")) == (Named(IT.id, None), Named(None, "web"))


def test_a_description_has_255_characters_at_most() -> None:
    assert check_description("x" * 255) == "x" * 255 and check_description(None) is None
    with pytest.raises(Refusal) as caught:
        check_description("x" * 256)
    assert caught.value.code == "InvalidParameterValue"
