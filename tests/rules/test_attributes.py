"""What ModifyImageAttribute means, in both of its styles."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.model.errors import (
    InvalidAMIAttributeItemValue,
    InvalidParameterCombination,
    InvalidParameterValue,
    MissingParameter,
    Refusal,
    UnsupportedOperation,
)
from amiable.rules.attributes import ATTRIBUTES, Asked, Change, check_resettable, plan_change
from amiable.rules.sharing import Grants, Permission

ACCOUNT = "123456789012"
ACCOUNTS = st.lists(st.from_regex(r"[0-9]{12}", fullmatch=True).filter(str.isascii), min_size=1, max_size=5)


@given(users=ACCOUNTS, public=st.booleans(), verb=st.sampled_from(["add", "remove"]))
def test_both_styles_mean_the_same_change(users: list[str], public: bool, verb: str) -> None:
    named = tuple(Permission(user_id=user) for user in users) + ((Permission(group="all"),) if public else ())
    flat = plan_change(Asked(attribute="launchPermission", operation_type=verb, flat=named))
    structured = plan_change(Asked(add=named) if verb == "add" else Asked(remove=named))
    expected = frozenset(users) | ({"all"} if public else frozenset())
    assert flat == structured == Change(grants=Grants(add=expected) if verb == "add" else Grants(remove=expected))


@pytest.mark.parametrize("group", ["all ", "ALL", "", "arn:aws:iam::123456789012:group/x"])
def test_only_all_is_a_group(group: str) -> None:
    with pytest.raises(InvalidAMIAttributeItemValue, match="UserGroup"):
        plan_change(Asked(add=(Permission(user_id=ACCOUNT), Permission(group=group))))


@pytest.mark.parametrize("user", ["1234-5678-9012", "12345678901", "self", "", "١٢٣٤٥٦٧٨٩٠١٢"])
def test_only_twelve_digits_are_an_account(user: str) -> None:
    with pytest.raises(InvalidAMIAttributeItemValue, match="userId"):
        plan_change(Asked(operation_type="add", flat=(Permission(user_id=user),)))


@pytest.mark.parametrize(
    ("asked", "refusal"),
    [
        (Asked(), MissingParameter),
        (Asked(attribute="launchPermission"), MissingParameter),
        (Asked(attribute="launchPermission", operation_type="add"), MissingParameter),
        (Asked(operation_type="toggle", flat=(Permission(group="all"),)), InvalidParameterValue),
        (Asked(attribute="description"), MissingParameter),
        (Asked(description="x" * 256), InvalidParameterValue),
        (Asked(description="x", add=(Permission(group="all"),)), InvalidParameterCombination),
        (Asked(add=(Permission(group="all"),), remove=(Permission(group="all"),)), InvalidParameterCombination),
        (Asked(add=(Permission(),)), InvalidParameterCombination),
        (Asked(add=(Permission(user_id=ACCOUNT, group="all"),)), InvalidParameterCombination),
        (Asked(add=(Permission(organization_arn="arn:x"),)), InvalidAMIAttributeItemValue),
        (Asked(attribute="kernel", value="aki-12345678"), InvalidParameterValue),
        (Asked(attribute="productCodes"), UnsupportedOperation),
        (Asked(product_codes=("abc",)), UnsupportedOperation),
        (Asked(attribute="colour"), InvalidParameterValue),
        (Asked(imds_support="v1.0"), InvalidParameterValue),
        (Asked(imds_support=""), InvalidParameterValue),
        (Asked(attribute="imdsSupport"), MissingParameter),
        (Asked(attribute="imdsSupport", value="optional"), InvalidParameterValue),
        (Asked(imds_support="v2.0", description="x"), InvalidParameterCombination),
        (Asked(attribute="description", imds_support="v2.0"), InvalidParameterCombination),
        (Asked(attribute="imdsSupport", value="v2.0", operation_type="add"), InvalidParameterCombination),
        (Asked(value="x", description="y"), InvalidParameterCombination),
    ],
)  # fmt: skip
def test_what_is_no_single_change_is_refused(asked: Asked, refusal: type[Refusal]) -> None:
    with pytest.raises(refusal):
        plan_change(asked)


def test_a_description_comes_in_both_styles_and_may_be_empty() -> None:
    assert plan_change(Asked(description="new")) == Change(description="new")
    assert plan_change(Asked(attribute="description", value="")) == Change(description="")


def test_imds_support_comes_in_both_styles() -> None:
    for asked in (Asked(imds_support="v2.0"), Asked(attribute="imdsSupport", value="v2.0")):
        assert plan_change(asked) == Change(imds_support="v2.0")


@pytest.mark.parametrize("attribute", [name for name in ATTRIBUTES if name != "launchPermission"])
def test_only_launch_permission_can_be_reset(attribute: str) -> None:
    with pytest.raises(InvalidParameterValue, match="Only launchPermission can be reset"):
        check_resettable(attribute)
    with pytest.raises(InvalidParameterValue, match="Unknown attribute"):
        check_resettable(attribute.upper())
    check_resettable("launchPermission")


@given(st.sampled_from(["description", "launchPermission", "imdsSupport"]))
def test_an_attribute_that_begins_with_a_capital_is_the_same(name: str) -> None:
    """As amazon.aws.ec2_ami says Description and LaunchPermission, beside the structures of these names."""
    said = {
        "description": Asked(description="words"),
        "launchPermission": Asked(add=(Permission(user_id="123456789012"),)),
        "imdsSupport": Asked(imds_support="v2.0"),
    }[name]
    capital = replace(said, attribute=name[0].upper() + name[1:])
    assert plan_change(capital) == plan_change(replace(said, attribute=name)) == plan_change(said)
    with pytest.raises(InvalidParameterValue):
        plan_change(replace(said, attribute=name.upper()))
