"""Instance, volume and token rows: what is written comes back, and a state moves by its rules only."""

from dataclasses import replace
from datetime import timedelta

import pytest

from amiable.database import client_tokens, instances, network, tags, volumes
from amiable.database.client_tokens import KEPT, Key, Remembered
from amiable.model.errors import IncorrectInstanceState
from amiable.model.instance import TERMINATED_VISIBLE, Instance, MetadataOptions, Reason, Reservation, State
from amiable.model.principal import Principal
from amiable.model.product import ProductCode, ProductCodeType
from amiable.model.volume import Volume, VolumeState
from amiable.rules.lifecycle import Event
from amiable.services import Services


def make(services: Services, principal: Principal) -> Instance:
    """An inserted pending instance with every column filled."""
    now = services.now()
    with services.database.write() as c:
        (subnet,) = network.list_subnets(c, principal.account_id, principal.region)
        instance = Instance(
            id=services.mint("i"),
            account_id=principal.account_id,
            region=principal.region,
            zone=subnet.zone,
            reservation_id=services.mint("r"),
            launch_index=3,
            client_token="token",
            image_id="ami-" + "1" * 17,
            state=State.PENDING,
            state_reason_code=None,
            state_reason_message=None,
            transition_reason="",
            instance_type="amiable.tiny",
            architecture="x86_64",
            virtualization_type="paravirtual",
            root_device_type="instance-store",
            root_device_name="/dev/sda1",
            boot_mode="legacy-bios",
            hardware_profile="direct",
            hardware_profile_why="why",
            kernel_id="aki-" + "1" * 17,
            ramdisk_id="ari-" + "1" * 17,
            key_name="mine",
            public_key="ssh-ed25519 AAAA",
            user_data=b"\0\xff",
            vpc_id=subnet.vpc_id,
            subnet_id=subnet.id,
            security_group_ids=("sg-1", "sg-2"),
            private_ip=network.free_addresses(c, subnet, 1)[0],
            mac="02:00:00:00:00:01",
            interface_id="eni-" + "1" * 17,
            metadata=MetadataOptions("required", "enabled", 7, "enabled"),
            shutdown_behavior="terminate",
            product_codes=(ProductCode("A1"), ProductCode("B2", ProductCodeType.MARKETPLACE)),
            host=services.host,
            boot_count=0,
            launched_at=now,
            reached_metadata_at=None,
            terminated_at=None,
        )
        instances.insert_reservation(c, Reservation(instance.reservation_id, instance.account_id, instance.region, now))
        instances.insert_instance(c, instance)
    return instance


def test_an_instance_comes_back_as_it_was_written(services: Services, principal: Principal) -> None:
    instance = make(services, principal)
    with services.database.read() as c:
        assert instances.get_instance(c, instance.id) == instance
        assert instances.get_instance(c, "i-" + "0" * 17) is None
        reservation = instances.get_reservation(c, instance.reservation_id)
    assert reservation is not None and reservation.account_id == principal.account_id


def test_booting_counts_and_a_restart_forgets_what_the_guest_did(services: Services, principal: Principal) -> None:
    instance = make(services, principal)
    later = services.now() + timedelta(minutes=1)
    with services.database.write() as c:
        running = instances.set_state(c, instance.id, Event.BOOTED, now=later)
        instances.set_reached_metadata(c, instance.id, later)
        instances.set_reached_metadata(c, instance.id, later + timedelta(minutes=1))
        reason = Reason("Client.X", "Client.X: why", "User initiated")
        stopping = instances.set_state(c, instance.id, Event.STOP_ASKED, now=later, reason=reason)
        instances.set_state(c, instance.id, Event.STOPPED, now=later)
        starting = instances.set_state(c, instance.id, Event.START_ASKED, now=later + timedelta(hours=1))
    assert (running.state, running.boot_count) == (State.RUNNING, 1)
    assert stopping.reached_metadata_at == later
    assert (stopping.state_reason_code, stopping.transition_reason) == ("Client.X", "User initiated")
    assert (starting.state, starting.boot_count, starting.reached_metadata_at) == (State.PENDING, 1, None)
    assert (starting.state_reason_code, starting.launched_at) == (None, later + timedelta(hours=1))


