"""Products, subscriptions, metering: what part 3 adds."""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

CARRIERS = ("image", "instance")


def upgrade() -> None:
    """Adds the tables, and moves the codes of images and instances into one of them."""
    op.create_table(
        "resource_product_code",
        sa.Column("resource_id", sa.String(length=32), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("type", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("resource_id", "code", name=op.f("pk_resource_product_code")),
    )
    op.create_index(op.f("ix_resource_product_code_code"), "resource_product_code", ["code"])
    rows = [row for table in CARRIERS for row in _codes_of(table)]
    if rows:
        values = "(:resource_id, :code, :position, 'devpay')"
        insert = sa.text(f"INSERT INTO resource_product_code (resource_id, code, position, type) VALUES {values}")
        op.get_bind().execute(insert, rows)
    for table in CARRIERS:
        op.drop_column(table, "product_codes")


def downgrade() -> None:
    """Puts the codes of images and instances back, and takes the tables away."""
    op.add_column("image", sa.Column("product_codes", sa.String(length=1000)))
    op.add_column("instance", sa.Column("product_codes", sa.String(length=1000), nullable=False, server_default=""))
    held: dict[str, list[str]] = {}
    for row in op.get_bind().execute(
        sa.text("SELECT resource_id, code FROM resource_product_code ORDER BY resource_id, position")
    ):
        held.setdefault(row.resource_id, []).append(row.code)
    for table in CARRIERS:
        for resource_id, codes in held.items():
            update = sa.text(f"UPDATE {table} SET product_codes = :codes WHERE id = :id")
            op.get_bind().execute(update, {"codes": " ".join(codes), "id": resource_id})
    op.drop_table("resource_product_code")


def _codes_of(table: str) -> Iterator[dict[str, str | int]]:
    for row in op.get_bind().execute(sa.text(f"SELECT id, product_codes FROM {table} WHERE product_codes <> ''")).all():
        for position, code in enumerate(dict.fromkeys(row.product_codes.split())):
            yield {"resource_id": row.id, "code": code, "position": position}
