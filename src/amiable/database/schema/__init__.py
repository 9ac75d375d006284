"""Every table: columns with types, nothing pickled, no JSON in what is queried.

Each resource carries its account and region.  Bytes before facts: a row never names a byte that is not durable.  Alembic
migrations in ``migrations/`` lead here, and a test proves that they do.
"""

from amiable.database.schema.accounts import (
    access_key,
    account,
    organization,
    organization_member,
    organizational_unit,
    signing_certificate,
)
from amiable.database.schema.blocks import block, generation, leaf, pack
from amiable.database.schema.consoles import boot, console_post, password_data, serial_console_access
from amiable.database.schema.firewall import (
    network_interface,
    network_interface_group,
    security_group,
    security_group_rule,
)
from amiable.database.schema.governance import (
    allowed_images,
    image_instance_type,
    image_watermark,
    name_guard,
    name_guard_finding,
    name_lookup,
)
from amiable.database.schema.images import image, image_device, launch_permission
from amiable.database.schema.instances import bundle_task, instance, key_pair, reservation, volume
from amiable.database.schema.jobs import job
from amiable.database.schema.launch_templates import launch_template, launch_template_version
from amiable.database.schema.lineage import (
    event,
    image_usage_report,
    image_usage_report_entry,
    image_usage_report_type,
)
from amiable.database.schema.metadata import metadata
from amiable.database.schema.network import (
    address,
    default_network,
    dhcp_options,
    internet_gateway,
    network_acl,
    route,
    route_table,
    route_table_association,
    subnet,
    vpc,
)
from amiable.database.schema.objects import bucket, multipart_part, multipart_upload, object_
from amiable.database.schema.parameters import channel, channel_version, parameter, parameter_tag, parameter_version
from amiable.database.schema.products import (
    metering_end,
    metering_run,
    metering_seen,
    product,
    product_price,
    product_subscription,
    resource_product_code,
)
from amiable.database.schema.retirement import (
    retention_rule,
    retention_rule_match,
    retention_rule_tag,
    snapshot_lock,
)
from amiable.database.schema.roles import (
    instance_profile,
    instance_profile_association,
    metadata_default,
    role,
    role_policy,
)
from amiable.database.schema.root_replacements import root_replacement
from amiable.database.schema.sharing import account_region_setting, create_volume_permission
from amiable.database.schema.snapshots import import_snapshot_task, pending_block, snapshot, snapshot_leaf
from amiable.database.schema.tags import client_token, tag

__all__ = [
    "access_key",
    "account",
    "account_region_setting",
    "address",
    "allowed_images",
    "block",
    "boot",
    "bucket",
    "bundle_task",
    "channel",
    "channel_version",
    "client_token",
    "console_post",
    "create_volume_permission",
    "default_network",
    "dhcp_options",
    "event",
    "generation",
    "image",
    "image_device",
    "image_instance_type",
    "image_usage_report",
    "image_usage_report_entry",
    "image_usage_report_type",
    "image_watermark",
    "import_snapshot_task",
    "instance",
    "instance_profile",
    "instance_profile_association",
    "internet_gateway",
    "job",
    "key_pair",
    "launch_permission",
    "launch_template",
    "launch_template_version",
    "leaf",
    "metadata",
    "metadata_default",
    "metering_end",
    "metering_run",
    "metering_seen",
    "multipart_part",
    "multipart_upload",
    "name_guard",
    "name_guard_finding",
    "name_lookup",
    "network_acl",
    "network_interface",
    "network_interface_group",
    "object_",
    "organization",
    "organization_member",
    "organizational_unit",
    "pack",
    "parameter",
    "parameter_tag",
    "parameter_version",
    "password_data",
    "pending_block",
    "product",
    "product_price",
    "product_subscription",
    "reservation",
    "resource_product_code",
    "retention_rule",
    "retention_rule_match",
    "retention_rule_tag",
    "role",
    "role_policy",
    "root_replacement",
    "route",
    "route_table",
    "route_table_association",
    "security_group",
    "security_group_rule",
    "serial_console_access",
    "signing_certificate",
    "snapshot",
    "snapshot_leaf",
    "snapshot_lock",
    "subnet",
    "tag",
    "volume",
    "vpc",
]
