"""CopySnapshot and CopyImage: within a region and between regions of the installation.

The bytes are shared in the store: a copy is rows in the call's own transaction, and completed when the call answers.
"""

from collections.abc import Mapping
from dataclasses import replace

from sqlalchemy import Connection

from amiable.api.dry_run import raise_if_dry_run
from amiable.api.ec2.images import check_image_id
from amiable.api.ec2.register_image import insert_image
from amiable.api.ec2.snapshots import check_snapshot_id
from amiable.api.ec2.tags import birth_tags, tag_set
from amiable.api.idempotency import Repeatable
from amiable.database import images, snapshots, watermarks
from amiable.database import tags as tag_rows
from amiable.database.product_codes import codes_of, inherit_codes
from amiable.model import ids
from amiable.model.errors import InvalidParameterValue, InvalidRequest, NotFound
from amiable.model.image import Image
from amiable.model.principal import Principal
from amiable.model.snapshot import Snapshot
from amiable.rules import copying, permission, product, register
from amiable.rules.attributes import check_description
from amiable.rules.copying import CopyOptions
from amiable.rules.tags import merge
from amiable.services import Services
from amiable.services.allowed_images import check_allowed
from amiable.services.content_digests import digest_of
from amiable.services.quota import check_snapshot_room
from amiable.wire.generated import ec2


def copy_snapshot(services: Services, principal: Principal, request: ec2.CopySnapshotRequest) -> ec2.CopySnapshotResult:
    """Copies a snapshot that the caller sees into the region called; it is the caller's."""
    check_snapshot_id(request.source_snapshot_id)
    check_description(request.description)
    _check_destination(principal, request.destination_region)
    copying.check_region(request.source_region, services.settings.regions)
    copying.check_options(
        CopyOptions(
            encrypted=request.encrypted,
            kms_key_id=request.kms_key_id,
            completion_minutes=request.completion_duration_minutes,
            elsewhere=_given(
                DestinationOutpostArn=request.destination_outpost_arn,
                DestinationAvailabilityZone=request.destination_availability_zone,
            ),
        )
    )
    tags = birth_tags(request.tag_specifications, ("snapshot",)).get("snapshot", {})
    with services.database.write_and_answer() as c:
        source = snapshots.find_seen(c, principal.account_id, request.source_region, request.source_snapshot_id)
        if source is None:
            raise NotFound("snapshot", [request.source_snapshot_id])
        copying.check_snapshot(source)
        if source.account_id != principal.account_id:
            product.check_copy(codes_of(c, source.id))
        check_snapshot_room(services, c, principal)
        raise_if_dry_run(request)
        made = _copied(services, principal, source, request.description or "")
        _insert(services, c, source, made, tags=tags)
    return ec2.CopySnapshotResult(snapshot_id=made.id, tags=tag_set(tags))


def _check_destination(principal: Principal, region: str | None) -> None:
    if region is not None and region != principal.region:
        raise InvalidParameterValue(
            parameter="DestinationRegion",
            value=region,
            why=f"A copy is made in the region that is called, {principal.region}.",
        )


def _given(**parameters: str | None) -> tuple[str, ...]:
    return tuple(name for name, value in parameters.items() if value is not None)


def _copied(services: Services, principal: Principal, source: Snapshot, description: str) -> Snapshot:
    now = services.now()
    return replace(
        source,
        id=services.mint(ids.SNAPSHOT),
        account_id=principal.account_id,
        region=principal.region,
        description=description,
        parent_id=None,
        volume_id=None,
        is_internal=False,
        started_at=now,
        touched_at=now,
        completed_at=now,
    )


def _insert(services: Services, c: Connection, source: Snapshot, made: Snapshot, *, tags: Mapping[str, str]) -> None:
    snapshots.insert_snapshot(c, made)
    services.blocks.inherit(c, made.id, source.id)
    inherit_codes(c, made.id, source_ids=[source.id])
    _tag(c, made.account_id, made.region, {made.id: "snapshot"}, tags)


def _tag(c: Connection, account_id: str, region: str, resources: Mapping[str, str], tags: Mapping[str, str]) -> None:
    for resource_id, kind in resources.items():
        tag_rows.put(c, tag_rows.TaggedResource(account_id, region, resource_id, kind), tags)


