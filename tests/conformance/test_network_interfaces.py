"""Network interfaces and elastic addresses through boto3: on their own, and as part of instances."""

from collections.abc import Iterator
from typing import Any

import pytest

from amiable.api.ec2.addresses import ADDRESSES_MAX
from amiable.database import instances
from amiable.model.principal import Principal
from amiable.rules.lifecycle import Event
from tests.api.ec2.launching import make_image
from tests.conformance.networks import ZONES, another_client, default_vpc, network_edge, refused, tagged, where
from tests.server.edge import Edge

NOWHERE = "0" * 17
TINY = {"InstanceType": "amiable.tiny", "MinCount": 1, "MaxCount": 1}


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with network_edge(tmp_path_factory.mktemp("edge")) as running:
        yield running


@pytest.fixture(scope="module")
def image_id(edge: Edge) -> str:
    return make_image(edge.services, Principal(edge.account.account_id, edge.account.access_key_id, "us-east-1")).id


@pytest.fixture(scope="module")
def subnet_id(ec2: Any) -> str:
    """The default subnet of the first zone."""
    (subnet,) = ec2.describe_subnets(Filters=where("availability-zone", ZONES[0]))["Subnets"]
    return str(subnet["SubnetId"])


@pytest.fixture
def interface_id(ec2: Any, subnet_id: str) -> Iterator[str]:
    made = str(ec2.create_network_interface(SubnetId=subnet_id)["NetworkInterface"]["NetworkInterfaceId"])
    yield made
    ec2.delete_network_interface(NetworkInterfaceId=made)


@pytest.fixture
def instance(edge: Edge, ec2: Any, image_id: str) -> Iterator[dict[str, Any]]:
    """A pending instance, over afterwards."""
    (made,) = ec2.run_instances(ImageId=image_id, **TINY)["Instances"]
    yield made
    end(edge, made["InstanceId"])


def end(edge: Edge, instance_id: str) -> None:
    with edge.services.database.write() as c:
        instances.set_state(c, instance_id, Event.LAUNCH_FAILED, now=edge.services.now())


def told(ec2: Any, interface_id: str) -> Any:
    (interface,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[interface_id])["NetworkInterfaces"]
    return interface


def group(ec2: Any, name: str) -> str:
    return str(ec2.create_security_group(GroupName=name, Description="d")["GroupId"])


@pytest.mark.proves("ec2", "CreateNetworkInterface", "DeleteNetworkInterface", "DescribeNetworkInterfaces")
def test_an_interface_is_made_in_a_subnet_and_once_for_a_token(ec2: Any, subnet_id: str) -> None:
    asked = {
        "SubnetId": subnet_id,
        "Description": "mine",
        "PrivateIpAddress": "172.31.0.99",
        "ClientToken": "once",
        "TagSpecifications": tagged("network-interface", a="b"),
    }
    made = ec2.create_network_interface(**asked)
    interface = made["NetworkInterface"]
    assert made["ClientToken"] == "once"
    assert (interface["Status"], interface["Description"]) == ("available", "mine")
    assert (interface["PrivateIpAddress"], interface["PrivateDnsName"]) == (
        "172.31.0.99",
        "ip-172-31-0-99.ec2.internal",
    )
    assert interface["PrivateIpAddresses"][0]["Primary"] is True and interface["SourceDestCheck"] is True
    assert [each["GroupName"] for each in interface["Groups"]] == ["default"]
    assert interface["TagSet"] == [{"Key": "a", "Value": "b"}] and "Attachment" not in interface
    assert ec2.create_network_interface(**asked)["NetworkInterface"] == interface
    assert told(ec2, interface["NetworkInterfaceId"]) == interface
    assert refused(ec2.create_network_interface, **{**asked, "Description": "x"})[0] == "IdempotentParameterMismatch"
    taken = refused(ec2.create_network_interface, SubnetId=subnet_id, PrivateIpAddress="172.31.0.99")
    assert taken == ("InvalidIPAddress.InUse", "Address 172.31.0.99 is in use.")
    ec2.delete_network_interface(NetworkInterfaceId=interface["NetworkInterfaceId"])
    assert refused(ec2.delete_network_interface, NetworkInterfaceId=interface["NetworkInterfaceId"]) == (
        "InvalidNetworkInterfaceID.NotFound",
        f"The networkInterface ID '{interface['NetworkInterfaceId']}' does not exist",
    )


