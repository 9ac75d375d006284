"""Requests that are right in all they say, for tests to change one thing of."""

from typing import Any

from amiable.wire.generated import ec2


def root_mapping(snapshot_id: str, device_name: str = "/dev/sda1", **fields: Any) -> ec2.BlockDeviceMapping:
    """The entry of a root volume."""
    return ec2.BlockDeviceMapping(device_name=device_name, ebs=ec2.EbsBlockDevice(snapshot_id=snapshot_id, **fields))


def registration(snapshot_id: str, name: str = "an image", **fields: Any) -> ec2.RegisterImageRequest:
    """A request that is right in all it says; ``fields`` change it."""
    known: dict[str, Any] = {
        "name": name,
        "architecture": "x86_64",
        "virtualization_type": "hvm",
        "root_device_name": "/dev/sda1",
        "block_device_mappings": [root_mapping(snapshot_id)],
    }
    return ec2.RegisterImageRequest(**{**known, **fields})
