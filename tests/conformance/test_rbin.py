"""Retention rules as stock boto3 asks for them: one test a rule and error of the Recycle Bin's model."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amiable.wire import operations
from tests.server.edge import Edge, running_edge
from tests.support.clock import Clock, sign_by
from tests.support.services import make_account, open_services
from tests.wire import oracle

DAYS = {"RetentionPeriodUnit": "DAYS"}
LENIENT = Config(parameter_validation=False, retries={"max_attempts": 0})
"""What is wrong is to be refused by the server, not by the client."""
LOCK = {"UnlockDelay": {"UnlockDelayValue": 7, "UnlockDelayUnit": "DAYS"}}


@dataclass(frozen=True)
class Bin:
    """The service of one installation and the clock that it lives by."""

    edge: Edge
    client: Any
    clock: Clock

    def make(self, days: int = 7, kind: str = "EC2_IMAGE", **words: Any) -> dict[str, Any]:
        period = {"RetentionPeriodValue": days, **DAYS}
        made: dict[str, Any] = self.client.create_rule(ResourceType=kind, RetentionPeriod=period, **words)
        return made


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Edge, Clock]]:
    clock = Clock()
    with open_services(tmp_path_factory.mktemp("rbin") / "data", clock=clock) as services:
        account, _ = make_account(services, "edge")
        with running_edge(services, account) as edge:
            yield edge, clock


@pytest.fixture
def rbin(installation: tuple[Edge, Clock], monkeypatch: pytest.MonkeyPatch) -> Iterator[Bin]:
    """An account of the test's own, on the first of March."""
    edge, clock = installation
    clock.moment = Clock().moment
    sign_by(clock, monkeypatch)
    account, _ = make_account(edge.services, "keeper")
    edge = replace(edge, account=account)
    with closing(edge.client("rbin", config=LENIENT)) as client:
        yield Bin(edge, client, clock)


