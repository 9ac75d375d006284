"""The filters of parameters: which keys take which options, and what passes."""

from datetime import UTC, datetime

import pytest

from amiable.model.parameter import Parameter, ParameterType
from amiable.model.parameter_errors import SsmRefusal
from amiable.rules.parameter_filters import BY_PATH, DESCRIBE, OPTIONS, check_filter, check_once, matches

A_PARAMETER = Parameter(
    account_id="111111111111",
    region="us-east-1",
    name="/a/b",
    version=1,
    type=ParameterType.STRING,
    value="v",
    data_type="text",
    modified_at=datetime(2026, 1, 1, tzinfo=UTC),
    modified_by="arn",
)


@pytest.mark.parametrize("key", DESCRIBE)
def test_a_key_takes_its_own_options_and_no_other(key: str) -> None:
    value = {"Type": "String", "Path": "/a"}.get(key, "x")
    for option in ("Equals", "BeginsWith", "Contains", "OneLevel", "Recursive", "equals"):
        if option in OPTIONS[key]:
            assert check_filter(key, option, [value], keys=DESCRIBE).option == option
        else:
            with pytest.raises(SsmRefusal) as refused:
                check_filter(key, option, [value], keys=DESCRIBE)
            assert refused.value.code == "InvalidFilterOption"


def test_a_key_of_the_other_call_is_refused() -> None:
    for key in (set(DESCRIBE) - set(BY_PATH)) | {"tag:a"}:
        with pytest.raises(SsmRefusal) as refused:
            check_filter(key, None, ["x"], keys=BY_PATH)
        assert refused.value.code == "InvalidFilterKey"


def test_filters_are_joined_by_and_and_their_values_by_or() -> None:
    name = check_filter("Name", "BeginsWith", ["/x", "/a"], keys=DESCRIBE)
    strings = check_filter("Type", None, ["String"], keys=DESCRIBE)
    lists = check_filter("Type", None, ["StringList"], keys=DESCRIBE)
    assert matches(A_PARAMETER, {}, []) and matches(A_PARAMETER, {}, [name, strings])
    assert not matches(A_PARAMETER, {}, [name, lists])
    tagged = check_filter("tag:k", None, ["v"], keys=DESCRIBE)
    assert matches(A_PARAMETER, {"k": "v"}, [tagged]) and not matches(A_PARAMETER, {"k": "w"}, [tagged])
    check_once([name, strings])
    with pytest.raises(SsmRefusal):
        check_once([strings, lists])
