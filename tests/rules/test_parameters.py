"""What a parameter may be called and hold, and how a request names one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.model.parameter import Tier
from amiable.model.parameter_errors import SsmRefusal
from amiable.rules.parameters import Named, check_name, check_path, check_value, choose_tier, is_below, read_name

HERE = {"region": "us-east-1", "account_id": "111111111111"}
WORD = st.text("abcXYZ019_.-", min_size=1, max_size=8).filter(lambda word: not word.lower().startswith(("aws", "ssm")))
PATHS = st.lists(WORD, min_size=1, max_size=15).map(lambda words: "/" + "/".join(words))


def check(name: str, *, is_administrator: bool = False) -> None:
    check_name(name, **HERE, is_administrator=is_administrator)


@given(PATHS | WORD)
def test_words_and_paths_are_names_and_name_themselves(name: str) -> None:
    check(name)
    assert read_name(name, **HERE) == Named((name,), None, None)
    assert read_name(f" {name}:12 ", **HERE) == Named((name,), ":12", 12)


@given(PATHS)
def test_a_path_is_below_each_of_its_parents_and_of_no_other(name: str) -> None:
    words = name.split("/")
    for count in range(1, len(words)):
        parent = "/".join(words[:count])
        assert is_below(name, parent, recursive=True)
        assert is_below(name, parent, recursive=False) == (count == len(words) - 1)
        assert not is_below(name, parent + "x", recursive=True)
    assert not is_below(name, name, recursive=True)


def test_only_the_administrator_publishes_and_only_below_the_public_prefix() -> None:
    check("/aws/service/x", is_administrator=True)
    for name, is_administrator in (("/aws/service/x", False), ("/aws/x", True), ("/AWS/service/x", True)):
        with pytest.raises(SsmRefusal) as refused:
            check(name, is_administrator=is_administrator)
        assert refused.value.code == "AccessDeniedException"


def test_an_arn_names_a_parameter_with_and_without_its_slash() -> None:
    arn = "arn:aws:ssm:us-east-1:111111111111:parameter/"
    assert read_name(f"{arn}a", **HERE).candidates == ("a", "/a")
    assert read_name(f"{arn}a/b:3", **HERE) == Named(("/a/b",), ":3", 3)
    assert read_name(f"{arn}a:blue", **HERE).is_label
    public = "arn:aws:ssm:us-east-1::parameter/aws/service/x"
    assert not read_name(public, **HERE).is_foreign
    for foreign in (
        arn.replace("1111", "2222"),
        arn.replace("us-east-1", "eu-west-1"),
        "arn:aws:ssm:us-east-1::parameter/",
    ):
        assert read_name(f"{foreign}a", **HERE).is_foreign


@pytest.mark.parametrize("text", ["", " ", "a b", "a:b:c", ":1", "a:", "arn:aws:ssm:us-east-1:1:parameter/a", "/", "é"])
def test_what_names_nothing_is_refused(text: str) -> None:
    with pytest.raises(SsmRefusal) as refused:
        read_name(text, **HERE)
    assert refused.value.code == "ValidationException"


def test_a_hierarchy_is_asked_for_with_or_without_its_last_slash() -> None:
    assert check_path("/") == ""
    assert check_path("/a/b/") == check_path("/a/b") == "/a/b"
    for path in ("a", "//", "/a//", "", "/a b"):
        with pytest.raises(SsmRefusal):
            check_path(path)


def test_a_value_is_measured_in_bytes() -> None:
    check_value("é" * 2048, Tier.STANDARD)
    with pytest.raises(SsmRefusal):
        check_value("é" * 2048 + "x", Tier.STANDARD)
    assert choose_tier("Intelligent-Tiering", "é" * 2049, None) is Tier.ADVANCED
    assert choose_tier("Intelligent-Tiering", "é" * 2048, None) is Tier.STANDARD
    assert choose_tier(None, "x" * 5000, None) is Tier.STANDARD