def refused(call: Any, **parameters: Any) -> tuple[str, str, str, int]:
    """Code, reason, text and status of the refusal."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    answer: Mapping[str, Any] = caught.value.response
    return (
        answer["Error"]["Code"],
        answer.get("Reason", ""),
        answer["Error"]["Message"],
        answer["ResponseMetadata"]["HTTPStatusCode"],
    )


def tag(key: str, value: str | None = None) -> dict[str, str]:
    return {"ResourceTagKey": key} | ({} if value is None else {"ResourceTagValue": value})


@pytest.mark.proves("rbin", "CreateRule", "GetRule", "ListRules", "DeleteRule")
def test_a_rule_is_made_read_listed_and_deleted(rbin: Bin) -> None:
    made = rbin.make(30, Description="keep", ResourceTags=[tag("env", "prod"), tag("keep")])
    assert (made["ResourceType"], made["Status"], made["LockState"]) == ("EC2_IMAGE", "available", "unlocked")
    assert made["RuleArn"] == f"arn:aws:rbin:us-east-1:{rbin.edge.account.account_id}:rule/{made['Identifier']}"
    assert len(made["Identifier"]) == 11 and made["ResponseMetadata"]["HTTPStatusCode"] == 201
    read = rbin.client.get_rule(Identifier=made["Identifier"])
    assert read["RetentionPeriod"] == {"RetentionPeriodValue": 30, "RetentionPeriodUnit": "DAYS"}
    assert (read["Description"], read["ResourceTags"]) == ("keep", [tag("env", "prod"), tag("keep")])
    other = rbin.make(5, "EBS_SNAPSHOT")["Identifier"]
    (row,) = rbin.client.list_rules(ResourceType="EC2_IMAGE")["Rules"]
    assert (row["Identifier"], row["Description"], row["LockState"]) == (made["Identifier"], "keep", "unlocked")
    assert [rule["Identifier"] for rule in rbin.client.list_rules(ResourceType="EBS_SNAPSHOT")["Rules"]] == [other]
    assert rbin.client.delete_rule(Identifier=made["Identifier"])["ResponseMetadata"]["HTTPStatusCode"] == 204
    gone = f"The retention rule {made['Identifier']} does not exist."
    not_found = ("ResourceNotFoundException", "RULE_NOT_FOUND", gone, 404)
    for call in (rbin.client.get_rule, rbin.client.delete_rule, rbin.client.update_rule, rbin.client.unlock_rule):
        assert refused(call, Identifier=made["Identifier"]) == not_found
    assert refused(rbin.client.lock_rule, Identifier=made["Identifier"], LockConfiguration=LOCK) == not_found


@pytest.mark.proves("rbin", "ListRules")
def test_rules_are_listed_by_tags_and_lock_and_page_by_page(rbin: Bin) -> None:
    tagged = [rbin.make(ResourceTags=[tag("n", str(number)), tag("all")])["Identifier"] for number in range(5)]
    plain = rbin.make(LockConfiguration=LOCK)["Identifier"]
    bare = rbin.make(ExcludeResourceTags=[tag("scratch")])["Identifier"]

    def listed(**words: Any) -> set[str]:
        return {rule["Identifier"] for rule in rbin.client.list_rules(ResourceType="EC2_IMAGE", **words)["Rules"]}

    assert listed(ResourceTags=[tag("all")]) == set(tagged)
    assert listed(ResourceTags=[tag("all"), tag("n", "3")]) == {tagged[3]}
    assert listed(ExcludeResourceTags=[tag("scratch")]) == {bare}
    assert listed(LockState="locked") == {plain}
    pages = list(
        rbin.client.get_paginator("list_rules").paginate(ResourceType="EC2_IMAGE", PaginationConfig={"PageSize": 3})
    )
    assert [len(page["Rules"]) for page in pages] == [3, 3, 1]
    assert {rule["Identifier"] for page in pages for rule in page["Rules"]} == {*tagged, plain, bare}
    call = rbin.client.list_rules
    code, reason, _, status = refused(call, ResourceType="EC2_IMAGE", NextToken="AAAA")
    assert (code, reason, status) == ("ValidationException", "INVALID_PAGE_TOKEN", 400)
    code, reason, _, status = refused(call, ResourceType="EC2_IMAGE", NextToken="-")
    assert (code, reason, status) == ("ValidationException", "INVALID_PAGE_TOKEN", 400)
    assert refused(call, ResourceType="EBS_VOLUME")[:2] == ("ValidationException", "INVALID_PARAMETER_VALUE")
    code, reason, text, _ = refused(call, ResourceType="EC2_IMAGE", MaxResults=1001)
    assert (code, reason) == ("ValidationException", "INVALID_PARAMETER_VALUE") and "1000" in text


@pytest.mark.proves("rbin", "CreateRule")
@pytest.mark.parametrize(
    ("days", "words", "named"),
    [
        (0, {}, "RetentionPeriodValue"),
        (366, {}, "expecting 1 to 365 days"),
        (7, {"kind": "EBS_VOLUME"}, "Rules for EBS_VOLUME are not implemented by Amiable"),
        (7, {"ResourceTags": [tag("a")], "ExcludeResourceTags": [tag("b")]}, "cannot have exclusion tags"),
        (7, {"ResourceTags": [tag(str(n)) for n in range(51)]}, "ResourceTags"),
        (7, {"ResourceTags": [tag("a", "1"), tag("a", "1")]}, "The same tag stands twice in ResourceTags."),
        (7, {"ExcludeResourceTags": [tag(str(n)) for n in range(6)]}, "Value (6 items) for parameter ExcludeResourceTags is invalid. Expecting 0 to 5 items."),
        (7, {"LockConfiguration": LOCK, "ResourceTags": [tag("a")]}, "Only a Region-level retention rule"),
        (7, {"LockConfiguration": LOCK, "ExcludeResourceTags": [tag("a")]}, "without exclusion tags can be locked"),
        (7, {"LockConfiguration": {"UnlockDelay": {"UnlockDelayValue": 6, "UnlockDelayUnit": "DAYS"}}}, "UnlockDelay"),
        (7, {"Description": "x" * 256}, "Description"),
        (7, {"Tags": [{"Key": "aws:x", "Value": ""}]}, "keys that begin with aws: are reserved"),
        (7, {"Tags": [{"Key": "x", "Value": ""}, {"Key": "x", "Value": "1"}]}, "stands twice"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_be_is_refused(rbin: Bin, days: int, words: dict[str, Any], named: str) -> None:
    code, reason, text, status = refused(rbin.make, days=days, **words)
    assert (code, reason, status) == ("ValidationException", "INVALID_PARAMETER_VALUE", 400)
    assert named in text
    assert rbin.client.list_rules(ResourceType="EC2_IMAGE")["Rules"] == []


@pytest.mark.proves("rbin", "CreateRule", "UpdateRule")
def test_quotas_of_rules_and_of_rules_per_tag(rbin: Bin) -> None:
    for _ in range(5):
        rbin.make(ResourceTags=[tag("busy", "yes")])
    code, reason, text, status = refused(rbin.make, ResourceTags=[tag("busy", "yes")])
    assert (code, reason, status) == ("ServiceQuotaExceededException", "SERVICE_QUOTA_EXCEEDED", 402)
    assert text.startswith("The tag busy=yes is in 5 retention rules already: ")
    sixth = rbin.make(ResourceTags=[tag("busy", "no")])["Identifier"]
    code, _, _, _ = refused(rbin.client.update_rule, Identifier=sixth, ResourceTags=[tag("busy", "yes")])
    assert code == "ServiceQuotaExceededException"
    rbin.make(kind="EBS_SNAPSHOT", ResourceTags=[tag("busy", "yes")])  # counted by resource type
    for _ in range(250 - 7):
        rbin.make()
    assert refused(rbin.make) == (
        "ServiceQuotaExceededException", "SERVICE_QUOTA_EXCEEDED",
        "You can have 250 retention rules in a Region at most.", 402,
    )  # fmt: skip


@pytest.mark.proves("rbin", "UpdateRule")
def test_a_rule_is_changed_but_not_into_another_kind(rbin: Bin) -> None:
    tagged, region = rbin.make(ResourceTags=[tag("a")])["Identifier"], rbin.make()["Identifier"]
    period = {"RetentionPeriodValue": 365, **DAYS}
    changed = rbin.client.update_rule(
        Identifier=tagged, RetentionPeriod=period, Description="", ResourceTags=[tag("b")]
    )
    assert (changed["RetentionPeriod"], changed["ResourceTags"]) == (period, [tag("b")])
    assert rbin.client.get_rule(Identifier=tagged)["ResourceTags"] == [tag("b")]
    rbin.client.update_rule(Identifier=region, ResourceType="EC2_IMAGE", ExcludeResourceTags=[tag("x")])
    for words, named in (
        ({"Identifier": tagged, "ResourceTags": []}, "stays one"),
        ({"Identifier": region, "ResourceTags": [tag("a")]}, "stays one"),
        ({"Identifier": tagged, "ExcludeResourceTags": [tag("a")]}, "cannot have exclusion tags"),
        ({"Identifier": tagged, "ResourceType": "EBS_SNAPSHOT"}, "resource type of a retention rule cannot be changed"),
        ({"Identifier": tagged, "RetentionPeriod": {"RetentionPeriodValue": 400, **DAYS}}, "1 to 365 days"),
    ):
        code, reason, text, _ = refused(rbin.client.update_rule, **words)
        assert (code, reason) == ("ValidationException", "INVALID_PARAMETER_VALUE") and named in text


@pytest.mark.proves("rbin", "LockRule", "UnlockRule", "UpdateRule", "DeleteRule")
def test_a_locked_rule_stands_until_its_delay_after_the_unlocking_is_over(rbin: Bin) -> None:
    rule = rbin.make()["Identifier"]
    conflict = refused(rbin.client.unlock_rule, Identifier=rule)
    assert conflict == ("ConflictException", "INVALID_RULE_STATE", f"The retention rule {rule} is not locked.", 409)
    locked = rbin.client.lock_rule(Identifier=rule, LockConfiguration=LOCK)
    assert (locked["LockState"], locked["LockConfiguration"]) == ("locked", LOCK)
    for call in (rbin.client.update_rule, rbin.client.delete_rule):
        assert refused(call, Identifier=rule) == (
            "ConflictException", "INVALID_RULE_STATE", f"The retention rule {rule} is locked. Unlock it first.", 409,
        )  # fmt: skip
    code, _, text, _ = refused(rbin.client.lock_rule, Identifier=rule, LockConfiguration=LOCK)
    assert (code, text) == ("ConflictException", f"The retention rule {rule} is locked already.")
    waiting = rbin.client.unlock_rule(Identifier=rule)
    assert waiting["LockState"] == "pending_unlock"
    assert waiting["LockEndTime"] == rbin.clock.moment + timedelta(days=7)
    assert refused(rbin.client.delete_rule, Identifier=rule)[:2] == ("ConflictException", "INVALID_RULE_STATE")
    rbin.clock.pass_(days=7)
    assert rbin.client.get_rule(Identifier=rule)["LockState"] == "unlocked"
    rbin.client.update_rule(Identifier=rule, Description="open again")
    spared = rbin.client.update_rule(Identifier=rule, ExcludeResourceTags=[tag("scratch")])  # which no lock allows
    assert (spared["LockState"], spared["ExcludeResourceTags"]) == ("unlocked", [tag("scratch")])
    code, reason, _, _ = refused(rbin.client.lock_rule, Identifier=rule, LockConfiguration=LOCK)
    assert (code, reason) == ("ValidationException", "INVALID_PARAMETER_VALUE")
    rbin.client.delete_rule(Identifier=rule)


@pytest.mark.proves("rbin", "LockRule")
def test_only_region_level_rules_without_exclusions_are_locked(rbin: Bin) -> None:
    for made in (rbin.make(ResourceTags=[tag("a")]), rbin.make(ExcludeResourceTags=[tag("a")])):
        rule = made["Identifier"]
        assert refused(rbin.client.lock_rule, Identifier=rule, LockConfiguration=LOCK) == (
            "ValidationException", "INVALID_PARAMETER_VALUE",
            "Only a Region-level retention rule without exclusion tags can be locked.", 400,
        )  # fmt: skip


@pytest.mark.proves("rbin", "TagResource", "UntagResource", "ListTagsForResource")
def test_a_rules_own_tags(rbin: Bin) -> None:
    made = rbin.make(Tags=[{"Key": "team", "Value": "infra"}])
    assert made["Tags"] == [{"Key": "team", "Value": "infra"}]
    arn = made["RuleArn"]
    rbin.client.tag_resource(ResourceArn=arn, Tags=[{"Key": "team", "Value": "sre"}, {"Key": "z", "Value": ""}])
    assert rbin.client.list_tags_for_resource(ResourceArn=arn)["Tags"] == [
        {"Key": "team", "Value": "sre"},
        {"Key": "z", "Value": ""},
    ]
    rbin.client.untag_resource(ResourceArn=arn, TagKeys=["z", "absent"])
    assert rbin.client.list_tags_for_resource(ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "sre"}]
    many = [{"Key": str(number), "Value": ""} for number in range(50)]
    assert refused(rbin.client.tag_resource, ResourceArn=arn, Tags=many) == (
        "ServiceQuotaExceededException", "SERVICE_QUOTA_EXCEEDED",
        "A retention rule may have 50 tags at most; this one would have 51.", 402,
    )  # fmt: skip
    other = arn.replace("us-east-1", "eu-west-1")
    for call, words in (
        (rbin.client.list_tags_for_resource, {}),
        (rbin.client.tag_resource, {"Tags": []}),
        (rbin.client.untag_resource, {"TagKeys": ["z"]}),
    ):
        code, reason, text, status = refused(call, ResourceArn=other, **words)
        assert (code, reason, status) == ("ResourceNotFoundException", "RULE_NOT_FOUND", 404)
        assert text == f"The retention rule {other} does not exist."


@pytest.mark.proves("rbin", "GetRule", "ListRules")
def test_another_accounts_rule_is_not_there(rbin: Bin) -> None:
    rule = rbin.make()["Identifier"]
    account, _ = make_account(rbin.edge.services, "stranger")
    keys = {"aws_access_key_id": account.access_key_id, "aws_secret_access_key": account.secret}
    with closing(rbin.edge.client("rbin", **keys)) as stranger:
        assert refused(stranger.get_rule, Identifier=rule)[:2] == ("ResourceNotFoundException", "RULE_NOT_FOUND")
        assert stranger.list_rules(ResourceType="EC2_IMAGE")["Rules"] == []


def test_an_unknown_path_and_a_bad_key_speak_as_the_service_does(rbin: Bin) -> None:
    answer = rbin.edge.send("GET", "/colours", headers=rbin.edge.sign("GET", "/colours", service="rbin"))
    assert (answer.status, answer.headers["x-amzn-errortype"]) == (400, "ValidationException")
    assert "is no operation of the Recycle Bin that Amiable implements" in answer.text
    with closing(rbin.edge.client("rbin", aws_secret_access_key="wrong")) as client:
        assert refused(client.get_rule, Identifier="a" * 11)[0] == "InvalidSignatureException"


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(operations.RBIN), st.integers(0, 2**32), st.sampled_from([0.5, 1]))
def test_whatever_is_asked_is_answered_or_refused_by_name(rbin: Bin, name: str, seed: int, chance: float) -> None:
    model = rbin.client.meta.service_model.operation_model(name)
    asked = oracle.Maker(seed, chance).value(model.input_shape)
    try:
        getattr(rbin.client, xform_name(name))(**asked)
    except ClientError as error:
        assert error.response["Error"]["Code"] in {shape.name for shape in model.error_shapes}, error
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] < 500
