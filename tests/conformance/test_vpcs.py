"""VPCs, subnets and what every VPC has, through boto3."""

from collections.abc import Iterator
from typing import Any

import pytest

from amiable.model.principal import Principal
from amiable.rules.subnet import VPCS_MAX
from tests.api.ec2.launching import make_image
from tests.conformance.networks import ZONES, another_client, default_vpc, network_edge, refused, tagged, where
from tests.server.edge import Edge

NOWHERE = "0" * 17


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with network_edge(tmp_path_factory.mktemp("edge")) as running:
        yield running


@pytest.fixture
def vpc_id(ec2: Any) -> Iterator[str]:
    """A VPC of the test's own, gone afterwards with its subnets."""
    made = str(ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"])
    yield made
    for subnet in ec2.describe_subnets(Filters=where("vpc-id", made))["Subnets"]:
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    ec2.delete_vpc(VpcId=made)


@pytest.mark.proves("ec2", "CreateVpc", "DeleteVpc", "DescribeVpcs", "DescribeNetworkAcls", "DescribeDhcpOptions")
def test_a_vpc_comes_with_its_group_main_table_acl_and_options_and_they_go_with_it(ec2: Any) -> None:
    made = ec2.create_vpc(CidrBlock="10.1.2.3/16", TagSpecifications=tagged("vpc", Name="mine"))["Vpc"]
    assert (made["CidrBlock"], made["IsDefault"], made["State"]) == ("10.1.0.0/16", False, "available")
    assert made["Tags"] == [{"Key": "Name", "Value": "mine"}]
    by_name = [*where("tag:Name", "mine"), *where("cidr-block", "10.1.0.0/16")]
    assert ec2.describe_vpcs(Filters=by_name)["Vpcs"] == [made]
    vpc_id = made["VpcId"]
    here = where("vpc-id", vpc_id)
    (group,) = ec2.describe_security_groups(Filters=here)["SecurityGroups"]
    (table,) = ec2.describe_route_tables(Filters=here)["RouteTables"]
    (acl,) = ec2.describe_network_acls(Filters=[*here, *where("default", "true")])["NetworkAcls"]
    (options,) = ec2.describe_dhcp_options(DhcpOptionsIds=[made["DhcpOptionsId"]])["DhcpOptions"]
    assert group["GroupName"] == "default" and table["Associations"][0]["Main"] is True
    assert [route["GatewayId"] for route in table["Routes"]] == ["local"]
    assert sorted((entry["RuleNumber"], entry["RuleAction"], entry["Egress"]) for entry in acl["Entries"]) == [
        (100, "allow", False), (100, "allow", True), (32767, "deny", False), (32767, "deny", True)
    ]  # fmt: skip
    assert {each["Key"]: [v["Value"] for v in each["Values"]] for each in options["DhcpConfigurations"]} == {
        "domain-name": ["ec2.internal"],
        "domain-name-servers": ["AmazonProvidedDNS"],
    }
    ec2.delete_vpc(VpcId=vpc_id)
    assert ec2.describe_security_groups(Filters=here)["SecurityGroups"] == []
    assert ec2.describe_route_tables(Filters=here)["RouteTables"] == []
    assert ec2.describe_network_acls(Filters=here)["NetworkAcls"] == []
    assert refused(ec2.delete_vpc, VpcId=vpc_id) == (
        "InvalidVpcID.NotFound",
        f"The vpc ID '{vpc_id}' does not exist",
    )


@pytest.mark.parametrize(
    ("cidr", "code"),
    [
        ("10.0.0.0/15", "InvalidVpcRange"),
        ("10.0.0.0/29", "InvalidVpcRange"),
        ("169.254.0.0/16", "InvalidVpcRange"),
        ("127.0.0.0/16", "InvalidVpcRange"),
        ("10.0.0.0", "InvalidParameterValue"),
        ("10.0.0.0/33", "InvalidParameterValue"),
        ("a/16", "InvalidParameterValue"),
    ],
)
def test_a_vpc_has_a_network_that_hosts_can_have(ec2: Any, cidr: str, code: str) -> None:
    seen = refused(ec2.create_vpc, CidrBlock=cidr)
    assert seen[0] == code and cidr in seen[1]


def test_what_a_vpc_cannot_have_is_refused_by_name(ec2: Any) -> None:
    for asked, name in (({"InstanceTenancy": "dedicated"}, "InstanceTenancy"), ({"Ipv6Pool": "p"}, "Ipv6Pool")):
        seen = refused(ec2.create_vpc, CidrBlock="10.0.0.0/16", **asked)
        assert seen[0] == "UnsupportedOperation" and name in seen[1]
    assert refused(ec2.create_vpc)[0] == "MissingParameter"


def test_a_region_holds_five_vpcs(edge: Edge) -> None:
    with another_client(edge) as ec2:
        for number in range(VPCS_MAX - 1):
            ec2.create_vpc(CidrBlock=f"10.{number}.0.0/16")
        assert refused(ec2.create_vpc, CidrBlock="10.9.0.0/16") == (
            "VpcLimitExceeded",
            "The maximum number of VPCs has been reached: 5.",
        )


@pytest.mark.proves("ec2", "DescribeVpcAttribute", "ModifyVpcAttribute")
def test_attributes_of_a_vpc_are_kept_one_at_a_time(ec2: Any, vpc_id: str) -> None:
    def attribute(name: str) -> bool:
        answer = ec2.describe_vpc_attribute(VpcId=vpc_id, Attribute=name)
        return bool(answer[name[0].upper() + name[1:]]["Value"])

    assert attribute("enableDnsSupport") and not attribute("enableDnsHostnames")
    ec2.modify_vpc_attribute(VpcId=vpc_id, EnableDnsHostnames={"Value": True})
    ec2.modify_vpc_attribute(VpcId=vpc_id, EnableDnsSupport={"Value": False})
    assert attribute("enableDnsHostnames") and not attribute("enableDnsSupport")
    assert not attribute("enableNetworkAddressUsageMetrics")
    both = {"EnableDnsSupport": {"Value": True}, "EnableDnsHostnames": {"Value": True}}
    assert refused(ec2.modify_vpc_attribute, VpcId=vpc_id, **both)[0] == "InvalidParameterCombination"
    assert refused(ec2.modify_vpc_attribute, VpcId=vpc_id)[0] == "MissingParameter"
    assert refused(ec2.modify_vpc_attribute, VpcId=vpc_id, EnableDnsSupport={})[0] == "MissingParameter"
    metrics = {"EnableNetworkAddressUsageMetrics": {"Value": True}}
    assert refused(ec2.modify_vpc_attribute, VpcId=vpc_id, **metrics)[0] == "UnsupportedOperation"
    assert refused(ec2.describe_vpc_attribute, VpcId=vpc_id, Attribute="colour")[0] == "InvalidParameterValue"
    nowhere = {"VpcId": "vpc-" + NOWHERE, "Attribute": "enableDnsSupport"}
    assert refused(ec2.describe_vpc_attribute, **nowhere)[0] == "InvalidVpcID.NotFound"


@pytest.mark.proves("ec2", "CreateSubnet", "DeleteSubnet", "DescribeSubnets", "ModifySubnetAttribute")
def test_a_subnet_lies_in_a_zone_of_its_vpc(ec2: Any, vpc_id: str) -> None:
    made = ec2.create_subnet(
        VpcId=vpc_id, CidrBlock="10.0.1.0/24", AvailabilityZone=ZONES[1], TagSpecifications=tagged("subnet", a="b")
    )["Subnet"]
    assert (made["CidrBlock"], made["AvailabilityZone"]) == ("10.0.1.0/24", ZONES[1])
    assert (made["AvailableIpAddressCount"], made["DefaultForAz"], made["MapPublicIpOnLaunch"]) == (251, False, False)
    first = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.0.2.0/24")["Subnet"]
    by_id = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.0.3.0/24", AvailabilityZoneId=made["AvailabilityZoneId"])
    assert (first["AvailabilityZone"], by_id["Subnet"]["AvailabilityZone"]) == ZONES
    ec2.modify_subnet_attribute(SubnetId=made["SubnetId"], MapPublicIpOnLaunch={"Value": True})
    mapped = [*where("vpc-id", vpc_id), *where("map-public-ip-on-launch", "true")]
    (seen,) = ec2.describe_subnets(Filters=mapped)["Subnets"]
    assert seen == {**made, "MapPublicIpOnLaunch": True}
    ec2.delete_subnet(SubnetId=made["SubnetId"])
    assert refused(ec2.delete_subnet, SubnetId=made["SubnetId"]) == (
        "InvalidSubnetID.NotFound",
        f"The subnet ID '{made['SubnetId']}' does not exist",
    )


@pytest.mark.parametrize(
    ("asked", "code", "text"),
    [
        ({"CidrBlock": "10.1.0.0/24"}, "InvalidSubnet.Range", "The CIDR '10.1.0.0/24' is invalid."),
        ({"CidrBlock": "10.0.0.0/29"}, "InvalidSubnet.Range", "The CIDR '10.0.0.0/29' is invalid."),
        ({"CidrBlock": "10.0.7.128/25"}, "InvalidSubnet.Conflict", "The CIDR '10.0.7.128/25' conflicts with another subnet"),
        ({"CidrBlock": "x"}, "InvalidParameterValue", "This is not a valid CIDR block."),
        ({}, "MissingParameter", "CidrBlock"),
        ({"CidrBlock": "10.0.9.0/24", "AvailabilityZone": "us-east-1z"}, "InvalidParameterValue",
         "Subnets can currently only be created in the following availability zones: us-east-1a, us-east-1b."),
        ({"CidrBlock": "10.0.9.0/24", "AvailabilityZone": ZONES[0], "AvailabilityZoneId": "x"},
         "InvalidParameterCombination", "AvailabilityZoneId"),
        ({"CidrBlock": "10.0.9.0/24", "Ipv6CidrBlock": "fd00::/64"}, "UnsupportedOperation", "Ipv6CidrBlock"),
    ],
)  # fmt: skip
def test_subnets_that_there_cannot_be(ec2: Any, vpc_id: str, asked: dict[str, Any], code: str, text: str) -> None:
    ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.0.7.0/24")
    seen = refused(ec2.create_subnet, VpcId=vpc_id, **asked)
    assert seen[0] == code and text in seen[1]


def test_a_vpc_with_things_in_it_stays(ec2: Any, vpc_id: str) -> None:
    group_id = ec2.create_security_group(GroupName="in it", Description="d", VpcId=vpc_id)["GroupId"]
    text = f"The vpc '{vpc_id}' has dependencies and cannot be deleted."
    assert refused(ec2.delete_vpc, VpcId=vpc_id) == ("DependencyViolation", text)
    ec2.delete_security_group(GroupId=group_id)
    subnet_id = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
    assert refused(ec2.delete_vpc, VpcId=vpc_id) == ("DependencyViolation", text)
    interface_id = ec2.create_network_interface(SubnetId=subnet_id)["NetworkInterface"]["NetworkInterfaceId"]
    assert refused(ec2.delete_subnet, SubnetId=subnet_id) == (
        "DependencyViolation",
        f"The subnet '{subnet_id}' has dependencies and cannot be deleted.",
    )
    ec2.delete_network_interface(NetworkInterfaceId=interface_id)


def test_subnet_attributes_that_would_need_more_are_refused(ec2: Any, vpc_id: str) -> None:
    subnet_id = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
    ec2.modify_subnet_attribute(SubnetId=subnet_id, AssignIpv6AddressOnCreation={"Value": False})
    seen = refused(ec2.modify_subnet_attribute, SubnetId=subnet_id, AssignIpv6AddressOnCreation={"Value": True})
    assert seen[0] == "UnsupportedOperation" and "AssignIpv6AddressOnCreation" in seen[1]


@pytest.mark.proves("ec2", "CreateDefaultVpc", "CreateDefaultSubnet")
def test_a_default_network_that_was_deleted_is_made_again(edge: Edge) -> None:
    with another_client(edge) as ec2:
        vpc_id = default_vpc(ec2)
        assert refused(ec2.create_default_vpc) == (
            "DefaultVpcAlreadyExists",
            f"A Default VPC already exists for this account in this region: {vpc_id}.",
        )
        (subnet,) = ec2.describe_subnets(Filters=where("availability-zone", ZONES[0]))["Subnets"]
        taken = refused(ec2.create_default_subnet, AvailabilityZone=ZONES[0])
        assert taken[0] == "DefaultSubnetAlreadyExistsInAvailabilityZone" and subnet["SubnetId"] in taken[1]
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
        again = ec2.create_default_subnet(AvailabilityZone=ZONES[0])["Subnet"]
        assert (again["CidrBlock"], again["DefaultForAz"]) == (subnet["CidrBlock"], True)
        assert refused(ec2.create_default_subnet, AvailabilityZone="us-east-1z")[0] == "InvalidParameterValue"
        caller = Principal(ec2.describe_vpcs()["Vpcs"][0]["OwnerId"], "", "us-east-1")
        launch = {"ImageId": make_image(edge.services, caller).id, "MinCount": 1, "MaxCount": 1}
        for each in ec2.describe_subnets()["Subnets"]:
            ec2.delete_subnet(SubnetId=each["SubnetId"])
        assert refused(ec2.run_instances, **launch, InstanceType="amiable.tiny") == (
            "MissingInput",
            f"No subnets found for the default VPC '{vpc_id}'. Please specify a subnet.",
        )
        zoned = {**launch, "InstanceType": "amiable.tiny", "Placement": {"AvailabilityZone": ZONES[1]}}
        assert refused(ec2.run_instances, **zoned) == (
            "InvalidInput",
            f"No default subnet for availability zone: '{ZONES[1]}'.",
        )
        (gateway,) = ec2.describe_internet_gateways()["InternetGateways"]
        assert refused(ec2.delete_vpc, VpcId=vpc_id)[0] == "DependencyViolation"
        ec2.detach_internet_gateway(InternetGatewayId=gateway["InternetGatewayId"], VpcId=vpc_id)
        ec2.delete_vpc(VpcId=vpc_id)
        assert refused(ec2.create_default_subnet, AvailabilityZone=ZONES[0])[0] == "DefaultVpcDoesNotExist"
        assert refused(ec2.run_instances, **launch, InstanceType="amiable.tiny")[0] == "VPCIdNotSpecified"
        assert refused(ec2.create_security_group, GroupName="a", Description="d") == (
            "VPCIdNotSpecified",
            "No default VPC for this user",
        )
        made = ec2.create_default_vpc()["Vpc"]
        assert (made["IsDefault"], made["CidrBlock"]) == (True, "172.31.0.0/16")
        assert len(ec2.describe_subnets(Filters=where("default-for-az", "true"))["Subnets"]) == len(ZONES)
        (table,) = ec2.describe_route_tables(Filters=where("vpc-id", made["VpcId"]))["RouteTables"]
        assert [route["DestinationCidrBlock"] for route in table["Routes"]] == ["172.31.0.0/16", "0.0.0.0/0"]


@pytest.mark.proves("ec2", "DescribeAccountAttributes")
def test_account_attributes_say_where_the_account_is(ec2: Any) -> None:
    told = {
        each["AttributeName"]: [value["AttributeValue"] for value in each["AttributeValues"]]
        for each in ec2.describe_account_attributes()["AccountAttributes"]
    }
    assert told["supported-platforms"] == ["VPC"] and told["default-vpc"] == [default_vpc(ec2)]
    assert told["vpc-max-security-groups-per-interface"] == ["5"]
    one = ec2.describe_account_attributes(AttributeNames=["max-elastic-ips"])["AccountAttributes"]
    assert one == [{"AttributeName": "max-elastic-ips", "AttributeValues": [{"AttributeValue": "5"}]}]
    assert refused(ec2.describe_account_attributes, AttributeNames=["colour"])[0] == "InvalidParameterValue"


def test_what_every_vpc_has_is_found_by_filters(ec2: Any) -> None:
    vpc_id = default_vpc(ec2)
    (acl,) = ec2.describe_network_acls(Filters=where("vpc-id", vpc_id))["NetworkAcls"]
    assert len(acl["Associations"]) == len(ZONES)
    for name, value in (
        ("association.association-id", acl["Associations"][0]["NetworkAclAssociationId"]),
        ("association.network-acl-id", acl["NetworkAclId"]),
        ("association.subnet-id", acl["Associations"][1]["SubnetId"]),
        ("entry.cidr", "0.0.0.0/0"),
        ("entry.egress", "true"),
        ("entry.protocol", "-1"),
        ("entry.rule-action", "deny"),
        ("entry.rule-number", "100"),
        ("network-acl-id", acl["NetworkAclId"]),
        ("owner-id", acl["OwnerId"]),
    ):
        assert acl in ec2.describe_network_acls(Filters=where(name, value))["NetworkAcls"], name
        assert ec2.describe_network_acls(Filters=where(name, "x"))["NetworkAcls"] == [], name
    (options,) = ec2.describe_dhcp_options()["DhcpOptions"]
    for name, value in (("key", "domain-name"), ("value", "ec2.internal"), ("owner-id", options["OwnerId"])):
        assert ec2.describe_dhcp_options(Filters=where(name, value))["DhcpOptions"] == [options]
        assert ec2.describe_dhcp_options(Filters=where(name, "x"))["DhcpOptions"] == []
    assert refused(ec2.describe_network_acls, NetworkAclIds=["acl-" + NOWHERE]) == (
        "InvalidNetworkAclID.NotFound",
        f"The networkAcl ID 'acl-{NOWHERE}' does not exist",
    )
    assert refused(ec2.describe_network_acls, NetworkAclIds=["x"])[0] == "InvalidNetworkAclId.Malformed"
    assert refused(ec2.describe_dhcp_options, DhcpOptionsIds=["dopt-" + NOWHERE])[0] == "InvalidDhcpOptionID.NotFound"
    assert refused(ec2.describe_dhcp_options, DhcpOptionsIds=["x"])[0] == "InvalidDhcpOptionsId.Malformed"


def test_a_dry_run_makes_and_deletes_no_network(ec2: Any, vpc_id: str) -> None:
    subnet_id = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
    before = ec2.describe_vpcs()["Vpcs"], ec2.describe_subnets()["Subnets"]
    for call, parameters in (
        (ec2.create_vpc, {"CidrBlock": "10.3.0.0/16"}),
        (ec2.create_subnet, {"VpcId": vpc_id, "CidrBlock": "10.0.2.0/24"}),
        (ec2.delete_subnet, {"SubnetId": subnet_id}),
        (ec2.describe_vpc_attribute, {"VpcId": vpc_id, "Attribute": "enableDnsSupport"}),
        (ec2.describe_account_attributes, {}),
        (ec2.describe_network_acls, {}),
        (ec2.describe_dhcp_options, {}),
    ):
        assert refused(call, DryRun=True, **parameters)[0] == "DryRunOperation"
    assert (ec2.describe_vpcs()["Vpcs"], ec2.describe_subnets()["Subnets"]) == before
