"""Security groups and their rules through boto3: what is made, told and refused."""

from collections.abc import Iterator
from typing import Any

import pytest

from amiable.rules.security_group import RULES_MAX
from tests.conformance.networks import another_client, default_vpc, network_edge, refused, tagged, where
from tests.server.edge import Edge

ANYWHERE = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with network_edge(tmp_path_factory.mktemp("edge")) as running:
        yield running


@pytest.fixture
def group_id(ec2: Any, request: pytest.FixtureRequest) -> Iterator[str]:
    """A group of the test's own in the default VPC, named after it."""
    name = request.node.name.replace("[", " ").replace("]", "")[:100]
    made = str(ec2.create_security_group(GroupName=name, Description="of a test")["GroupId"])
    yield made
    for rule in ec2.describe_security_group_rules(Filters=where("group-id", made))["SecurityGroupRules"]:
        if "ReferencedGroupInfo" in rule:
            ec2.revoke_security_group_ingress(GroupId=made, SecurityGroupRuleIds=[rule["SecurityGroupRuleId"]])
    ec2.delete_security_group(GroupId=made)


def told(ec2: Any, group_id: str) -> Any:
    (group,) = ec2.describe_security_groups(GroupIds=[group_id])["SecurityGroups"]
    return group


def rules(ec2: Any, group_id: str, *, is_egress: bool = False) -> list[dict[str, Any]]:
    found = ec2.describe_security_group_rules(Filters=where("group-id", group_id))["SecurityGroupRules"]
    return [rule for rule in found if rule["IsEgress"] is is_egress]


@pytest.mark.proves("ec2", "CreateSecurityGroup", "DeleteSecurityGroup", "DescribeSecurityGroups")
def test_a_new_group_lets_all_out_and_nothing_in_and_is_gone_after_it_is_deleted(ec2: Any) -> None:
    vpc_id = default_vpc(ec2)
    made = ec2.create_security_group(
        GroupName="packer_6789",
        Description="Temporary",
        VpcId=vpc_id,
        TagSpecifications=tagged("security-group", a="b"),
    )
    assert made["Tags"] == [{"Key": "a", "Value": "b"}]
    assert made["SecurityGroupArn"].endswith(f":security-group/{made['GroupId']}")
    group = told(ec2, made["GroupId"])
    assert (group["GroupName"], group["Description"], group["VpcId"]) == ("packer_6789", "Temporary", vpc_id)
    assert group["IpPermissions"] == []
    assert group["IpPermissionsEgress"] == [
        {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}], "Ipv6Ranges": [], "PrefixListIds": [], "UserIdGroupPairs": []}
    ]  # fmt: skip
    gone = ec2.delete_security_group(GroupId=made["GroupId"])
    assert (gone["Return"], gone["GroupId"]) == (True, made["GroupId"])
    assert refused(ec2.delete_security_group, GroupId=made["GroupId"]) == (
        "InvalidGroup.NotFound",
        f"The security group '{made['GroupId']}' does not exist",
    )


@pytest.mark.parametrize(
    ("name", "description", "code", "text"),
    [
        ("default", "d", "InvalidGroup.Reserved", "Cannot use reserved security group name: default"),
        ("sg-mine", "d", "InvalidParameterValue", "Group names may not be in the format sg-*."),
        ("a\tb", "d", "InvalidParameterValue", "Character sets beyond"),
        ("a" * 256, "d", "InvalidParameterValue", "nor more than 255 characters"),
        ("a", "é", "InvalidParameterValue", "Invalid security group description."),
        ("a", "d" * 256, "InvalidParameterValue", "less than 256 characters"),
        ("a", "", "MissingParameter", "The request must contain the parameter GroupDescription"),
        ("", "d", "MissingParameter", "The request must contain the parameter GroupName"),
    ],
)
def test_names_and_descriptions_that_a_group_cannot_have(
    ec2: Any, name: str, description: str, code: str, text: str
) -> None:
    seen = refused(ec2.create_security_group, GroupName=name, Description=description)
    assert seen[0] == code and text in seen[1]


