"""What an image takes over from the instance it is bundled in: kernel, ramdisk, product codes, block devices, ancestry.

Read from the instance metadata service, whose paths and forms are EC2's; the reader is a value, so nothing here speaks HTTP.
"""

from collections.abc import Callable
from dataclasses import dataclass

from amiable.model.manifest import Mapping

Read = Callable[[str], str | None]
"""The text of a path below /latest/meta-data/, ``None`` where there is no such thing."""


@dataclass(frozen=True, slots=True)
class Inherited:
    """What the instance was launched with; ``ancestor_ami_ids`` end with the image of the instance itself."""

    kernel_id: str | None = None
    ramdisk_id: str | None = None
    product_codes: tuple[str, ...] = ()
    block_device_mapping: tuple[Mapping, ...] = ()
    ancestor_ami_ids: tuple[str, ...] = ()


def inherit(read: Read) -> Inherited:
    """What the metadata service behind ``read`` tells."""
    names = _lines(read("block-device-mapping/"))
    devices = ((name, (read(f"block-device-mapping/{name}") or "").strip()) for name in names)
    ancestors = [*_lines(read("ancestor-ami-ids")), *_lines(read("ami-id"))]
    return Inherited(
        kernel_id=(read("kernel-id") or "").strip() or None,
        ramdisk_id=(read("ramdisk-id") or "").strip() or None,
        product_codes=tuple(_lines(read("product-codes"))),
        block_device_mapping=tuple(Mapping(name, device) for name, device in devices if device),
        ancestor_ami_ids=tuple(dict.fromkeys(ancestors)),
    )


def _lines(text: str | None) -> list[str]:
    return [line.strip() for line in (text or "").splitlines() if line.strip()]
