"""Images, kernels and key pairs as rows, so that launches can be asked of them without a single block."""

import os
from typing import Any

from amiable.api.ec2 import launch
from amiable.database import images, instances, snapshots
from amiable.model import ids
from amiable.model.image import Image, ImageDevice, ImageState, ImageType, RootDeviceType
from amiable.model.instance import State
from amiable.model.principal import Principal
from amiable.model.snapshot import COMPLETED, Snapshot
from amiable.rules.lifecycle import Event
from amiable.services import Services
from amiable.wire.generated import ec2

TINY = "amiable.tiny"


def make_snapshot(services: Services, owner: Principal, *, size_gib: int = 2, **facts: Any) -> str:
    """A completed snapshot without blocks."""
    now = services.now()
    values = {
        "state": COMPLETED,
        "progress_percent": 100,
        "started_at": now,
        "touched_at": now,
        "completed_at": now,
        **facts,
    }
    snapshot = Snapshot(
        id=services.mint(ids.SNAPSHOT), account_id=owner.account_id, region=owner.region, size_gib=size_gib, **values
    )
    with services.database.write() as c:
        snapshots.insert_snapshot(c, snapshot)
    return snapshot.id


def make_image(services: Services, owner: Principal, **facts: Any) -> Image:
    """An available EBS-backed HVM image of 2 GiB, but for what ``facts`` change."""
    values: dict[str, Any] = {
        "id": services.mint(ids.AMI),
        "account_id": owner.account_id,
        "region": owner.region,
        "name": f"image {os.urandom(6).hex()}",
        "description": None,
        "state": ImageState.AVAILABLE,
        "state_reason": None,
        "image_type": ImageType.MACHINE,
        "architecture": "x86_64",
        "virtualization_type": "hvm",
        "root_device_type": RootDeviceType.EBS,
        "root_device_name": "/dev/sda1",
        "kernel_id": None,
        "ramdisk_id": None,
        "platform": None,
        "location": "",
        "boot_mode": None,
        "tpm_support": None,
        "imds_support": None,
        "sriov_net_support": None,
        "ena_support": False,
        "created_at": services.now(),
        **facts,
    }
    is_ebs = values["root_device_type"] is RootDeviceType.EBS and values["image_type"] is ImageType.MACHINE
    if is_ebs and "devices" not in facts:
        values["devices"] = (ImageDevice("/dev/sda1", snapshot_id=make_snapshot(services, owner), size_gib=2),)
    image = Image(**values)
    with services.database.write() as c:
        images.insert_image(c, image)
        images.change_grants(c, image.id, add=image.grantees, remove=())
    return image


def make_instance_store_image(services: Services, owner: Principal, **facts: Any) -> Image:
    """A paravirtual image of a bundle, converted, with a public kernel."""
    kernel = make_kernel(services, owner)
    root = make_snapshot(services, owner, size_gib=1, is_internal=True)
    return make_image(
        services,
        owner,
        **{
            "virtualization_type": "paravirtual",
            "root_device_type": RootDeviceType.INSTANCE_STORE,
            "root_snapshot_id": root,
            "size_bytes": 300 << 20,
            "kernel_id": kernel.id,
            **facts,
        },
    )


def make_kernel(services: Services, owner: Principal, prefix: str = ids.AKI, /, **facts: Any) -> Image:
    """A public, approved kernel or ramdisk."""
    kind = ImageType.KERNEL if prefix == ids.AKI else ImageType.RAMDISK
    values = {"root_device_name": None, "grantees": frozenset({"all"}), "approved_at": services.now(), **facts}
    return make_image(services, owner, id=services.mint(prefix), image_type=kind, **values)


def run(services: Services, principal: Principal, image: Image, **parameters: Any) -> list[ec2.Instance]:
    """The instances that RunInstances answers with; one tiny one unless ``parameters`` say otherwise."""
    values = {"image_id": image.id, "instance_type": TINY, "min_count": 1, "max_count": 1, **parameters}
    found = launch.run_instances(services, principal, ec2.RunInstancesRequest(**values)).instances
    assert found is not None
    return found


def run_one(services: Services, principal: Principal, image: Image, **parameters: Any) -> str:
    """The id of one launched instance."""
    (made,) = run(services, principal, image, **parameters)
    assert made.instance_id is not None
    return made.instance_id


def end_instances(services: Services, *instance_ids: str) -> None:
    """Terminates these instances as rows; without ids, all that there are: their names and addresses are free for the next test."""
    with services.database.write() as c:
        living = instances.list_states(c, [state for state in State if state is not State.TERMINATED])
        for instance_id in instance_ids or [each.id for each in living]:
            for event in (Event.TERMINATE_ASKED, Event.TERMINATED):
                instances.set_state(c, instance_id, event, now=services.now())
