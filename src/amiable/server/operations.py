"""Which function answers which operation."""

from collections.abc import Callable
from typing import Any, Final

from amiable.api import sts as sts_operations
from amiable.api.ec2 import image_attributes, images, import_snapshot, register_image, snapshots, tags
from amiable.api.ec2 import instance_states, instance_types, instances, key_pairs, launch, network, placement
from amiable.model.principal import Principal
from amiable.services import Services

Operation = Callable[[Services, Principal, Any], Any]

EC2: Final[dict[str, Operation]] = {
    "RunInstances": launch.run_instances,
    "DescribeInstances": instances.describe_instances,
    "DescribeInstanceStatus": instances.describe_instance_status,
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
}
