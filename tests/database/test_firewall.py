"""What a host enforces: its own interfaces, all rules of their groups, and members of the groups those name, wherever they run."""

from dataclasses import replace

from amiable.database import firewall, instances, interfaces, network, security_groups
from amiable.model.instance import Instance, Reservation, State
from amiable.model.network import NetworkInterface, SecurityGroup, SecurityGroupRule
from amiable.model.principal import Principal
from amiable.rules.lifecycle import Event
from amiable.services import Services
from tests.rules.instances import AN_INSTANCE


def launch(services: Services, principal: Principal, host: str, group_ids: tuple[str, ...] = ()) -> Instance:
    """A pending instance on ``host`` with its interface."""
    now = services.now()
    with services.database.write() as c:
        (subnet,) = network.list_subnets(c, principal.account_id, principal.region)
        (default,) = network.list_security_groups(c, principal.account_id, principal.region)[:1]
        made = replace(
            AN_INSTANCE,
            id=services.mint("i"),
            account_id=principal.account_id,
            region=principal.region,
            reservation_id=services.mint("r"),
            state=State.PENDING,
            vpc_id=subnet.vpc_id,
            subnet_id=subnet.id,
            security_group_ids=group_ids or (default.id,),
            private_ip=network.free_addresses(c, subnet, 1)[0],
            interface_id=services.mint("eni"),
            host=host,
            terminated_at=None,
        )
        instances.insert_reservation(c, Reservation(made.reservation_id, made.account_id, made.region, now))
        instances.insert_instance(c, made)
        interfaces.insert_interface(c, interfaces.primary_of(made))
    return made


def test_a_host_gets_its_interfaces_their_rules_and_the_members_of_the_groups_they_name(
    services: Services, principal: Principal
) -> None:
    here, there = launch(services, principal, "here"), launch(services, principal, "there")
    with services.database.read() as c:
        found = firewall.interfaces_and_rules(c, "here")
    assert found.interfaces == (interfaces.primary_of(here),)
    (group_id,) = here.security_group_ids
    assert set(found.rules) == {group_id}
    told = {(rule.is_egress, rule.protocol, rule.cidr_ipv4, rule.referenced_group_id) for rule in found.rules[group_id]}
    assert told == {(False, "-1", None, group_id), (True, "-1", "0.0.0.0/0", None)}
    assert found.members == {group_id: (here.private_ip, there.private_ip)}


def test_an_interface_goes_with_its_instance_or_stays_free_as_it_was_asked(
    services: Services, principal: Principal
) -> None:
    gone, kept = launch(services, principal, "here"), launch(services, principal, "here")
    with services.database.write() as c:
        interfaces.set_facts(c, kept.interface_id, delete_on_termination=False)
        for instance in (gone, kept):
            instances.set_state(c, instance.id, Event.LAUNCH_FAILED, now=services.now())
        mine = {each.id: each for each in interfaces.list_interfaces(c, principal.account_id, principal.region)}
        assert gone.interface_id not in mine
        left = mine.get(kept.interface_id)
        assert firewall.interfaces_and_rules(c, "here").interfaces == ()
        (subnet,) = network.list_subnets(c, principal.account_id, principal.region)
        assert network.is_address_free(c, subnet, gone.private_ip)
        assert not network.is_address_free(c, subnet, kept.private_ip)
    assert isinstance(left, NetworkInterface) and (left.status, left.attachment) == ("available", None)


def test_other_groups_of_an_interface_are_told_in_order_and_to_the_instance(
    services: Services, principal: Principal
) -> None:
    instance = launch(services, principal, "here")
    mine = (principal.account_id, principal.region)
    with services.database.write() as c:
        made = [SecurityGroup(services.mint("sg"), *mine, instance.vpc_id, name, name) for name in ("web", "base")]
        for group in made:
            security_groups.insert_group(c, group, services.mint)
        wanted = [group.id for group in made]
        interface = interfaces.primary_of(instance)
        interfaces.set_groups(c, interface, wanted)
        rule = SecurityGroupRule(services.mint("sgr"), *mine, wanted[0], False, "tcp", 22, 22, cidr_ipv4="10.0.0.0/8")
        security_groups.insert_rules(c, [rule])
        now = instances.get_instance(c, instance.id)
        assert interfaces.list_on_host(c, "here") == [replace(interface, group_ids=tuple(wanted))]
        assert rule in firewall.interfaces_and_rules(c, "here").rules[wanted[0]]
    assert now is not None and now.security_group_ids == tuple(wanted)
