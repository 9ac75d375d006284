"""CreateImage: an instance's volumes of one moment as an image: pending, then available or failed with a StateReason.

    stopped            its disks as they lie
    running            the guest is shut down, the moment taken, the guest started again in its place (job ``create-image``)
    running, NoReboot  the moment is taken under the running guest: as after a power cut

The bytes are read by the job ``take-snapshots``, while the guest goes on.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from sqlalchemy import Connection

from amiable.api.ec2.create_snapshots import check_room, enqueue, insert_snapshots, new_snapshot
from amiable.api.ec2.instance_ids import find_named
from amiable.api.ec2.register_image import insert_image, requested_device
from amiable.api.ec2.tags import birth_tags
from amiable.database import images, jobs, snapshots, volumes, watermarks
from amiable.database.product_codes import codes_of_all
from amiable.model import ids
from amiable.model.errors import IncorrectInstanceState, InvalidParameterValue, UnsupportedOperation
from amiable.model.image import Image, ImageDevice, ImageState, ImageType, RootDeviceType
from amiable.model.instance import Instance, State
from amiable.model.principal import Principal
from amiable.model.product import ProductCode, united
from amiable.model.snapshot import Snapshot
from amiable.model.volume import Volume
from amiable.rules import create_image as rules
from amiable.rules import register
from amiable.rules.attributes import check_description
from amiable.rules.create_image import PlannedEntry
from amiable.rules.hardware import in_guest_order, starts_by_uefi
from amiable.rules.uefi_data import LENGTH_MAX as UEFI_DATA_LENGTH_MAX
from amiable.rules.uefi_data import UnreadableStore
from amiable.services import Services
from amiable.services.quota import check_snapshot_room
from amiable.vm import firmware
from amiable.wire.generated import ec2

JOB: Final = "create-image"


def create_image(services: Services, principal: Principal, request: ec2.CreateImageRequest) -> ec2.CreateImageResult:
    """Begins an image of an instance."""
    register.check_name(request.name)
    check_description(request.description)
    _check_supported(request)
    tags = birth_tags(request.tag_specifications, ("image", "snapshot"))
    with services.database.write() as c:
        (instance,) = find_named(c, principal, [request.instance_id], now=services.now())
        attached = [volume for volume in volumes.volumes_of(c, instance.id) if not volume.is_leaving]
        held = in_guest_order(attached, instance.root_device_name)
        rules.check_instance(instance, held)
        entries = _plan(c, principal, request, instance, held)
        is_rebooted = instance.state is State.RUNNING and not request.no_reboot
        if is_rebooted and jobs.is_live(c, f"{instance.id}:reboot"):
            raise IncorrectInstanceState(
                f"The instance '{instance.id}' is being rebooted, or shut down for another image."
            )
        if instance.state is State.RUNNING and not is_rebooted:
            rules.check_no_reboot(instance, images.count_pending_of(c, instance.id))
        image = _image(services, c, request, instance)
        check_snapshot_room(services, c, principal, sum(entry.volume_id is not None for entry in entries))
        pairs = _pairs(services, c, held, entries, description=f"Created by CreateImage({instance.id}) for {image.id}")
        image = replace(image, devices=_devices(entries, pairs), product_codes=_codes(c, instance, entries))
        insert_image(services, c, request, image, tags.get("image", {}))
        watermarks.inherit(c, [instance.image_id], image.id)
        insert_snapshots(c, [made for _, made in pairs], tags={made.id: tags.get("snapshot", {}) for _, made in pairs})
        about = {"image_id": image.id, "region": image.region, "is_clean": not request.no_reboot}
        if is_rebooted:
            data = {"instance_id": instance.id, "items": [[volume.id, made.id] for volume, made in pairs], **about}
            jobs.enqueue(c, jobs.NewJob(JOB, f"{instance.id}:reboot", data, instance.host), now=services.now())
        else:
            enqueue(services, c, pairs, instance=instance, **about)
    services.wake()
    return ec2.CreateImageResult(image_id=image.id)


def _check_supported(request: ec2.CreateImageRequest) -> None:
    if request.snapshot_location not in (None, "regional"):
        if request.snapshot_location != "local":
            raise InvalidParameterValue(
                parameter="SnapshotLocation", value=request.snapshot_location, why="Expecting regional or local."
            )
        raise UnsupportedOperation("Local Zones are not supported by Amiable: SnapshotLocation is regional.")
    if request.boot_mode_override is not None:
        raise UnsupportedOperation("BootModeOverride is not supported by Amiable: an image boots as its instance does.")


def _plan(
    c: Connection, principal: Principal, request: ec2.CreateImageRequest, instance: Instance, held: Sequence[Volume]
) -> tuple[PlannedEntry, ...]:
    requested = [requested_device(mapping) for mapping in request.block_device_mappings or []]
    names = {volume.device_name for volume in held}
    wanted = register.snapshot_ids_of([each for each in requested if each.device_name not in names])
    mine = snapshots.list_snapshots(c, account_id=principal.account_id, region=principal.region, ids=wanted)
    known = {snapshot.id: snapshot for snapshot in mine}
    register.check_snapshots(wanted, known)
    return rules.plan_entries(instance, held, requested, snapshots=known)


def _pairs(
    services: Services, c: Connection, held: Sequence[Volume], entries: Sequence[PlannedEntry], *, description: str
) -> list[tuple[Volume, Snapshot]]:
    by_id = {volume.id: volume for volume in held}
    imaged = [by_id[entry.volume_id] for entry in entries if entry.volume_id is not None]
    for volume in imaged:
        check_room(c, volume)
    return [(volume, new_snapshot(services, volume, description)) for volume in imaged]


def _devices(entries: Sequence[PlannedEntry], pairs: Sequence[tuple[Volume, Snapshot]]) -> tuple[ImageDevice, ...]:
    made = {volume.id: snapshot.id for volume, snapshot in pairs}
    return tuple(
        entry.device if entry.volume_id is None else replace(entry.device, snapshot_id=made[entry.volume_id])
        for entry in entries
    )


def _codes(c: Connection, instance: Instance, entries: Sequence[PlannedEntry]) -> tuple[ProductCode, ...]:
    """The instance's product codes, and those of all that the image is made of."""
    sources = [entry.volume_id or entry.device.snapshot_id for entry in entries]
    return united(instance.product_codes, codes_of_all(c, [each for each in sources if each is not None]))