def test_a_name_is_used_once_in_a_vpc(ec2: Any, group_id: str) -> None:
    group = told(ec2, group_id)
    assert refused(ec2.create_security_group, GroupName=group["GroupName"], Description="d") == (
        "InvalidGroup.Duplicate",
        f"The security group '{group['GroupName']}' already exists for VPC '{group['VpcId']}'",
    )


@pytest.mark.parametrize(
    ("vpc_id", "code"), [("vpc-1", "InvalidVpcID.Malformed"), ("vpc-" + "0" * 17, "InvalidVpcID.NotFound")]
)
def test_a_group_needs_a_vpc_that_is_there(ec2: Any, vpc_id: str, code: str) -> None:
    assert refused(ec2.create_security_group, GroupName="a", Description="d", VpcId=vpc_id)[0] == code


def test_the_default_group_stays(ec2: Any) -> None:
    (group,) = ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"]
    assert refused(ec2.delete_security_group, GroupName="default") == (
        "CannotDelete",
        f'the specified group: "{group["GroupId"]}" name: "default" cannot be deleted by a user',
    )


def test_a_group_is_named_once_and_one_way(ec2: Any, group_id: str) -> None:
    assert refused(ec2.delete_security_group, GroupId=group_id, GroupName="x")[0] == "InvalidParameterCombination"
    assert refused(ec2.delete_security_group)[0] == "MissingParameter"
    assert refused(ec2.delete_security_group, GroupName="nowhere")[0] == "InvalidGroup.NotFound"
    assert refused(ec2.describe_security_groups, GroupIds=["sg-x"])[0] == "InvalidGroupId.Malformed"
    assert refused(ec2.describe_security_groups, GroupNames=["nowhere"]) == (
        "InvalidGroup.NotFound",
        "The security group 'nowhere' does not exist",
    )


@pytest.mark.proves("ec2", "AuthorizeSecurityGroupIngress", "DescribeSecurityGroupRules")
def test_permissions_become_rules_one_a_peer_and_are_told_together(ec2: Any, group_id: str) -> None:
    permission = {
        "IpProtocol": "6",
        "FromPort": 80,
        "ToPort": 90,
        "IpRanges": [{"CidrIp": "10.1.2.3/8", "Description": "inside"}, {"CidrIp": "192.168.0.0/16"}],
        "Ipv6Ranges": [{"CidrIpv6": "2001:DB8::1/32"}],
        "PrefixListIds": [{"PrefixListId": "pl-12345678"}],
        "UserIdGroupPairs": [{"GroupId": group_id, "Description": "each other"}],
    }
    made = ec2.authorize_security_group_ingress(
        GroupId=group_id, IpPermissions=[permission], TagSpecifications=tagged("security-group-rule", who="me")
    )
    assert made["Return"] is True
    first, *others = made["SecurityGroupRules"]
    assert first["SecurityGroupRuleId"].startswith("sgr-") and len(others) == 4
    assert (first["IpProtocol"], first["FromPort"], first["ToPort"]) == ("tcp", 80, 90)
    assert (first["CidrIpv4"], first["Description"], first["IsEgress"]) == ("10.0.0.0/8", "inside", False)
    assert first["Tags"] == [{"Key": "who", "Value": "me"}]
    assert others[-1]["ReferencedGroupInfo"]["GroupId"] == group_id
    (permission,) = told(ec2, group_id)["IpPermissions"]
    assert [each["CidrIp"] for each in permission["IpRanges"]] == ["10.0.0.0/8", "192.168.0.0/16"]
    assert permission["Ipv6Ranges"] == [{"CidrIpv6": "2001:db8::/32"}]
    assert permission["PrefixListIds"] == [{"PrefixListId": "pl-12345678"}]
    owner = told(ec2, group_id)["OwnerId"]
    assert permission["UserIdGroupPairs"] == [{"GroupId": group_id, "UserId": owner, "Description": "each other"}]
    by_id = sorted(made["SecurityGroupRules"], key=lambda rule: rule["SecurityGroupRuleId"])
    assert rules(ec2, group_id) == by_id
    assert len(ec2.describe_security_group_rules(Filters=where("tag:who", "me"))["SecurityGroupRules"]) == 5
    one = [first["SecurityGroupRuleId"]]
    assert ec2.describe_security_group_rules(SecurityGroupRuleIds=one)["SecurityGroupRules"] == [first]


