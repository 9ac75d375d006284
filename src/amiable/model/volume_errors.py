"""What EC2 refuses of volumes.  Source: EC2 API error codes."""

from amiable.model.errors import Refusal


class VolumeInUse(Refusal):
    code = "VolumeInUse"
    template = "{volume_id} is already attached to an instance"


class VolumeAttached(VolumeInUse):
    """An attached volume that is to be deleted."""

    template = "Volume {volume_id} is currently attached to {instance_id}"


class InvalidVolumeZoneMismatch(Refusal):
    code = "InvalidVolume.ZoneMismatch"
    template = "The volume '{volume_id}' is not in the same availability zone as instance '{instance_id}'"


class AttachmentLimitExceeded(Refusal):
    code = "AttachmentLimitExceeded"
    template = "The instance '{instance_id}' has {disks_max} disks already, which is as many as there may be."


class VolumeLimitExceeded(Refusal):
    code = "VolumeLimitExceeded"
    template = "You have reached the maximum number of volumes in this region: {volumes_max}."


class SnapshotLimitExceeded(Refusal):
    code = "SnapshotLimitExceeded"
    template = "The account has {count} snapshots in this region and may have {snapshots_max}."
    hint = "delete snapshots, or start the server with a larger snapshots_max"


class InvalidAttachmentNotFound(Refusal):
    code = "InvalidAttachment.NotFound"


class InvalidZoneNotFound(Refusal):
    code = "InvalidZone.NotFound"
    template = "The zone '{zone}' does not exist."


class InvalidParameterDependency(Refusal):
    code = "InvalidParameterDependency"


class IncorrectModificationState(Refusal):
    code = "IncorrectModificationState"
    template = (
        "Volume {volume_id} is in state '{state}'. Volume must be in state 'completed' or 'failed' to be modified."
    )


class VolumeModificationRateExceeded(Refusal):
    code = "VolumeModificationRateExceeded"
    template = (
        "You've reached the maximum modification rate per volume limit: {changes_max} in {hours} hours. "
        "The volume {volume_id} may be modified again at {again_at:%Y-%m-%dT%H:%M:%SZ}."
    )


class VolumeModificationNotFound(Refusal):
    code = "InvalidVolumeModification.NotFound"
    template = "Modification for volume '{volume_id}' does not exist."


class UnknownVolumeType(Refusal):
    code = "UnknownVolumeType"
    template = "Unsupported volume type '{volume_type}' for volume creation."
    hint = "known types: {known}"


class BootForVolumeTypeUnsupported(Refusal):
    code = "BootForVolumeTypeUnsupported"
    template = "A root volume cannot be of type {volume_type}."
