"""What making images and snapshots of instances and volumes refuses, in EC2's words.  Source: EC2 API error codes."""

from amiable.model.errors import Refusal


class NonEBSInstance(Refusal):
    code = "NonEBSInstance"
    template = "The instance '{instance_id}' does not have an 'ebs' root device type: its root cannot be imaged."
    hint = "bundle it: amiable bundle instance {instance_id}"


class ConcurrentCreateImageNoRebootLimitExceeded(Refusal):
    code = "ConcurrentCreateImageNoRebootLimitExceeded"
    template = "The instance '{instance_id}' has {count} images being made of it without a reboot; it may have no more at once."


class ConcurrentSnapshotLimitExceeded(Refusal):
    code = "ConcurrentSnapshotLimitExceeded"
    template = "The volume '{volume_id}' has {count} pending snapshots; it may have no more at once."


class InvalidRegion(Refusal):
    code = "InvalidRegion"
    template = "Region {region} is not found: it is none of this installation's, {regions}."
