"""Policies: what is read, what is refused, and what a decision follows from."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.model.errors import IamRefusal
from amiable.model.policy import Policy
from amiable.rules.filters import tokenize, wildcard_match
from amiable.rules.policy import (
    UNRESOLVED,
    Asked,
    Assumer,
    Verdict,
    decide,
    decide_trust,
    is_match,
    read_policy,
    read_trust_policy,
)

ALLOWED, DENIED, NOT_ALLOWED = Verdict.ALLOWED, Verdict.DENIED, Verdict.NOT_ALLOWED


def statement(effect: str | None = "Allow", action: Any = "*", resource: Any = "*", **more: Any) -> dict[str, Any]:
    found = {"Effect": effect, "Action": action, "Resource": resource, **more}
    return {name: value for name, value in found.items() if value is not None}


def text(*statements: Any, **more: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements), **more})


def policy(*statements: dict[str, Any]) -> Policy:
    return read_policy(text(*statements))


def said(statements: list[dict[str, Any]], action: str, resource: str = "*", **context: str) -> Verdict:
    told = {name.replace("_", ":"): value for name, value in context.items()}
    return decide([policy(*statements)], Asked(action, resource, told))


INSTANCE = "arn:aws:ec2:us-east-1:123456789012:instance/i-1"


@pytest.mark.parametrize(
    ("statements", "action", "verdict"),
    [
        ([statement(action="ec2:RunInstances")], "ec2:RunInstances", ALLOWED),
        ([statement(action="EC2:runinstances")], "ec2:RunInstances", ALLOWED),
        ([statement(action="ec2:Describe*")], "ec2:DescribeImages", ALLOWED),
        ([statement(action="ec2:Describe?mages")], "ec2:DescribeImages", ALLOWED),
        ([statement(action=["s3:*", "ec2:*"])], "ec2:StopInstances", ALLOWED),
        ([statement(action="s3:*")], "ec2:StopInstances", NOT_ALLOWED),
        ([statement(action=None, NotAction="iam:*")], "ec2:StopInstances", ALLOWED),
        ([statement(action=None, NotAction=["iam:*", "ec2:*"])], "ec2:StopInstances", NOT_ALLOWED),
        ([statement(), statement("Deny", "ec2:Stop*")], "ec2:StopInstances", DENIED),
        ([statement("Deny", "ec2:Stop*"), statement()], "ec2:StopInstances", DENIED),
        ([statement("Deny", "ec2:Stop*")], "ec2:StartInstances", NOT_ALLOWED),
        ([statement("Deny", None, NotAction="ec2:Stop*"), statement()], "ec2:StartInstances", DENIED),
    ],
)
def test_actions_are_matched_whatever_their_case_and_deny_wins(
    statements: list[dict[str, Any]], action: str, verdict: Verdict
) -> None:
    assert said(statements, action, INSTANCE) is verdict


@pytest.mark.parametrize(
    ("resource", "asked", "verdict"),
    [
        ("*", INSTANCE, ALLOWED),
        (INSTANCE, INSTANCE, ALLOWED),
        ("arn:aws:ec2:*:*:instance/*", INSTANCE, ALLOWED),
        (["arn:aws:s3:::a", "arn:aws:ec2:*:*:instance/i-?"], INSTANCE, ALLOWED),
        ("arn:aws:ec2:*:*:volume/*", INSTANCE, NOT_ALLOWED),
        ("arn:aws:ec2:*:*:Instance/*", INSTANCE, NOT_ALLOWED),
        ("arn:aws:ec2:*:*:instance/*", "*", NOT_ALLOWED),
        ("arn:aws:s3:::a\\*", "arn:aws:s3:::a\\b", ALLOWED),
    ],
)
def test_resources_are_matched_with_their_case(resource: Any, asked: str, verdict: Verdict) -> None:
    assert said([statement(resource=resource)], "ec2:StopInstances", asked) is verdict


def test_what_is_not_among_the_resources_is_matched_by_not_resource() -> None:
    found = [statement(resource=None, NotResource="arn:aws:s3:::secret/*")]
    assert said(found, "s3:GetObject", "arn:aws:s3:::open/a") is ALLOWED
    assert said(found, "s3:GetObject", "arn:aws:s3:::secret/a") is NOT_ALLOWED


@pytest.mark.parametrize(
    ("condition", "context", "holds"),
    [
        ({"StringEquals": {"aws:RequestedRegion": "us-east-1"}}, {"aws_requestedregion": "us-east-1"}, True),
        (
            {"StringEquals": {"aws:RequestedRegion": ["eu-west-1", "us-east-1"]}},
            {"aws_requestedregion": "us-east-1"},
            True,
        ),
        ({"StringEquals": {"aws:RequestedRegion": "US-EAST-1"}}, {"aws_requestedregion": "us-east-1"}, False),
        ({"StringEqualsIgnoreCase": {"AWS:requestedregion": "US-EAST-1"}}, {"aws_requestedregion": "us-east-1"}, True),
        ({"StringNotEquals": {"aws:RequestedRegion": "us-east-1"}}, {"aws_requestedregion": "us-east-1"}, False),
        (
            {"StringNotEquals": {"aws:RequestedRegion": ["eu-west-1", "us-east-1"]}},
            {"aws_requestedregion": "us-east-1"},
            False,
        ),
        ({"StringLike": {"aws:RequestedRegion": "us-*"}}, {"aws_requestedregion": "us-east-1"}, True),
        ({"StringNotLike": {"aws:RequestedRegion": "us-*"}}, {"aws_requestedregion": "eu-west-1"}, True),
        (
            {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/a*"}},
            {"aws_principalarn": "arn:aws:iam::1:role/ab"},
            True,
        ),
        (
            {"ArnNotEquals": {"aws:PrincipalArn": "arn:aws:iam::1:role/ab"}},
            {"aws_principalarn": "arn:aws:iam::1:role/ab"},
            False,
        ),
        ({"StringEquals": {"sts:ExternalId": "x"}}, {}, False),
        ({"StringNotEquals": {"sts:ExternalId": "x"}}, {}, True),
        (
            {"StringLike": {"aws:PrincipalAccount": "1*", "aws:RequestedRegion": "us-*"}},
            {"aws_principalaccount": "12"},
            False,
        ),
    ],
)
def test_every_condition_must_hold(condition: dict[str, Any], context: dict[str, str], holds: bool) -> None:
    verdict = said([statement(Condition=condition)], "ec2:StopInstances", **context)
    assert verdict is (ALLOWED if holds else NOT_ALLOWED)


def test_what_a_call_names_otherwise_than_by_id_is_denied_where_any_is_and_allowed_where_all_are() -> None:
    one = "arn:aws:ec2:us-east-1:123456789012:security-group/sg-1"
    assert said([statement()], "ec2:DeleteSecurityGroup", UNRESOLVED) is ALLOWED
    assert said([statement(resource=one)], "ec2:DeleteSecurityGroup", UNRESOLVED) is NOT_ALLOWED
    denied = [statement(), statement("Deny", resource=one)]
    assert said(denied, "ec2:DeleteSecurityGroup", UNRESOLVED) is DENIED
    assert said(denied, "ec2:DescribeSecurityGroups", "*") is ALLOWED
    all_but_one = [statement(resource=None, NotResource=one)]
    assert said(all_but_one, "ec2:DeleteSecurityGroup", UNRESOLVED) is NOT_ALLOWED, "it may be that one"
    assert said([statement(), statement("Deny", resource=None, NotResource=one)], "ec2:X", UNRESOLVED) is DENIED


@given(st.text("ab*?\\.\n", max_size=12), st.text("ab*?\\.\n", max_size=12))
def test_patterns_match_as_those_of_filters_without_escapes(pattern: str, asked: str) -> None:
    assert is_match(pattern, asked) is wildcard_match(tokenize(pattern.replace("\\", "\\\\")), asked)


def test_a_pattern_of_many_stars_is_decided_in_steps_that_grow_no_faster_than_the_text() -> None:
    assert not is_match("*a" * 2000 + "b", "a" * 4000), "a matcher that goes back would not end"


def test_the_policies_of_a_role_are_one_and_one_deny_is_enough() -> None:
    asked = Asked("s3:GetObject", "arn:aws:s3:::a/b")
    allowing, denying = policy(statement()), policy(statement("Deny", "s3:GetObject"))
    assert decide([], asked) is NOT_ALLOWED
    assert decide([allowing], asked) is ALLOWED
    assert decide([allowing, denying], asked) is DENIED


TRUST = {"Effect": "Allow", "Action": "sts:AssumeRole"}


@pytest.mark.parametrize(
    ("principal", "assumer", "verdict"),
    [
        ("*", Assumer(frozenset({"1"})), ALLOWED),
        ({"AWS": "*"}, Assumer(frozenset({"1"})), ALLOWED),
        ({"AWS": "*"}, Assumer(service="ec2.amazonaws.com"), NOT_ALLOWED),
        ({"AWS": "123456789012"}, Assumer(frozenset({"123456789012"})), ALLOWED),
        ({"AWS": ["arn:aws:iam::123456789012:root", "000000000001"]}, Assumer(frozenset({"000000000001"})), ALLOWED),
        ({"AWS": "arn:aws:iam::123456789012:role/a"}, Assumer(frozenset({"123456789012"})), NOT_ALLOWED),
        ({"Service": ["s3.amazonaws.com", "ec2.amazonaws.com"]}, Assumer(service="ec2.amazonaws.com"), ALLOWED),
        ({"Service": "ec2.amazonaws.com"}, Assumer(frozenset({"123456789012"})), NOT_ALLOWED),
    ],
)
def test_a_trust_policy_means_whom_it_names(principal: Any, assumer: Assumer, verdict: Verdict) -> None:
    read = read_trust_policy(text({**TRUST, "Principal": principal}))
    assert decide_trust(read, assumer, Asked("sts:AssumeRole")) is verdict
    assert decide_trust(read, assumer, Asked("sts:TagSession")) is NOT_ALLOWED


def test_a_trust_policy_that_denies_wins() -> None:
    read = read_trust_policy(
        text({**TRUST, "Principal": "*"}, {**TRUST, "Effect": "Deny", "Principal": {"AWS": "000000000001"}})
    )
    assert decide_trust(read, Assumer(frozenset({"000000000001"})), Asked("sts:AssumeRole")) is DENIED
    assert decide_trust(read, Assumer(frozenset({"000000000002"})), Asked("sts:AssumeRole")) is ALLOWED


BAD = {
    "no JSON": "{",
    "no object": "[]",
    "deep": "[" * 100_000,
    "a key twice": '{"Version": "2012-10-17", "Statement": [], "Statement": []}',
    "no statement": text(),
    "a statement that is none": text("x"),
    "an unknown member": text(statement(), Rules=[]),
    "an unknown version": json.dumps({"Version": "2020-01-01", "Statement": [statement()]}),
    "an unknown member of a statement": text(statement(Actions="*")),
    "a Sid that is no text": text(statement(Sid=1)),
    "no effect": text(statement(effect=None)),
    "another effect": text(statement("Permit")),
    "no action": text(statement(action=None)),
    "both actions": text(statement(NotAction="ec2:*")),
    "an action without a service": text(statement(action="RunInstances")),
    "an action that is no text": text(statement(action=1)),
    "no actions": text(statement(action=[])),
    "no resource": text(statement(resource=None)),
    "a resource that is no ARN": text(statement(resource="bucket")),
    "a resource of too few parts": text(statement(resource="arn:aws:s3")),
    "a variable": text(statement(resource="arn:aws:s3:::${aws:username}/*")),
    "a principal": text(statement(Principal="*")),
    "an unknown operator": text(statement(Condition={"NumericEquals": {"aws:RequestedRegion": "1"}})),
    "an unknown key": text(statement(Condition={"StringEquals": {"aws:SourceVpc": "vpc-1"}})),
    "a condition that is none": text(statement(Condition={"StringEquals": "x"})),
    "an operator of other kinds": text(statement(Condition={"StringEquals": {"aws:RequestedRegion": 1}})),
    "too many statements": text(*[statement()] * 501),
}
BAD_TRUST = {
    "no principal": text(TRUST),
    "a resource": text({**TRUST, "Principal": "*", "Resource": "*"}),
    "a kind of principal that is not there": text({**TRUST, "Principal": {"Federated": "x"}}),
    "an account that is none": text({**TRUST, "Principal": {"AWS": "1234"}}),
    "a service that is none": text({**TRUST, "Principal": {"Service": "ec2"}}),
    "a principal that is a list": text({**TRUST, "Principal": ["*"]}),
    "everyone but": text({**TRUST, "NotPrincipal": "*"}),
}


@pytest.mark.parametrize("why", BAD)
def test_a_document_that_cannot_be_decided_by_is_refused(why: str) -> None:
    with pytest.raises(IamRefusal) as caught:
        read_policy(BAD[why])
    assert caught.value.code == "MalformedPolicyDocument" and caught.value.status == 400


@pytest.mark.parametrize("why", BAD_TRUST)
def test_a_trust_policy_that_names_nobody_is_refused(why: str) -> None:
    with pytest.raises(IamRefusal) as caught:
        read_trust_policy(BAD_TRUST[why])
    assert caught.value.code == "MalformedPolicyDocument"


def test_a_document_without_a_version_and_with_one_statement_alone_is_read() -> None:
    assert read_policy(json.dumps({"Statement": statement()})) == policy(statement())


PATTERNS = st.text(alphabet="ab*?\\", max_size=12)


@given(PATTERNS, st.text(alphabet="ab*?\\", max_size=12))
def test_a_pattern_matches_what_its_two_wildcards_say(pattern: str, name: str) -> None:
    reach = {0}
    for character in pattern:
        if character == "*":
            reach = {end for start in reach for end in range(start, len(name) + 1)}
        else:
            reach = {at + 1 for at in reach if at < len(name) and character in ("?", name[at])}
    assert is_match(pattern, name) is (len(name) in reach)


JUNK = st.recursive(
    st.none() | st.booleans() | st.text(max_size=8) | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)
MEMBERS = st.sampled_from(
    ["Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Principal", "Condition", "Version"]
)


@given(st.lists(st.dictionaries(MEMBERS, JUNK, max_size=5), max_size=3), st.booleans())
def test_no_document_meets_a_fault_of_our_own(statements: list[dict[str, Any]], is_trust: bool) -> None:
    try:
        (read_trust_policy if is_trust else read_policy)(text(*statements))
    except IamRefusal as refusal:
        assert refusal.code == "MalformedPolicyDocument"