@pytest.mark.parametrize(
    ("permission", "code", "text"),
    [
        ({"IpRanges": [{"CidrIp": "0.0.0.0/0"}]}, "MissingParameter", "The request must contain the parameter IpProtocol"),
        ({"IpProtocol": "foo", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}, "InvalidParameterValue",
         "Invalid value 'foo' for IP protocol. Unknown protocol."),
        ({"IpProtocol": "256", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}, "InvalidParameterValue",
         "Invalid value '256' for IP protocol. Unknown protocol."),
        ({"IpProtocol": "tcp", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}, "InvalidParameterValue",
         "Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange."),
        ({"IpProtocol": "udp", "FromPort": 5, "ToPort": 65536, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]},
         "InvalidParameterValue", "TCP/UDP port (65536) out of range"),
        ({"IpProtocol": "tcp", "FromPort": 5, "ToPort": 4, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]},
         "InvalidParameterValue", "Invalid TCP/UDP port range (5:4)"),
        ({"IpProtocol": "icmp", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}, "InvalidParameterValue",
         "Invalid value 'Must specify both from and to ports with ICMP.' for portRange."),
        ({"IpProtocol": "icmp", "FromPort": 256, "ToPort": 0, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]},
         "InvalidParameterValue", "ICMP type (256) out of range"),
        ({"IpProtocol": "icmp", "FromPort": -1, "ToPort": 0, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]},
         "InvalidParameterValue", "ICMP code (0) cannot be given without a type"),
        ({"IpProtocol": "-1", "IpRanges": [{"CidrIp": "10.0.0.300/8"}]}, "InvalidParameterValue",
         "CIDR block 10.0.0.300/8 is malformed"),
        ({"IpProtocol": "-1", "IpRanges": [{"CidrIp": "10.0.0.1"}]}, "InvalidParameterValue",
         "CIDR block 10.0.0.1 is malformed"),
        ({"IpProtocol": "-1", "Ipv6Ranges": [{"CidrIpv6": "fe80::%a/64"}]}, "InvalidParameterValue",
         "CIDR block fe80::%a/64 is malformed"),
        ({"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "ü"}]}, "InvalidParameterValue",
         "Invalid rule description."),
        ({"IpProtocol": "-1"}, "MissingParameter",
         "Missing source specification: include source security group or CIDR information"),
        ({"IpProtocol": "-1", "IpRanges": [{"Description": "d"}]}, "MissingParameter", "IpRanges.CidrIp"),
        ({"IpProtocol": "-1", "Ipv6Ranges": [{"Description": "d"}]}, "MissingParameter", "Ipv6Ranges.CidrIpv6"),
        ({"IpProtocol": "-1", "PrefixListIds": [{"Description": "d"}]}, "MissingParameter", "PrefixListIds.PrefixListId"),
        ({"IpProtocol": "-1", "PrefixListIds": [{"PrefixListId": "pl"}]}, "InvalidPermission.Malformed",
         "The prefix list ID 'pl' is malformed"),
        ({"IpProtocol": "-1", "UserIdGroupPairs": [{"Description": "d"}]}, "MissingParameter", "UserIdGroupPairs.GroupId"),
        ({"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": "sg-x"}]}, "InvalidGroupId.Malformed", "sg-x"),
        ({"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": "sg-" + "0" * 17}]}, "InvalidGroup.NotFound",
         "The security group 'sg-00000000000000000' does not exist"),
        ({"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupName": "nobody"}]}, "InvalidGroup.NotFound",
         "The security group 'nobody' does not exist"),
        ({"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": "sg-" + "0" * 17, "UserId": "123456789012"}]},
         "InvalidGroup.NotFound", "does not exist"),
        ({"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupName": "default", "VpcId": "vpc-" + "0" * 17}]},
         "InvalidGroup.NotFound", "The security group 'default' does not exist"),
        ({"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupName": "default", "VpcPeeringConnectionId": "pcx-1"}]},
         "InvalidParameterValue", "VPC peering connections are not supported by Amiable."),
    ],
)  # fmt: skip
def test_permissions_that_mean_nothing_are_refused_and_change_nothing(
    ec2: Any, group_id: str, permission: dict[str, Any], code: str, text: str
) -> None:
    seen = refused(ec2.authorize_security_group_ingress, GroupId=group_id, IpPermissions=[ANYWHERE, permission])
    assert seen[0] == code and text in seen[1]
    assert rules(ec2, group_id) == []


