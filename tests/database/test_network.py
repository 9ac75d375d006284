"""An account's default network: whole, made once, and not again by itself after it was deleted."""

from amiable.database import network, routes, security_groups
from amiable.model.network import Subnet
from amiable.model.principal import Principal
from amiable.services import Services


def ensure(services: Services, principal: Principal, *zones: str) -> None:
    with services.database.write() as c:
        network.ensure_default_network(
            c, principal.account_id, principal.region, zones=zones, mint=services.mint, now=services.now()
        )


def test_a_default_vpc_has_all_that_belongs_to_one(services: Services, principal: Principal) -> None:
    owner = (principal.account_id, principal.region)
    with services.database.read() as c:
        (vpc,), (subnet,) = network.list_vpcs(c, *owner), network.list_subnets(c, *owner)
        (group,), (acl,) = network.list_security_groups(c, *owner), routes.list_network_acls(c, *owner)
        (table,), (gateway,) = routes.list_route_tables(c, *owner), routes.list_internet_gateways(c, *owner)
        (options,) = routes.list_dhcp_options(c, *owner)
        rules = security_groups.rules_of(c, [group.id])[group.id]
    assert {subnet.vpc_id, group.vpc_id, acl.vpc_id, table.vpc_id, gateway.vpc_id} == {vpc.id}
    assert vpc.dhcp_options_id == options.id and table.is_main
    assert [(route.destination, route.gateway_id) for route in table.routes] == [("0.0.0.0/0", gateway.id)]
    assert sorted((rule.is_egress, rule.referenced_group_id, rule.cidr_ipv4) for rule in rules) == [
        (False, group.id, None),
        (True, None, "0.0.0.0/0"),
    ]


def test_what_an_account_deleted_does_not_come_back_at_the_next_start(services: Services, principal: Principal) -> None:
    owner = (principal.account_id, principal.region)
    with services.database.write() as c:
        (vpc,), (subnet,) = network.list_vpcs(c, *owner), network.list_subnets(c, *owner)
        network.delete_subnet(c, subnet.id)
    ensure(services, principal, "us-east-1a")
    with services.database.write() as c:
        assert network.list_subnets(c, *owner) == []
        (gateway,) = routes.list_internet_gateways(c, *owner)
        routes.delete_internet_gateway(c, gateway.id)
        network.delete_vpc(c, vpc)
    ensure(services, principal, "us-east-1a", "us-east-1b")
    with services.database.read() as c:
        assert network.list_vpcs(c, *owner) == [] == network.list_security_groups(c, *owner)
        assert routes.list_route_tables(c, *owner) == [] == routes.list_network_acls(c, *owner)


def test_a_new_zones_subnet_takes_the_first_part_that_overlaps_none(services: Services, principal: Principal) -> None:
    with services.database.write() as c:
        (vpc,) = network.list_vpcs(c, principal.account_id, principal.region)
        of_the_account = Subnet(
            services.mint("subnet"),
            *(principal.account_id, principal.region),
            vpc.id,
            "us-east-1a",
            "172.31.20.0/24",
            False,
        )
        network.insert_subnet(c, of_the_account)
    ensure(services, principal, "us-east-1a", "us-east-1b")
    with services.database.read() as c:
        found = network.list_subnets(c, principal.account_id, principal.region)
    assert sorted(subnet.cidr for subnet in found if subnet.is_default) == ["172.31.0.0/20", "172.31.32.0/20"]
