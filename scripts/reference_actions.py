"""Every EC2 action that concerns machine images or that their users cannot do without, by group and tier.

Tier A: no system of machine images is real without it; B: its users expect it; C: the long tail.  The companion services with the
operations of theirs that matter to images.  Source: the EC2 API reference and botocore's model; ``scripts/api_coverage.py`` makes a page of it.
"""

from typing import Final

EC2: Final[dict[str, dict[str, str]]] = {
    "Image lifecycle": {
        "A": (
            "RegisterImage CreateImage CopyImage DeregisterImage DescribeImages DescribeImageAttribute "
            "ModifyImageAttribute ResetImageAttribute"
        ),
    },
    "Sharing and governance": {
        "B": (
            "CancelImageLaunchPermission EnableImageBlockPublicAccess DisableImageBlockPublicAccess "
            "GetImageBlockPublicAccessState EnableAllowedImagesSettings DisableAllowedImagesSettings "
            "GetAllowedImagesSettings ReplaceImageCriteriaInAllowedImagesSettings AttachImageWatermark "
            "DetachImageWatermark ReplaceImageInstanceTypeSpecification"
        ),
        "C": (
            "GetImageFindings StartDeclarativePoliciesReport DescribeDeclarativePoliciesReports "
            "GetDeclarativePoliciesReportSummary CancelDeclarativePoliciesReport"
        ),
    },
    "Paid AMIs / product codes": {
        "C": "ConfirmProductInstance",
    },
    "Deprecate / disable / protect / Recycle Bin": {
        "B": (
            "EnableImageDeprecation DisableImageDeprecation DisableImage EnableImage "
            "EnableImageDeregistrationProtection DisableImageDeregistrationProtection ListImagesInRecycleBin "
            "RestoreImageFromRecycleBin"
        ),
    },
    "Store / restore as one S3 object": {
        "B": "CreateStoreImageTask DescribeStoreImageTasks CreateRestoreImageTask",
    },
    "VM import / export": {
        "B": (
            "ImportImage DescribeImportImageTasks ImportSnapshot DescribeImportSnapshotTasks CancelImportTask "
            "ExportImage DescribeExportImageTasks CancelExportTask"
        ),
        "C": (
            "CreateInstanceExportTask DescribeExportTasks ImportInstance ImportVolume DescribeConversionTasks "
            "CancelConversionTask"
        ),
    },
    "Bundle tasks (S3-backed)": {
        "C": "BundleInstance DescribeBundleTasks CancelBundleTask",
    },
    "Snapshots": {
        "A": (
            "CreateSnapshot CopySnapshot DeleteSnapshot DescribeSnapshots DescribeSnapshotAttribute "
            "ModifySnapshotAttribute ResetSnapshotAttribute"
        ),
        "B": (
            "CreateSnapshots LockSnapshot UnlockSnapshot DescribeLockedSnapshots EnableFastSnapshotRestores "
            "DisableFastSnapshotRestores DescribeFastSnapshotRestores EnableSnapshotBlockPublicAccess "
            "DisableSnapshotBlockPublicAccess GetSnapshotBlockPublicAccessState ListSnapshotsInRecycleBin "
            "RestoreSnapshotFromRecycleBin"
        ),
        "C": "ModifySnapshotTier RestoreSnapshotTier DescribeSnapshotTierStatus",
    },
    "Volumes": {
        "A": "CreateVolume DeleteVolume DescribeVolumes AttachVolume DetachVolume",
        "B": "ModifyVolume DescribeVolumesModifications DescribeVolumeStatus DescribeVolumeAttribute",
        "C": ("ModifyVolumeAttribute EnableVolumeIO CopyVolumes ListVolumesInRecycleBin RestoreVolumeFromRecycleBin"),
    },
    "EBS encryption defaults": {
        "B": (
            "EnableEbsEncryptionByDefault DisableEbsEncryptionByDefault GetEbsEncryptionByDefault "
            "GetEbsDefaultKmsKeyId ModifyEbsDefaultKmsKeyId ResetEbsDefaultKmsKeyId"
        ),
    },
    "Windows fast launch": {
        "C": "EnableFastLaunch DisableFastLaunch DescribeFastLaunchImages",
    },
    "Lineage, usage, references": {
        "B": (
            "GetImageAncestry DescribeImageReferences DescribeInstanceImageMetadata CreateImageUsageReport "
            "DescribeImageUsageReports DescribeImageUsageReportEntries DeleteImageUsageReport"
        ),
    },
    "Tags": {
        "A": "CreateTags DeleteTags DescribeTags",
    },
    "Instances: launch and life": {
        "A": (
            "RunInstances DescribeInstances TerminateInstances StopInstances StartInstances RebootInstances "
            "DescribeInstanceStatus DescribeInstanceAttribute ModifyInstanceAttribute GetConsoleOutput"
        ),
        "B": (
            "GetConsoleScreenshot GetPasswordData GetInstanceUefiData CreateReplaceRootVolumeTask "
            "DescribeReplaceRootVolumeTasks ModifyInstanceMetadataOptions ModifyInstanceMetadataDefaults "
            "GetInstanceMetadataDefaults EnableSerialConsoleAccess DisableSerialConsoleAccess "
            "GetSerialConsoleAccessStatus DescribeInstanceCreditSpecifications AssociateIamInstanceProfile "
            "DisassociateIamInstanceProfile ReplaceIamInstanceProfileAssociation "
            "DescribeIamInstanceProfileAssociations"
        ),
        "C": (
            "ResetInstanceAttribute GetInstanceTpmEkPub SendDiagnosticInterrupt MonitorInstances "
            "UnmonitorInstances ReportInstanceStatus ModifyInstanceCreditSpecification "
            "ModifyInstanceMaintenanceOptions ModifyInstanceCpuOptions ModifyInstancePlacement "
            "ModifyInstanceCapacityReservationAttributes ModifyPrivateDnsNameOptions"
        ),
    },
    "Launch templates, fleet, spot (ways to launch)": {
        "B": (
            "CreateLaunchTemplate CreateLaunchTemplateVersion DescribeLaunchTemplates "
            "DescribeLaunchTemplateVersions ModifyLaunchTemplate DeleteLaunchTemplate "
            "DeleteLaunchTemplateVersions"
        ),
        "C": (
            "GetLaunchTemplateData CreateFleet DescribeFleets DescribeFleetInstances DeleteFleets "
            "RequestSpotInstances DescribeSpotInstanceRequests CancelSpotInstanceRequests "
            "DescribeSpotPriceHistory"
        ),
    },
    "Key pairs": {
        "A": "CreateKeyPair ImportKeyPair DeleteKeyPair DescribeKeyPairs",
    },
    "Regions, zones, types, network that clients cannot do without": {
        "A": (
            "DescribeRegions DescribeAvailabilityZones DescribeAccountAttributes DescribeInstanceTypes "
            "DescribeInstanceTypeOfferings DescribeVpcs DescribeSubnets DescribeSecurityGroups "
            "CreateSecurityGroup DeleteSecurityGroup AuthorizeSecurityGroupIngress DescribeNetworkInterfaces"
        ),
        "B": (
            "AuthorizeSecurityGroupEgress RevokeSecurityGroupIngress RevokeSecurityGroupEgress "
            "DescribeSecurityGroupRules CreateDefaultVpc CreateDefaultSubnet CreateVpc DeleteVpc "
            "DescribeVpcAttribute ModifyVpcAttribute CreateSubnet DeleteSubnet ModifySubnetAttribute "
            "CreateInternetGateway AttachInternetGateway DetachInternetGateway DeleteInternetGateway "
            "DescribeInternetGateways CreateRouteTable DeleteRouteTable DescribeRouteTables CreateRoute "
            "DeleteRoute AssociateRouteTable DisassociateRouteTable DescribeNetworkAcls AllocateAddress "
            "ReleaseAddress AssociateAddress DisassociateAddress DescribeAddresses CreateNetworkInterface "
            "DeleteNetworkInterface AttachNetworkInterface DetachNetworkInterface "
            "ModifyNetworkInterfaceAttribute"
        ),
        "C": (
            "ModifySecurityGroupRules UpdateSecurityGroupRuleDescriptionsIngress "
            "UpdateSecurityGroupRuleDescriptionsEgress DescribeDhcpOptions DescribeNetworkInterfaceAttribute "
            "DescribePlacementGroups CreatePlacementGroup DeletePlacementGroup "
            "GetInstanceTypesFromInstanceRequirements DescribePrefixLists DescribeManagedPrefixLists "
            "DescribeVpcClassicLink DescribeVpcClassicLinkDnsSupport"
        ),
    },
    "Odds and ends with 'image' or ID format in them": {
        "C": (
            "CreateFpgaImage CopyFpgaImage DescribeFpgaImages DescribeFpgaImageAttribute "
            "ModifyFpgaImageAttribute ResetFpgaImageAttribute DeleteFpgaImage DescribeIdFormat ModifyIdFormat "
            "DescribeAggregateIdFormat DescribeIdentityIdFormat ModifyIdentityIdFormat DescribePrincipalIdFormat"
        ),
    },
}
"""Group → tier → names, space-separated, in the reference's order."""

