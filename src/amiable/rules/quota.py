"""How many images and snapshots an account may have in a region, and how many of the images public.

Source: EC2 User Guide, "AMI quotas", EBS User Guide, "Quotas"; the numbers are settings of the installation.
"""

from amiable.model.errors import ResourceLimitExceeded
from amiable.model.volume_errors import SnapshotLimitExceeded


def check_image_quota(count: int, images_max: int) -> None:
    """Refuses one image more where ``count`` are there: pending, failed, disabled and binned ones count."""
    if count >= images_max:
        raise ResourceLimitExceeded(
            f"The account has {count} images in this region and may have {images_max}.",
            hint="deregister images, or start the server with a larger images_max",
        )


def check_public_quota(count: int, images_public_max: int) -> None:
    """Refuses one public image more where ``count`` are public."""
    if count >= images_public_max:
        raise ResourceLimitExceeded(
            f"The account has {count} public images in this region and may have {images_public_max}.",
            hint="make others private, or start the server with a larger images_public_max",
        )


def check_snapshot_quota(count: int, snapshots_max: int) -> None:
    """Refuses one snapshot more where ``count`` are there: pending ones and binned ones count."""
    if count >= snapshots_max:
        raise SnapshotLimitExceeded(count=count, snapshots_max=snapshots_max)