def _uefi_data(services: Services, instance: Instance, source: Image | None) -> str | None:
    """The instance's UEFI variables as they are now; before its first boot its image's.  A TPM's state goes into no image."""
    if not starts_by_uefi(instance):
        return None if source is None else source.uefi_data
    try:
        found = firmware.uefi_data_of(services.data, instance.id)
    except UnreadableStore as error:
        raise UnsupportedOperation(f"The UEFI variables of '{instance.id}' cannot be read. {error}") from None
    if found is not None and len(found) > UEFI_DATA_LENGTH_MAX:
        raise UnsupportedOperation(
            f"The UEFI variables of '{instance.id}' take {len(found)} characters; an image holds {UEFI_DATA_LENGTH_MAX}."
        )
    return found if found is not None or source is None else source.uefi_data


def _image(services: Services, c: Connection, request: ec2.CreateImageRequest, instance: Instance) -> Image:
    """The image without its map: what the instance is, and what only its image said."""
    source = images.get(c, instance.region, instance.image_id, viewer=instance.account_id)
    return Image(
        id=services.mint(ids.AMI),
        account_id=instance.account_id,
        region=instance.region,
        name=request.name,
        description=request.description,
        state=ImageState.PENDING,
        state_reason=None,
        image_type=ImageType.MACHINE,
        architecture=instance.architecture,
        virtualization_type=instance.virtualization_type,
        root_device_type=RootDeviceType.EBS,
        root_device_name=instance.root_device_name,
        kernel_id=instance.kernel_id,
        ramdisk_id=instance.ramdisk_id,
        platform=None if source is None else source.platform,
        location=f"{instance.account_id}/{request.name}",
        boot_mode=instance.image_boot_mode,
        tpm_support=instance.tpm_support,
        imds_support=None if source is None else source.imds_support,
        sriov_net_support=instance.sriov_net_support,
        ena_support=instance.ena_support,
        uefi_data=_uefi_data(services, instance, source),
        created_at=services.now(),
        source_instance_id=instance.id,
        source_image_id=instance.image_id,
        source_image_region=instance.region,
    )