@pytest.mark.parametrize(
    ("asked", "code", "text"),
    [
        ({"SubnetId": "subnet-" + NOWHERE}, "InvalidSubnetID.NotFound", "does not exist"),
        ({"SubnetId": "x"}, "InvalidSubnetID.Malformed", "x"),
        ({"Groups": ["sg-" + NOWHERE]}, "InvalidGroup.NotFound", "does not exist"),
        ({"Groups": ["x"]}, "InvalidGroupId.Malformed", "x"),
        ({"PrivateIpAddress": "10.0.0.1"}, "InvalidParameterValue", "It is no free address of"),
        ({"PrivateIpAddress": "172.31.0.1"}, "InvalidParameterValue", "It is no free address of"),
        ({"Description": "é"}, "InvalidParameterValue", "Invalid network interface description."),
        ({"InterfaceType": "efa"}, "UnsupportedOperation", "InterfaceType"),
        ({"SecondaryPrivateIpAddressCount": 1}, "UnsupportedOperation", "SecondaryPrivateIpAddressCount"),
        ({"PrivateIpAddresses": [{"PrivateIpAddress": "172.31.0.9"}, {"PrivateIpAddress": "172.31.0.8"}]},
         "UnsupportedOperation", "PrivateIpAddresses"),
        ({"Ipv6AddressCount": 1}, "UnsupportedOperation", "Ipv6AddressCount"),
        ({"ClientToken": "é"}, "InvalidParameterValue", "ClientToken"),
    ],
)  # fmt: skip
def test_interfaces_that_there_cannot_be(ec2: Any, subnet_id: str, asked: dict[str, Any], code: str, text: str) -> None:
    seen = refused(ec2.create_network_interface, **{"SubnetId": subnet_id, **asked})
    assert seen[0] == code and text in seen[1]


def test_a_full_subnet_gives_no_address(ec2: Any) -> None:
    vpc_id = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet_id = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.0.0.0/28")["Subnet"]["SubnetId"]
    made = [ec2.create_network_interface(SubnetId=subnet_id)["NetworkInterface"] for _ in range(11)]
    assert made[0]["PrivateIpAddress"] == "10.0.0.4"
    (subnet,) = ec2.describe_subnets(SubnetIds=[subnet_id])["Subnets"]
    assert subnet["AvailableIpAddressCount"] == 0
    assert refused(ec2.create_network_interface, SubnetId=subnet_id) == (
        "InsufficientFreeAddressesInSubnet",
        f"The specified subnet does not have enough free addresses to satisfy the request: {subnet_id}.",
    )


def test_an_instance_has_its_interface_as_a_row_that_goes_with_it(edge: Edge, ec2: Any, image_id: str) -> None:
    tags = tagged("network-interface", of="it")
    (made,) = ec2.run_instances(ImageId=image_id, TagSpecifications=tags, **TINY)["Instances"]
    (mine,) = made["NetworkInterfaces"]
    attached = where("attachment.instance-id", made["InstanceId"])
    (interface,) = ec2.describe_network_interfaces(Filters=attached)["NetworkInterfaces"]
    assert interface["NetworkInterfaceId"] == mine["NetworkInterfaceId"]
    assert interface["MacAddress"] == mine["MacAddress"] and interface["Status"] == "in-use"
    assert interface["TagSet"] == [{"Key": "of", "Value": "it"}]
    attachment = interface["Attachment"]
    assert (attachment["InstanceId"], attachment["DeviceIndex"]) == (made["InstanceId"], 0)
    assert (attachment["DeleteOnTermination"], attachment["Status"]) == (True, "attached")
    interface_id = interface["NetworkInterfaceId"]
    assert refused(ec2.delete_network_interface, NetworkInterfaceId=interface_id) == (
        "InvalidNetworkInterface.InUse",
        f"Interface: [{interface_id}] in use.",
    )
    end(edge, made["InstanceId"])
    assert ec2.describe_network_interfaces(Filters=attached)["NetworkInterfaces"] == []
    assert refused(ec2.describe_network_interfaces, NetworkInterfaceIds=[interface_id])[0] == (
        "InvalidNetworkInterfaceID.NotFound"
    )


