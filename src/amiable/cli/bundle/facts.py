"""What a manifest says, in the words that commands print."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from amiable.model.manifest import Manifest


def facts(manifest: "Manifest") -> dict[str, Any]:
    """What a manifest says, for printing."""
    return {
        "Name": manifest.name,
        "OwnerId": manifest.account_id,
        "ImageType": manifest.image_type or "machine",
        "Architecture": manifest.architecture or "i386",
        "KernelId": manifest.kernel_id,
        "RamdiskId": manifest.ramdisk_id,
        "BlockDeviceMapping": ",".join(f"{m.virtual}={m.device}" for m in manifest.block_device_mapping),
        "ProductCodes": ",".join(manifest.product_codes),
        "Size": manifest.size_bytes,
        "BundledSize": manifest.bundled_size_bytes,
        "Bundler": " ".join(filter(None, (manifest.bundler.name, manifest.bundler.version))),
        "ManifestVersion": manifest.version,
    }
