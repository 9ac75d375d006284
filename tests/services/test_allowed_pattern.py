"""Patterns of clients: the whole value counts, and no pattern holds up the server."""

import time

import pytest

from amiable.model.parameter_errors import SsmRefusal
from amiable.services.allowed_pattern import check_allowed_pattern


def test_the_whole_value_must_match() -> None:
    check_allowed_pattern(r"\d+", "123")
    check_allowed_pattern("^a.*z$", "a\u00e9z")
    for value in ("123x", "x123", ""):
        with pytest.raises(SsmRefusal) as refused:
            check_allowed_pattern(r"\d+", value)
        assert refused.value.code == "ParameterPatternMismatchException"


@pytest.mark.parametrize("pattern", ["(", "[z-a]", "a{99999999999}", "(a+)+b"])
def test_what_is_no_pattern_or_takes_too_long_is_refused_soon(pattern: str) -> None:
    begun = time.process_time()
    with pytest.raises(SsmRefusal) as refused:
        check_allowed_pattern(pattern, "a" * 40)
    assert refused.value.code == "InvalidAllowedPatternException"
    assert time.process_time() - begun < 1, "it was tried in this process"