# ── images ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def copy_image(services: Services, principal: Principal, request: ec2.CopyImageRequest) -> ec2.CopyImageResult:
    """Copies an image and its snapshots into the region called; the copy is the caller's, and available."""
    check_image_id(request.source_image_id)
    register.check_name(request.name)
    check_description(request.description)
    copying.check_region(request.source_region, services.settings.regions)
    copying.check_options(_options(request))
    tags = birth_tags(request.tag_specifications, ("image", "snapshot"))
    with services.database.write_and_answer() as c:
        once = Repeatable(services, principal, request)
        made = once.recall(c)
        if made is not None:
            raise_if_dry_run(request)
            return ec2.CopyImageResult(image_id=made[0])
        source = _source(services, c, principal, request)
        disks = _disks(c, principal, source)
        check_snapshot_room(services, c, principal, len(disks))
        image_id = services.mint(ids.AMI)
        about = f"Copied for DestinationAmi {image_id} from SourceAmi {source.id} for SourceSnapshot"
        pairs = [(disk, _copied(services, principal, disk, f"{about} {disk.id}.")) for disk in disks]
        twins, owner = {old.id: new.id for old, new in pairs}, principal.account_id
        copied = copying.copied_image(source, twins, image_id=image_id, account_id=owner, now=services.now())
        image = _as_asked(c, principal, request, source, copied)
        own = _own_tags(source, principal) if request.copy_image_tags else {}
        for old, new in pairs:  # before the image: its digest is made of theirs, and a refusal undoes them
            _insert(services, c, old, new, tags=tags.get("snapshot", {}))
        image = replace(image, content_digest=digest_of(c, image))
        insert_image(services, c, request, image, merge(own, tags.get("image", {})))
        watermarks.inherit(c, [source.id], image.id)
        once.remember(c, [image.id])
    return ec2.CopyImageResult(image_id=image.id)


def _options(request: ec2.CopyImageRequest) -> CopyOptions:
    return CopyOptions(
        encrypted=request.encrypted,
        kms_key_id=request.kms_key_id,
        completion_minutes=request.snapshot_copy_completion_duration_minutes,
        elsewhere=_given(
            DestinationOutpostArn=request.destination_outpost_arn,
            DestinationAvailabilityZone=request.destination_availability_zone,
            DestinationAvailabilityZoneId=request.destination_availability_zone_id,
        ),
    )


def _source(services: Services, c: Connection, principal: Principal, request: ec2.CopyImageRequest) -> Image:
    """The image, which the caller may copy as far as the image itself and the settings of its region say."""
    image = images.get(c, request.source_region, request.source_image_id, viewer=principal.account_id)
    if image is None:
        raise NotFound("image", [request.source_image_id])
    check_allowed(services, c, principal, image)
    closed = [] if image.account_id == principal.account_id else _closed(c, principal, image)
    permission.check_copy(image, principal.account_id, closed)
    copying.check_image(image)
    return image


def _snapshot_ids(image: Image) -> list[str]:
    return list(dict.fromkeys(device.snapshot_id for device in image.devices if device.snapshot_id is not None))


def _closed(c: Connection, principal: Principal, image: Image) -> list[str]:
    """Those of another's image's snapshots that are not shared with the caller."""
    seen = (snapshots.find_seen(c, principal.account_id, image.region, each) for each in _snapshot_ids(image))
    return [each for each, found in zip(_snapshot_ids(image), seen, strict=True) if found is None]


def _disks(c: Connection, principal: Principal, image: Image) -> list[Snapshot]:
    found = []
    for snapshot_id in _snapshot_ids(image):
        snapshot = snapshots.find_seen(c, principal.account_id, image.region, snapshot_id)
        if snapshot is None:
            raise NotFound("snapshot", [snapshot_id])
        copying.check_snapshot(snapshot)
        found.append(snapshot)
    return found


def _as_asked(
    c: Connection, principal: Principal, request: ec2.CopyImageRequest, source: Image, copied: Image
) -> Image:
    """``copied`` as the request describes it, in the caller's region."""
    description = source.description if request.description is None else request.description
    return replace(
        copied,
        region=principal.region,
        name=request.name,
        description=description,
        location=f"{principal.account_id}/{request.name}",
        kernel_id=_boot_image(c, principal, source, source.kernel_id),
        ramdisk_id=_boot_image(c, principal, source, source.ramdisk_id),
    )


def _boot_image(c: Connection, principal: Principal, source: Image, image_id: str | None) -> str | None:
    """The kernel or ramdisk for the copy: the same within a region, else one there that holds the same bytes."""
    if image_id is None or source.region == principal.region:
        return image_id
    twin = images.find_twin(c, image_id, region=principal.region, viewer=principal.account_id)
    if twin is None:
        raise InvalidRequest(
            f"The image {source.id} boots with {image_id}, and the region {principal.region} has none of the same content.",
            hint=f"add it there first: AWS_REGION={principal.region} amiable kernel add",
        )
    return twin


def _own_tags(source: Image, principal: Principal) -> dict[str, str]:
    """The owner's own tags; another account's, and those of the service, are not copied."""
    if source.account_id != principal.account_id:
        return {}
    return {key: value for key, value in source.tags.items() if not key.startswith("aws:")}
