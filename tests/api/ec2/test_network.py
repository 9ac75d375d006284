"""VPCs, subnets and security groups of an account, from rows."""

from pathlib import Path
from typing import Any

import pytest

from amiable.api.ec2 import network as api
from amiable.api.ec2 import security_groups
from amiable.model.errors import Refusal
from amiable.model.principal import Principal
from amiable.services import Services
from amiable.wire.generated import ec2
from tests.api.ec2.launching import make_image, run
from tests.support.services import make_account, open_services


def vpcs(services: Services, principal: Principal, **parameters: Any) -> list[ec2.Vpc]:
    return api.describe_vpcs(services, principal, ec2.DescribeVpcsRequest(**parameters)).vpcs or []


def subnets(services: Services, principal: Principal, **parameters: Any) -> list[ec2.Subnet]:
    return api.describe_subnets(services, principal, ec2.DescribeSubnetsRequest(**parameters)).subnets or []


def groups(services: Services, principal: Principal, **parameters: Any) -> list[ec2.SecurityGroup]:
    request = ec2.DescribeSecurityGroupsRequest(**parameters)
    return security_groups.describe_security_groups(services, principal, request).security_groups or []


def wanted(name: str, *values: str | None) -> list[ec2.Filter]:
    return [ec2.Filter(name=name, values=[str(value) for value in values])]


def test_an_account_has_a_default_network(services: Services, principal: Principal) -> None:
    (vpc,), (subnet,), (group,) = vpcs(services, principal), subnets(services, principal), groups(services, principal)
    assert (vpc.cidr_block, vpc.is_default) == ("172.31.0.0/16", True)
    assert (subnet.vpc_id, subnet.cidr_block, subnet.availability_zone) == (vpc.vpc_id, "172.31.0.0/20", "us-east-1a")
    assert (group.group_name, group.vpc_id) == ("default", vpc.vpc_id)
    (inside,), (outside,) = group.ip_permissions or [], group.ip_permissions_egress or []
    assert [pair.group_id for pair in inside.user_id_group_pairs or []] == [group.group_id]
    assert [each.cidr_ip for each in outside.ip_ranges or []] == ["0.0.0.0/0"]


def test_every_zone_has_a_default_subnet_of_its_own(tmp_path: Path) -> None:
    with open_services(tmp_path / "data", zones=("us-east-1a", "us-east-1b", "us-east-1c")) as services:
        principal = make_account(services)[1]
        found = {each.availability_zone: each.cidr_block for each in subnets(services, principal)}
        assert found == {"us-east-1a": "172.31.0.0/20", "us-east-1b": "172.31.16.0/20", "us-east-1c": "172.31.32.0/20"}


def test_free_addresses_are_counted_as_instances_come(services: Services, principal: Principal) -> None:
    (before,) = subnets(services, principal)
    assert before.available_ip_address_count == 4096 - 5
    run(services, principal, make_image(services, principal), min_count=3, max_count=3)
    (after,) = subnets(services, principal)
    assert after.available_ip_address_count == 4096 - 8


def test_networks_are_their_accounts_own(services: Services, principal: Principal, other_principal: Principal) -> None:
    (mine,), (theirs,) = subnets(services, principal), subnets(services, other_principal)
    assert mine.subnet_id != theirs.subnet_id
    with pytest.raises(Refusal) as caught:
        subnets(services, principal, subnet_ids=[theirs.subnet_id])
    assert caught.value.code == "InvalidSubnetID.NotFound"


def test_filters_in_old_and_new_spelling(services: Services, principal: Principal) -> None:
    (vpc,) = vpcs(services, principal, filters=wanted("isDefault", "true"))
    assert vpcs(services, principal, filters=wanted("is-default", "true")) == [vpc]
    assert not vpcs(services, principal, filters=wanted("is-default", "false"))
    for name in ("default-for-az", "defaultForAz"):
        assert len(subnets(services, principal, filters=wanted(name, "true"))) == 1
    assert len(subnets(services, principal, filters=wanted("vpc-id", vpc.vpc_id))) == 1
    assert (
        len(groups(services, principal, filters=[*wanted("group-name", "default"), *wanted("vpc-id", vpc.vpc_id)])) == 1
    )


@pytest.mark.parametrize(
    ("call", "code", "parameters"),
    [
        (vpcs, "InvalidVpcID.Malformed", {"vpc_ids": ["vpc-x"]}),
        (vpcs, "InvalidVpcID.NotFound", {"vpc_ids": ["vpc-" + "0" * 17]}),
        (subnets, "InvalidSubnetID.Malformed", {"subnet_ids": ["x"]}),
        (subnets, "InvalidSubnetID.NotFound", {"subnet_ids": ["subnet-" + "0" * 17]}),
        (groups, "InvalidGroupId.Malformed", {"group_ids": ["x"]}),
        (groups, "InvalidGroup.NotFound", {"group_ids": ["sg-" + "0" * 17]}),
        (groups, "InvalidGroup.NotFound", {"group_names": ["web"]}),
        (vpcs, "InvalidParameterValue", {"filters": wanted("colour", "x")}),
        (subnets, "InvalidParameterValue", {"filters": wanted("colour", "x")}),
        (groups, "InvalidParameterValue", {"filters": wanted("colour", "x")}),
        (vpcs, "DryRunOperation", {"dry_run": True}),
        (subnets, "DryRunOperation", {"dry_run": True}),
        (groups, "DryRunOperation", {"dry_run": True}),
    ],
)
def test_bad_questions_are_refused(
    services: Services, principal: Principal, call: Any, code: str, parameters: dict[str, Any]
) -> None:
    with pytest.raises(Refusal) as caught:
        call(services, principal, **parameters)
    assert caught.value.code == code
