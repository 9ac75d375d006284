"""Images, their devices and who may launch them."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, LargeBinary, String, Table, Text, text

from amiable.database.connect import Instant
from amiable.database.schema.metadata import metadata

image = Table(
    "image",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("region", String(32), nullable=False),
    Column("name", String(128), nullable=False),
    Column("description", String(255)),
    Column("state", String(16), nullable=False),  # pending | available | failed | disabled | binned | deregistered
    Column("state_reason_code", String(64)),
    Column("state_reason_message", String(1000)),
    Column("image_type", String(16), nullable=False),  # machine | kernel | ramdisk
    Column("architecture", String(16), nullable=False),
    Column("virtualization_type", String(16), nullable=False),  # hvm | paravirtual
    Column("root_device_type", String(16), nullable=False),  # ebs | instance-store
    Column("root_device_name", String(64)),
    Column("kernel_id", String(32)),
    Column("ramdisk_id", String(32)),
    Column("platform", String(16)),
    Column("location", String(2000), nullable=False),  # manifest's bucket/key, or account/name
    Column("manifest_digest", LargeBinary(32)),  # SHA-256 of the manifest as registered
    Column("content_file", String(64)),  # kernels and ramdisks: file below kernels/ with the plain bytes
    Column("root_snapshot_id", String(32), index=True),  # instance-store: the internal snapshot of its converted root
    Column("size_bytes", BigInteger),  # instance-store, kernel, ramdisk: how long the bundled image is
    Column("boot_mode", String(16)),
    Column("tpm_support", String(16)),
    Column("imds_support", String(16)),
    Column("sriov_net_support", String(16)),
    Column("ena_support", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("deregistered_at", Instant),  # binned ones too: since when the name is free
    Column("approved_at", Instant),  # kernels and ramdisks: since when the administrator lets them be launched
    Column("kernel_kind", String(16)),  # kernels: model/kernel; absent: not looked at yet
    Column("kernel_version", String(255)),
    Column("kernel_kind_why", String(255)),
    Column("boots_directly", Boolean),
    Column("ancestor_ami_ids", Text),  # the manifest's, space-separated, oldest first
    Column("uefi_data", Text),  # base64, as registered
    Column("deprecation_at", Instant),  # whole minutes
    Column(
        "deregistration_protection", String(32)
    ),  # enabled-with-cooldown | enabled-without-cooldown; absent: disabled
    Column("protected_until", Instant),  # the end of the cooldown after protection was disabled
    Column("last_launched_at", Instant),
    Column("source_instance_id", String(32)),
    Column("source_image_id", String(32), index=True),
    Column("source_image_region", String(32)),
    Column("content_digest", LargeBinary(32), index=True),  # of content and attributes; absent: not computed yet
    Column("bin_exit_at", Instant, index=True),  # binned: when it goes for good
    Column("binned_from", String(16)),  # binned: the state that a restore brings back
    Index("ix_image_account_created", "account_id", "region", "created_at", "id"),  # an owner's list, in its order
    Index("ix_image_region_created", "region", "created_at", "id"),  # everybody's list, in its order
    Index(
        "ix_image_binned",
        "account_id",
        "region",
        sqlite_where=text("state = 'binned'"),
        postgresql_where=text("state = 'binned'"),
    ),
    Index("ix_image_region_name", "region", "name"),
    Index(
        "uq_image_name_in_use",
        "account_id",
        "region",
        "name",
        unique=True,
        sqlite_where=text("deregistered_at IS NULL"),
        postgresql_where=text("deregistered_at IS NULL"),
    ),
)
image_device = Table(
    "image_device",
    metadata,
    Column("image_id", ForeignKey("image.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("device_name", String(64), nullable=False),
    Column("snapshot_id", String(32), index=True),
    Column("size_gib", Integer),
    Column("volume_type", String(16)),
    Column("iops", Integer),
    Column("throughput", Integer),
    Column("delete_on_termination", Boolean),
    Column("encrypted", Boolean),
    Column("virtual_name", String(32)),  # ephemeralN
)
launch_permission = Table(
    "launch_permission",
    metadata,
    Column("image_id", ForeignKey("image.id", ondelete="CASCADE"), primary_key=True),
    Column("grantee", String(255), primary_key=True),  # 12 digits, the word all, or an ARN of model/organization
    Index("ix_launch_permission_grantee", "grantee"),
)
