"""How EC2 speaks of ids, by noun: the word in a refusal's text, and the codes of one that is not there or is ill-formed."""

from typing import Final

WORDS: Final = {
    "image": "image id",
    "kernel": "image id",
    "ramdisk": "image id",
    "snapshot": "snapshot",
    "volume": "volume",
    "instance": "instance ID",
    "key_pair": "key pair",
    "subnet": "subnet ID",
    "vpc": "vpc ID",
    "security_group": "security group",
    "import_task": "import task",
    "bundle_task": "bundle task",
    "usage_report": "image usage report",
    "resource": "ID",
    "instance_type": "instance type",
}
NOT_FOUND: Final = {
    "image": "InvalidAMIID.NotFound",
    "kernel": "InvalidAMIID.NotFound",
    "ramdisk": "InvalidAMIID.NotFound",
    "snapshot": "InvalidSnapshot.NotFound",
    "volume": "InvalidVolume.NotFound",
    "instance": "InvalidInstanceID.NotFound",
    "key_pair": "InvalidKeyPair.NotFound",
    "subnet": "InvalidSubnetID.NotFound",
    "vpc": "InvalidVpcID.NotFound",
    "security_group": "InvalidGroup.NotFound",
    "import_task": "InvalidConversionTaskId",
    "bundle_task": "InvalidBundleID.NotFound",
    "usage_report": "InvalidParameterValue",
    "resource": "InvalidID",
    "instance_type": "InvalidInstanceType",
}
MALFORMED: Final = {
    "image": "InvalidAMIID.Malformed",
    "kernel": "InvalidKernelId.Malformed",
    "ramdisk": "InvalidRamDiskId.Malformed",
    "snapshot": "InvalidSnapshotID.Malformed",
    "volume": "InvalidVolumeID.Malformed",
    "instance": "InvalidInstanceID.Malformed",
    "key_pair": "InvalidParameterValue",
    "subnet": "InvalidSubnetID.Malformed",
    "vpc": "InvalidVpcID.Malformed",
    "security_group": "InvalidGroupId.Malformed",
    "import_task": "InvalidConversionTaskId.Malformed",
    "usage_report": "InvalidParameterValue",
    "resource": "InvalidID",
}