def test_a_reboot_forgets_what_was_heard_and_a_start_forgets_the_reboot(
    services: Services, principal: Principal
) -> None:
    instance = make(services, principal)
    later = services.now() + timedelta(minutes=1)
    with services.database.write() as c:
        instances.set_rebooted(c, instance.id, later)  # it does not run
        assert instances.get_instance(c, instance.id) == instance
        instances.set_state(c, instance.id, Event.BOOTED, now=later)
        instances.set_reached_metadata(c, instance.id, later)
        instances.set_reason(c, instance.id, Reason("Client.X", "Client.X: why"))
        instances.set_rebooted(c, instance.id, later)
        rebooted = instances.get_instance(c, instance.id)
        instances.set_state(c, instance.id, Event.STOP_ASKED, now=later)
        instances.set_state(c, instance.id, Event.STOPPED, now=later)
        started = instances.set_state(c, instance.id, Event.START_ASKED, now=later + timedelta(hours=1))
    assert rebooted is not None and rebooted.state is State.RUNNING
    assert (rebooted.reached_metadata_at, rebooted.state_reason_code) == (None, None)
    assert (rebooted.launched_at, rebooted.began_at) == (instance.launched_at, later)
    assert started.began_at == started.launched_at == later + timedelta(hours=1)


def test_a_state_that_does_not_follow_is_refused_and_nothing_is_written(
    services: Services, principal: Principal
) -> None:
    instance = make(services, principal)
    with pytest.raises(IncorrectInstanceState), services.database.write() as c:
        instances.set_state(c, instance.id, Event.STOPPED, now=services.now())
    with services.database.read() as c:
        assert instances.get_instance(c, instance.id) == instance


def test_an_event_that_changes_nothing_keeps_the_first_reason(services: Services, principal: Principal) -> None:
    instance = make(services, principal)
    with services.database.write() as c:
        first = instances.set_state(c, instance.id, Event.TERMINATE_ASKED, now=services.now(), reason=Reason("A", "a"))
        again = instances.set_state(c, instance.id, Event.TERMINATE_ASKED, now=services.now(), reason=Reason("B", "b"))
    assert first == again


def test_only_what_holds_a_machine_counts_against_the_host(services: Services, principal: Principal) -> None:
    instance = make(services, principal)
    with services.database.write() as c:
        assert instances.list_live_types(c, services.host) == ["amiable.tiny"]
        assert instances.list_live_types(c, "another-host") == []
        instances.set_state(c, instance.id, Event.BOOTED, now=services.now())
        instances.set_state(c, instance.id, Event.STOP_ASKED, now=services.now())
        assert [each.id for each in instances.list_states(c, [State.STOPPING], host=services.host)] == [instance.id]
        assert instances.list_live_types(c, services.host) == ["amiable.tiny"]
        instances.set_state(c, instance.id, Event.STOPPED, now=services.now())
        assert instances.list_live_types(c, services.host) == []


def test_a_terminated_instance_gives_its_address_back(services: Services, principal: Principal) -> None:
    instance = make(services, principal)
    with services.database.write() as c:
        subnet = network.get_subnet(c, instance.subnet_id)
        assert subnet is not None
        assert not network.is_address_free(c, subnet, instance.private_ip)
        before = network.count_free_addresses(c, [subnet])[subnet.id]
        instances.set_state(c, instance.id, Event.LAUNCH_FAILED, now=services.now())
        assert network.is_address_free(c, subnet, instance.private_ip)
        assert network.count_free_addresses(c, [subnet]) == {subnet.id: before + 1}


def test_the_five_addresses_that_ec2_keeps_are_never_given(services: Services, principal: Principal) -> None:
    with services.database.read() as c:
        (subnet,) = network.list_subnets(c, principal.account_id, principal.region)
        every = network.free_addresses(c, subnet, 10_000)
    assert len(every) == 4096 - 5
    assert (every[0], every[-1]) == ("172.31.0.4", "172.31.15.254")
    assert network.is_usable_address(subnet, every[0]) and network.is_usable_address(subnet, every[-1])
    for kept in ("172.31.0.0", "172.31.0.3", "172.31.15.255", "172.31.16.4"):
        assert not network.is_usable_address(subnet, kept)


