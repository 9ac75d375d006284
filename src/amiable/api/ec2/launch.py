"""RunInstances: rows and boot jobs in one transaction; the answer says ``pending`` at once.

    request ─▶ read by name ─▶ look up what it names ─▶ rules/launch · plan ═ rows, tags, jobs, client token ─▶ reservation

All or nothing: either at least MinCount instances are there with everything they need, or nothing was written.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Final

from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2 import launch_request, views
from amiable.api.ec2.capacity import measure_host
from amiable.api.ec2.image_alias import resolve_image
from amiable.api.ec2.instance_profiles import associate, profile_of_launch
from amiable.api.ec2.launch_place import Counts, Place, choose_place, new_mac, place_interfaces, said_zone
from amiable.api.ec2.launch_templates import TEMPLATE_TAG, from_template
from amiable.api.ec2.product_codes import with_codes_since
from amiable.api.ec2.tags import birth_tags
from amiable.api.idempotency import Repeatable, check_token
from amiable.api.products import check_subscribed
from amiable.database import (
    images,
    instances,
    jobs,
    key_pairs,
    metadata_defaults,
    product_codes,
    snapshots,
    tags,
    volumes,
)
from amiable.database.retirement import note_launch
from amiable.model import ids
from amiable.model.errors import MissingParameter, NotFound
from amiable.model.image import Image
from amiable.model.instance import Instance, Reservation, State
from amiable.model.instance_errors import IdempotentInstanceTerminated
from amiable.model.instance_type import InstanceType
from amiable.model.key_pair import KeyPair
from amiable.model.key_pair_errors import KeyPairUnsupported
from amiable.model.principal import Principal
from amiable.model.product import ProductCode, united
from amiable.model.snapshot import Snapshot
from amiable.model.volume import AttachmentState, Volume, VolumeState
from amiable.rules import launch
from amiable.rules.devices import AskedDevice, PlannedDisk
from amiable.rules.hardware_profile import TAG
from amiable.rules.instance_type_rule import check_type
from amiable.rules.launch import Asked, Known, Plan
from amiable.rules.metadata_options import check_tag_keys
from amiable.rules.policy_resources import Home, ec2_resources, tagged_at_birth
from amiable.services import Services, name_guard
from amiable.services.allowed_images import check_allowed
from amiable.services.authorization import check_allowed as check_role
from amiable.services.hypervisor import check_pv32
from amiable.services.registered_manifest import check_unchanged
from amiable.wire.generated import ec2

ACTION: Final = "RunInstances"


@dataclass(frozen=True, slots=True)
class Order:
    """What one call makes: so many machines of a plan as the place has addresses, with one key pair and one set of codes."""

    plan: Plan
    place: Place
    key_pair: KeyPair | None
    client_token: str | None
    product_codes: tuple[ProductCode, ...]


def run_instances(services: Services, principal: Principal, request: ec2.RunInstancesRequest) -> ec2.Reservation:
    """Launches between MinCount and MaxCount instances; the same client token answers with the same ones.

    What the request leaves open comes from the launch template that it names.
    """
    sent, recalled = request, _recalled(services, principal, request)
    if recalled is not None:
        return recalled
    request, of_template = from_template(services, principal, request)
    launch_request.refuse_unsupported(request)
    check_token(request)
    born = dict(birth_tags(request.tag_specifications, launch_request.TAGGABLE))
    asked = launch_request.asked_of(request, born.get("instance", {}).get(TAG))
    asked_place = launch_request.place_of(request)
    born["instance"] = {**born.get("instance", {}), **of_template}
    if request.image_id is None:
        raise MissingParameter(parameter="ImageId")
    is_dry = bool(request.dry_run)
    with name_guard.recording_refusals(services, principal, is_dry=is_dry), services.database.write() as c:
        once = Repeatable(services, principal, sent, said_zone(c, services, principal, sent))
        made = None if request.dry_run else once.recall(c)
        if made is not None:
            return _made_before(c, services, principal, made)
        image = _find_image(c, principal, resolve_image(c, principal, request.image_id, now=services.now()))
        check_allowed(services, c, principal, image)
        known = _look_up(c, principal, image, asked)
        plan = launch.plan(image, asked, known, account_id=principal.account_id)
        check_type(image.instance_types, plan.instance_type.name, image_id=image.id)
        _check_bytes(services, c, image, known, plan)
        check_subscribed(c, principal.account_id, plan.image.product_codes)
        if plan.metadata.instance_metadata_tags == "enabled":
            check_tag_keys(born.get("instance", {}))
        profile = profile_of_launch(c, principal, request.iam_instance_profile)
        key_pair = _find_key_pair(c, principal, request.key_name, image)
        place = choose_place(c, services, principal, asked_place, _counts(c, services, request, plan.instance_type))
        name_guard.check_launch(services, c, principal, image, is_dry=is_dry)
        _check_role(principal, request, image, place, of_template)
        raise_if_dry_run(request)
        order = Order(plan, place, key_pair, request.client_token, _codes(c, plan))
        launched = list(_instances(services, principal, order))
        _insert(c, services, launched, plan, born)
        place_interfaces(c, principal, place, launched, born)
        if profile is not None:
            for instance in launched:
                associate(c, services, instance, profile)
        once.remember(c, [instance.id for instance in launched])
        answer = views.reservations(views.zoned_views_of(c, services, principal, launched))[0]
    services.wake()
    return answer


def _counts(c: Connection, services: Services, request: ec2.RunInstancesRequest, type_: InstanceType) -> Counts:
    """How many instances are asked for, and how many of them the host has room for."""
    minimum, maximum = request.min_count, request.max_count
    return Counts(minimum, maximum, launch.choose_count(minimum, maximum, type_=type_, host=measure_host(c, services)))


def _check_bytes(services: Services, c: Connection, image: Image, known: Known, plan: Plan) -> None:
    """Refuses an image or kernel whose manifest is another by now, and a 32-bit kernel without its hypervisor."""
    for each in (image, *known.images.values()):
        check_unchanged(services, c, each)
    if plan.profile.needs_pv32:
        check_pv32(services, plan.kernel_id)


def _recalled(services: Services, principal: Principal, request: ec2.RunInstancesRequest) -> ec2.Reservation | None:
    """What the token made before, whatever became of the template since: the template is not looked for again."""
    if request.launch_template is None or request.dry_run:
        return None
    with services.database.read() as c:
        made = Repeatable(services, principal, request, said_zone(c, services, principal, request)).recall(c)
        return None if made is None else _made_before(c, services, principal, made)


def _made_before(
    c: Connection, services: Services, principal: Principal, instance_ids: Sequence[str]
) -> ec2.Reservation:
    found = [instances.get_instance(c, instance_id) for instance_id in instance_ids]
    here = [instance for instance in found if instance is not None]
    ended = [instance.id for instance in here if instance.state in (State.SHUTTING_DOWN, State.TERMINATED)]
    if ended or len(here) < len(found):
        raise IdempotentInstanceTerminated(instance_ids=", ".join(ended or instance_ids))
    return views.reservations(views.zoned_views_of(c, services, principal, here))[0]


def _check_role(
    principal: Principal,
    request: ec2.RunInstancesRequest,
    image: Image,
    place: Place,
    of_template: Mapping[str, str],
) -> None:
    """A role launches only what its policies allow: also the template and all that it says, and the subnet and groups by default."""
    home = Home(principal.account_id, principal.region)
    arns = [*ec2_resources(home, ACTION, request), home.ec2("image", image.id), home.ec2("subnet", place.subnet.id)]
    arns += [home.ec2("security-group", each) for each in place.group_ids]
    arns += [home.ec2("launch-template", each) for name, each in of_template.items() if name == TEMPLATE_TAG]
    check_role(principal, f"ec2:{ACTION}", arns)
    check_role(principal, "ec2:CreateTags", tagged_at_birth(home, request))


def _find_image(c: Connection, principal: Principal, image_id: str) -> Image:
    found = images.get(c, principal.region, image_id, viewer=principal.account_id)
    if found is None:
        raise NotFound("image", [image_id])
    return with_codes_since(c, found)


def _look_up(c: Connection, principal: Principal, image: Image, asked: Asked) -> Known:
    """The kernels, ramdisks and snapshots that the launch names."""
    wanted = [asked.kernel_id or image.kernel_id, asked.ramdisk_id or image.ramdisk_id]
    kernels = {
        found.id: found
        for image_id in wanted
        if image_id is not None
        and (found := images.get(c, principal.region, image_id, viewer=principal.account_id)) is not None
    }
    defaults = metadata_defaults.find(c, principal.account_id, principal.region)
    return Known(kernels, _snapshots(c, principal, image, asked.devices), defaults)


def _snapshots(
    c: Connection, principal: Principal, image: Image, devices: Sequence[AskedDevice]
) -> Mapping[str, Snapshot]:
    """Those that the caller may make volumes of: its own, shared ones, and what the image maps anyhow, if the request sizes it."""
    mapped = {device.snapshot_id for device in image.devices}
    sized = {device.device_name for device in devices if device.size_gib is not None}
    of_image = [device.snapshot_id for device in image.devices if device.snapshot_id and device.device_name in sized]
    found = {each.id: each for each in map(partial(snapshots.get, c), of_image) if each is not None}
    for snapshot_id in dict.fromkeys(device.snapshot_id for device in devices):
        if snapshot_id is None:
            continue
        seen = snapshots.find_seen(c, principal.account_id, principal.region, snapshot_id)
        snapshot = snapshots.get(c, snapshot_id) if seen is None and snapshot_id in mapped else seen
        if snapshot is None:
            raise NotFound("snapshot", [snapshot_id])
        found[snapshot_id] = snapshot
    return found


def _find_key_pair(c: Connection, principal: Principal, name: str | None, image: Image) -> KeyPair | None:
    """The pair of that name; refuses one that the image's guest cannot use: Windows encrypts its password with the key."""
    if name is None:
        return None
    found = key_pairs.find_key_pair(c, principal.account_id, principal.region, name)
    if found is None:
        raise NotFound("key_pair", [name])
    if image.platform == "windows" and found.key_type == "ed25519":
        raise KeyPairUnsupported()
    return found