def test_a_pairs_group_lies_in_the_vpc_that_the_pair_names(ec2: Any, group_id: str) -> None:
    (group,) = ec2.describe_security_groups(GroupIds=[group_id])["SecurityGroups"]
    named = ({"GroupId": group_id}, {"GroupName": group["GroupName"]})
    for pair in named:
        elsewhere = {"IpProtocol": "-1", "UserIdGroupPairs": [{**pair, "VpcId": "vpc-0123456789abcdef0"}]}
        code, _ = refused(ec2.authorize_security_group_ingress, GroupId=group_id, IpPermissions=[elsewhere])[:2]
        assert (code, rules(ec2, group_id)) == ("InvalidGroup.NotFound", [])
    here = {"IpProtocol": "-1", "UserIdGroupPairs": [{**named[0], "VpcId": group["VpcId"]}]}
    ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=[here])
    ec2.revoke_security_group_ingress(GroupId=group_id, IpPermissions=[here])
    assert rules(ec2, group_id) == []


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        (("all", None, None), ("-1", -1, -1)),
        (("-1", 5, 6), ("-1", -1, -1)),
        (("TCP", 0, 65535), ("tcp", 0, 65535)),
        (("icmp", 8, -1), ("icmp", 8, -1)),
        (("1", -1, -1), ("icmp", -1, -1)),
        (("icmpv6", None, None), ("icmpv6", -1, -1)),
        (("050", 1, 2), ("50", None, None)),
    ],
)
def test_protocols_come_out_in_one_spelling(ec2: Any, group_id: str, asked: Any, kept: Any) -> None:
    protocol, first, last = asked
    ports = {} if first is None else {"FromPort": first, "ToPort": last}
    permission = {"IpProtocol": protocol, **ports, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}
    ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=[permission])
    (rule,) = rules(ec2, group_id)
    assert (rule["IpProtocol"], rule.get("FromPort"), rule.get("ToPort")) == kept


def test_a_rule_is_there_once_however_it_is_described(ec2: Any, group_id: str) -> None:
    ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=[ANYWHERE])
    again = {**ANYWHERE, "IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "again"}]}
    assert refused(ec2.authorize_security_group_ingress, GroupId=group_id, IpPermissions=[again]) == (
        "InvalidPermission.Duplicate",
        'the specified rule "peer: 0.0.0.0/0, TCP, from port: 22, to port: 22, ALLOW" already exists',
    )
    other = {**ANYWHERE, "FromPort": 21}
    twice = refused(ec2.authorize_security_group_ingress, GroupId=group_id, IpPermissions=[other, other])
    assert twice == ("InvalidParameterValue", "The same permission must not appear multiple times")
    everywhere = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    out = refused(ec2.authorize_security_group_egress, GroupId=group_id, IpPermissions=[everywhere])
    assert out == ("InvalidPermission.Duplicate", 'the specified rule "peer: 0.0.0.0/0, ALL, ALLOW" already exists')


def test_a_group_has_sixty_rules_of_each_ip_version_in_each_direction(ec2: Any, group_id: str) -> None:
    ranges = [{"CidrIp": f"10.{number}.0.0/16"} for number in range(RULES_MAX)]
    ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=[{"IpProtocol": "-1", "IpRanges": ranges}])
    full = refused(ec2.authorize_security_group_ingress, GroupId=group_id, IpPermissions=[ANYWHERE])
    assert full == (
        "RulesPerSecurityGroupLimitExceeded",
        "The maximum number of rules per security group has been reached: 60.",
    )
    of_ipv6 = {"IpProtocol": "-1", "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}
    ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=[of_ipv6])
    ec2.authorize_security_group_egress(GroupId=group_id, IpPermissions=[ANYWHERE])


