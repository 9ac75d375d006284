"""DescribeInstances and DescribeInstanceStatus: whose, which, how many at a time, and what the checks say."""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from amiable.api.ec2 import instances as api
from amiable.api.ec2.instance_status import describe_instance_status
from amiable.api.ec2.tags import create_tags
from amiable.database import boots, instances
from amiable.model.boot import Boot, Mark, Stage
from amiable.model.errors import Refusal
from amiable.model.instance import Reason
from amiable.model.principal import Principal
from amiable.rules.lifecycle import Event, user_initiated
from amiable.services import Services
from amiable.vm.launcher import boot_id, start_ticks
from amiable.vm.process import QEMU_RECORD
from amiable.wire.generated import ec2
from tests.api.ec2.launching import make_image, make_instance_store_image, run, run_one
from tests.support.services import make_account, open_services

Clock = list[datetime]


def move(services: Services, instance_id: str, *events: Event) -> None:
    """Lets the events happen."""
    with services.database.write() as c:
        for event in events:
            instances.set_state(c, instance_id, event, now=services.now())


def described(services: Services, principal: Principal, **parameters: Any) -> list[ec2.Instance]:
    """All instances of one answer, across reservations."""
    answer = api.describe_instances(services, principal, ec2.DescribeInstancesRequest(**parameters))
    return [instance for each in answer.reservations or [] for instance in each.instances or []]


def filtered(services: Services, principal: Principal, name: str, *values: str) -> set[str | None]:
    """Ids that pass one filter."""
    asked = [ec2.Filter(name=name, values=list(values))]
    return {each.instance_id for each in described(services, principal, filters=asked)}


def statuses(services: Services, principal: Principal, **parameters: Any) -> dict[str | None, tuple[Any, Any]]:
    """Id → (system, instance)."""
    answer = describe_instance_status(services, principal, ec2.DescribeInstanceStatusRequest(**parameters))
    return {
        each.instance_id: (
            each.system_status and each.system_status.status,
            each.instance_status and each.instance_status.status,
        )
        for each in answer.instance_statuses or []
    }


@pytest.fixture
def moving(tmp_path: Path) -> Iterator[tuple[Services, Clock]]:
    """Services whose clock stands until it is moved."""
    clock = [datetime(2026, 1, 1, tzinfo=UTC)]
    with open_services(tmp_path / "data", clock=lambda: clock[0]) as services:
        yield services, clock


def test_an_account_sees_its_own_instances_only(
    services: Services, principal: Principal, other_principal: Principal
) -> None:
    instance_id = run_one(services, principal, make_image(services, principal))
    assert [each.instance_id for each in described(services, principal)] == [instance_id]
    assert described(services, other_principal) == []
    with pytest.raises(Refusal) as caught:
        described(services, other_principal, instance_ids=[instance_id])
    assert caught.value.code == "InvalidInstanceID.NotFound"


def test_another_region_does_not_have_the_instance(services: Services, principal: Principal) -> None:
    instance_id = run_one(services, principal, make_image(services, principal))
    elsewhere = Principal(principal.account_id, principal.access_key_id, "eu-west-1")
    with pytest.raises(Refusal, match=instance_id):
        described(services, elsewhere, instance_ids=[instance_id])


@pytest.mark.parametrize("bad", ["", "i-", "i-xyz", "i-" + "0" * 16, "ami-" + "0" * 17, "i-" + "A" * 17])
def test_an_id_of_the_wrong_form_is_malformed(services: Services, principal: Principal, bad: str) -> None:
    with pytest.raises(Refusal) as caught:
        described(services, principal, instance_ids=[bad])
    assert caught.value.code == "InvalidInstanceID.Malformed"


def test_all_ids_that_are_not_there_are_named(services: Services, principal: Principal) -> None:
    there = run_one(services, principal, make_image(services, principal))
    absent = ["i-" + digit * 17 for digit in "12"]
    with pytest.raises(Refusal) as caught:
        described(services, principal, instance_ids=[absent[0], there, absent[1]])
    assert caught.value.message == f"The instance IDs '{absent[0]}, {absent[1]}' do not exist"


