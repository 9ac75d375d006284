"""RegisterImage: an image from snapshots, or from the manifest of a bundle.

    snapshots  every rule in the call; the image is available at once
    manifest   manifest, signature, owner, ACL and assurance sidecar in the call; the parts by the job ``register-manifest``:
               pending, then available or failed with a StateReason

RegisterImage has no client token: who lost the answer finds the id in InvalidAMIName.Duplicate.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from amiable.api.dry_run import MayBeDry, raise_if_dry_run
from amiable.api.ec2.tags import birth_tags
from amiable.bundle import keys
from amiable.bundle.manifest_xml import read_manifest, verify_signature
from amiable.bundle.unbundle import unwrap_keys
from amiable.database import accounts, images, jobs, sharing, snapshots
from amiable.database import tags as tag_rows
from amiable.model import ids
from amiable.model.errors import (
    AuthFailure,
    InvalidAMINameDuplicate,
    InvalidManifest,
    InvalidParameterValue,
    MissingParameter,
    NotFound,
)
from amiable.model.image import EVERYONE, Image, ImageDevice, ImageState, ImageType, RootDeviceType
from amiable.model.manifest import Manifest
from amiable.model.principal import Principal
from amiable.model.product import ProductCode, united
from amiable.rules import manifest as manifest_rules
from amiable.rules import permission, register
from amiable.rules.attributes import check_description
from amiable.rules.kernel_choice import check_no_ramdisk
from amiable.rules.quota import check_image_quota
from amiable.rules.register import Hardware, RequestedDevice, RequestedHardware, RequestedVolume
from amiable.rules.uefi_data import check_uefi_data
from amiable.services import Services
from amiable.services.assurance import read_sidecar
from amiable.services.content_digests import digest_of
from amiable.services.kernels import may_register
from amiable.services.manifests import check_parts, read_manifest_object
from amiable.wire.generated import ec2

JOB: Final = "register-manifest"
PREFIXES: Final = {ImageType.MACHINE: ids.AMI, ImageType.KERNEL: ids.AKI, ImageType.RAMDISK: ids.ARI}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an image's disks come from, and whether they are there: snapshots are, a bundle's parts are read by a job."""

    state: ImageState
    root_device_type: RootDeviceType
    location: str
    devices: tuple[ImageDevice, ...]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle in a bucket as far as the call reads it; ``digest``: SHA-256 of the manifest's bytes."""

    location: str
    manifest: Manifest
    image_type: ImageType
    digest: bytes


def register_image(
    services: Services, principal: Principal, request: ec2.RegisterImageRequest
) -> ec2.RegisterImageResult:
    """Makes an image; read-your-writes: its id is known to every call from now on."""
    register.check_name(request.name)
    check_description(request.description)
    if request.billing_products:
        raise InvalidParameterValue(
            parameter="BillingProduct",
            value=request.billing_products[0],
            why="This account is not authorized to register billing products.",
        )
    tags = birth_tags(request.tag_specifications, ("image",)).get("image", {})
    if request.image_location is not None:
        return _from_manifest(services, principal, request, tags)
    return _from_snapshots(services, principal, request, tags)


def _from_snapshots(
    services: Services, principal: Principal, request: ec2.RegisterImageRequest, tags: dict[str, str]
) -> ec2.RegisterImageResult:
    if not request.block_device_mappings:
        raise MissingParameter(
            "The request must contain the parameter BlockDeviceMapping, with the root's snapshot, or ImageLocation."
        )
    hardware = _hardware(request, request.architecture)
    register.check_kernel_ids(request.kernel_id, request.ramdisk_id, hardware.virtualization_type)
    devices = [requested_device(mapping) for mapping in request.block_device_mappings]
    wanted = register.snapshot_ids_of(devices)
    with services.database.write_and_answer() as c:
        mine = snapshots.list_with_codes(c, account_id=principal.account_id, region=principal.region, ids=wanted)
        known = {snapshot.id: snapshot for snapshot, _ in mine}
        register.check_snapshots(wanted, known)
        planned = register.plan_devices(
            devices,
            root_device_name=request.root_device_name,
            virtualization_type=hardware.virtualization_type,
            snapshots=known,
        )
        _check_boot_images(c, principal, request.kernel_id, request.ramdisk_id)
        location = f"{principal.account_id}/{request.name}"
        origin = Origin(ImageState.AVAILABLE, RootDeviceType.EBS, location, planned)
        image = _image(services, principal, request, hardware, origin)
        carried = {snapshot.id: codes for snapshot, codes in mine}
        codes = _inherited_codes(image.root_device, planned, carried)
        image = replace(image, product_codes=codes, content_digest=digest_of(c, image, disks=known))
        insert_image(services, c, request, image, tags)
    return ec2.RegisterImageResult(image_id=image.id)