@pytest.mark.proves("ec2", "RevokeSecurityGroupIngress", "RevokeSecurityGroupEgress", "AuthorizeSecurityGroupEgress")
def test_rules_are_revoked_by_what_they_say_or_by_id(ec2: Any, group_id: str) -> None:
    described = {**ANYWHERE, "IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "anyone"}]}
    made = ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=[described])["SecurityGroupRules"]
    gone = ec2.revoke_security_group_ingress(GroupId=group_id, IpPermissions=[ANYWHERE])
    assert gone["Return"] is True
    (revoked,) = gone["RevokedSecurityGroupRules"]
    assert revoked["SecurityGroupRuleId"] == made[0]["SecurityGroupRuleId"]
    (egress,) = rules(ec2, group_id, is_egress=True)
    ec2.revoke_security_group_egress(GroupId=group_id, SecurityGroupRuleIds=[egress["SecurityGroupRuleId"]])
    assert told(ec2, group_id)["IpPermissions"] == told(ec2, group_id)["IpPermissionsEgress"] == []
    out = ec2.authorize_security_group_egress(GroupId=group_id, IpPermissions=[ANYWHERE])["SecurityGroupRules"]
    assert [rule["IsEgress"] for rule in out] == [True]
    assert refused(ec2.revoke_security_group_ingress, GroupId=group_id, IpPermissions=[ANYWHERE]) == (
        "InvalidPermission.NotFound",
        "The specified rule does not exist in this security group: "
        '"peer: 0.0.0.0/0, TCP, from port: 22, to port: 22, ALLOW"',
    )
    by_id = [out[0]["SecurityGroupRuleId"]]
    for rule_ids, code in (
        (by_id, "InvalidSecurityGroupRuleId.NotFound"),
        (["sgr-" + "0" * 17], "InvalidSecurityGroupRuleId.NotFound"),
        (["sgr-x"], "InvalidSecurityGroupRuleId.Malformed"),
    ):
        seen = refused(ec2.revoke_security_group_ingress, GroupId=group_id, SecurityGroupRuleIds=rule_ids)
        assert seen[0] == code
    both = {"SecurityGroupRuleIds": by_id, "IpPermissions": [ANYWHERE]}
    assert refused(ec2.revoke_security_group_egress, GroupId=group_id, **both)[0] == "InvalidParameterCombination"
    for flat in ({"CidrIp": "10.0.0.0/8"}, {"FromPort": 22}, {"SourceSecurityGroupOwnerId": "1"}):
        either = {"SecurityGroupRuleIds": by_id, **flat}
        seen = refused(ec2.revoke_security_group_ingress, GroupId=group_id, **either)
        assert seen[0] == "InvalidParameterCombination" and next(iter(flat)) in seen[1]
    assert refused(ec2.revoke_security_group_egress, GroupId=group_id)[0] == "MissingParameter"
    assert refused(ec2.describe_security_group_rules, SecurityGroupRuleIds=["sgr-" + "0" * 17])[1] == (
        "The security group rule ID 'sgr-00000000000000000' does not exist"
    )