def test_a_terminated_instance_is_listed_for_an_hour_without_place_or_devices(moving: tuple[Services, Clock]) -> None:
    services, clock = moving
    principal = make_account(services)[1]
    instance_id = run_one(services, principal, make_image(services, principal))
    move(services, instance_id, Event.TERMINATE_ASKED, Event.TERMINATED)
    clock[0] += timedelta(minutes=59)
    (found,) = described(services, principal)
    assert found.state == ec2.InstanceState(code=48, name="terminated")
    assert (found.private_ip_address, found.vpc_id, found.block_device_mappings) == (None, None, [])
    clock[0] += timedelta(minutes=1)
    assert described(services, principal) == []


def test_filters_pick_by_what_instances_are(services: Services, principal: Principal) -> None:
    image = make_image(services, principal)
    first = run(services, principal, image)[0]
    stored = run(services, principal, make_instance_store_image(services, principal), instance_type="m1.small")[0]
    move(services, str(first.instance_id), Event.BOOTED)
    one, two = {first.instance_id}, {stored.instance_id}
    assert filtered(services, principal, "instance-state-name", "running") == one
    assert filtered(services, principal, "instance-state-code", "0") == two
    assert filtered(services, principal, "image-id", image.id) == one
    assert filtered(services, principal, "instance-type", "m1.*") == two
    assert filtered(services, principal, "root-device-type", "instance-store") == two
    assert filtered(services, principal, "private-ip-address", str(stored.private_ip_address)) == two
    assert filtered(services, principal, "kernel-id", str(stored.kernel_id)) == two
    assert filtered(services, principal, "vpc-id", str(first.vpc_id)) == one | two
    assert filtered(services, principal, "owner-id", principal.account_id) == one | two
    assert filtered(services, principal, "block-device-mapping.device-name", "/dev/sda1") == one
    assert filtered(services, principal, "availability-zone", "us-east-1?") == one | two
    assert filtered(services, principal, "instance.group-name", "default") == one | two
    assert filtered(services, principal, "key-name", "*") == set()


def test_filters_on_tags_see_tags_that_were_put_later(services: Services, principal: Principal) -> None:
    instance_id = run_one(services, principal, make_image(services, principal))
    run_one(services, principal, make_image(services, principal))
    create_tags(
        services, principal, ec2.CreateTagsRequest(resources=[instance_id], tags=[ec2.Tag(key="Name", value="web")])
    )
    assert filtered(services, principal, "tag:Name", "w*") == {instance_id}
    assert filtered(services, principal, "tag-key", "Name") == {instance_id}


def test_what_is_not_a_filter_is_refused_by_name(services: Services, principal: Principal) -> None:
    with pytest.raises(Refusal) as caught:
        filtered(services, principal, "instance-colour", "spot")
    assert (caught.value.code, "instance-colour" in caught.value.message) == ("InvalidParameterValue", True)


def test_pages_hold_every_instance_once(services: Services, principal: Principal) -> None:
    image = make_image(services, principal)
    made = {each.instance_id for _ in range(3) for each in run(services, principal, image, min_count=4, max_count=4)}
    seen: list[str | None] = []
    token = None
    while True:
        request = ec2.DescribeInstancesRequest(max_results=5, next_token=token)
        answer = api.describe_instances(services, principal, request)
        page = [each.instance_id for group in answer.reservations or [] for each in group.instances or []]
        assert len(page) <= 5
        seen += page
        token = answer.next_token
        if token is None:
            break
    assert len(seen) == 12 and set(seen) == made


def test_a_page_size_does_not_go_with_ids_and_is_at_least_five(services: Services, principal: Principal) -> None:
    instance_id = run_one(services, principal, make_image(services, principal))
    for code, parameters in (
        ("InvalidParameterCombination", {"instance_ids": [instance_id], "max_results": 5}),
        ("InvalidParameterValue", {"max_results": 4}),
        ("InvalidNextToken", {"next_token": "abc"}),
        ("DryRunOperation", {"dry_run": True}),
    ):
        with pytest.raises(Refusal) as caught:
            described(services, principal, **parameters)
        assert caught.value.code == code


# ── status ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def live_process(services: Services, instance_id: str) -> Path:
    """A record, as a launcher writes it, that names this very process."""
    folder = services.data / "instances" / instance_id
    folder.mkdir(mode=0o700)
    pid = os.getpid()
    record = {"pid": pid, "start_ticks": start_ticks(pid), "boot_id": boot_id()}
    path = folder / QEMU_RECORD
    path.write_text(json.dumps(record))
    return path


