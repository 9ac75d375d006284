"""States of instances: protections, times, attributes."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

COLUMNS = (
    ("created_at", sa.BigInteger(), True, None),
    ("state_changed_at", sa.BigInteger(), True, None),
    ("impaired_at", sa.BigInteger(), True, None),
    ("disable_api_termination", sa.Boolean(), False, sa.false()),
    ("disable_api_stop", sa.Boolean(), False, sa.false()),
    ("source_dest_check", sa.Boolean(), False, sa.true()),
    ("ebs_optimized", sa.Boolean(), False, sa.false()),
    ("ena_support", sa.Boolean(), False, sa.false()),
    ("sriov_net_support", sa.String(length=16), True, None),
    ("cpu_credits", sa.String(length=16), True, None),
    ("auto_recovery", sa.String(length=16), False, "default"),
    ("platform", sa.String(length=16), True, None),
    ("image_boot_mode", sa.String(length=16), True, None),
)


def upgrade() -> None:
    """Adds them; an instance that is there was first launched when its reservation was made, and has its image's flags."""
    for name, kind, is_nullable, default in COLUMNS:
        op.add_column("instance", sa.Column(name, kind, nullable=is_nullable, server_default=default))
    op.execute(
        "UPDATE instance SET created_at = (SELECT created_at FROM reservation WHERE reservation.id = reservation_id)"
    )
    for name, source in (
        ("ena_support", "COALESCE((SELECT ena_support FROM image WHERE image.id = image_id), FALSE)"),
        ("sriov_net_support", "(SELECT sriov_net_support FROM image WHERE image.id = image_id)"),
        ("platform", "(SELECT platform FROM image WHERE image.id = image_id)"),
        ("image_boot_mode", "(SELECT boot_mode FROM image WHERE image.id = image_id)"),
    ):
        op.execute(f"UPDATE instance SET {name} = {source}")


def downgrade() -> None:
    """Takes them away again."""
    for name, *_ in reversed(COLUMNS):
        op.drop_column("instance", name)