def _instances(services: Services, principal: Principal, order: Order) -> Iterator[Instance]:
    """The instances of the order, one for each address."""
    plan, place, key_pair = order.plan, order.place, order.key_pair
    reservation_id, now = services.mint(ids.RESERVATION), services.now()
    for index, address in enumerate(place.addresses):
        yield Instance(
            id=services.mint(ids.INSTANCE),
            account_id=principal.account_id,
            region=principal.region,
            zone=place.subnet.zone,
            reservation_id=reservation_id,
            launch_index=index,
            client_token=order.client_token,
            image_id=plan.image.id,
            state=State.PENDING,
            instance_type=plan.instance_type.name,
            architecture=plan.image.architecture,
            virtualization_type=plan.image.virtualization_type,
            root_device_type=plan.image.root_device_type.value,
            root_device_name=plan.image.root_device_name,
            boot_mode=plan.boot_mode,
            hardware_profile=plan.profile.profile.value,
            hardware_profile_why=plan.profile.why[:255],
            kernel_id=plan.kernel_id,
            ramdisk_id=plan.ramdisk_id,
            key_name=key_pair.name if key_pair else None,
            public_key=key_pair.public_key if key_pair else None,
            user_data=plan.user_data,
            vpc_id=place.subnet.vpc_id,
            subnet_id=place.subnet.id,
            security_group_ids=place.group_ids,
            private_ip=address,
            mac=place.interface.mac if place.interface else new_mac(services),
            interface_id=place.interface.id if place.interface else services.mint(ids.NETWORK_INTERFACE),
            metadata=plan.metadata,
            shutdown_behavior=plan.shutdown_behavior,
            product_codes=order.product_codes,
            host=services.host,
            launched_at=now,
            created_at=now,
            state_changed_at=now,
            ena_support=plan.image.ena_support,
            sriov_net_support=plan.image.sriov_net_support,
            platform=plan.image.platform,
            image_boot_mode=plan.image.boot_mode,
            tpm_support=plan.image.tpm_support,
            source_dest_check=place.interface is None or place.interface.has_source_dest_check,
            **asdict(plan.options),
        )