def test_the_default_network_is_made_once_and_grows_with_the_zones(services: Services, principal: Principal) -> None:
    def ensure(*zones: str) -> list[str]:
        with services.database.write() as c:
            network.ensure_default_network(
                c, principal.account_id, principal.region, zones=zones, mint=services.mint, now=services.now()
            )
            assert len(network.list_vpcs(c, principal.account_id, principal.region)) == 1
            assert len(network.list_security_groups(c, principal.account_id, principal.region)) == 1
            return sorted(f"{s.zone} {s.cidr}" for s in network.list_subnets(c, principal.account_id, principal.region))

    assert ensure("us-east-1a") == ["us-east-1a 172.31.0.0/20"]
    assert ensure("us-east-1a", "us-east-1b") == ["us-east-1a 172.31.0.0/20", "us-east-1b 172.31.16.0/20"]


def test_volumes_are_found_by_their_instance_detached_and_deleted_with_their_tags(
    services: Services, principal: Principal
) -> None:
    instance = make(services, principal)
    now = services.now()
    volume = Volume(
        id=services.mint("vol"),
        account_id=principal.account_id,
        region=principal.region,
        zone=instance.zone,
        state=VolumeState.IN_USE,
        snapshot_id=None,
        size_gib=2,
        size_bytes=2 << 30,
        volume_type="gp3",
        is_instance_store=False,
        instance_id=instance.id,
        device_name="/dev/sda1",
        delete_on_termination=True,
        created_at=now,
        attached_at=now,
        iops=3000,
        throughput=None,
    )
    with services.database.write() as c:
        volumes.insert_volume(c, volume)
        assert volumes.volumes_of(c, instance.id) == [volume]
        assert volumes.volumes_of_many(c, [instance.id, "i-none"]) == {instance.id: [volume], "i-none": []}
        volumes.detach_volume(c, volume.id)
        free = replace(volume, state=VolumeState.AVAILABLE, instance_id=None, device_name=None)
        free = replace(free, attached_at=None, delete_on_termination=False)
        assert volumes.get_volume(c, volume.id) == free
        tags.put(c, tags.TaggedResource(principal.account_id, principal.region, volume.id, "volume"), {"a": "b"})
        volumes.delete_volume(c, volume.id)
        assert volumes.get_volume(c, volume.id) is None
        assert tags.tags_of(c, principal.account_id, [volume.id]) == {}


def test_a_token_is_kept_for_a_day_and_then_forgotten(services: Services, principal: Principal) -> None:
    now, made = services.now(), Remembered(b"\1" * 32, ("i-1", "i-2"))
    key = Key(principal.account_id, principal.region, "RunInstances", "token")
    with services.database.write() as c:
        client_tokens.insert_token(c, key, made, now=now)
        assert client_tokens.find_token(c, key, now=now + KEPT - timedelta(milliseconds=1)) == made
        assert client_tokens.find_token(c, key, now=now + KEPT) is None
        assert client_tokens.find_token(c, replace(key, action="CopyImage"), now=now) is None
        client_tokens.insert_token(c, key, made, now=now + KEPT)


def test_what_no_call_shows_any_more_is_forgotten_with_its_tags(services: Services, principal: Principal) -> None:
    ended, alive = make(services, principal), make(services, principal)
    now = services.now()
    with services.database.write() as c:
        tags.put(c, tags.TaggedResource(principal.account_id, principal.region, ended.id, "instance"), {"a": "b"})
        instances.set_state(c, ended.id, Event.LAUNCH_FAILED, now=now)
        almost = now + TERMINATED_VISIBLE - timedelta(milliseconds=1)
        assert instances.forget_terminated(c, now=almost) == []
        assert instances.forget_terminated(c, now=now + TERMINATED_VISIBLE) == [ended.id]
        assert instances.get_instance(c, ended.id) is None
        assert instances.get_reservation(c, ended.reservation_id) is None
        assert tags.tags_of(c, principal.account_id, [ended.id]) == {}
        assert instances.get_instance(c, alive.id) == alive
        assert instances.get_reservation(c, alive.reservation_id) is not None
