"""Every table: columns with types, nothing pickled, no JSON in what is queried.

Each resource carries its account and region.  Bytes before facts: a row never names a byte that is not durable.  Alembic
migrations in ``migrations/`` lead here, and a test proves that they do.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from amiable.database.connect import Instant

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# ── installation, accounts ──────────────────────────────────────────────────────────────────────────────────────────────

account = Table(
    "account",
    metadata,
    Column("id", String(12), primary_key=True),
    Column("name", String(255), nullable=False),
    Column("is_administrator", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("is_partner", Boolean),  # may register kernels; absent: no
)
access_key = Table(
    "access_key",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False, index=True),
    Column("secret_sealed", LargeBinary, nullable=False),  # by the installation's key
    Column("state", String(16), nullable=False),  # active | inactive
    Column("created_at", Instant, nullable=False),
)
signing_certificate = Table(
    "signing_certificate",
    metadata,
    Column("id", String(64), primary_key=True),  # 24 to 64 letters and digits
    Column("account_id", ForeignKey("account.id"), nullable=False, index=True),
    Column("pem", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("created_at", Instant, nullable=False),
)

# ── network (record-only but for the addresses) ─────────────────────────────────────────────────────────────────────────

vpc = Table(
    "vpc",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False, index=True),
    Column("region", String(32), nullable=False),
    Column("cidr", String(32), nullable=False),
    Column("is_default", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
)
subnet = Table(
    "subnet",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False, index=True),
    Column("region", String(32), nullable=False),
    Column("vpc_id", ForeignKey("vpc.id"), nullable=False),
    Column("zone", String(32), nullable=False),
    Column("cidr", String(32), nullable=False),
    Column("is_default", Boolean, nullable=False),
)
security_group = Table(
    "security_group",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False, index=True),
    Column("region", String(32), nullable=False),
    Column("vpc_id", ForeignKey("vpc.id"), nullable=False),
    Column("name", String(255), nullable=False),
    Column("description", String(255), nullable=False),
)

# ── blocks, snapshots ───────────────────────────────────────────────────────────────────────────────────────────────────

generation = Table(
    "generation", metadata, Column("number", BigInteger, primary_key=True)
)  # one row: the collector's clock (R1)
pack = Table(
    "pack",
    metadata,
    Column("id", String(26), primary_key=True),  # ULID, the file's name in packs/
    Column("state", String(16), nullable=False),  # open | closed
    Column("size_bytes", BigInteger, nullable=False),  # durable bytes; what lies behind them in the file is garbage
    Column("created_at", Instant, nullable=False),
)
block = Table(
    "block",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),  # SHA-256 of the plain bytes
    Column("pack", ForeignKey("pack.id"), nullable=False, index=True),
    Column("offset", BigInteger, nullable=False),  # of the record in the pack
    Column("stored_length", Integer, nullable=False),  # of the payload
    Column("codec", Integer, nullable=False),
    Column("key_id", Integer, nullable=False),
    Column("state", String(16), nullable=False),  # live | condemned
    Column("generation", BigInteger, nullable=False),
)
leaf = Table(
    "leaf",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("body", LargeBinary, nullable=False),
)
snapshot = Table(
    "snapshot",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("region", String(32), nullable=False),
    Column("state", String(16), nullable=False),  # pending | completed | error
    Column("state_message", String(1000)),
    Column("progress_percent", Integer, nullable=False),
    Column("size_gib", Integer, nullable=False),
    Column("description", String(255), nullable=False),
    Column("parent_id", String(32)),
    Column("volume_id", String(32)),
    Column("timeout_minutes", Integer, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("touched_at", Instant, nullable=False),  # last block or start: what the timeout counts from
    Column("completed_at", Instant),
    Column("is_internal", Boolean, nullable=False),  # the converted root of an instance-store image: never listed
    Column("changed_block_count", BigInteger),
    Index("ix_snapshot_account_region", "account_id", "region"),
)
snapshot_leaf = Table(
    "snapshot_leaf",
    metadata,
    Column("snapshot_id", ForeignKey("snapshot.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),  # GiB of the disk, from 0
    Column("leaf", ForeignKey("leaf.digest"), nullable=False, index=True),
)
pending_block = Table(
    "pending_block",
    metadata,
    Column("snapshot_id", ForeignKey("snapshot.id", ondelete="CASCADE"), primary_key=True),
    Column("index", BigInteger, primary_key=True),
    Column("digest", LargeBinary(32), nullable=False),  # of a zero block too; a zero block has no block row
)
import_snapshot_task = Table(
    "import_snapshot_task",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("region", String(32), nullable=False),
    Column("state", String(16), nullable=False),  # active | completed | error  (EC2: Status)
    Column("state_message", String(1000), nullable=False),
    Column("progress_percent", Integer, nullable=False),
    Column("description", String(255), nullable=False),
    Column("bucket", String(255), nullable=False),
    Column("object_key", String(1024), nullable=False),
    Column("format", String(16), nullable=False),
    Column("size_bytes", BigInteger),
    Column("snapshot_id", String(32)),
    Column("created_at", Instant, nullable=False),
    Index("ix_import_snapshot_task_account_region", "account_id", "region"),
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

# ── images ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

image = Table(
    "image",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("region", String(32), nullable=False),
    Column("name", String(128), nullable=False),
    Column("description", String(255)),
    Column("state", String(16), nullable=False),  # pending | available | failed | deregistered
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
    Column("deregistered_at", Instant),
    Column("approved_at", Instant),  # kernels and ramdisks: since when the administrator lets them be launched
    Column("kernel_kind", String(16)),  # kernels: model/kernel; absent: not looked at yet
    Column("kernel_version", String(255)),
    Column("kernel_kind_why", String(255)),
    Column("boots_directly", Boolean),
    Column("product_codes", String(1000)),  # the manifest's, space-separated
    Column("ancestor_ami_ids", Text),  # the manifest's, space-separated, oldest first
    Index("ix_image_account_region", "account_id", "region"),
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
    Column("grantee", String(255), primary_key=True),  # 12 digits, or the word all
    Index("ix_launch_permission_grantee", "grantee"),
)

# ── instances, volumes ──────────────────────────────────────────────────────────────────────────────────────────────────

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
    Column("shutdown_behavior", String(16), nullable=False),  # stop | terminate
    Column("product_codes", String(1000), nullable=False),
    Column("host", String(255)),  # which host runs it
    Column("boot_count", Integer, nullable=False),
    Column("launched_at", Instant, nullable=False),  # last start
    Column("reached_metadata_at", Instant),  # this boot's first metadata request
    Column("terminated_at", Instant),
    Column("rebooted_at", Instant),  # last reboot since the last start
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
    Index("ix_volume_account_region", "account_id", "region"),
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
tag = Table(
    "tag",
    metadata,
    Column("account_id", ForeignKey("account.id"), primary_key=True),  # the tagger: sharers see only their own
    Column("resource_id", String(64), primary_key=True),
    Column("key", String(128), primary_key=True),
    Column("value", String(256), nullable=False),
    Column("region", String(32), nullable=False),
    Column("resource_type", String(32), nullable=False),
    Index("ix_tag_key_value", "account_id", "region", "key", "value"),
)
client_token = Table(
    "client_token",
    metadata,
    Column("account_id", String(12), primary_key=True),
    Column("region", String(32), primary_key=True),
    Column("action", String(64), primary_key=True),
    Column("token", String(255), primary_key=True),
    Column("request_hash", LargeBinary(32), nullable=False),
    Column("resource_ids", Text, nullable=False),  # space-separated
    Column("created_at", Instant, nullable=False, index=True),
)

# ── S3 ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────

bucket = Table(
    "bucket",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False, index=True),
    Column("region", String(32), nullable=False),
    Column("acl", String(32), nullable=False),  # canned name
    Column("created_at", Instant, nullable=False),
)
object_ = Table(
    "object",
    metadata,
    Column("bucket", ForeignKey("bucket.name"), primary_key=True),
    Column("key", String(1024), primary_key=True),
    Column("file", String(26), nullable=False),  # ULID below objects/
    Column("account_id", String(12), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("etag", String(64), nullable=False),  # without quotes
    Column("content_type", String(255), nullable=False),
    Column("headers", Text, nullable=False),  # JSON: what is only given back (x-amz-meta-*, cache-control, …)
    Column("checksum_algorithm", String(16)),
    Column("checksum", String(128)),
    Column("acl", String(32), nullable=False),
    Column("modified_at", Instant, nullable=False),
    Column("upload_id", String(64)),  # of the upload in parts that made it
)
multipart_upload = Table(
    "multipart_upload",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("bucket", ForeignKey("bucket.name"), nullable=False, index=True),
    Column("key", String(1024), nullable=False),
    Column("account_id", String(12), nullable=False),
    Column("content_type", String(255), nullable=False),
    Column("headers", Text, nullable=False),
    Column("checksum_algorithm", String(16)),
    Column("checksum_type", String(16)),
    Column("acl", String(32), nullable=False),
    Column("created_at", Instant, nullable=False),
)
multipart_part = Table(
    "multipart_part",
    metadata,
    Column("upload_id", ForeignKey("multipart_upload.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("file", String(26), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("etag", String(64), nullable=False),
    Column("checksum", String(128)),
    Column("modified_at", Instant, nullable=False),
)

# ── jobs ────────────────────────────────────────────────────────────────────────────────────────────────────────────────

job = Table(
    "job",
    metadata,
    Column("key", String(255), primary_key=True),  # resource id and verb: a job exists once
    Column("kind", String(64), nullable=False),
    Column("host", String(255)),  # None: any host may run it
    Column("state", String(16), nullable=False),  # queued | running | done | failed | cancelled
    Column("priority", Integer, nullable=False),
    Column("due", Instant, nullable=False),
    Column("lease_until", Instant),
    Column("owner", String(64)),
    Column("token", String(32)),  # fences every save
    Column("tries", Integer, nullable=False),
    Column("cancel", Boolean, nullable=False),
    Column("progress_percent", Integer, nullable=False),
    Column("data", Text, nullable=False),  # the checkpoint: plain JSON, so an upgrade strands nothing
    Column("error", Text),
    Column("created_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Index("ix_job_pick", "state", "due"),
)
