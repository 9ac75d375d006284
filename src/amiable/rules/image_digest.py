"""The content digest of an image: equal for equal bytes and equal attributes, in whatever region and installation.

    digest = SHA-256 of these lines, each ended by a line feed, those without a value left out

    amiable-image-v1
    type machine                                architecture x86_64              virtualization hvm
    platform windows                            root-device-type ebs             root-device /dev/xvda
    boot-mode uefi   tpm v2.0   imds v2.0       sriov simple   ena yes           uefi-data SHA-256 of its text
    kernel DIGEST    ramdisk DIGEST             of the images that are its defaults, by what they hold
    root CONTENT                                instance-store: the converted root
    device NAME volume CONTENT|empty GIB TYPE IOPS|- THROUGHPUT|- delete|keep
    device NAME ephemeral VIRTUAL-NAME          by name

CONTENT is the content digest of a disk (``content_digest``) in hex: of a snapshot at the snapshot's size, of an instance-store root and
of a kernel's file at their length in bytes.  What an image is called, whose it is, when it was made, by which ids and how its bytes are
kept (encrypted, compressed) does not count.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from urllib.parse import quote

from amiable.model.image import Image, ImageDevice, ImageType, RootDeviceType
from amiable.model.units import BLOCK_BYTES
from amiable.rules.content_digest import ContentDigest

FORMAT: Final = "amiable-image-v1"
PREFIX: Final = "sha256:"


class Unknown(Exception):
    """A part of the image whose own digest is not known (yet)."""


def image_digest(image: Image, contents: Mapping[str, bytes]) -> bytes:
    """The digest of ``image``; ``contents``: snapshots, kernels, ramdisks, and for a kernel itself its file, by id.

    Raises Unknown where one that it needs is missing.
    """
    return hashlib.sha256("".join(f"{line}\n" for line in _lines(image, contents)).encode()).digest()


def file_digest(chunks: Iterable[bytes], size_bytes: int) -> bytes:
    """The content digest of a file whose blocks ``chunks`` are, the last one possibly short."""
    whole = ContentDigest(size_bytes)
    for index, chunk in enumerate(chunks):
        whole.add(index, hashlib.sha256(chunk.ljust(BLOCK_BYTES, b"\0")).digest())
    return whole.digest()


def write_digest(digest: bytes) -> str:
    """The digest as it is shown: ``sha256:`` and hex."""
    return PREFIX + digest.hex()


def read_digest(text: str) -> bytes | None:
    """What :func:`write_digest` wrote; None where ``text`` is none."""
    digits = text.removeprefix(PREFIX)
    if not text.startswith(PREFIX) or len(digits) != 64 or not set(digits) <= set("0123456789abcdef"):
        return None
    return bytes.fromhex(digits)


def _lines(image: Image, contents: Mapping[str, bytes]) -> Iterator[str]:
    yield FORMAT
    yield f"type {image.image_type}"
    yield f"architecture {image.architecture}"
    if image.image_type is not ImageType.MACHINE:
        yield f"content {_hex(contents, image.id)}"
        return
    yield f"virtualization {image.virtualization_type}"
    attributes = {
        "platform": image.platform,
        "root-device-type": image.root_device_type.value,
        "root-device": image.root_device_name,
        "boot-mode": image.boot_mode,
        "tpm": image.tpm_support,
        "imds": image.imds_support,
        "sriov": image.sriov_net_support,
        "ena": "yes" if image.ena_support else None,
        "uefi-data": hashlib.sha256(image.uefi_data.encode()).hexdigest() if image.uefi_data else None,
    }
    for name, value in attributes.items():
        if value is not None:
            yield f"{name} {_word(value)}"
    for name, image_id in (("kernel", image.kernel_id), ("ramdisk", image.ramdisk_id)):
        if image_id is not None:
            yield f"{name} {_hex(contents, image_id)}"
    if image.root_device_type is RootDeviceType.INSTANCE_STORE:
        yield f"root {_hex(contents, image.root_snapshot_id or '')}"
    for device in sorted(image.devices, key=lambda each: each.device_name):
        yield f"device {_word(device.device_name)} {_device(device, contents)}"


def _device(device: ImageDevice, contents: Mapping[str, bytes]) -> str:
    if device.virtual_name is not None:
        return f"ephemeral {_word(device.virtual_name)}"
    content = "empty" if device.snapshot_id is None else _hex(contents, device.snapshot_id)
    numbers = " ".join("-" if number is None else str(number) for number in (device.iops, device.throughput))
    ending = "keep" if device.delete_on_termination is False else "delete"
    return f"volume {content} {device.size_gib} {_word(device.volume_type or '-')} {numbers} {ending}"


def _hex(contents: Mapping[str, bytes], identifier: str) -> str:
    if identifier not in contents:
        raise Unknown(identifier)
    return contents[identifier].hex()


def _word(text: str) -> str:
    """The text as one word of a line."""
    return quote(text, safe="/")
