"""A request's permissions, in the form of today or the flat one of old, as rules of a group."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from sqlalchemy import Connection

from amiable.database import network
from amiable.model import ids
from amiable.model.errors import InvalidParameterCombination, InvalidParameterValue, MissingParameter, NotFound
from amiable.model.network import SecurityGroup, SecurityGroupRule
from amiable.model.network_errors import DifferentNetworks, InvalidPermissionMalformed
from amiable.model.principal import Principal
from amiable.rules.identifiers import check_form
from amiable.rules.security_group import Traffic, check_rule_description, ipv4_network, ipv6_network, traffic_of
from amiable.wire.generated import ec2

PREFIX_LIST: Final = re.compile(r"pl-(?:[0-9a-f]{8}|[0-9a-f]{17})")


class Flat(Protocol):
    """A request with permissions, or with one in the flat form."""

    @property
    def ip_permissions(self) -> list[ec2.IpPermission] | None: ...
    @property
    def ip_protocol(self) -> str | None: ...
    @property
    def from_port(self) -> int | None: ...
    @property
    def to_port(self) -> int | None: ...
    @property
    def cidr_ip(self) -> str | None: ...
    @property
    def source_security_group_name(self) -> str | None: ...
    @property
    def source_security_group_owner_id(self) -> str | None: ...


def flat_in(request: Flat) -> list[str]:
    """The names of the flat parameters of old that the request has."""
    flat = {
        "IpProtocol": request.ip_protocol,
        "FromPort": request.from_port,
        "ToPort": request.to_port,
        "CidrIp": request.cidr_ip,
        "SourceSecurityGroupName": request.source_security_group_name,
        "SourceSecurityGroupOwnerId": request.source_security_group_owner_id,
    }
    return [name for name, value in flat.items() if value is not None]


def permissions_in(request: Flat) -> list[ec2.IpPermission]:
    """The request's permissions; refuses none at all, and both forms at once."""
    source, given = request.source_security_group_name, flat_in(request)
    if request.ip_permissions:
        if given:
            raise InvalidParameterCombination(
                f"The parameter IpPermissions may not be used in combination with {given[0]}."
            )
        return request.ip_permissions
    if not given:
        raise MissingParameter(parameter="IpPermissions")
    if source is not None and request.cidr_ip is not None:
        raise InvalidParameterCombination("The parameters CidrIp and SourceSecurityGroupName cannot be used together.")
    pair = ec2.UserIdGroupPair(group_name=source, user_id=request.source_security_group_owner_id)
    is_bare = source is not None and request.ip_protocol is None  # of old, that meant everything
    return [
        ec2.IpPermission(
            ip_protocol="-1" if is_bare else request.ip_protocol,
            from_port=request.from_port,
            to_port=request.to_port,
            ip_ranges=[ec2.IpRange(cidr_ip=request.cidr_ip)] if request.cidr_ip is not None else None,
            user_id_group_pairs=[pair] if source is not None else None,
        )
    ]