def _inherited_codes(
    root: ImageDevice | None, devices: Sequence[ImageDevice], carried: Mapping[str, tuple[ProductCode, ...]]
) -> tuple[ProductCode, ...]:
    """The codes of the root's snapshot, then those of the others; ``carried``: by snapshot."""
    mapped = [device.snapshot_id for device in (root, *devices) if device is not None]
    return united(*(carried.get(snapshot_id, ()) for snapshot_id in mapped if snapshot_id is not None))


def _hardware(request: ec2.RegisterImageRequest, architecture: str | None) -> Hardware:
    asked = RequestedHardware(
        architecture=architecture,
        virtualization_type=request.virtualization_type,
        boot_mode=request.boot_mode,
        tpm_support=request.tpm_support,
        imds_support=request.imds_support,
        sriov_net_support=request.sriov_net_support,
        ena_support=request.ena_support,
    )
    return register.plan_hardware(asked)


def requested_device(mapping: ec2.BlockDeviceMapping) -> RequestedDevice:
    """One entry of a request's block device map as the rules want it."""
    volume = mapping.ebs
    return RequestedDevice(
        device_name=mapping.device_name,
        virtual_name=mapping.virtual_name,
        volume=None if volume is None else requested_volume(volume),
        suppressed=mapping.no_device is not None,
    )


def requested_volume(volume: ec2.EbsBlockDevice) -> RequestedVolume:
    """The Ebs part of an entry; fields that nothing here keeps are named."""
    others = {
        "VolumeInitializationRate": volume.volume_initialization_rate,
        "OutpostArn": volume.outpost_arn,
        "AvailabilityZone": volume.availability_zone,
        "AvailabilityZoneId": volume.availability_zone_id,
        "EbsCardIndex": volume.ebs_card_index,
    }
    return RequestedVolume(
        snapshot_id=volume.snapshot_id,
        size_gib=volume.volume_size,
        volume_type=volume.volume_type,
        iops=volume.iops,
        throughput=volume.throughput,
        delete_on_termination=volume.delete_on_termination,
        encrypted=volume.encrypted,
        kms_key_id=volume.kms_key_id,
        unsupported=tuple(name for name, value in others.items() if value is not None),
    )


def _check_boot_images(c: Connection, principal: Principal, kernel_id: str | None, ramdisk_id: str | None) -> None:
    """Refuses kernels and ramdisks that the caller cannot see, or that are none; whether they are approved binds at launch."""
    for image_id, image_type in ((kernel_id, ImageType.KERNEL), (ramdisk_id, ImageType.RAMDISK)):
        if image_id is None:
            continue
        found = images.get(c, principal.region, image_id, viewer=principal.account_id)
        usable = (
            found is not None and permission.may_see(found, principal.account_id) and found.image_type is image_type
        )
        if found is None or not usable or found.state is not ImageState.AVAILABLE:
            raise NotFound(str(image_type), [image_id])
        check_no_ramdisk(found, ramdisk_id)


def _image(
    services: Services,
    principal: Principal,
    request: ec2.RegisterImageRequest,
    hardware: Hardware,
    origin: Origin,
) -> Image:
    return Image(
        id=services.mint(ids.AMI),
        account_id=principal.account_id,
        region=principal.region,
        name=request.name,
        description=request.description,
        state=origin.state,
        state_reason=None,
        image_type=ImageType.MACHINE,
        architecture=hardware.architecture,
        virtualization_type=hardware.virtualization_type,
        root_device_type=origin.root_device_type,
        root_device_name=request.root_device_name,
        kernel_id=request.kernel_id,
        ramdisk_id=request.ramdisk_id,
        platform=None,
        location=origin.location,
        boot_mode=hardware.boot_mode,
        tpm_support=hardware.tpm_support,
        imds_support=hardware.imds_support,
        sriov_net_support=hardware.sriov_net_support,
        ena_support=hardware.ena_support,
        uefi_data=check_uefi_data(request.uefi_data, hardware.virtualization_type),
        created_at=services.now(),
        devices=origin.devices,
    )


def insert_image(services: Services, c: Connection, request: MayBeDry, image: Image, tags: dict[str, str]) -> None:
    """Writes the image and its tags, unless its name is held or the run is dry."""
    images_max = services.settings.images_max
    holder, count = sharing.name_and_count(c, image.account_id, image.region, name=image.name, images_max=images_max)
    if holder is not None:
        raise InvalidAMINameDuplicate(name=image.name, image_id=holder)
    if count is not None:
        check_image_quota(count, images_max)
    raise_if_dry_run(request)
    try:
        images.insert_image(c, image)
    except IntegrityError:
        # Another writer took the name since: only where writers are not one at a time (PostgreSQL).
        with services.database.read() as fresh:
            holder = images.find_name(fresh, image.account_id, image.region, image.name)
        if holder is None:
            raise
        raise InvalidAMINameDuplicate(name=image.name, image_id=holder) from None
    tag_rows.put(c, tag_rows.TaggedResource(image.account_id, image.region, image.id, "image"), tags)