def test_the_flat_form_of_old_says_the_same(ec2: Any, group_id: str) -> None:
    name = told(ec2, group_id)["GroupName"]
    flat = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "CidrIp": "0.0.0.0/0"}
    ec2.authorize_security_group_ingress(GroupName=name, **flat)
    assert refused(ec2.authorize_security_group_ingress, GroupId=group_id, IpPermissions=[ANYWHERE])[0] == (
        "InvalidPermission.Duplicate"
    )
    ec2.authorize_security_group_ingress(GroupName=name, SourceSecurityGroupName="default")
    assert [rule["IpProtocol"] for rule in rules(ec2, group_id) if "ReferencedGroupInfo" in rule] == ["-1"]
    ec2.revoke_security_group_ingress(GroupId=group_id, **flat)
    ec2.revoke_security_group_ingress(GroupId=group_id, SourceSecurityGroupName="default")
    assert rules(ec2, group_id) == []
    mixed = refused(ec2.authorize_security_group_ingress, GroupId=group_id, IpPermissions=[ANYWHERE], IpProtocol="tcp")
    assert mixed == (
        "InvalidParameterCombination",
        "The parameter IpPermissions may not be used in combination with IpProtocol.",
    )
    two = refused(ec2.authorize_security_group_ingress, GroupId=group_id, SourceSecurityGroupName="default", **flat)
    assert two[0] == "InvalidParameterCombination" and "CidrIp and SourceSecurityGroupName" in two[1]
    assert refused(ec2.authorize_security_group_ingress, GroupId=group_id) == (
        "MissingParameter",
        "The request must contain the parameter IpPermissions",
    )


def test_a_group_that_another_names_cannot_be_deleted(ec2: Any, group_id: str) -> None:
    other = ec2.create_security_group(GroupName="names another", Description="d")["GroupId"]
    permission = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group_id}]}
    ec2.authorize_security_group_ingress(GroupId=other, IpPermissions=[permission])
    assert refused(ec2.delete_security_group, GroupId=group_id) == (
        "DependencyViolation",
        f"resource {group_id} has a dependent object",
    )
    ec2.delete_security_group(GroupId=other)


