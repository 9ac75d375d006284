"""Instances with their volumes, key pairs and bundle tasks."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
    true,
)

from amiable.database.connect import Instant
from amiable.database.schema.metadata import metadata

reservation = Table(
    "reservation",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("region", String(32), nullable=False),
    Column("created_at", Instant, nullable=False),
)
instance = Table(
    "instance",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("region", String(32), nullable=False),
    Column("zone", String(32), nullable=False),
    Column("reservation_id", ForeignKey("reservation.id"), nullable=False, index=True),
    Column("launch_index", Integer, nullable=False),
    Column("client_token", String(64)),
    Column("image_id", String(32), nullable=False, index=True),
    Column(
        "state", String(16), nullable=False, index=True
    ),  # pending running shutting-down terminated stopping stopped
    Column("state_reason_code", String(64)),
    Column("state_reason_message", String(4000)),
    Column("transition_reason", String(255), nullable=False),
    Column("instance_type", String(32), nullable=False),
    Column("architecture", String(16), nullable=False),
    Column("virtualization_type", String(16), nullable=False),
    Column("root_device_type", String(16), nullable=False),
    Column("root_device_name", String(64)),
    Column("boot_mode", String(16), nullable=False),  # legacy-bios | uefi
    Column("hardware_profile", String(16), nullable=False),  # virtio | nitro | direct | …
    Column("hardware_profile_why", String(255), nullable=False),
    Column("kernel_id", String(32)),
    Column("ramdisk_id", String(32)),
    Column("key_name", String(255)),
    Column("public_key", Text),  # as it was at launch: deleting the key pair changes no guest
    Column("user_data", LargeBinary),  # decoded
    Column("vpc_id", String(32), nullable=False),
    Column("subnet_id", String(32), nullable=False),
    Column("security_group_ids", String(1000), nullable=False),  # space-separated; not queried
    Column("private_ip", String(15), nullable=False),
    Column("mac", String(17), nullable=False),
    Column("interface_id", String(32), nullable=False),
    Column("http_tokens", String(16), nullable=False),  # optional | required
    Column("http_endpoint", String(16), nullable=False),  # enabled | disabled
    Column("http_hop_limit", Integer, nullable=False),
    Column("instance_metadata_tags", String(16), nullable=False),  # enabled | disabled
    Column("http_protocol_ipv6", String(16), nullable=False, server_default="disabled"),
    Column("shutdown_behavior", String(16), nullable=False),  # stop | terminate
    Column("host", String(255)),  # which host runs it
    Column("boot_count", Integer, nullable=False),
    Column("launched_at", Instant, nullable=False),  # last start
    Column("reached_metadata_at", Instant),  # this boot's first metadata request
    Column("terminated_at", Instant),
    Column("rebooted_at", Instant),  # last reboot since the last start
    Column("created_at", Instant),  # the first launch
    Column("state_changed_at", Instant),
    Column("impaired_at", Instant),  # since when its guest stands still
    Column("disable_api_termination", Boolean, nullable=False, server_default=false()),
    Column("disable_api_stop", Boolean, nullable=False, server_default=false()),
    Column("source_dest_check", Boolean, nullable=False, server_default=true()),
    Column("ebs_optimized", Boolean, nullable=False, server_default=false()),
    Column("ena_support", Boolean, nullable=False, server_default=false()),
    Column("sriov_net_support", String(16)),  # simple
    Column("cpu_credits", String(16)),  # standard | unlimited, of burstable types
    Column("detailed_monitoring", Boolean, nullable=False, server_default=false()),
    Column("auto_recovery", String(16), nullable=False, server_default="default"),  # default | disabled
    Column("platform", String(16)),  # windows
    Column("image_boot_mode", String(16)),  # as the image had it
    Column("tpm_support", String(8)),  # v2.0
    Index("ix_instance_account_region", "account_id", "region"),
    Index(
        "uq_instance_address",
        "subnet_id",
        "private_ip",
        unique=True,
        sqlite_where=text("terminated_at IS NULL"),
        postgresql_where=text("terminated_at IS NULL"),
    ),
)
volume = Table(
    "volume",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("region", String(32), nullable=False),
    Column("zone", String(32), nullable=False),
    Column("state", String(16), nullable=False),  # creating | in-use | available | deleting | deleted
    Column("snapshot_id", String(32), index=True),  # internal ones included
    Column("size_gib", Integer, nullable=False),
    Column(
        "size_bytes", BigInteger, nullable=False
    ),  # what the guest sees: an instance-store root is as long as its image
    Column("volume_type", String(16), nullable=False),
    Column("iops", Integer),
    Column("throughput", Integer),
    Column("is_instance_store", Boolean, nullable=False),
    Column("instance_id", ForeignKey("instance.id"), index=True),
    Column("device_name", String(64)),
    Column("delete_on_termination", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("attached_at", Instant),
    Column("attachment_state", String(16)),  # attaching | attached | detaching
    Column("virtual_name", String(16)),  # ephemeral0: a local disk, emptied at each stop
    Column("auto_enable_io", Boolean, nullable=False, server_default=false()),
    Index("ix_volume_account_region", "account_id", "region"),
)
volume_modification = Table(
    "volume_modification",
    metadata,
    Column("volume_id", ForeignKey("volume.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),  # from 1 on
    Column("state", String(16), nullable=False),  # modifying | completed | failed
    Column("message", String(1000)),
    Column("original_size_gib", Integer, nullable=False),
    Column("original_type", String(16), nullable=False),
    Column("original_iops", Integer),
    Column("original_throughput", Integer),
    Column("target_size_gib", Integer, nullable=False),
    Column("target_type", String(16), nullable=False),
    Column("target_iops", Integer),
    Column("target_throughput", Integer),
    Column("started_at", Instant, nullable=False),
    Column("ended_at", Instant),
)
key_pair = Table(
    "key_pair",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("region", String(32), nullable=False),
    Column("name", String(255), nullable=False),
    Column("key_type", String(16), nullable=False),  # rsa | ed25519
    Column("fingerprint", String(128), nullable=False),
    Column("public_key", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("account_id", "region", "name"),
)
bundle_task = Table(
    "bundle_task",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("region", String(32), nullable=False),
    Column("instance_id", String(32), nullable=False, index=True),
    Column("state", String(32), nullable=False),  # pending | waiting-for-shutdown | bundling | storing | …
    Column("progress_percent", Integer, nullable=False),
    Column("bucket", String(255), nullable=False),
    Column("prefix", String(1024), nullable=False),
    Column("object_owner_id", String(12), nullable=False),  # the account whose key signed the upload policy
    Column("acl", String(64), nullable=False),  # canned, of what is written
    Column("error_code", String(64)),
    Column("error_message", String(1000)),
    Column("started_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Index("ix_bundle_task_account_region", "account_id", "region"),
)
