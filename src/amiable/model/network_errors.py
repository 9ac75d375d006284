"""What is refused on the network: groups and their rules, interfaces, VPCs and their parts, addresses.  Source: EC2 API, error codes."""

from amiable.model.errors import Refusal


class VPCIdNotSpecified(Refusal):
    code = "VPCIdNotSpecified"
    template = "No default VPC for this user"
    hint = "name a VPC, or make a default one with CreateDefaultVpc"


class NoDefaultSubnet(Refusal):
    """A zone is named that has none."""

    code = "InvalidInput"
    template = "No default subnet for availability zone: '{zone}'."
    hint = "name a subnet with SubnetId, or make a default one with CreateDefaultSubnet"


class NoSubnets(Refusal):
    """No zone is named, and none has one."""

    code = "MissingInput"
    template = "No subnets found for the default VPC '{vpc_id}'. Please specify a subnet."
    hint = NoDefaultSubnet.hint


class GroupNameNotFound(Refusal):
    code = "InvalidGroup.NotFound"
    template = "The security group '{name}' does not exist in default VPC '{vpc_id}'"
    hint = "an id goes into SecurityGroupId"


class DifferentNetworksOfLaunch(Refusal):
    """A group of another VPC than the subnet's."""

    code = "InvalidParameter"
    template = "Security group {group_id} and subnet {subnet_id} belong to different networks."


class DependencyViolation(Refusal):
    """Something is still needed by others: ``users`` are their ids."""

    code = "DependencyViolation"
    template = "The {what} '{id}' has dependencies and cannot be deleted: {users}"


# ── security groups ─────────────────────────────────────────────────────────────────────────────────────────────────────


class InvalidGroupDuplicate(Refusal):
    code = "InvalidGroup.Duplicate"
    template = "The security group '{name}' already exists for VPC '{vpc_id}'"


class InvalidGroupReserved(Refusal):
    code = "InvalidGroup.Reserved"
    template = "Cannot use reserved security group name: {name}"


class CannotDelete(Refusal):
    code = "CannotDelete"
    template = 'the specified group: "{group_id}" name: "{name}" cannot be deleted by a user'


class DifferentNetworks(Refusal):
    code = "InvalidGroup.NotFound"
    template = "You have specified two resources that belong to different networks: {group_id} is in {vpc_id}."


class InvalidPermissionDuplicate(Refusal):
    code = "InvalidPermission.Duplicate"
    template = 'the specified rule "{rule}" already exists'


class InvalidPermissionNotFound(Refusal):
    code = "InvalidPermission.NotFound"
    template = 'The specified rule does not exist in this security group: "{rule}"'


class InvalidPermissionMalformed(Refusal):
    code = "InvalidPermission.Malformed"


class SecurityGroupLimitExceeded(Refusal):
    code = "SecurityGroupLimitExceeded"
    template = "The maximum number of security groups has been reached: {maximum}."


class RulesPerSecurityGroupLimitExceeded(Refusal):
    code = "RulesPerSecurityGroupLimitExceeded"
    template = "The maximum number of rules per security group has been reached: {maximum}."


class SecurityGroupsPerInterfaceLimitExceeded(Refusal):
    code = "SecurityGroupsPerInterfaceLimitExceeded"
    template = "The maximum number of security groups per interface has been reached: {maximum}."


# ── interfaces and addresses ────────────────────────────────────────────────────────────────────────────────────────────


class InvalidNetworkInterfaceInUse(Refusal):
    code = "InvalidNetworkInterface.InUse"
    template = "Interface: [{interface_id}] in use."


class AttachmentLimitExceeded(Refusal):
    code = "AttachmentLimitExceeded"
    template = "Interface count {count} exceeds the limit for {instance_type}"


class NetworkInterfaceLimitExceeded(Refusal):
    code = "NetworkInterfaceLimitExceeded"
    template = "The maximum number of network interfaces has been reached: {maximum}."


class AddressLimitExceeded(Refusal):
    code = "AddressLimitExceeded"
    template = "The maximum number of addresses has been reached: {maximum}."


class InsufficientAddressCapacity(Refusal):
    code = "InsufficientAddressCapacity"
    template = "There is no free address in {range}."


class InvalidAddressNotFound(Refusal):
    code = "InvalidAddress.NotFound"
    template = "Address '{public_ip}' not found."


class AddressInUse(Refusal):
    code = "InvalidIPAddress.InUse"
    template = "Address {public_ip} is in use: it is associated with {interface_id}."


class ResourceAlreadyAssociated(Refusal):
    code = "Resource.AlreadyAssociated"


class InsufficientFreeAddressesInSubnet(Refusal):
    code = "InsufficientFreeAddressesInSubnet"
    template = (
        "There are not enough free addresses in subnet '{subnet_id}' to satisfy the requested number of instances."
    )


class InvalidIPAddressInUse(Refusal):
    code = "InvalidIPAddress.InUse"
    template = "Address {address} is in use."


# ── VPCs, subnets, routes ───────────────────────────────────────────────────────────────────────────────────────────────


class InvalidVpcRange(Refusal):
    code = "InvalidVpcRange"
    template = "The CIDR '{cidr}' is invalid."
    hint = "a VPC has a network of /16 to /28"


class VpcLimitExceeded(Refusal):
    code = "VpcLimitExceeded"
    template = "The maximum number of VPCs has been reached: {maximum}."


class DefaultVpcAlreadyExists(Refusal):
    code = "DefaultVpcAlreadyExists"
    template = "A Default VPC already exists for this account in this region: {vpc_id}."


class DefaultVpcDoesNotExist(Refusal):
    code = "DefaultVpcDoesNotExist"
    template = "There is no default VPC for this account in this region."
    hint = "make one with CreateDefaultVpc"


class DefaultSubnetAlreadyExists(Refusal):
    code = "DefaultSubnetAlreadyExistsInAvailabilityZone"
    template = "The default subnet {subnet_id} already exists in {zone}."


class InvalidSubnetRange(Refusal):
    code = "InvalidSubnet.Range"
    template = "The CIDR '{cidr}' is invalid."


class InvalidSubnetConflict(Refusal):
    code = "InvalidSubnet.Conflict"
    template = "The CIDR '{cidr}' conflicts with another subnet: {subnet_id}, {other}"


class SubnetLimitExceeded(Refusal):
    code = "SubnetLimitExceeded"
    template = "The maximum number of subnets in {vpc_id} has been reached: {maximum}."


class InternetGatewayLimitExceeded(Refusal):
    code = "InternetGatewayLimitExceeded"
    template = "The maximum number of internet gateways has been reached: {maximum}."


class GatewayNotAttached(Refusal):
    code = "Gateway.NotAttached"
    template = "resource {gateway_id} is not attached to network {vpc_id}"


class RouteTableLimitExceeded(Refusal):
    code = "RouteTableLimitExceeded"
    template = "The maximum number of route tables in {vpc_id} has been reached: {maximum}."


class RouteLimitExceeded(Refusal):
    code = "RouteLimitExceeded"
    template = "The maximum number of routes in {route_table_id} has been reached: {maximum}."


class RouteAlreadyExists(Refusal):
    code = "RouteAlreadyExists"
    template = "The route identified by {destination} already exists."


class InvalidRouteNotFound(Refusal):
    code = "InvalidRoute.NotFound"
    template = "no route with destination-cidr-block {destination} in route table {route_table_id}"