def test_a_launch_takes_an_interface_that_is_there_and_leaves_it_behind(
    edge: Edge, ec2: Any, image_id: str, interface_id: str
) -> None:
    before = told(ec2, interface_id)
    ec2.modify_network_interface_attribute(NetworkInterfaceId=interface_id, SourceDestCheck={"Value": False})
    named = [{"DeviceIndex": 0, "NetworkInterfaceId": interface_id}]
    (made,) = ec2.run_instances(ImageId=image_id, NetworkInterfaces=named, **TINY)["Instances"]
    assert made["PrivateIpAddress"] == before["PrivateIpAddress"] and made["SourceDestCheck"] is False
    (mine,) = made["NetworkInterfaces"]
    assert mine["MacAddress"] == before["MacAddress"] and mine["Attachment"]["DeleteOnTermination"] is False
    again = refused(ec2.run_instances, ImageId=image_id, NetworkInterfaces=named, **TINY)
    assert again == ("InvalidNetworkInterface.InUse", f"Interface: [{interface_id}] in use.")
    end(edge, made["InstanceId"])
    assert told(ec2, interface_id)["Status"] == "available"


def test_groups_of_a_launch_are_of_its_network_and_named_by_id_beside_a_subnet(
    ec2: Any, image_id: str, subnet_id: str
) -> None:
    elsewhere = ec2.create_vpc(CidrBlock="10.77.0.0/16")["Vpc"]["VpcId"]
    far = ec2.create_security_group(GroupName="far", Description="d", VpcId=elsewhere)["GroupId"]
    differ = ("InvalidParameter", f"Security group {far} and subnet {subnet_id} belong to different networks.")
    launch = {"ImageId": image_id, "SubnetId": subnet_id, **TINY}
    assert refused(ec2.run_instances, SecurityGroupIds=[far], **launch) == differ
    assert refused(ec2.create_network_interface, SubnetId=subnet_id, Groups=[far]) == differ
    assert refused(ec2.run_instances, SecurityGroups=["default"], **launch) == (
        "InvalidParameterCombination",
        "The parameter groupName cannot be used with the parameter subnet",
    )
    ec2.delete_security_group(GroupId=far)
    ec2.delete_vpc(VpcId=elsewhere)


@pytest.mark.parametrize(
    ("interface", "more", "code", "text"),
    [
        ({"NetworkInterfaceId": "eni-" + NOWHERE}, {}, "InvalidNetworkInterfaceID.NotFound", "does not exist"),
        ({"NetworkInterfaceId": "x"}, {}, "InvalidNetworkInterfaceId.Malformed", "x"),
        ({"NetworkInterfaceId": "eni-" + NOWHERE, "Description": "d"}, {}, "InvalidParameterCombination", "Description"),
        ({"NetworkInterfaceId": "eni-" + NOWHERE}, {"SubnetId": "subnet-1"}, "InvalidParameterCombination", "subnet ID"),
        ({"Groups": ["sg-" + NOWHERE]}, {}, "InvalidGroup.NotFound", "does not exist"),
        ({"DeviceIndex": 1}, {}, "UnsupportedOperation", "DeviceIndex"),
        ({"DeviceIndex": None}, {}, "MissingParameter", "NetworkInterface.1.DeviceIndex"),
        ({"Description": "é"}, {}, "InvalidParameterValue", "Invalid network interface description."),
        ({"Ipv6Addresses": [{"Ipv6Address": "::1"}]}, {}, "UnsupportedOperation", "Ipv6Addresses"),
    ],
)  # fmt: skip
def test_interfaces_that_a_launch_cannot_have(
    ec2: Any, image_id: str, interface: dict[str, Any], more: dict[str, Any], code: str, text: str
) -> None:
    asked = {name: value for name, value in {"DeviceIndex": 0, **interface}.items() if value is not None}
    seen = refused(
        ec2.run_instances, ImageId=image_id, NetworkInterfaces=[asked or {"Description": "d"}], **more, **TINY
    )
    assert seen[0] == code and text in seen[1]


