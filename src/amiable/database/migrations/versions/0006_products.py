"""Products, subscriptions, metering."""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

CARRIERS = ("image", "instance")
REVERSED = (
    *("metering_seen", "metering_end", "metering_run"),
    *("product_subscription", "product_price", "product", "resource_product_code"),
)


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
    _create_products()
    _create_metering()


def _create_products() -> None:
    op.create_table(
        "product",
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_product_account_id")),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_product")),
    )
    op.create_index(op.f("ix_product_account_id"), "product", ["account_id"])
    op.create_table(
        "product_price",
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("since_at", sa.BigInteger(), nullable=False),
        sa.Column("hourly_micros", sa.BigInteger(), nullable=False),
        sa.Column("monthly_micros", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["code"], ["product.code"], name=op.f("fk_product_price_code")),
        sa.PrimaryKeyConstraint("code", "since_at", name=op.f("pk_product_price")),
    )
    op.create_table(
        "product_subscription",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger()),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_product_subscription_account_id")),
        sa.ForeignKeyConstraint(["code"], ["product.code"], name=op.f("fk_product_subscription_code")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_product_subscription")),
    )
    op.create_index(op.f("ix_product_subscription_account_id"), "product_subscription", ["account_id"])
    op.create_index(op.f("ix_product_subscription_code"), "product_subscription", ["code"])
    op.create_index(
        "uq_product_subscription_standing",
        "product_subscription",
        ["account_id", "code"],
        unique=True,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )


def _create_metering() -> None:
    op.create_table(
        "metering_run",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("instance_id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("instance_type", sa.String(length=32), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("boot", sa.String(length=64), nullable=False),
        sa.Column("steady_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_metering_run_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_metering_run")),
    )
    for name in ("account_id", "code", "instance_id"):
        op.create_index(op.f(f"ix_metering_run_{name}"), "metering_run", [name])
    op.create_table(
        "metering_end",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["metering_run.id"], name=op.f("fk_metering_end_run_id")),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_metering_end")),
    )
    op.create_table(
        "metering_seen",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["metering_run.id"], name=op.f("fk_metering_seen_run_id")),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_metering_seen")),
    )


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
    for name in REVERSED:
        op.drop_table(name)


def _codes_of(table: str) -> Iterator[dict[str, str | int]]:
    for row in op.get_bind().execute(sa.text(f"SELECT id, product_codes FROM {table} WHERE product_codes <> ''")).all():
        for position, code in enumerate(dict.fromkeys(row.product_codes.split())):
            yield {"resource_id": row.id, "code": code, "position": position}