@dataclass(frozen=True, slots=True)
class PeerReader:
    """Reads what a permission of ``group`` lets through to; knows the caller's groups."""

    group: SecurityGroup
    groups: Mapping[str, SecurityGroup]
    is_default_vpc: bool

    @classmethod
    def open(cls, c: Connection, principal: Principal, group: SecurityGroup) -> "PeerReader":
        """A reader for permissions of the group."""
        owner = (principal.account_id, principal.region)
        default = network.find_default_vpc(c, *owner)
        groups = {each.id: each for each in network.list_security_groups(c, *owner)}
        return cls(group, groups, default is not None and default.id == group.vpc_id)

    def pair(self, pair: ec2.UserIdGroupPair) -> str:
        """The id of the group that the pair names."""
        if pair.vpc_peering_connection_id is not None:
            raise InvalidParameterValue("VPC peering connections are not supported by Amiable.")
        if pair.group_id is not None:
            if pair.user_id not in (None, self.group.account_id):
                raise NotFound("security_group", [pair.group_id])
            found = self.group_of(pair.group_id)
            if pair.vpc_id not in (None, self.group.vpc_id):
                raise NotFound("security_group", [pair.group_id])
            if pair.group_name not in (None, self.groups[found].name):
                raise InvalidParameterCombination("The parameters groupId and groupName cannot be used together.")
            return found
        if pair.group_name is None:
            raise MissingParameter(parameter="UserIdGroupPairs.GroupId")
        if not self.is_default_vpc:
            raise InvalidParameterValue(
                f"Invalid value '{pair.group_name}' for groupName. You may not reference Amazon VPC security groups by name. "
                "Please use the corresponding id for this operation."
            )
        for each in self.groups.values():
            named = each.vpc_id == self.group.vpc_id and each.name == pair.group_name
            if named and pair.user_id in (None, each.account_id) and pair.vpc_id in (None, each.vpc_id):
                return each.id
        raise NotFound("security_group", [pair.group_name])

    def group_of(self, group_id: str) -> str:
        """The id, of a group of the caller's in the same VPC."""
        check_form("security_group", ids.SECURITY_GROUP, [group_id])
        found = self.groups.get(group_id)
        if found is None:
            raise NotFound("security_group", [group_id])
        if found.vpc_id != self.group.vpc_id:
            raise DifferentNetworks(group_id=group_id, vpc_id=found.vpc_id)
        return group_id

    def prefix_list(self, prefix_list_id: str) -> str:
        """The id, which is kept and stands for no address: the installation has no prefix lists."""
        if not PREFIX_LIST.fullmatch(prefix_list_id):
            raise InvalidPermissionMalformed(f"The prefix list ID '{prefix_list_id}' is malformed")
        return prefix_list_id

    def vpc_of(self, group_id: str | None) -> str | None:
        """The VPC of one of the caller's groups."""
        found = self.groups.get(group_id or "")
        return None if found is None else found.vpc_id


def rules_in(
    permissions: Sequence[ec2.IpPermission], reader: PeerReader, *, is_egress: bool
) -> list[SecurityGroupRule]:
    """A rule for each peer of the permissions, in their order; without ids."""
    rules: list[SecurityGroupRule] = []
    for permission in permissions:
        traffic = traffic_of(permission.ip_protocol, permission.from_port, permission.to_port)
        peers = list(_peers(permission, traffic, reader, is_egress))
        if not peers:
            what = "destination" if is_egress else "source"
            raise MissingParameter(f"Missing {what} specification: include {what} security group or CIDR information")
        rules += peers
    return rules


def _peers(
    permission: ec2.IpPermission, traffic: Traffic, reader: PeerReader, is_egress: bool
) -> Iterator[SecurityGroupRule]:
    common = ("", reader.group.account_id, reader.group.region, reader.group.id, is_egress, *traffic)
    for ipv4 in permission.ip_ranges or []:
        if ipv4.cidr_ip is None:
            raise MissingParameter(parameter="IpRanges.CidrIp")
        yield SecurityGroupRule(*common, cidr_ipv4=ipv4_network(ipv4.cidr_ip), description=_described(ipv4.description))
    for ipv6 in permission.ipv6_ranges or []:
        if ipv6.cidr_ipv6 is None:
            raise MissingParameter(parameter="Ipv6Ranges.CidrIpv6")
        yield SecurityGroupRule(
            *common, cidr_ipv6=ipv6_network(ipv6.cidr_ipv6), description=_described(ipv6.description)
        )
    for listed in permission.prefix_list_ids or []:
        if listed.prefix_list_id is None:
            raise MissingParameter(parameter="PrefixListIds.PrefixListId")
        list_id = reader.prefix_list(listed.prefix_list_id)
        yield SecurityGroupRule(*common, prefix_list_id=list_id, description=_described(listed.description))
    for pair in permission.user_id_group_pairs or []:
        group_id = reader.pair(pair)
        yield SecurityGroupRule(*common, referenced_group_id=group_id, description=_described(pair.description))


def _described(description: str | None) -> str | None:
    check_rule_description(description)
    return description or None
