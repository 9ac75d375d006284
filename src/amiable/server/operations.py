"""Which function answers which operation."""

from collections.abc import Callable
from typing import Any, Final

from amiable.api import iam as iam_operations
from amiable.api import sts as sts_operations
from amiable.api.ec2 import (
    allowed_images,
    block_public_access,
    bundle_tasks,
    describe_images,
    image_attributes,
    image_sharing,
    images,
    import_snapshot,
    instance_attributes,
    instance_states,
    instance_type_rules,
    instance_types,
    instances,
    key_pairs,
    launch,
    network,
    placement,
    register_image,
    snapshot_attributes,
    snapshots,
    tags,
    watermarks,
)
from amiable.api.ssm import delete_parameters, describe_parameters, get_parameters, put_parameter
from amiable.model.principal import Principal
from amiable.services import Services

Operation = Callable[[Services, Principal, Any], Any]

EC2: Final[dict[str, Operation]] = {
    "RegisterImage": register_image.register_image,
    "DescribeImages": describe_images.describe_images,
    "DeregisterImage": images.deregister_image,
    "ModifyImageAttribute": image_attributes.modify_image_attribute,
    "DescribeImageAttribute": image_attributes.describe_image_attribute,
    "ResetImageAttribute": image_attributes.reset_image_attribute,
    "AttachImageWatermark": watermarks.attach_image_watermark,
    "DetachImageWatermark": watermarks.detach_image_watermark,
    "ReplaceImageInstanceTypeSpecification": instance_type_rules.replace_image_instance_type_specification,
    "CancelImageLaunchPermission": image_sharing.cancel_image_launch_permission,
    "EnableImageBlockPublicAccess": block_public_access.enable_image_block_public_access,
    "DisableImageBlockPublicAccess": block_public_access.disable_image_block_public_access,
    "GetImageBlockPublicAccessState": block_public_access.get_image_block_public_access_state,
    "EnableSnapshotBlockPublicAccess": block_public_access.enable_snapshot_block_public_access,
    "DisableSnapshotBlockPublicAccess": block_public_access.disable_snapshot_block_public_access,
    "GetSnapshotBlockPublicAccessState": block_public_access.get_snapshot_block_public_access_state,
    "EnableAllowedImagesSettings": allowed_images.enable_allowed_images_settings,
    "DisableAllowedImagesSettings": allowed_images.disable_allowed_images_settings,
    "GetAllowedImagesSettings": allowed_images.get_allowed_images_settings,
    "ReplaceImageCriteriaInAllowedImagesSettings": allowed_images.replace_image_criteria_in_allowed_images_settings,
    "BundleInstance": bundle_tasks.bundle_instance,
    "DescribeBundleTasks": bundle_tasks.describe_bundle_tasks,
    "CancelBundleTask": bundle_tasks.cancel_bundle_task,
    "ImportSnapshot": import_snapshot.import_snapshot,
    "DescribeImportSnapshotTasks": import_snapshot.describe_import_snapshot_tasks,
    "DescribeSnapshots": snapshots.describe_snapshots,
    "DescribeSnapshotAttribute": snapshot_attributes.describe_snapshot_attribute,
    "ModifySnapshotAttribute": snapshot_attributes.modify_snapshot_attribute,
    "ResetSnapshotAttribute": snapshot_attributes.reset_snapshot_attribute,
    "DeleteSnapshot": snapshots.delete_snapshot,
    "CreateTags": tags.create_tags,
    "DeleteTags": tags.delete_tags,
    "DescribeTags": tags.describe_tags,
    "RunInstances": launch.run_instances,
    "DescribeInstances": instances.describe_instances,
    "DescribeInstanceStatus": instances.describe_instance_status,
    "DescribeInstanceAttribute": instance_attributes.describe_instance_attribute,
    "ModifyInstanceAttribute": instance_attributes.modify_instance_attribute,
    "StopInstances": instance_states.stop_instances,
    "StartInstances": instance_states.start_instances,
    "RebootInstances": instance_states.reboot_instances,
    "TerminateInstances": instance_states.terminate_instances,
    "GetConsoleOutput": instance_states.get_console_output,
    "DescribeInstanceTypes": instance_types.describe_instance_types,
    "CreateKeyPair": key_pairs.create_key_pair,
    "ImportKeyPair": key_pairs.import_key_pair,
    "DescribeKeyPairs": key_pairs.describe_key_pairs,
    "DeleteKeyPair": key_pairs.delete_key_pair,
    "DescribeRegions": placement.describe_regions,
    "DescribeAvailabilityZones": placement.describe_availability_zones,
    "DescribeVpcs": network.describe_vpcs,
    "DescribeSubnets": network.describe_subnets,
    "DescribeSecurityGroups": network.describe_security_groups,
}

STS: Final[dict[str, Operation]] = {
    "GetCallerIdentity": sts_operations.get_caller_identity,
    "GetSessionToken": sts_operations.get_session_token,
}

IAM: Final[dict[str, Operation]] = {
    "UploadSigningCertificate": iam_operations.upload_signing_certificate,
    "ListSigningCertificates": iam_operations.list_signing_certificates,
    "UpdateSigningCertificate": iam_operations.update_signing_certificate,
    "DeleteSigningCertificate": iam_operations.delete_signing_certificate,
}

SSM: Final[dict[str, Operation]] = {
    "PutParameter": put_parameter.put_parameter,
    "GetParameter": get_parameters.get_parameter,
    "GetParameters": get_parameters.get_parameters,
    "GetParametersByPath": describe_parameters.get_parameters_by_path,
    "DescribeParameters": describe_parameters.describe_parameters,
    "GetParameterHistory": describe_parameters.get_parameter_history,
    "DeleteParameter": delete_parameters.delete_parameter,
    "DeleteParameters": delete_parameters.delete_parameters,
}