def test_the_checks_follow_the_process_and_the_guest(moving: tuple[Services, Clock]) -> None:
    services, clock = moving
    principal = make_account(services)[1]
    instance_id = run_one(services, principal, make_image(services, principal))
    assert statuses(services, principal) == {}
    assert statuses(services, principal, include_all_instances=True) == {
        instance_id: ("not-applicable", "not-applicable")
    }
    record = live_process(services, instance_id)
    move(services, instance_id, Event.BOOTED)
    assert statuses(services, principal) == {instance_id: ("ok", "initializing")}
    clock[0] += timedelta(minutes=16)
    assert statuses(services, principal) == {instance_id: ("ok", "impaired")}
    with services.database.write() as c:
        instances.set_reached_metadata(c, instance_id, services.now())
    assert statuses(services, principal) == {instance_id: ("ok", "ok")}
    record.unlink()
    assert statuses(services, principal) == {instance_id: ("impaired", "impaired")}


def test_a_guest_without_metadata_is_known_by_its_course_alone(moving: tuple[Services, Clock]) -> None:
    services, clock = moving
    principal = make_account(services)[1]
    options = ec2.InstanceMetadataOptionsRequest(http_endpoint="disabled")
    instance_id = run_one(services, principal, make_image(services, principal), metadata_options=options)
    live_process(services, instance_id)
    move(services, instance_id, Event.BOOTED)
    assert statuses(services, principal) == {instance_id: ("ok", "initializing")}
    clock[0] += timedelta(minutes=16)
    assert statuses(services, principal) == {instance_id: ("ok", "insufficient-data")}
    with services.database.write() as c:
        boots.begin_boot(c, instance_id, Boot(0, 1, False, services.now(), (Mark(Stage.SSH, 3.5),)))
    assert statuses(services, principal) == {instance_id: ("ok", "ok")}


def test_an_exporter_that_is_gone_leaves_its_guests_impaired(services: Services, principal: Principal) -> None:
    instance_id = run_one(services, principal, make_image(services, principal))
    record = live_process(services, instance_id)
    move(services, instance_id, Event.BOOTED)
    (record.parent / "vol-1.nbd").write_bytes(b"")
    assert statuses(services, principal) == {instance_id: ("impaired", "impaired")}


def test_statuses_can_be_filtered(services: Services, principal: Principal) -> None:
    instance_id = run_one(services, principal, make_image(services, principal))
    live_process(services, instance_id)
    move(services, instance_id, Event.BOOTED)

    def wanted(name: str, value: str) -> list[ec2.Filter]:
        return [ec2.Filter(name=name, values=[value])]

    assert instance_id in statuses(services, principal, filters=wanted("instance-status.status", "initializing"))
    assert instance_id in statuses(services, principal, filters=wanted("system-status.reachability", "passed"))
    assert not statuses(services, principal, filters=wanted("instance-status.status", "ok"))
    with pytest.raises(Refusal):
        statuses(services, principal, filters=wanted("event.colour", "x"))


def test_every_transition_says_when(moving: tuple[Services, Clock]) -> None:
    services, clock = moving
    principal = make_account(services)[1]
    asked, crashed = (run_one(services, principal, make_image(services, principal)) for _ in range(2))
    move(services, asked, Event.BOOTED)
    move(services, crashed, Event.BOOTED)
    clock[0] += timedelta(minutes=1)
    with services.database.write() as c:
        for instance_id, event, reason in (
            (asked, Event.STOP_ASKED, user_initiated(Event.STOP_ASKED, services.now())),
            (crashed, Event.PROCESS_DIED, Reason("Server.InternalError", "QEMU ended", "Server.InternalError")),
        ):
            instances.set_state(c, instance_id, event, now=services.now(), reason=reason)
    answer = api.describe_instances(services, principal, ec2.DescribeInstancesRequest())
    told = {
        each.instance_id: each.state_transition_reason
        for group in answer.reservations or []
        for each in group.instances or []
    }
    assert told == {
        asked: f"User initiated ({clock[0]:%Y-%m-%d %H:%M:%S} GMT)",
        crashed: f"Server.InternalError ({clock[0]:%Y-%m-%d %H:%M:%S} GMT)",
    }