@pytest.mark.proves("ec2", "UpdateSecurityGroupRuleDescriptionsIngress", "UpdateSecurityGroupRuleDescriptionsEgress")
def test_descriptions_are_changed_by_what_a_rule_says_or_by_id(ec2: Any, group_id: str) -> None:
    ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=[ANYWHERE])
    described = {**ANYWHERE, "IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "anyone"}]}
    assert ec2.update_security_group_rule_descriptions_ingress(GroupId=group_id, IpPermissions=[described])["Return"]
    assert [rule["Description"] for rule in rules(ec2, group_id)] == ["anyone"]
    ec2.update_security_group_rule_descriptions_ingress(GroupId=group_id, IpPermissions=[ANYWHERE])
    assert "Description" not in rules(ec2, group_id)[0]
    (egress,) = rules(ec2, group_id, is_egress=True)
    by_id = [{"SecurityGroupRuleId": egress["SecurityGroupRuleId"], "Description": "out"}]
    ec2.update_security_group_rule_descriptions_egress(GroupId=group_id, SecurityGroupRuleDescriptions=by_id)
    assert [rule["Description"] for rule in rules(ec2, group_id, is_egress=True)] == ["out"]
    wrong = refused(
        ec2.update_security_group_rule_descriptions_ingress, GroupId=group_id, SecurityGroupRuleDescriptions=by_id
    )
    assert wrong[0] == "InvalidSecurityGroupRuleId.NotFound"
    neither = refused(ec2.update_security_group_rule_descriptions_egress, GroupId=group_id)
    assert neither[0] == "InvalidParameterCombination"
    missing = refused(ec2.update_security_group_rule_descriptions_egress, GroupId=group_id, IpPermissions=[ANYWHERE])
    assert missing[0] == "InvalidPermission.NotFound"


@pytest.mark.proves("ec2", "ModifySecurityGroupRules")
def test_a_rule_is_replaced_whole_and_keeps_its_id(ec2: Any, group_id: str) -> None:
    made = ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=[ANYWHERE])["SecurityGroupRules"]
    rule_id = made[0]["SecurityGroupRuleId"]

    def update(**rule: Any) -> dict[str, Any]:
        return {"SecurityGroupRuleId": rule_id, "SecurityGroupRule": rule}

    new = update(IpProtocol="udp", FromPort=53, ToPort=53, ReferencedGroupId=group_id, Description="names")
    assert ec2.modify_security_group_rules(GroupId=group_id, SecurityGroupRules=[new])["Return"] is True
    (rule,) = rules(ec2, group_id)
    assert (rule["SecurityGroupRuleId"], rule["IpProtocol"], rule["Description"]) == (rule_id, "udp", "names")
    assert rule["ReferencedGroupInfo"]["GroupId"] == group_id and "CidrIpv4" not in rule
    for bad, code in (
        (update(IpProtocol="-1"), "InvalidParameterCombination"),
        (update(IpProtocol="-1", CidrIpv4="0.0.0.0/0", CidrIpv6="::/0"), "InvalidParameterCombination"),
        (update(CidrIpv4="0.0.0.0/0"), "MissingParameter"),
        ({"SecurityGroupRuleId": rule_id}, "MissingParameter"),
        ({**new, "SecurityGroupRuleId": "sgr-" + "0" * 17}, "InvalidSecurityGroupRuleId.NotFound"),
        ({**new, "SecurityGroupRuleId": "x"}, "InvalidSecurityGroupRuleId.Malformed"),
    ):
        assert refused(ec2.modify_security_group_rules, GroupId=group_id, SecurityGroupRules=[bad])[0] == code
    ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=[ANYWHERE])
    same = update(IpProtocol="tcp", FromPort=22, ToPort=22, CidrIpv4="0.0.0.0/0")
    seen = refused(ec2.modify_security_group_rules, GroupId=group_id, SecurityGroupRules=[same])
    assert seen[0] == "InvalidPermission.Duplicate"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("description", "of a*"),
        ("group-name", "test_every_filter_*"),
        ("ip-permission.cidr", "10.9.0.0/16"),
        ("ip-permission.from-port", "7000"),
        ("ip-permission.to-port", "7009"),
        ("ip-permission.protocol", "udp"),
        ("ip-permission.ipv6-cidr", "fd00::/8"),
        ("ip-permission.prefix-list-id", "pl-99999999"),
        ("ip-permission.group-name", "test_every_filter_*"),
        ("egress.ip-permission.cidr", "10.8.0.0/16"),
        ("egress.ip-permission.protocol", "50"),
    ],
)
def test_every_filter_finds_the_group_and_not_with_another_value(
    ec2: Any, group_id: str, name: str, value: str
) -> None:
    permission = {
        "IpProtocol": "udp", "FromPort": 7000, "ToPort": 7009, "IpRanges": [{"CidrIp": "10.9.0.0/16"}],
        "Ipv6Ranges": [{"CidrIpv6": "fd00::/8"}], "PrefixListIds": [{"PrefixListId": "pl-99999999"}],
        "UserIdGroupPairs": [{"GroupId": group_id}],
    }  # fmt: skip
    ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=[permission])
    out = {"IpProtocol": "50", "IpRanges": [{"CidrIp": "10.8.0.0/16"}]}
    ec2.authorize_security_group_egress(GroupId=group_id, IpPermissions=[out])

    def found(value: str) -> list[str]:
        groups = ec2.describe_security_groups(Filters=where(name, value))["SecurityGroups"]
        return [group["GroupId"] for group in groups]

    assert found(value) == [group_id]
    assert found("x" + value.rstrip("*")) == []


