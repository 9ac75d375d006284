"""The manifest of an instance-store bundle: what it says of the image, its parts and its keys.

Values only; ``bundle/manifest_xml.py`` reads and writes the document, and knows which of these are signed.
Sizes are bytes.  An element that is absent is ``None`` or an empty tuple.  Source: the ec2-ami-tools format, version 2007-10-10.
"""

from dataclasses import dataclass
from typing import Final

MANIFEST_VERSION: Final = "2007-10-10"
"""The version that is written."""

MACHINE: Final = "machine"
KERNEL: Final = "kernel"
RAMDISK: Final = "ramdisk"
IMAGE_TYPES: Final = (MACHINE, KERNEL, RAMDISK)


@dataclass(frozen=True, slots=True)
class Bundler:
    """The program that made the bundle, as it names itself."""

    name: str = ""
    version: str = ""
    release: str = ""


@dataclass(frozen=True, slots=True)
class Mapping:
    """One block device mapping: ``virtual`` (ami, root, swap, ephemeralN) lies at ``device``."""

    virtual: str
    device: str


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of the cipher text; ``sha1`` is 40 lower-case hex digits of its bytes."""

    index: int
    filename: str
    sha1: str


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """Key and IV under one certificate: RSA ciphertexts in hex; ``None`` where the bundler left them empty."""

    key: str | None
    iv: str | None


@dataclass(frozen=True, slots=True)
class Manifest:
    """A whole manifest.  ``parts`` are in index order; ``image_sha1`` is of the tar stream, not of the image.

    ``signature`` is hex, or ``None`` where the bundler did not sign; ``signed_texts`` are the texts that it may be over, the raw
    bytes first.  Both are empty in a manifest that has not been read from a document.
    """

    name: str
    account_id: str
    image_sha1: str
    size_bytes: int
    bundled_size_bytes: int
    ec2: WrappedKey
    user: WrappedKey
    parts: tuple[Part, ...]
    version: str = MANIFEST_VERSION
    bundler: Bundler = Bundler()
    architecture: str | None = None
    kernel_id: str | None = None
    ramdisk_id: str | None = None
    block_device_mapping: tuple[Mapping, ...] = ()
    product_codes: tuple[str, ...] = ()
    image_type: str | None = None
    kernel_name: str | None = None
    ancestor_ami_ids: tuple[str, ...] = ()
    signature: str | None = None
    signed_texts: tuple[bytes, ...] = ()