COMPANIONS: Final[dict[str, tuple[str, str]]] = {
    "ebs": (
        "A",
        "StartSnapshot PutSnapshotBlock CompleteSnapshot ListSnapshotBlocks ListChangedBlocks GetSnapshotBlock",
    ),
    "rbin": (
        "B",
        "CreateRule DeleteRule GetRule ListRules UpdateRule LockRule UnlockRule TagResource UntagResource ListTagsForResource",
    ),
    "ssm": ("B", "GetParameter GetParameters GetParametersByPath PutParameter"),
    "sts": ("A", "GetCallerIdentity DecodeAuthorizationMessage AssumeRole"),
    "iam": ("B", "GetInstanceProfile CreateInstanceProfile AddRoleToInstanceProfile"),
    "s3": (
        "B",
        "ListBuckets CreateBucket HeadBucket DeleteBucket GetBucketLocation PutObject GetObject HeadObject DeleteObject "
        "DeleteObjects CopyObject ListObjects ListObjectsV2 CreateMultipartUpload UploadPart CompleteMultipartUpload "
        "AbortMultipartUpload ListParts ListMultipartUploads GetBucketAcl PutBucketAcl GetObjectAcl PutObjectAcl",
    ),
    "kms": ("C", "CreateGrant GenerateDataKey Decrypt ReEncrypt"),
    "ec2-instance-connect": ("C", "SendSSHPublicKey SendSerialConsoleSSHPublicKey"),
}
"""Service → tier, the operations that matter to images.  What Amiable speaks beyond them is on the page too."""

ABSENT_SERVICES: Final = (
    "imagebuilder",
    "dlm",
    "marketplace-catalog",
    "organizations",
    "backup",
    "events",
    "cloudtrail",
)
"""Companions of which nothing is spoken under their own names."""
