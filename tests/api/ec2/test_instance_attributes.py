"""What can be read of an instance one by one, and the kernel that a stopped one may be given."""

import base64
from typing import Any

import pytest
from sqlalchemy import update

from amiable.api import kernels
from amiable.api.ec2.instance_attributes import describe_instance_attribute, modify_instance_attribute
from amiable.database import instances, schema, volumes
from amiable.database.tags import TaggedResource, put
from amiable.model import ids
from amiable.model.errors import DryRunOperation, NotFound, Refusal
from amiable.model.image import Image
from amiable.model.instance import Instance
from amiable.model.kernel import KernelKind
from amiable.model.principal import Principal
from amiable.rules.lifecycle import Event
from amiable.services import Services
from amiable.wire.generated import ec2
from tests.api.ec2.launching import make_image, make_kernel, run_one


@pytest.fixture
def kernel(services: Services, administrator: Principal) -> Image:
    return make_kernel(services, administrator, kernel_kind=KernelKind.XEN_PV64, boots_directly=True)


@pytest.fixture
def xenu(services: Services, administrator: Principal) -> Image:
    """A kernel that starts under Xen only."""
    facts = {"kernel_kind": KernelKind.XEN_PV64, "boots_directly": False, "kernel_kind_why": "as its notes say"}
    return make_kernel(services, administrator, **facts)


@pytest.fixture
def ramdisk(services: Services, administrator: Principal) -> Image:
    return make_kernel(services, administrator, ids.ARI)


@pytest.fixture
def stopped(services: Services, principal: Principal, kernel: Image, ramdisk: Image) -> str:
    """A stopped paravirtual instance."""
    facts = {"virtualization_type": "paravirtual", "kernel_id": kernel.id, "ramdisk_id": ramdisk.id}
    user_data = base64.b64encode(b"#!/bin/sh\n").decode()
    instance_id = run_one(services, principal, make_image(services, principal, **facts), user_data=user_data)
    with services.database.write() as c:
        for event in (Event.BOOTED, Event.STOP_ASKED, Event.STOPPED):
            instances.set_state(c, instance_id, event, now=services.now())
        c.execute(update(schema.job).values(state="done"))
    return instance_id


def instance_of(services: Services, instance_id: str) -> Instance:
    with services.database.read() as c:
        found = instances.get_instance(c, instance_id)
    assert found is not None
    return found


def change(services: Services, principal: Principal, instance_id: str, **members: Any) -> None:
    for name in {"kernel", "ramdisk"} & set(members):
        members[name] = ec2.AttributeValue(value=members[name])
    request = ec2.ModifyInstanceAttributeRequest(instance_id=instance_id, **members)
    modify_instance_attribute(services, principal, request)


def refusal(services: Services, principal: Principal, instance_id: str, **members: Any) -> Refusal:
    """The refusal of a change, which changed nothing."""
    before = instance_of(services, instance_id)
    with pytest.raises(Refusal) as caught:
        change(services, principal, instance_id, **members)
    assert instance_of(services, instance_id) == before
    return caught.value


def test_attributes_are_read_one_by_one(
    services: Services, principal: Principal, other_principal: Principal, stopped: str, kernel: Image, ramdisk: Image
) -> None:
    def read(attribute: str, reader: Principal = principal) -> ec2.InstanceAttribute:
        request = ec2.DescribeInstanceAttributeRequest(instance_id=stopped, attribute=attribute)
        return describe_instance_attribute(services, reader, request)

    def value(found: ec2.AttributeValue | None) -> str | None:
        assert found is not None
        return found.value

    assert value(read("kernel").kernel_id) == kernel.id
    assert value(read("ramdisk").ramdisk_id) == ramdisk.id
    assert value(read("instanceType").instance_type) == "amiable.tiny"
    assert value(read("rootDeviceName").root_device_name) == "/dev/sda1"
    assert value(read("instanceInitiatedShutdownBehavior").instance_initiated_shutdown_behavior) == "stop"
    assert base64.b64decode(value(read("userData").user_data) or "") == b"#!/bin/sh\n"
    with pytest.raises(Refusal, match=r"Value \(colour\) for parameter attribute is invalid"):
        read("colour")
    with pytest.raises(NotFound):
        read("kernel", other_principal)


def test_a_stopped_instance_is_given_another_kernel_and_the_profile_that_it_needs(
    services: Services, principal: Principal, stopped: str, kernel: Image, xenu: Image, ramdisk: Image
) -> None:
    assert instance_of(services, stopped).hardware_profile == "direct"
    change(services, principal, stopped, kernel=xenu.id)
    found = instance_of(services, stopped)
    assert (found.kernel_id, found.ramdisk_id, found.hardware_profile) == (xenu.id, ramdisk.id, "xen-pv")
    assert "as its notes say" in found.hardware_profile_why
    change(services, principal, stopped, attribute="kernel", value=kernel.id)
    change(services, principal, stopped, ramdisk="")
    found = instance_of(services, stopped)
    assert (found.kernel_id, found.ramdisk_id, found.hardware_profile) == (kernel.id, None, "direct-nvme")
    change(services, principal, stopped, ramdisk=ramdisk.id)
    assert instance_of(services, stopped).ramdisk_id == ramdisk.id


