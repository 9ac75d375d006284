"""What an image takes from the manifest of its bundle.

A request's own words come first, then the manifest's.  Kernels and ramdisks boot nothing, so they keep nothing of it but their size.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from amiable.model.errors import InvalidManifest
from amiable.model.image import Image, ImageDevice, ImageType
from amiable.model.manifest import Manifest
from amiable.model.product import devpay_codes
from amiable.rules.register import EPHEMERAL_NAME

DEFAULT_ROOT_DEVICE: Final = "/dev/sda1"
"""Where a bundle's root is when neither request nor manifest says so."""
ROOT_NAMES: Final = frozenset({"root", "ami"})
PRODUCT_CODES_LENGTH_MAX: Final = 1000

_DEVICE_PATH: Final = re.compile(r"/dev/[A-Za-z0-9][A-Za-z0-9/_-]{0,58}")
_PRODUCT_CODE: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_IMAGE_ID: Final = re.compile(r"[a-z]{3}-[0-9A-Za-z]{1,32}")


def image_type_of(manifest: Manifest) -> ImageType:
    """What the bundle holds: said by its type, or, by old bundlers, by ``kernel_id`` of ``true`` or by the image's name."""
    if manifest.image_type in (ImageType.KERNEL, ImageType.RAMDISK):
        return ImageType(manifest.image_type)
    for image_type, said, prefix in (
        (ImageType.KERNEL, manifest.kernel_id, "vmlinuz"),
        (ImageType.RAMDISK, manifest.ramdisk_id, "initrd"),
    ):
        if said in ("true", "yes") or manifest.name.startswith(prefix):
            return image_type
    return ImageType.MACHINE


def is_windows(manifest: Manifest) -> bool:
    """Whether the bundle is of Windows, as bundlers said it where there was no element for it; such an image boots by itself."""
    return manifest.kernel_id == "windows" or manifest.name.startswith("windows")


def with_manifest(image: Image, manifest: Manifest, image_type: ImageType, *, new_id: str, digest: bytes) -> Image:
    """``image`` as the bundle makes it: a request's own words first, then the manifest's; kernels and ramdisks boot nothing."""
    known = replace(image, id=new_id, image_type=image_type, size_bytes=manifest.size_bytes, manifest_digest=digest)
    if image_type is not ImageType.MACHINE:
        return replace(known, devices=(), kernel_id=None, ramdisk_id=None, root_device_name=None)
    _check_product_codes(manifest.product_codes)
    virtual = _device_paths(manifest)
    root = image.root_device_name or virtual.get("root") or virtual.get("ami") or DEFAULT_ROOT_DEVICE
    is_paravirtual = image.virtualization_type == "paravirtual"
    return replace(
        known,
        kernel_id=image.kernel_id or (manifest.kernel_id if is_paravirtual else None),
        ramdisk_id=image.ramdisk_id or (manifest.ramdisk_id if is_paravirtual else None),
        root_device_name=root,
        devices=image.devices + _ephemeral_devices(virtual, image.devices, root),
        platform="windows" if is_windows(manifest) else None,
        product_codes=devpay_codes(manifest.product_codes),
        ancestor_ami_ids=tuple(each for each in manifest.ancestor_ami_ids if _IMAGE_ID.fullmatch(each)),
    )


def _check_product_codes(codes: tuple[str, ...]) -> None:
    """Codes reach the metadata service line by line: letters, digits, dot, dash and underscore, within bounds."""
    for code in codes:
        if not _PRODUCT_CODE.fullmatch(code):
            raise InvalidManifest(
                f"The manifest's product code {code[:80]!r} is none: 1 to 64 of A-Z a-z 0-9 . _ - are."
            )
    if len(" ".join(codes)) > PRODUCT_CODES_LENGTH_MAX:
        raise InvalidManifest(f"The manifest has {len(codes)} product codes, which is too many.")


def _device_paths(manifest: Manifest) -> dict[str, str]:
    """Where the manifest has root and instance-store disks; they reach the metadata service and machines, so they are held to a form."""
    paths: dict[str, str] = {}
    for mapping in manifest.block_device_mapping:
        if mapping.virtual not in ROOT_NAMES and not EPHEMERAL_NAME.fullmatch(mapping.virtual):
            continue
        path = mapping.device if mapping.device.startswith("/dev/") else f"/dev/{mapping.device}"
        if not _DEVICE_PATH.fullmatch(path):
            raise InvalidManifest(
                f"The manifest maps {mapping.virtual} to {mapping.device[:80]!r}, which is no device."
            )
        if mapping.virtual in paths:
            raise InvalidManifest(f"The manifest maps {mapping.virtual} twice.")
        if any(path == other and not {name, mapping.virtual} <= ROOT_NAMES for name, other in paths.items()):
            raise InvalidManifest(f"The manifest maps {path} twice.")
        paths[mapping.virtual] = path
    return paths


def _ephemeral_devices(virtual: Mapping[str, str], given: Sequence[ImageDevice], root: str) -> tuple[ImageDevice, ...]:
    """The manifest's instance-store disks that the request did not map itself."""
    taken = {root} | {device.device_name for device in given} | {device.virtual_name for device in given}
    return tuple(
        ImageDevice(path, virtual_name=name)
        for name, path in sorted(virtual.items())
        if name not in ROOT_NAMES and not {name, path} & taken
    )
