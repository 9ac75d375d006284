"""What is refused of instances: their launch, their change and their bundling.  Source: EC2 API error codes."""

from amiable.model.errors import Refusal


class InvalidInstanceAttributeValue(Refusal):
    code = "InvalidInstanceAttributeValue"
    template = "Invalid value '{value}' for {attribute}. {why}"


class InvalidInstanceType(Refusal):
    code = "InvalidInstanceType"
    template = "The following supplied instance types do not exist: [{names}]"
    hint = "DescribeInstanceTypes lists those that there are; amiable.2c4g and its like have any size"


class UnsupportedInstanceAttribute(Refusal):
    code = "UnsupportedInstanceAttribute"


class UnsupportedHibernationConfiguration(Refusal):
    code = "UnsupportedHibernationConfiguration"
    template = "The instance can't be hibernated because it was not configured at launch for hibernation: {instance_id}"
    hint = "stop it without Hibernate: instances cannot hibernate here"


class InstanceTpmEkPubNotFound(Refusal):
    code = "InstanceTpmEkPubNotFound"
    template = "The Trusted Platform Module (TPM) endorsement key of the instance '{instance_id}' was not found."
    hint = "an instance has one after its first boot where its image has TpmSupport"


class InvalidInstanceID(Refusal):
    code = "InvalidInstanceID"
    template = (
        "There are multiple interfaces attached to instance '{instance_id}'. "
        "Please specify an interface ID for the operation instead."
    )
    hint = "ModifyNetworkInterfaceAttribute changes one interface"


class IdempotentInstanceTerminated(Refusal):
    code = "IdempotentInstanceTerminated"
    template = "The client token belongs to an instance that is terminated: {instance_ids}."


class BundlingInProgress(Refusal):
    code = "BundlingInProgress"
    template = "The instance '{instance_id}' has a bundle task already, {bundle_id}: it is {state}."


class InvalidUserDataMalformed(Refusal):
    code = "InvalidUserData.Malformed"
    template = "Invalid BASE64 encoding of user data: {why}"