# ── from a manifest ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _from_manifest(
    services: Services, principal: Principal, request: ec2.RegisterImageRequest, tags: dict[str, str]
) -> ec2.RegisterImageResult:
    assert request.image_location is not None
    location = request.image_location.lstrip("/")
    document = read_manifest_object(services, principal.account_id, location, region=principal.region)
    manifest = read_manifest(document)
    _check_bundler(services, principal, manifest)
    check_parts(services, principal.account_id, location, manifest)
    sidecar = read_sidecar(services, principal.account_id, location, manifest, document)
    image_type = manifest_rules.image_type_of(manifest)
    if image_type is not ImageType.MACHINE and not may_register(services, principal):
        raise AuthFailure(what=f"{image_type} images: only the administrator and partners may register them")
    bundle = Bundle(location, manifest, image_type, hashlib.sha256(document).digest())
    image = _manifest_image(services, principal, request, bundle)
    if image_type is not ImageType.MACHINE and principal.is_administrator:
        image = replace(image, approved_at=image.created_at, grantees=frozenset({EVERYONE}))
    with services.database.write() as c:
        _check_manifest_kernels(c, principal, request, image)
        insert_image(services, c, request, image, tags)
        images.change_grants(c, image.id, add=sorted(image.grantees), remove=[])
        data = {"image_id": image.id, "account_id": image.account_id, "region": image.region}
        if sidecar is not None:
            data["assurance"] = sidecar.digest.hex()
        jobs.enqueue(c, jobs.NewJob(JOB, f"{image.id}:{JOB}", data), now=services.now())
    services.wake()
    return ec2.RegisterImageResult(image_id=image.id)


def _check_bundler(services: Services, principal: Principal, manifest: Manifest) -> None:
    """Refuses a bundle of another user, one that no certificate of the caller's signed, and one that this cloud cannot open."""
    if manifest.account_id.replace("-", "") != principal.account_id:
        raise AuthFailure(
            f"Manifest is not accessible: it was bundled by user {manifest.account_id}, not by {principal.account_id}."
        )
    with services.database.read() as c:
        certificates = accounts.signing_certificates(c, principal.account_id)
    if not certificates:
        raise InvalidManifest(
            f"The account {principal.account_id} has no signing certificate to verify the manifest with."
        )
    verify_signature(manifest, "\n".join(certificates))
    unwrap_keys(manifest, keys.load_private_key(services.installation.bundling_key_pem))


def _manifest_image(
    services: Services, principal: Principal, request: ec2.RegisterImageRequest, bundle: Bundle
) -> Image:
    manifest = bundle.manifest
    if request.architecture is None and manifest.architecture not in (None, *register.ARCHITECTURES):
        raise InvalidManifest(
            f"The manifest's architecture is {manifest.architecture!r}, which is none of "
            f"{', '.join(register.ARCHITECTURES)}. Give Architecture with RegisterImage."
        )
    if manifest_rules.is_windows(manifest) and request.virtualization_type is None:
        request = msgspec.structs.replace(request, virtualization_type="hvm")
    hardware = _hardware(request, request.architecture or manifest.architecture)
    register.check_kernel_ids(request.kernel_id, request.ramdisk_id, hardware.virtualization_type)
    if request.root_device_name is not None:
        register.check_device_name(request.root_device_name, hardware.virtualization_type)
    requested = [requested_device(mapping) for mapping in request.block_device_mappings or []]
    devices = register.plan_instance_store_devices(requested, hardware.virtualization_type)
    origin = Origin(ImageState.PENDING, RootDeviceType.INSTANCE_STORE, bundle.location, devices)
    image = _image(services, principal, request, hardware, origin)
    new_id = services.mint(PREFIXES[bundle.image_type])
    return manifest_rules.with_manifest(image, manifest, bundle.image_type, new_id=new_id, digest=bundle.digest)


def _check_manifest_kernels(
    c: Connection, principal: Principal, request: ec2.RegisterImageRequest, image: Image
) -> None:
    _check_boot_images(c, principal, request.kernel_id, request.ramdisk_id)
    try:
        _check_boot_images(c, principal, image.kernel_id, image.ramdisk_id)
    except NotFound as missing:
        raise InvalidManifest(
            f"The manifest names {missing.values[0]}, which is not registered here. Give KernelId and RamdiskId with RegisterImage."
        ) from None