def _insert(
    c: Connection,
    services: Services,
    launched: Sequence[Instance],
    plan: Plan,
    born: Mapping[str, Mapping[str, str]],
) -> None:
    """Rows of reservation, instances, volumes and tags, and a boot job for each instance; what ended long ago goes."""
    first = launched[0]
    now = first.launched_at  # what is attached at the launch is not attached since
    owner = (first.account_id, first.region)
    instances.forget_terminated(c, now=now)
    note_launch(c, plan.image.id, now)
    instances.insert_reservation(c, Reservation(first.reservation_id, first.account_id, first.region, now))
    for instance in launched:
        instances.insert_instance(c, instance)
        tags.put(c, tags.TaggedResource(*owner, instance.id, "instance"), born.get("instance", {}))
        for disk in plan.disks:
            volume = volume_of(services.mint(ids.VOLUME), instance, disk, now)
            volumes.insert_volume(c, volume)
            product_codes.put_codes(c, volume.id, _volume_codes(c, plan.image, disk))
            tagged = {} if disk.is_instance_store else born.get("volume", {})
            tags.put(c, tags.TaggedResource(*owner, volume.id, "volume"), tagged)
        jobs.enqueue(
            c, jobs.NewJob("boot", f"{instance.id}:boot", {"instance_id": instance.id}, services.host), now=now
        )


def _codes(c: Connection, plan: Plan) -> tuple[ProductCode, ...]:
    """What the instances carry: the image's codes, which take a subscription, and those that come with other disks."""
    return united(plan.image.product_codes, *(_volume_codes(c, plan.image, disk) for disk in plan.disks))


def _volume_codes(c: Connection, image: Image, disk: PlannedDisk) -> tuple[ProductCode, ...]:
    """What the volume of a disk carries: its snapshot's codes, and the image's where the snapshot is of the image."""
    if disk.snapshot_id is None:
        return ()
    is_of_image = disk.snapshot_id in {image.root_snapshot_id, *(device.snapshot_id for device in image.devices)}
    return united(image.product_codes if is_of_image else (), product_codes.codes_of(c, disk.snapshot_id))


def volume_of(volume_id: str, instance: Instance, disk: PlannedDisk, now: datetime) -> Volume:
    """The disk as a volume that the instance has."""
    return Volume(
        id=volume_id,
        account_id=instance.account_id,
        region=instance.region,
        zone=instance.zone,
        state=VolumeState.IN_USE,
        snapshot_id=disk.snapshot_id,
        size_gib=disk.size_gib,
        size_bytes=disk.size_bytes,
        volume_type=disk.volume_type,
        is_instance_store=disk.is_instance_store,
        instance_id=instance.id,
        device_name=disk.device_name,
        delete_on_termination=disk.delete_on_termination,
        created_at=now,
        attached_at=now,
        iops=disk.iops,
        throughput=disk.throughput,
        attachment_state=AttachmentState.ATTACHED,
        virtual_name=disk.virtual_name,
    )