def test_a_launch_describes_its_interface_as_ansible_does(edge: Edge, ec2: Any, image_id: str, subnet_id: str) -> None:
    group_id = group(ec2, "of ansible")
    described = {
        "DeviceIndex": 0,
        "AssociatePublicIpAddress": True,
        "SubnetId": subnet_id,
        "PrivateIpAddresses": [{"PrivateIpAddress": "172.31.0.50", "Primary": True}],
        "Groups": [group_id],
        "Description": "for ansible",
        "DeleteOnTermination": True,
    }
    (made,) = ec2.run_instances(ImageId=image_id, NetworkInterfaces=[described], **TINY)["Instances"]
    (mine,) = made["NetworkInterfaces"]
    assert (mine["PrivateIpAddress"], mine["Description"]) == ("172.31.0.50", "for ansible")
    assert [each["GroupId"] for each in made["SecurityGroups"]] == [group_id]
    assert "PublicIpAddress" not in made and "Association" not in mine
    assert refused(ec2.delete_security_group, GroupId=group_id)[0] == "DependencyViolation"
    end(edge, made["InstanceId"])
    ec2.delete_security_group(GroupId=group_id)


@pytest.mark.proves("ec2", "ModifyNetworkInterfaceAttribute", "DescribeNetworkInterfaceAttribute")
def test_attributes_of_an_interface_are_changed_one_at_a_time(ec2: Any, instance: dict[str, Any]) -> None:
    (interface,) = instance["NetworkInterfaces"]
    interface_id, change = interface["NetworkInterfaceId"], ec2.modify_network_interface_attribute
    group_id = group(ec2, "another")

    def attribute(name: str) -> Any:
        return ec2.describe_network_interface_attribute(NetworkInterfaceId=interface_id, Attribute=name)

    change(NetworkInterfaceId=interface_id, Groups=[group_id])
    change(NetworkInterfaceId=interface_id, Description={"Value": "new"})
    change(NetworkInterfaceId=interface_id, SourceDestCheck={"Value": False})
    attachment_id = interface["Attachment"]["AttachmentId"]
    stays = {"AttachmentId": attachment_id, "DeleteOnTermination": False}
    change(NetworkInterfaceId=interface_id, Attachment=stays)
    assert [each["GroupId"] for each in attribute("groupSet")["Groups"]] == [group_id]
    assert attribute("description")["Description"] == {"Value": "new"}
    assert attribute("sourceDestCheck")["SourceDestCheck"] == {"Value": False}
    assert attribute("attachment")["Attachment"]["DeleteOnTermination"] is False
    ((it,),) = [
        each["Instances"] for each in ec2.describe_instances(InstanceIds=[instance["InstanceId"]])["Reservations"]
    ]
    assert it["SourceDestCheck"] is False and [each["GroupId"] for each in it["SecurityGroups"]] == [group_id]
    both = {"Groups": [group_id], "Description": {"Value": "x"}}
    assert refused(change, NetworkInterfaceId=interface_id, **both)[0] == "InvalidParameterCombination"
    assert refused(change, NetworkInterfaceId=interface_id) == ("MissingParameter", "No attributes specified.")
    for asked, code in (
        ({"Attachment": {**stays, "AttachmentId": "eni-attach-" + NOWHERE}}, "InvalidAttachmentID.NotFound"),
        ({"Attachment": {**stays, "AttachmentId": "x"}}, "InvalidAttachmentID.Malformed"),
        ({"Attachment": {"DeleteOnTermination": False}}, "MissingParameter"),
        ({"Attachment": {"AttachmentId": attachment_id}}, "MissingParameter"),
        ({"Groups": ["sg-" + NOWHERE]}, "InvalidGroup.NotFound"),
        ({"Description": {"Value": "é"}}, "InvalidParameterValue"),
        ({"EnablePrimaryIpv6": True}, "UnsupportedOperation"),
    ):
        assert refused(change, NetworkInterfaceId=interface_id, **asked)[0] == code
    assert refused(ec2.describe_network_interface_attribute, NetworkInterfaceId=interface_id)[0] == "MissingParameter"
    change(
        NetworkInterfaceId=interface_id,
        Groups=[ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"][0]["GroupId"]],
    )
    ec2.delete_security_group(GroupId=group_id)
    change(NetworkInterfaceId=interface_id, Attachment={**stays, "DeleteOnTermination": True})


def test_an_interface_is_in_five_groups_at_most(
    ec2: Any, image_id: str, interface_id: str, instance: dict[str, Any]
) -> None:
    made = [group(ec2, f"one of six {number}") for number in range(6)]
    text = "The maximum number of security groups per interface has been reached: 5."
    expected = ("SecurityGroupsPerInterfaceLimitExceeded", text)
    assert refused(ec2.modify_network_interface_attribute, NetworkInterfaceId=interface_id, Groups=made) == expected
    assert refused(ec2.run_instances, ImageId=image_id, SecurityGroupIds=made, **TINY) == expected
    assert refused(ec2.modify_instance_attribute, InstanceId=instance["InstanceId"], Groups=made) == expected
    ec2.modify_instance_attribute(InstanceId=instance["InstanceId"], Groups=made[:1])
    mine = told(ec2, instance["NetworkInterfaces"][0]["NetworkInterfaceId"])
    assert [each["GroupId"] for each in mine["Groups"]] == made[:1]
    ec2.modify_instance_attribute(
        InstanceId=instance["InstanceId"], Groups=[each["GroupId"] for each in instance["SecurityGroups"]]
    )
    for group_id in made:
        ec2.delete_security_group(GroupId=group_id)


@pytest.mark.proves("ec2", "AttachNetworkInterface", "DetachNetworkInterface")
def test_an_instance_has_one_interface_which_stays(ec2: Any, instance: dict[str, Any], interface_id: str) -> None:
    instance_id, (mine,) = instance["InstanceId"], instance["NetworkInterfaces"]
    attach = {"InstanceId": instance_id, "NetworkInterfaceId": interface_id, "DeviceIndex": 1}
    assert refused(ec2.attach_network_interface, **attach) == (
        "AttachmentLimitExceeded",
        "Interface count 2 exceeds the limit for amiable.tiny",
    )
    taken = refused(ec2.attach_network_interface, **{**attach, "DeviceIndex": 0})
    assert taken[0] == "InvalidParameterValue" and "already has an interface attached at device index '0'" in taken[1]
    in_use = refused(ec2.attach_network_interface, **{**attach, "NetworkInterfaceId": mine["NetworkInterfaceId"]})
    assert in_use[0] == "InvalidNetworkInterface.InUse"
    assert (
        refused(ec2.attach_network_interface, **{**attach, "InstanceId": "i-" + NOWHERE})[0]
        == "InvalidInstanceID.NotFound"
    )
    assert refused(ec2.attach_network_interface, **attach, NetworkCardIndex=1)[0] == "UnsupportedOperation"
    assert refused(ec2.detach_network_interface, AttachmentId=mine["Attachment"]["AttachmentId"]) == (
        "OperationNotPermitted",
        "The network interface at device index 0 cannot be detached.",
    )
    assert (
        refused(ec2.detach_network_interface, AttachmentId="eni-attach-" + NOWHERE)[0] == "InvalidAttachmentID.NotFound"
    )
    assert refused(ec2.detach_network_interface, AttachmentId="x")[0] == "InvalidAttachmentID.Malformed"


def test_an_interface_elsewhere_is_not_attached(ec2: Any, instance: dict[str, Any]) -> None:
    (there,) = ec2.describe_subnets(Filters=where("availability-zone", ZONES[1]))["Subnets"]
    interface_id = ec2.create_network_interface(SubnetId=there["SubnetId"])["NetworkInterface"]["NetworkInterfaceId"]
    attach = {"InstanceId": instance["InstanceId"], "NetworkInterfaceId": interface_id, "DeviceIndex": 1}
    assert refused(ec2.attach_network_interface, **attach)[0] == "InvalidParameterCombination"
    ec2.delete_network_interface(NetworkInterfaceId=interface_id)


def test_every_filter_finds_the_interface_and_not_with_another_value(ec2: Any, instance: dict[str, Any]) -> None:
    (mine,) = instance["NetworkInterfaces"]
    interface = told(ec2, mine["NetworkInterfaceId"])
    allocated = ec2.allocate_address(Domain="vpc")
    association_id = ec2.associate_address(AllocationId=allocated["AllocationId"], InstanceId=instance["InstanceId"])[
        "AssociationId"
    ]
    attachment = interface["Attachment"]
    known = {
        "addresses.association.owner-id": interface["OwnerId"],
        "addresses.association.public-ip": allocated["PublicIp"],
        "addresses.primary": "true",
        "addresses.private-ip-address": interface["PrivateIpAddress"],
        "association.allocation-id": allocated["AllocationId"],
        "association.association-id": association_id,
        "association.ip-owner-id": interface["OwnerId"],
        "association.public-ip": allocated["PublicIp"],
        "attachment.attachment-id": attachment["AttachmentId"],
        "attachment.delete-on-termination": "true",
        "attachment.device-index": "0",
        "attachment.instance-id": instance["InstanceId"],
        "attachment.instance-owner-id": interface["OwnerId"],
        "attachment.status": "attached",
        "availability-zone": interface["AvailabilityZone"],
        "availability-zone-id": interface["AvailabilityZoneId"],
        "group-id": interface["Groups"][0]["GroupId"],
        "group-name": "default",
        "interface-type": "interface",
        "mac-address": interface["MacAddress"],
        "network-interface-id": interface["NetworkInterfaceId"],
        "owner-id": interface["OwnerId"],
        "private-dns-name": interface["PrivateDnsName"],
        "private-ip-address": interface["PrivateIpAddress"],
        "requester-managed": "false",
        "source-dest-check": "true",
        "status": "in-use",
        "subnet-id": interface["SubnetId"],
        "vpc-id": default_vpc(ec2),
    }
    for name, value in known.items():
        found = ec2.describe_network_interfaces(Filters=where(name, value))["NetworkInterfaces"]
        assert interface["NetworkInterfaceId"] in [each["NetworkInterfaceId"] for each in found], name
        assert ec2.describe_network_interfaces(Filters=where(name, "x" + value))["NetworkInterfaces"] == [], name
    assert refused(ec2.describe_network_interfaces, Filters=where("colour", "red"))[0] == "InvalidParameterValue"
    ec2.disassociate_address(AssociationId=association_id)
    ec2.release_address(AllocationId=allocated["AllocationId"])


def test_interfaces_come_in_pages(ec2: Any, subnet_id: str) -> None:
    made = [
        ec2.create_network_interface(SubnetId=subnet_id)["NetworkInterface"]["NetworkInterfaceId"] for _ in range(6)
    ]
    pages = list(ec2.get_paginator("describe_network_interfaces").paginate(PaginationConfig={"PageSize": 5}))
    seen = [each["NetworkInterfaceId"] for page in pages for each in page["NetworkInterfaces"]]
    assert len(pages) > 1 and set(made) <= set(seen) and len(seen) == len(set(seen))
    for interface_id in made:
        ec2.delete_network_interface(NetworkInterfaceId=interface_id)


# ── elastic addresses ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.proves("ec2", "AllocateAddress", "ReleaseAddress", "DescribeAddresses")
def test_an_address_is_given_out_of_the_range_and_given_back(ec2: Any) -> None:
    made = ec2.allocate_address(Domain="vpc", TagSpecifications=tagged("elastic-ip", a="b"))
    assert made["PublicIp"].startswith("203.0.113.") and made["Domain"] == "vpc"
    (seen,) = ec2.describe_addresses(AllocationIds=[made["AllocationId"]])["Addresses"]
    assert (seen["PublicIp"], seen["Tags"]) == (made["PublicIp"], [{"Key": "a", "Value": "b"}])
    assert ec2.describe_addresses(PublicIps=[made["PublicIp"]])["Addresses"] == [seen]
    assert ec2.describe_addresses(Filters=where("tag:a", "b"))["Addresses"] == [seen]
    ec2.release_address(AllocationId=made["AllocationId"])
    assert refused(ec2.release_address, AllocationId=made["AllocationId"]) == (
        "InvalidAllocationID.NotFound",
        f"The allocation ID '{made['AllocationId']}' does not exist",
    )
    assert refused(ec2.describe_addresses, PublicIps=[made["PublicIp"]]) == (
        "InvalidAddress.NotFound",
        f"Address '{made['PublicIp']}' not found.",
    )
    assert refused(ec2.describe_addresses, AllocationIds=["x"])[0] == "InvalidAllocationID.Malformed"
    assert refused(ec2.release_address)[0] == "MissingParameter"
    assert refused(ec2.release_address, AllocationId="x", PublicIp="y")[0] == "InvalidParameterCombination"
    assert refused(ec2.release_address, PublicIp="1.2.3.4")[0] == "InvalidAddress.NotFound"


def test_an_address_may_be_asked_for(ec2: Any) -> None:
    made = ec2.allocate_address(Address="203.0.113.77")
    assert made["PublicIp"] == "203.0.113.77"
    assert refused(ec2.allocate_address, Address="203.0.113.77")[0] == "InvalidIPAddress.InUse"
    for address in ("10.0.0.1", "x"):
        assert refused(ec2.allocate_address, Address=address)[0] == "InvalidParameterValue"
    assert refused(ec2.allocate_address, Domain="standard")[0] == "UnsupportedOperation"
    ec2.release_address(PublicIp="203.0.113.77")


def test_an_account_holds_five_addresses(edge: Edge) -> None:
    with another_client(edge) as ec2:
        for _ in range(ADDRESSES_MAX):
            ec2.allocate_address()
        assert refused(ec2.allocate_address)[0] == "AddressLimitExceeded"


@pytest.mark.proves("ec2", "AssociateAddress", "DisassociateAddress")
def test_an_address_stands_for_an_instance_and_is_told_wherever_ec2_tells_it(
    edge: Edge, ec2: Any, image_id: str, instance: dict[str, Any], interface_id: str
) -> None:
    first, second = (ec2.allocate_address(Domain="vpc") for _ in range(2))
    to_instance = {"AllocationId": first["AllocationId"], "InstanceId": instance["InstanceId"]}
    association_id = ec2.associate_address(**to_instance)["AssociationId"]
    assert ec2.associate_address(**to_instance)["AssociationId"] == association_id
    ((it,),) = [
        each["Instances"] for each in ec2.describe_instances(InstanceIds=[instance["InstanceId"]])["Reservations"]
    ]
    assert it["PublicIpAddress"] == first["PublicIp"]
    assert it["NetworkInterfaces"][0]["Association"]["PublicIp"] == first["PublicIp"]
    mine = it["NetworkInterfaces"][0]["NetworkInterfaceId"]
    assert told(ec2, mine)["Association"]["AllocationId"] == first["AllocationId"]
    (seen,) = ec2.describe_addresses(Filters=where("instance-id", instance["InstanceId"]))["Addresses"]
    assert (seen["AssociationId"], seen["NetworkInterfaceId"]) == (association_id, mine)
    for name in ("allocation-id", "association-id", "network-interface-id", "private-ip-address", "public-ip"):
        member = "".join(word.capitalize() for word in name.split("-"))
        assert ec2.describe_addresses(Filters=where(name, seen[member]))["Addresses"] == [seen], name
    assert refused(ec2.release_address, AllocationId=first["AllocationId"])[0] == "InvalidIPAddress.InUse"
    to_interface = {"AllocationId": first["AllocationId"], "NetworkInterfaceId": interface_id}
    assert refused(ec2.associate_address, AllowReassociation=False, **to_interface) == (
        "Resource.AlreadyAssociated",
        f"resource {first['AllocationId']} is already associated with associate-id {association_id}",
    )
    ec2.associate_address(AllocationId=second["AllocationId"], InstanceId=instance["InstanceId"])
    (freed,) = ec2.describe_addresses(AllocationIds=[first["AllocationId"]])["Addresses"]
    assert "AssociationId" not in freed
    moved = ec2.associate_address(**to_interface)["AssociationId"]
    assert told(ec2, interface_id)["Association"]["AssociationId"] == moved
    ec2.disassociate_address(AssociationId=moved)
    assert refused(ec2.disassociate_address, AssociationId=moved) == (
        "InvalidAssociationID.NotFound",
        f"The association ID '{moved}' does not exist",
    )
    ec2.disassociate_address(PublicIp=first["PublicIp"])  # it stands for nothing already
    ec2.disassociate_address(PublicIp=second["PublicIp"])
    for each in (first, second):
        ec2.release_address(AllocationId=each["AllocationId"])


def test_addresses_are_for_interfaces_that_are_there(ec2: Any, interface_id: str) -> None:
    address = ec2.allocate_address()["AllocationId"]
    for asked, code in (
        ({}, "InvalidParameterCombination"),
        ({"InstanceId": "i-" + NOWHERE, "NetworkInterfaceId": interface_id}, "InvalidParameterCombination"),
        ({"InstanceId": "i-" + NOWHERE}, "InvalidInstanceID.NotFound"),
        ({"InstanceId": "x"}, "InvalidInstanceID.Malformed"),
        ({"NetworkInterfaceId": "eni-" + NOWHERE}, "InvalidNetworkInterfaceID.NotFound"),
        ({"NetworkInterfaceId": interface_id, "PrivateIpAddress": "172.31.0.250"}, "InvalidParameterValue"),
    ):
        assert refused(ec2.associate_address, AllocationId=address, **asked)[0] == code
    assert refused(ec2.associate_address, NetworkInterfaceId=interface_id)[0] == "MissingParameter"
    assert refused(ec2.disassociate_address)[0] == "MissingParameter"
    assert refused(ec2.disassociate_address, AssociationId="x")[0] == "InvalidAssociationID.Malformed"
    both = {"AssociationId": "x", "PublicIp": "y"}
    assert refused(ec2.disassociate_address, **both)[0] == "InvalidParameterCombination"
    vpc_id = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    subnet_id = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.7.0.0/24")["Subnet"]["SubnetId"]
    there = ec2.create_network_interface(SubnetId=subnet_id)["NetworkInterface"]["NetworkInterfaceId"]
    assert refused(ec2.associate_address, AllocationId=address, NetworkInterfaceId=there) == (
        "Gateway.NotAttached",
        f"Network {vpc_id} is not attached to any internet gateway",
    )
    ec2.associate_address(AllocationId=address, NetworkInterfaceId=interface_id)
    default = default_vpc(ec2)
    (gateway,) = ec2.describe_internet_gateways(Filters=where("attachment.vpc-id", default))["InternetGateways"]
    detach = {"InternetGatewayId": gateway["InternetGatewayId"], "VpcId": default}
    mapped = refused(ec2.detach_internet_gateway, **detach)
    assert mapped[0] == "DependencyViolation" and "has some mapped public address(es)" in mapped[1]
    (held,) = ec2.describe_addresses(AllocationIds=[address])["Addresses"]
    ec2.disassociate_address(AssociationId=held["AssociationId"])
    ec2.release_address(AllocationId=address)


def test_a_dry_run_changes_no_interface_and_no_address(ec2: Any, subnet_id: str, interface_id: str) -> None:
    address = ec2.allocate_address()["AllocationId"]
    before = told(ec2, interface_id), ec2.describe_addresses()["Addresses"]
    token = {"SubnetId": subnet_id, "ClientToken": "dry"}
    for call, parameters in (
        (ec2.create_network_interface, token),
        (ec2.delete_network_interface, {"NetworkInterfaceId": interface_id}),
        (ec2.modify_network_interface_attribute, {"NetworkInterfaceId": interface_id, "Description": {"Value": "x"}}),
        (ec2.describe_network_interface_attribute, {"NetworkInterfaceId": interface_id, "Attribute": "description"}),
        (ec2.describe_network_interfaces, {}),
        (ec2.allocate_address, {}),
        (ec2.associate_address, {"AllocationId": address, "NetworkInterfaceId": interface_id}),
        (ec2.release_address, {"AllocationId": address}),
        (ec2.describe_addresses, {}),
    ):
        assert refused(call, DryRun=True, **parameters)[0] == "DryRunOperation"
    assert (told(ec2, interface_id), ec2.describe_addresses()["Addresses"]) == before
    made = ec2.create_network_interface(**token)["NetworkInterface"]["NetworkInterfaceId"]
    ec2.delete_network_interface(NetworkInterfaceId=made)
    ec2.release_address(AllocationId=address)