def test_filters_by_id_owner_and_vpc(ec2: Any, group_id: str) -> None:
    ec2.authorize_security_group_ingress(
        GroupId=group_id, IpPermissions=[{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group_id}]}]
    )
    group = told(ec2, group_id)
    for name, value in (
        ("group-id", group_id),
        ("ip-permission.group-id", group_id),
        ("ip-permission.user-id", group["OwnerId"]),
        ("owner-id", group["OwnerId"]),
        ("vpc-id", group["VpcId"]),
    ):
        shown = ec2.describe_security_groups(Filters=where(name, value))["SecurityGroups"]
        assert group_id in [each["GroupId"] for each in shown], name
        assert ec2.describe_security_groups(Filters=where(name, "x"))["SecurityGroups"] == []
    assert refused(ec2.describe_security_groups, Filters=where("colour", "red"))[0] == "InvalidParameterValue"
    assert refused(ec2.describe_security_group_rules, Filters=where("colour", "red"))[0] == "InvalidParameterValue"


def test_pages_of_groups_and_rules_come_in_turn(ec2: Any) -> None:
    made = [ec2.create_security_group(GroupName=f"page {n}", Description="d")["GroupId"] for n in range(6)]
    for method, key, id_ in (
        ("describe_security_groups", "SecurityGroups", "GroupId"),
        ("describe_security_group_rules", "SecurityGroupRules", "SecurityGroupRuleId"),
    ):
        pages = list(ec2.get_paginator(method).paginate(PaginationConfig={"PageSize": 5}))
        seen = [each[id_] for page in pages for each in page[key]]
        assert len(pages) > 1 and len(seen) == len(set(seen)) and len(seen) >= 7
    assert refused(ec2.describe_security_groups, GroupIds=made, MaxResults=5)[0] == "InvalidParameterCombination"
    for group_id in made:
        ec2.delete_security_group(GroupId=group_id)


def test_groups_are_their_accounts_own(edge: Edge, ec2: Any, group_id: str) -> None:
    with another_client(edge) as stranger:
        assert refused(stranger.describe_security_groups, GroupIds=[group_id])[0] == "InvalidGroup.NotFound"
        assert refused(stranger.delete_security_group, GroupId=group_id)[0] == "InvalidGroup.NotFound"
        permission = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group_id}]}
        seen = refused(stranger.authorize_security_group_ingress, GroupName="default", IpPermissions=[permission])
        assert seen[0] == "InvalidGroup.NotFound"


def test_a_dry_run_says_that_it_would_work_and_does_nothing(ec2: Any, group_id: str) -> None:
    (egress,) = rules(ec2, group_id, is_egress=True)
    update = {"SecurityGroupRuleId": egress["SecurityGroupRuleId"]}
    changed = {**update, "SecurityGroupRule": {"IpProtocol": "-1", "CidrIpv4": "10.0.0.0/8"}}
    out = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    before = told(ec2, group_id)
    for call, parameters in (
        (ec2.create_security_group, {"GroupName": "dry", "Description": "d"}),
        (ec2.delete_security_group, {"GroupId": group_id}),
        (ec2.authorize_security_group_ingress, {"GroupId": group_id, "IpPermissions": [ANYWHERE]}),
        (ec2.authorize_security_group_egress, {"GroupId": group_id, "IpPermissions": [ANYWHERE]}),
        (ec2.revoke_security_group_egress, {"GroupId": group_id, "IpPermissions": [out]}),
        (ec2.modify_security_group_rules, {"GroupId": group_id, "SecurityGroupRules": [changed]}),
        (ec2.update_security_group_rule_descriptions_egress, {"GroupId": group_id, "IpPermissions": [out]}),
        (ec2.describe_security_groups, {}),
        (ec2.describe_security_group_rules, {}),
    ):
        assert refused(call, DryRun=True, **parameters)[0] == "DryRunOperation"
    assert told(ec2, group_id) == before
    assert refused(ec2.describe_security_groups, GroupNames=["dry"])[0] == "InvalidGroup.NotFound"
