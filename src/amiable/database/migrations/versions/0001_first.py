"""Every table of the first version, written out: what a database of 0.1 has."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates every table and index."""
    op.create_table(
        "account",
        sa.Column("id", sa.String(length=12), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("is_administrator", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account")),
    )
    op.create_table(
        "client_token",
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("token", sa.String(length=255), nullable=False),
        sa.Column("request_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("resource_ids", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "region", "action", "token", name=op.f("pk_client_token")),
    )
    op.create_index(op.f("ix_client_token_created_at"), "client_token", ["created_at"], unique=False)
    op.create_table(
        "generation",
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_generation")),
    )
    op.create_table(
        "job",
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("due", sa.BigInteger(), nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("owner", sa.String(length=64), nullable=True),
        sa.Column("token", sa.String(length=32), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("cancel", sa.Boolean(), nullable=False),
        sa.Column("progress_percent", sa.Integer(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_job")),
    )
    op.create_index("ix_job_pick", "job", ["state", "due"], unique=False)
    op.create_table(
        "leaf",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_leaf")),
    )
    op.create_table(
        "pack",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pack")),
    )
    op.create_table(
        "access_key",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("secret_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_access_key_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_key")),
    )
    op.create_index(op.f("ix_access_key_account_id"), "access_key", ["account_id"], unique=False)
    op.create_table(
        "block",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("pack", sa.String(length=26), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("stored_length", sa.Integer(), nullable=False),
        sa.Column("codec", sa.Integer(), nullable=False),
        sa.Column("key_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["pack"], ["pack.id"], name=op.f("fk_block_pack")),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_block")),
    )
    op.create_index(op.f("ix_block_pack"), "block", ["pack"], unique=False)
    op.create_table(
        "bucket",
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("acl", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_bucket_account_id")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_bucket")),
    )
    op.create_index(op.f("ix_bucket_account_id"), "bucket", ["account_id"], unique=False)
    op.create_table(
        "image",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("state_reason_code", sa.String(length=64), nullable=True),
        sa.Column("state_reason_message", sa.String(length=1000), nullable=True),
        sa.Column("image_type", sa.String(length=16), nullable=False),
        sa.Column("architecture", sa.String(length=16), nullable=False),
        sa.Column("virtualization_type", sa.String(length=16), nullable=False),
        sa.Column("root_device_type", sa.String(length=16), nullable=False),
        sa.Column("root_device_name", sa.String(length=64), nullable=True),
        sa.Column("kernel_id", sa.String(length=32), nullable=True),
        sa.Column("ramdisk_id", sa.String(length=32), nullable=True),
        sa.Column("platform", sa.String(length=16), nullable=True),
        sa.Column("location", sa.String(length=2000), nullable=False),
        sa.Column("manifest_digest", sa.LargeBinary(length=32), nullable=True),
        sa.Column("content_file", sa.String(length=64), nullable=True),
        sa.Column("root_snapshot_id", sa.String(length=32), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("boot_mode", sa.String(length=16), nullable=True),
        sa.Column("tpm_support", sa.String(length=16), nullable=True),
        sa.Column("imds_support", sa.String(length=16), nullable=True),
        sa.Column("sriov_net_support", sa.String(length=16), nullable=True),
        sa.Column("ena_support", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("deregistered_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_image_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_image")),
    )
    op.create_index("ix_image_account_region", "image", ["account_id", "region"], unique=False)
    op.create_index("ix_image_region_name", "image", ["region", "name"], unique=False)
    op.create_index(op.f("ix_image_root_snapshot_id"), "image", ["root_snapshot_id"], unique=False)
    op.create_index(
        "uq_image_name_in_use",
        "image",
        ["account_id", "region", "name"],
        unique=True,
        sqlite_where=sa.text("deregistered_at IS NULL"),
        postgresql_where=sa.text("deregistered_at IS NULL"),
    )
    op.create_table(
        "import_snapshot_task",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("state_message", sa.String(length=1000), nullable=False),
        sa.Column("progress_percent", sa.Integer(), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("bucket", sa.String(length=255), nullable=False),
        sa.Column("object_key", sa.String(length=1024), nullable=False),
        sa.Column("format", sa.String(length=16), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("snapshot_id", sa.String(length=32), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_import_snapshot_task_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_import_snapshot_task")),
    )
    op.create_index(
        "ix_import_snapshot_task_account_region", "import_snapshot_task", ["account_id", "region"], unique=False
    )
    op.create_table(
        "key_pair",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("key_type", sa.String(length=16), nullable=False),
        sa.Column("fingerprint", sa.String(length=128), nullable=False),
        sa.Column("public_key", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_key_pair_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_key_pair")),
        sa.UniqueConstraint("account_id", "region", "name", name=op.f("uq_key_pair_account_id_region_name")),
    )
    op.create_table(
        "reservation",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_reservation_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reservation")),
    )
    op.create_table(
        "signing_certificate",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("pem", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_signing_certificate_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signing_certificate")),
    )
    op.create_index(op.f("ix_signing_certificate_account_id"), "signing_certificate", ["account_id"], unique=False)
    op.create_table(
        "snapshot",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("state_message", sa.String(length=1000), nullable=True),
        sa.Column("progress_percent", sa.Integer(), nullable=False),
        sa.Column("size_gib", sa.Integer(), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("parent_id", sa.String(length=32), nullable=True),
        sa.Column("volume_id", sa.String(length=32), nullable=True),
        sa.Column("timeout_minutes", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("touched_at", sa.BigInteger(), nullable=False),
        sa.Column("completed_at", sa.BigInteger(), nullable=True),
        sa.Column("is_internal", sa.Boolean(), nullable=False),
        sa.Column("changed_block_count", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_snapshot_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_snapshot")),
    )
    op.create_index("ix_snapshot_account_region", "snapshot", ["account_id", "region"], unique=False)
    op.create_table(
        "tag",
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("resource_id", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("value", sa.String(length=256), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("resource_type", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_tag_account_id")),
        sa.PrimaryKeyConstraint("account_id", "resource_id", "key", name=op.f("pk_tag")),
    )
    op.create_index("ix_tag_key_value", "tag", ["account_id", "region", "key", "value"], unique=False)
    op.create_table(
        "vpc",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("cidr", sa.String(length=32), nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_vpc_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_vpc")),
    )
    op.create_index(op.f("ix_vpc_account_id"), "vpc", ["account_id"], unique=False)
    op.create_table(
        "image_device",
        sa.Column("image_id", sa.String(length=32), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("device_name", sa.String(length=64), nullable=False),
        sa.Column("snapshot_id", sa.String(length=32), nullable=True),
        sa.Column("size_gib", sa.Integer(), nullable=True),
        sa.Column("volume_type", sa.String(length=16), nullable=True),
        sa.Column("iops", sa.Integer(), nullable=True),
        sa.Column("throughput", sa.Integer(), nullable=True),
        sa.Column("delete_on_termination", sa.Boolean(), nullable=True),
        sa.Column("encrypted", sa.Boolean(), nullable=True),
        sa.Column("virtual_name", sa.String(length=32), nullable=True),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name=op.f("fk_image_device_image_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("image_id", "position", name=op.f("pk_image_device")),
    )
    op.create_index(op.f("ix_image_device_snapshot_id"), "image_device", ["snapshot_id"], unique=False)
    op.create_table(
        "instance",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("zone", sa.String(length=32), nullable=False),
        sa.Column("reservation_id", sa.String(length=32), nullable=False),
        sa.Column("launch_index", sa.Integer(), nullable=False),
        sa.Column("client_token", sa.String(length=64), nullable=True),
        sa.Column("image_id", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("state_reason_code", sa.String(length=64), nullable=True),
        sa.Column("state_reason_message", sa.String(length=4000), nullable=True),
        sa.Column("transition_reason", sa.String(length=255), nullable=False),
        sa.Column("instance_type", sa.String(length=32), nullable=False),
        sa.Column("architecture", sa.String(length=16), nullable=False),
        sa.Column("virtualization_type", sa.String(length=16), nullable=False),
        sa.Column("root_device_type", sa.String(length=16), nullable=False),
        sa.Column("root_device_name", sa.String(length=64), nullable=True),
        sa.Column("boot_mode", sa.String(length=16), nullable=False),
        sa.Column("hardware_profile", sa.String(length=16), nullable=False),
        sa.Column("hardware_profile_why", sa.String(length=255), nullable=False),
        sa.Column("kernel_id", sa.String(length=32), nullable=True),
        sa.Column("ramdisk_id", sa.String(length=32), nullable=True),
        sa.Column("key_name", sa.String(length=255), nullable=True),
        sa.Column("public_key", sa.Text(), nullable=True),
        sa.Column("user_data", sa.LargeBinary(), nullable=True),
        sa.Column("vpc_id", sa.String(length=32), nullable=False),
        sa.Column("subnet_id", sa.String(length=32), nullable=False),
        sa.Column("security_group_ids", sa.String(length=1000), nullable=False),
        sa.Column("private_ip", sa.String(length=15), nullable=False),
        sa.Column("mac", sa.String(length=17), nullable=False),
        sa.Column("interface_id", sa.String(length=32), nullable=False),
        sa.Column("http_tokens", sa.String(length=16), nullable=False),
        sa.Column("http_endpoint", sa.String(length=16), nullable=False),
        sa.Column("http_hop_limit", sa.Integer(), nullable=False),
        sa.Column("instance_metadata_tags", sa.String(length=16), nullable=False),
        sa.Column("shutdown_behavior", sa.String(length=16), nullable=False),
        sa.Column("product_codes", sa.String(length=1000), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=True),
        sa.Column("boot_count", sa.Integer(), nullable=False),
        sa.Column("launched_at", sa.BigInteger(), nullable=False),
        sa.Column("reached_metadata_at", sa.BigInteger(), nullable=True),
        sa.Column("terminated_at", sa.BigInteger(), nullable=True),
        sa.Column("rebooted_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_instance_account_id")),
        sa.ForeignKeyConstraint(["reservation_id"], ["reservation.id"], name=op.f("fk_instance_reservation_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instance")),
    )
    op.create_index("ix_instance_account_region", "instance", ["account_id", "region"], unique=False)
    op.create_index(op.f("ix_instance_image_id"), "instance", ["image_id"], unique=False)
    op.create_index(op.f("ix_instance_reservation_id"), "instance", ["reservation_id"], unique=False)
    op.create_index(op.f("ix_instance_state"), "instance", ["state"], unique=False)
    op.create_index(
        "uq_instance_address",
        "instance",
        ["subnet_id", "private_ip"],
        unique=True,
        sqlite_where=sa.text("terminated_at IS NULL"),
        postgresql_where=sa.text("terminated_at IS NULL"),
    )
    op.create_table(
        "launch_permission",
        sa.Column("image_id", sa.String(length=32), nullable=False),
        sa.Column("grantee", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id"], ["image.id"], name=op.f("fk_launch_permission_image_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("image_id", "grantee", name=op.f("pk_launch_permission")),
    )
    op.create_index("ix_launch_permission_grantee", "launch_permission", ["grantee"], unique=False)
    op.create_table(
        "multipart_upload",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("bucket", sa.String(length=63), nullable=False),
        sa.Column("key", sa.String(length=1024), nullable=False),
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("content_type", sa.String(length=255), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("checksum_algorithm", sa.String(length=16), nullable=True),
        sa.Column("checksum_type", sa.String(length=16), nullable=True),
        sa.Column("acl", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["bucket"], ["bucket.name"], name=op.f("fk_multipart_upload_bucket")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_multipart_upload")),
    )
    op.create_index(op.f("ix_multipart_upload_bucket"), "multipart_upload", ["bucket"], unique=False)
    op.create_table(
        "object",
        sa.Column("bucket", sa.String(length=63), nullable=False),
        sa.Column("key", sa.String(length=1024), nullable=False),
        sa.Column("file", sa.String(length=26), nullable=False),
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("etag", sa.String(length=64), nullable=False),
        sa.Column("content_type", sa.String(length=255), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("checksum_algorithm", sa.String(length=16), nullable=True),
        sa.Column("checksum", sa.String(length=128), nullable=True),
        sa.Column("acl", sa.String(length=32), nullable=False),
        sa.Column("modified_at", sa.BigInteger(), nullable=False),
        sa.Column("upload_id", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(["bucket"], ["bucket.name"], name=op.f("fk_object_bucket")),
        sa.PrimaryKeyConstraint("bucket", "key", name=op.f("pk_object")),
    )
    op.create_table(
        "pending_block",
        sa.Column("snapshot_id", sa.String(length=32), nullable=False),
        sa.Column("index", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["snapshot_id"], ["snapshot.id"], name=op.f("fk_pending_block_snapshot_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("snapshot_id", "index", name=op.f("pk_pending_block")),
    )
    op.create_table(
        "security_group",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("vpc_id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_security_group_account_id")),
        sa.ForeignKeyConstraint(["vpc_id"], ["vpc.id"], name=op.f("fk_security_group_vpc_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_security_group")),
    )
    op.create_index(op.f("ix_security_group_account_id"), "security_group", ["account_id"], unique=False)
    op.create_table(
        "snapshot_leaf",
        sa.Column("snapshot_id", sa.String(length=32), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("leaf", sa.LargeBinary(length=32), nullable=False),
        sa.ForeignKeyConstraint(["leaf"], ["leaf.digest"], name=op.f("fk_snapshot_leaf_leaf")),
        sa.ForeignKeyConstraint(
            ["snapshot_id"], ["snapshot.id"], name=op.f("fk_snapshot_leaf_snapshot_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("snapshot_id", "position", name=op.f("pk_snapshot_leaf")),
    )
    op.create_index(op.f("ix_snapshot_leaf_leaf"), "snapshot_leaf", ["leaf"], unique=False)
    op.create_table(
        "subnet",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("vpc_id", sa.String(length=32), nullable=False),
        sa.Column("zone", sa.String(length=32), nullable=False),
        sa.Column("cidr", sa.String(length=32), nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_subnet_account_id")),
        sa.ForeignKeyConstraint(["vpc_id"], ["vpc.id"], name=op.f("fk_subnet_vpc_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subnet")),
    )
    op.create_index(op.f("ix_subnet_account_id"), "subnet", ["account_id"], unique=False)
    op.create_table(
        "multipart_part",
        sa.Column("upload_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("file", sa.String(length=26), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("etag", sa.String(length=64), nullable=False),
        sa.Column("checksum", sa.String(length=128), nullable=True),
        sa.Column("modified_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["upload_id"], ["multipart_upload.id"], name=op.f("fk_multipart_part_upload_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("upload_id", "number", name=op.f("pk_multipart_part")),
    )
    op.create_table(
        "volume",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("zone", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("snapshot_id", sa.String(length=32), nullable=True),
        sa.Column("size_gib", sa.Integer(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("volume_type", sa.String(length=16), nullable=False),
        sa.Column("iops", sa.Integer(), nullable=True),
        sa.Column("throughput", sa.Integer(), nullable=True),
        sa.Column("is_instance_store", sa.Boolean(), nullable=False),
        sa.Column("instance_id", sa.String(length=32), nullable=True),
        sa.Column("device_name", sa.String(length=64), nullable=True),
        sa.Column("delete_on_termination", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("attached_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_volume_account_id")),
        sa.ForeignKeyConstraint(["instance_id"], ["instance.id"], name=op.f("fk_volume_instance_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_volume")),
    )
    op.create_index("ix_volume_account_region", "volume", ["account_id", "region"], unique=False)
    op.create_index(op.f("ix_volume_instance_id"), "volume", ["instance_id"], unique=False)
    op.create_index(op.f("ix_volume_snapshot_id"), "volume", ["snapshot_id"], unique=False)


def downgrade() -> None:
    """Drops every table."""
    for name in TABLES:
        op.drop_table(name)


TABLES = (
    "volume",
    "multipart_part",
    "subnet",
    "snapshot_leaf",
    "security_group",
    "pending_block",
    "object",
    "multipart_upload",
    "launch_permission",
    "instance",
    "image_device",
    "vpc",
    "tag",
    "snapshot",
    "signing_certificate",
    "reservation",
    "key_pair",
    "import_snapshot_task",
    "image",
    "bucket",
    "block",
    "access_key",
    "pack",
    "leaf",
    "job",
    "generation",
    "client_token",
    "account",
)
