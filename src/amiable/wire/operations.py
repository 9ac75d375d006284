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
    "ResetImageAttribute",
    # sharing and governance
    "CancelImageLaunchPermission",
    "EnableImageBlockPublicAccess",
    "DisableImageBlockPublicAccess",
    "GetImageBlockPublicAccessState",
    "EnableAllowedImagesSettings",
    "DisableAllowedImagesSettings",
    "GetAllowedImagesSettings",
    "ReplaceImageCriteriaInAllowedImagesSettings",
    "AttachImageWatermark",
    "DetachImageWatermark",
    "ReplaceImageInstanceTypeSpecification",
    "ConfirmProductInstance",
    # retirement
    "EnableImageDeprecation",
    "DisableImageDeprecation",
    "EnableImage",
    "DisableImage",
    "EnableImageDeregistrationProtection",
    "DisableImageDeregistrationProtection",
    "ListImagesInRecycleBin",
    "RestoreImageFromRecycleBin",
    # lineage, usage, references
    "GetImageAncestry",
    "DescribeImageReferences",
    "DescribeInstanceImageMetadata",
    "CreateImageUsageReport",
    "DescribeImageUsageReports",
    "DescribeImageUsageReportEntries",
    "DeleteImageUsageReport",
    # bundle tasks
    "BundleInstance",
    "DescribeBundleTasks",
    "CancelBundleTask",
    # snapshots
    "ImportSnapshot",
    "DescribeImportSnapshotTasks",
    "DescribeSnapshots",
    "DeleteSnapshot",
    "DescribeSnapshotAttribute",
    "ModifySnapshotAttribute",
    "ResetSnapshotAttribute",
    "EnableSnapshotBlockPublicAccess",
    "DisableSnapshotBlockPublicAccess",
    "GetSnapshotBlockPublicAccessState",
    "LockSnapshot",
    "UnlockSnapshot",
    "DescribeLockedSnapshots",
    "ListSnapshotsInRecycleBin",
    "RestoreSnapshotFromRecycleBin",
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

RBIN: Final = (
    "CreateRule",
    "GetRule",
    "ListRules",
    "UpdateRule",
    "DeleteRule",
    "LockRule",
    "UnlockRule",
    "TagResource",
    "UntagResource",
    "ListTagsForResource",
)

SSM: Final = (
    "PutParameter",
    "GetParameter",
    "GetParameters",
    "GetParametersByPath",
    "DescribeParameters",
    "GetParameterHistory",
    "DeleteParameter",
    "DeleteParameters",
    "AddTagsToResource",
    "RemoveTagsFromResource",
    "ListTagsForResource",
)

SERVICES: Final = {"ec2": EC2, "ebs": EBS, "sts": STS, "iam": IAM, "rbin": RBIN, "ssm": SSM}