def test_a_kernel_that_was_disapproved_is_replaced_by_one_that_is_approved(
    services: Services, principal: Principal, administrator: Principal, stopped: str, kernel: Image, xenu: Image
) -> None:
    kernels.set_approved(services, administrator, kernel.id, False)
    assert refusal(services, principal, stopped, kernel=kernel.id).code == "AuthFailure"
    change(services, principal, stopped, kernel=xenu.id)
    assert instance_of(services, stopped).kernel_id == xenu.id


def test_what_a_launch_refuses_a_change_refuses(
    services: Services, principal: Principal, administrator: Principal, stopped: str
) -> None:
    i386 = make_kernel(services, administrator, architecture="i386")
    grub = make_kernel(services, administrator, kernel_kind=KernelKind.PV_GRUB_HD0, boots_directly=False)
    ramdisk = make_kernel(services, administrator, ids.ARI)
    private = make_kernel(services, administrator, grantees=frozenset())
    for members, code in (
        ({"kernel": i386.id}, "InvalidParameterCombination"),
        ({"kernel": grub.id, "ramdisk": ramdisk.id}, "InvalidParameterCombination"),
        ({"kernel": private.id}, "AuthFailure"),
        ({"kernel": "aki-x"}, "InvalidKernelId.Malformed"),
        ({"kernel": "aki-" + "9" * 17}, "InvalidAMIID.NotFound"),
        ({"kernel": ""}, "InvalidParameterValue"),
        ({}, "InvalidParameterCombination"),
        ({"attribute": "kernel"}, "MissingParameter"),
        ({"attribute": "kernel", "value": i386.id, "kernel": i386.id}, "InvalidParameterCombination"),
        ({"attribute": "colour", "value": "red"}, "UnsupportedInstanceAttribute"),
        ({"instance_type": ec2.AttributeValue(value="m1.small"), "kernel": grub.id}, "InvalidParameterCombination"),
    ):
        assert refusal(services, principal, stopped, **members).code == code, members


def test_the_instances_tag_still_chooses_the_profile(
    services: Services, principal: Principal, stopped: str, xenu: Image
) -> None:
    tagged = TaggedResource(principal.account_id, principal.region, stopped, "instance")
    with services.database.write() as c:
        put(c, tagged, {"amiable:hardware-profile": "direct"})
    assert "cannot be started directly" in refusal(services, principal, stopped, kernel=xenu.id).message


def test_a_running_instance_and_an_hvm_one_keep_what_they_have(
    services: Services, principal: Principal, stopped: str, xenu: Image
) -> None:
    with services.database.write() as c:
        instances.set_state(c, stopped, Event.START_ASKED, now=services.now())
    assert refusal(services, principal, stopped, kernel=xenu.id).code == "IncorrectInstanceState"
    hvm = run_one(services, principal, make_image(services, principal))
    with services.database.write() as c:
        for event in (Event.BOOTED, Event.STOP_ASKED, Event.STOPPED):
            instances.set_state(c, hvm, event, now=services.now())
    for members in ({"kernel": xenu.id}, {"ramdisk": ""}):
        assert refusal(services, principal, hvm, **members).code == "InvalidParameterCombination"


def test_a_dry_run_changes_nothing(services: Services, principal: Principal, stopped: str, xenu: Image) -> None:
    assert isinstance(refusal(services, principal, stopped, kernel=xenu.id, dry_run=True), DryRunOperation)


def test_another_type_brings_its_local_disks_and_takes_the_others(services: Services, principal: Principal) -> None:
    instance_id = run_one(services, principal, make_image(services, principal, ena_support=True))
    with services.database.write() as c:
        for event in (Event.BOOTED, Event.STOP_ASKED, Event.STOPPED):
            instances.set_state(c, instance_id, event, now=services.now())

    def local() -> list[tuple[str | None, int]]:
        with services.database.read() as c:
            found = volumes.volumes_of(c, instance_id)
        assert [each.device_name for each in found if not each.is_instance_store] == ["/dev/sda1"]
        return [(each.virtual_name, each.size_gib) for each in found if each.is_instance_store]

    assert local() == []
    dry = {"instance_type": ec2.AttributeValue(value="m5d.4xlarge"), "dry_run": True}
    with pytest.raises(DryRunOperation):
        change(services, principal, instance_id, **dry)
    assert local() == []
    change(services, principal, instance_id, instance_type=ec2.AttributeValue(value="m5d.4xlarge"))
    assert local() == [("ephemeral0", 300), ("ephemeral1", 300)]
    change(services, principal, instance_id, attribute="instanceType", value="m5d.large")
    assert local() == [("ephemeral0", 75)]
    change(services, principal, instance_id, attribute="instanceType", value="t3.micro")
    assert local() == []
