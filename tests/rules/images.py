"""An image as a value, for tests to change one thing of."""

from datetime import UTC, datetime

from amiable.model.image import Image, ImageDevice, ImageState, ImageType, RootDeviceType

OWNER = "111111111111"
OTHER = "222222222222"
AN_IMAGE = Image(
    id="ami-0123456789abcdef0",
    account_id=OWNER,
    region="us-east-1",
    name="an image",
    description=None,
    state=ImageState.AVAILABLE,
    state_reason=None,
    image_type=ImageType.MACHINE,
    architecture="x86_64",
    virtualization_type="hvm",
    root_device_type=RootDeviceType.EBS,
    root_device_name="/dev/sda1",
    kernel_id=None,
    ramdisk_id=None,
    platform=None,
    location=f"{OWNER}/an image",
    boot_mode=None,
    tpm_support=None,
    imds_support=None,
    sriov_net_support=None,
    ena_support=True,
    created_at=datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC),
    devices=(ImageDevice("/dev/sda1", snapshot_id="snap-0123456789abcdef0", size_gib=8, volume_type="gp2"),),
)
