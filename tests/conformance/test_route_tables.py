"""Route tables, routes and internet gateways, through boto3."""

from collections.abc import Iterator
from typing import Any

import pytest

from amiable.api.ec2.internet_gateways import GATEWAYS_MAX
from amiable.rules.route import ROUTES_MAX
from tests.conformance.networks import default_vpc, network_edge, refused, tagged, where
from tests.server.edge import Edge

NOWHERE = "0" * 17


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with network_edge(tmp_path_factory.mktemp("edge")) as running:
        yield running


@pytest.fixture(scope="module")
def vpc_id(ec2: Any) -> str:
    return str(ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"])


@pytest.fixture(scope="module")
def subnet_id(ec2: Any, vpc_id: str) -> str:
    return str(ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"])


@pytest.fixture
def table_id(ec2: Any, vpc_id: str) -> Iterator[str]:
    made = str(ec2.create_route_table(VpcId=vpc_id)["RouteTable"]["RouteTableId"])
    yield made
    for association in told(ec2, made)["Associations"]:
        ec2.disassociate_route_table(AssociationId=association["RouteTableAssociationId"])
    ec2.delete_route_table(RouteTableId=made)


@pytest.fixture
def gateway_id(ec2: Any, vpc_id: str) -> Iterator[str]:
    """A gateway that is attached to the VPC."""
    made = str(ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"])
    ec2.attach_internet_gateway(InternetGatewayId=made, VpcId=vpc_id)
    yield made
    ec2.detach_internet_gateway(InternetGatewayId=made, VpcId=vpc_id)
    ec2.delete_internet_gateway(InternetGatewayId=made)


def told(ec2: Any, table_id: str) -> Any:
    (table,) = ec2.describe_route_tables(RouteTableIds=[table_id])["RouteTables"]
    return table


@pytest.mark.proves("ec2", "CreateRouteTable", "DeleteRouteTable", "DescribeRouteTables")
def test_a_table_is_made_with_the_local_route_and_once_for_a_token(ec2: Any, vpc_id: str) -> None:
    asked = {"VpcId": vpc_id, "ClientToken": "once", "TagSpecifications": tagged("route-table", a="b")}
    made = ec2.create_route_table(**asked)
    assert made["ClientToken"] == "once" and made["RouteTable"]["Tags"] == [{"Key": "a", "Value": "b"}]
    table = made["RouteTable"]
    local = {
        "DestinationCidrBlock": "10.0.0.0/16",
        "GatewayId": "local",
        "Origin": "CreateRouteTable",
        "State": "active",
    }
    assert table["Routes"] == [local] and table["Associations"] == []
    assert ec2.create_route_table(**asked)["RouteTable"] == table
    assert refused(ec2.create_route_table, **{**asked, "VpcId": default_vpc(ec2)})[0] == "IdempotentParameterMismatch"
    ec2.delete_route_table(RouteTableId=table["RouteTableId"])
    assert refused(ec2.delete_route_table, RouteTableId=table["RouteTableId"]) == (
        "InvalidRouteTableID.NotFound",
        f"The routeTable ID '{table['RouteTableId']}' does not exist",
    )
    assert refused(ec2.describe_route_tables, RouteTableIds=["x"])[0] == "InvalidRouteTableId.Malformed"


@pytest.mark.proves("ec2", "CreateRoute", "DeleteRoute")
def test_routes_lead_to_gateways_and_interfaces_and_tell_when_they_lead_nowhere(
    ec2: Any, table_id: str, gateway_id: str, subnet_id: str
) -> None:
    interface_id = ec2.create_network_interface(SubnetId=subnet_id)["NetworkInterface"]["NetworkInterfaceId"]
    assert ec2.create_route(RouteTableId=table_id, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway_id)["Return"]
    ec2.create_route(RouteTableId=table_id, DestinationIpv6CidrBlock="::/0", GatewayId=gateway_id)
    to_interface = {"RouteTableId": table_id, "NetworkInterfaceId": interface_id}
    ec2.create_route(DestinationCidrBlock="192.168.1.7/16", **to_interface)
    seen = {
        route.get("DestinationCidrBlock") or route["DestinationIpv6CidrBlock"]: route
        for route in told(ec2, table_id)["Routes"]
    }
    assert {where: route["State"] for where, route in seen.items()} == {
        "10.0.0.0/16": "active", "0.0.0.0/0": "active", "::/0": "active", "192.168.0.0/16": "blackhole"
    }  # fmt: skip
    assert seen["192.168.0.0/16"]["NetworkInterfaceId"] == interface_id
    for name, value in (
        ("route.destination-cidr-block", "192.168.0.0/16"),
        ("route.destination-ipv6-cidr-block", "::/0"),
        ("route.gateway-id", gateway_id),
        ("route.network-interface-id", interface_id),
        ("route.state", "blackhole"),
        ("route.origin", "CreateRoute"),
        ("route-table-id", table_id),
    ):
        tables = ec2.describe_route_tables(Filters=where(name, value))["RouteTables"]
        assert table_id in [each["RouteTableId"] for each in tables], name
        assert ec2.describe_route_tables(Filters=where(name, "x"))["RouteTables"] == [], name
    ec2.create_route(DestinationCidrBlock="10.0.9.0/24", **to_interface)
    for destination in ("192.168.0.0/16", "10.0.9.0/24"):
        ec2.delete_route(RouteTableId=table_id, DestinationCidrBlock=destination)
    ec2.delete_route(RouteTableId=table_id, DestinationIpv6CidrBlock="::/0")
    assert len(told(ec2, table_id)["Routes"]) == 2
    ec2.delete_network_interface(NetworkInterfaceId=interface_id)


def test_routes_that_there_cannot_be(ec2: Any, table_id: str, gateway_id: str) -> None:
    ec2.create_route(RouteTableId=table_id, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway_id)
    (default,) = ec2.describe_internet_gateways(Filters=where("attachment.vpc-id", default_vpc(ec2)))[
        "InternetGateways"
    ]
    other = default["InternetGatewayId"]
    to = {"GatewayId": gateway_id}
    for asked, code, text in (
        ({"DestinationCidrBlock": "0.0.0.0/0", **to}, "RouteAlreadyExists", "The route identified by 0.0.0.0/0 already exists."),
        ({"DestinationCidrBlock": "10.0.0.0/16", **to}, "RouteAlreadyExists", "10.0.0.0/16"),
        ({"DestinationCidrBlock": "10.0.4.0/24", **to}, "InvalidParameterValue", "equal to or more specific"),
        ({"DestinationCidrBlock": "1.2.3.4", **to}, "InvalidParameterValue", "CIDR block 1.2.3.4 is malformed"),
        ({**to}, "InvalidParameterCombination", "DestinationCidrBlock"),
        ({"DestinationCidrBlock": "1.0.0.0/8"}, "InvalidParameterCombination", "GatewayId"),
        ({"DestinationCidrBlock": "1.0.0.0/8", "NatGatewayId": "nat-1"}, "UnsupportedOperation", "NatGatewayId"),
        ({"DestinationCidrBlock": "1.0.0.0/8", "GatewayId": other}, "InvalidParameterValue", "belong to different networks"),
        ({"DestinationCidrBlock": "1.0.0.0/8", "GatewayId": "igw-" + NOWHERE}, "InvalidInternetGatewayID.NotFound", "igw-"),
        ({"DestinationCidrBlock": "1.0.0.0/8", "GatewayId": "x"}, "InvalidInternetGatewayId.Malformed", "x"),
        ({"DestinationCidrBlock": "1.0.0.0/8", "NetworkInterfaceId": "eni-" + NOWHERE},
         "InvalidNetworkInterfaceID.NotFound", f"The networkInterface ID 'eni-{NOWHERE}' does not exist"),
        ({"DestinationCidrBlock": "1.0.0.0/8", "InstanceId": "i-" + NOWHERE}, "InvalidInstanceID.NotFound", "i-"),
    ):  # fmt: skip
        seen = refused(ec2.create_route, RouteTableId=table_id, **asked)
        assert seen[0] == code and text in seen[1], asked
    gone = refused(ec2.delete_route, RouteTableId=table_id, DestinationCidrBlock="1.0.0.0/8")
    assert gone == (
        "InvalidRoute.NotFound",
        f"no route with destination-cidr-block 1.0.0.0/8 in route table {table_id}",
    )
    local = refused(ec2.delete_route, RouteTableId=table_id, DestinationCidrBlock="10.0.0.0/16")
    assert local == ("InvalidParameterValue", f"cannot remove local route 10.0.0.0/16 in route table {table_id}")
    for number in range(ROUTES_MAX - 1):
        ec2.create_route(RouteTableId=table_id, DestinationCidrBlock=f"11.{number}.0.0/16", **to)
    full = refused(ec2.create_route, RouteTableId=table_id, DestinationCidrBlock="12.0.0.0/8", **to)
    assert full[0] == "RouteLimitExceeded"


@pytest.mark.proves("ec2", "AssociateRouteTable", "DisassociateRouteTable")
def test_a_table_serves_a_subnet_until_it_is_disassociated(
    ec2: Any, vpc_id: str, table_id: str, subnet_id: str
) -> None:
    made = ec2.associate_route_table(RouteTableId=table_id, SubnetId=subnet_id)
    association_id = made["AssociationId"]
    assert made["AssociationState"]["State"] == "associated"
    assert ec2.associate_route_table(RouteTableId=table_id, SubnetId=subnet_id)["AssociationId"] == association_id
    for name, value in (
        ("association.route-table-association-id", association_id),
        ("association.subnet-id", subnet_id),
        ("association.route-table-id", table_id),
    ):
        (seen,) = ec2.describe_route_tables(Filters=where(name, value))["RouteTables"]
        assert seen["RouteTableId"] == table_id
    (main,) = ec2.describe_route_tables(Filters=[*where("association.main", "true"), *where("vpc-id", vpc_id)])[
        "RouteTables"
    ]
    clash = refused(ec2.associate_route_table, RouteTableId=main["RouteTableId"], SubnetId=subnet_id)
    assert clash == (
        "Resource.AlreadyAssociated",
        f"the specified association for route table {main['RouteTableId']} conflicts with an existing association",
    )
    assert refused(ec2.delete_route_table, RouteTableId=table_id) == (
        "DependencyViolation",
        f"The routeTable '{table_id}' has dependencies and cannot be deleted.",
    )
    assert refused(ec2.delete_route_table, RouteTableId=main["RouteTableId"])[0] == "DependencyViolation"
    main_id = main["Associations"][0]["RouteTableAssociationId"]
    assert refused(ec2.disassociate_route_table, AssociationId=main_id) == (
        "InvalidParameterValue",
        f"cannot disassociate the main route table association {main_id}",
    )
    (other, *_) = ec2.describe_subnets(Filters=where("vpc-id", default_vpc(ec2)))["Subnets"]
    far = refused(ec2.associate_route_table, RouteTableId=table_id, SubnetId=other["SubnetId"])
    assert far[0] == "InvalidParameterValue" and "belong to different networks" in far[1]
    assert refused(ec2.associate_route_table, RouteTableId=table_id)[0] == "MissingParameter"
    assert refused(ec2.associate_route_table, RouteTableId=table_id, GatewayId="igw-1")[0] == "UnsupportedOperation"
    ec2.disassociate_route_table(AssociationId=association_id)
    assert refused(ec2.disassociate_route_table, AssociationId=association_id) == (
        "InvalidAssociationID.NotFound",
        f"The association ID '{association_id}' does not exist",
    )
    assert refused(ec2.disassociate_route_table, AssociationId="x")[0] == "InvalidAssociationID.Malformed"


@pytest.mark.proves(
    "ec2", "CreateInternetGateway", "AttachInternetGateway", "DetachInternetGateway", "DeleteInternetGateway",
    "DescribeInternetGateways",
)  # fmt: skip
def test_a_gateway_is_attached_to_one_vpc_at_a_time(ec2: Any, vpc_id: str) -> None:
    made = ec2.create_internet_gateway(TagSpecifications=tagged("internet-gateway", a="b"))["InternetGateway"]
    gateway_id = made["InternetGatewayId"]
    assert made["Attachments"] == [] and made["Tags"] == [{"Key": "a", "Value": "b"}]
    ec2.attach_internet_gateway(InternetGatewayId=gateway_id, VpcId=vpc_id)
    (seen,) = ec2.describe_internet_gateways(Filters=where("attachment.vpc-id", vpc_id))["InternetGateways"]
    assert seen["Attachments"] == [{"State": "available", "VpcId": vpc_id}]
    default = default_vpc(ec2)
    assert refused(ec2.attach_internet_gateway, InternetGatewayId=gateway_id, VpcId=default) == (
        "Resource.AlreadyAssociated",
        f"resource {gateway_id} is already attached to network {vpc_id}",
    )
    another = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    assert refused(ec2.attach_internet_gateway, InternetGatewayId=another, VpcId=vpc_id) == (
        "InvalidParameterValue",
        f"Network {vpc_id} already has an internet gateway attached",
    )
    assert refused(ec2.delete_internet_gateway, InternetGatewayId=gateway_id) == (
        "DependencyViolation",
        f"The internetGateway '{gateway_id}' has dependencies and cannot be deleted.",
    )
    assert refused(ec2.detach_internet_gateway, InternetGatewayId=gateway_id, VpcId=default) == (
        "Gateway.NotAttached",
        f"resource {gateway_id} is not attached to network {default}",
    )
    ec2.detach_internet_gateway(InternetGatewayId=gateway_id, VpcId=vpc_id)
    for each in (gateway_id, another):
        ec2.delete_internet_gateway(InternetGatewayId=each)
    assert refused(ec2.delete_internet_gateway, InternetGatewayId=gateway_id) == (
        "InvalidInternetGatewayID.NotFound",
        f"The internetGateway ID '{gateway_id}' does not exist",
    )


def test_a_region_holds_five_gateways(ec2: Any) -> None:
    there = len(ec2.describe_internet_gateways()["InternetGateways"])
    made = [ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"] for _ in range(GATEWAYS_MAX - there)]
    assert refused(ec2.create_internet_gateway)[0] == "InternetGatewayLimitExceeded"
    for gateway_id in made:
        ec2.delete_internet_gateway(InternetGatewayId=gateway_id)


def test_a_dry_run_changes_no_route(ec2: Any, vpc_id: str, table_id: str, gateway_id: str, subnet_id: str) -> None:
    ec2.create_route(RouteTableId=table_id, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway_id)
    before = ec2.describe_route_tables()["RouteTables"], ec2.describe_internet_gateways()["InternetGateways"]
    route = {"RouteTableId": table_id, "DestinationCidrBlock": "1.0.0.0/8", "GatewayId": gateway_id}
    for call, parameters in (
        (ec2.create_route_table, {"VpcId": vpc_id}),
        (ec2.delete_route_table, {"RouteTableId": table_id}),
        (ec2.create_route, route),
        (ec2.delete_route, {"RouteTableId": table_id, "DestinationCidrBlock": "0.0.0.0/0"}),
        (ec2.associate_route_table, {"RouteTableId": table_id, "SubnetId": subnet_id}),
        (ec2.create_internet_gateway, {}),
        (ec2.detach_internet_gateway, {"InternetGatewayId": gateway_id, "VpcId": vpc_id}),
        (ec2.describe_route_tables, {}),
        (ec2.describe_internet_gateways, {}),
    ):
        assert refused(call, DryRun=True, **parameters)[0] == "DryRunOperation"
    assert (ec2.describe_route_tables()["RouteTables"], ec2.describe_internet_gateways()["InternetGateways"]) == before
