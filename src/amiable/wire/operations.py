"""Which operations Amiable speaks, by hand: ``make wire`` writes ``generated/`` from these names and botocore's model.

To add an operation: its name here, ``make wire``, one function in ``api/``, one line in ``server/operations.py``, a test beside each.
"""

from typing import Final

EC2: Final = (
    # images
    "RegisterImage",
    "DescribeImages",
    "DeregisterImage",
    "ModifyImageAttribute",
    "DescribeImageAttribute",
    # bundle tasks
    "BundleInstance",
    "DescribeBundleTasks",
    "CancelBundleTask",
    # snapshots
    "ImportSnapshot",
    "DescribeImportSnapshotTasks",
    "DescribeSnapshots",
    "DeleteSnapshot",
    # instances
    "RunInstances",
    "DescribeInstances",
    "DescribeInstanceStatus",
    "DescribeInstanceAttribute",
    "ModifyInstanceAttribute",
    "StopInstances",
    "StartInstances",
    "RebootInstances",
    "TerminateInstances",
    "GetConsoleOutput",
    "DescribeInstanceTypes",
    # key pairs
    "CreateKeyPair",
    "ImportKeyPair",
    "DescribeKeyPairs",
    "DeleteKeyPair",
    # tags
    "CreateTags",
    "DeleteTags",
    "DescribeTags",
    # placement, network
    "DescribeRegions",
    "DescribeAvailabilityZones",
    "DescribeVpcs",
    "DescribeSubnets",
    "DescribeSecurityGroups",
)

EBS: Final = (
    "StartSnapshot",
    "PutSnapshotBlock",
    "CompleteSnapshot",
    "ListSnapshotBlocks",
    "GetSnapshotBlock",
)

STS: Final = ("GetCallerIdentity", "GetSessionToken")

IAM: Final = (
    "UploadSigningCertificate",
    "ListSigningCertificates",
    "UpdateSigningCertificate",
    "DeleteSigningCertificate",
)

SERVICES: Final = {"ec2": EC2, "ebs": EBS, "sts": STS, "iam": IAM}
