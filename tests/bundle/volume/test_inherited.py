from amiable.bundle.volume.inherited import Inherited, inherit
from amiable.model.manifest import Mapping


def test_everything_an_instance_was_launched_with_is_taken_over() -> None:
    service = {
        "kernel-id": "aki-1",
        "ramdisk-id": "ari-1\n",
        "product-codes": "A\nB",
        "block-device-mapping/": "ami\nroot",
        "block-device-mapping/ami": "sda1",
        "block-device-mapping/root": "/dev/sda1",
        "ancestor-ami-ids": "ami-0\n",
        "ami-id": "ami-1",
    }
    assert inherit(service.get) == Inherited(
        kernel_id="aki-1",
        ramdisk_id="ari-1",
        product_codes=("A", "B"),
        block_device_mapping=(Mapping("ami", "sda1"), Mapping("root", "/dev/sda1")),
        ancestor_ami_ids=("ami-0", "ami-1"),
    )


def test_an_instance_without_kernel_or_codes_leaves_them_open() -> None:
    assert inherit({"ami-id": "ami-1"}.get) == Inherited(ancestor_ami_ids=("ami-1",))
