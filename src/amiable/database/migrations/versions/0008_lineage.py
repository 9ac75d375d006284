"""Usage reports, events."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

APPEND_ONLY = {
    "sqlite": tuple(
        f"CREATE TRIGGER event_refuses_{verb.lower()} BEFORE {verb} ON event "
        "BEGIN SELECT RAISE(ABORT, 'events are append-only'); END"
        for verb in ("UPDATE", "DELETE")
    ),
    "postgresql": (
        "CREATE FUNCTION refuse_event_change() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'events are append-only'; END $$",
        "CREATE TRIGGER event_refuses_change BEFORE UPDATE OR DELETE OR TRUNCATE ON event "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_event_change()",
    ),
}


def upgrade() -> None:
    """Adds it."""
    _make_reports()
    op.create_index(op.f("ix_snapshot_parent_id"), "snapshot", ["parent_id"])
    op.create_table(
        "event",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("request_id", sa.String(length=36), nullable=False),
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("access_key_id", sa.String(length=32), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("user_agent", sa.String(length=255), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("service", sa.String(length=32), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("resource_ids", sa.Text(), nullable=False),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("error_code", sa.String(length=128)),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_event")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_event_request_id"), "event", ["request_id"])
    op.create_index("ix_event_account_number", "event", ["account_id", "number"])
    op.create_index("ix_event_created_at", "event", ["created_at"])
    for statement in APPEND_ONLY[op.get_bind().dialect.name]:
        op.execute(statement)


def _make_reports() -> None:
    op.create_table(
        "image_usage_report",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("image_id", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("state_reason", sa.String(length=1000)),
        sa.Column("account_ids", sa.Text()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_image_usage_report_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_image_usage_report")),
    )
    for index, indexed in (
        ("ix_image_usage_report_image_id", ["image_id"]),
        ("ix_image_usage_report_expires_at", ["expires_at"]),
        ("ix_image_usage_report_account_region", ["account_id", "region"]),
    ):
        op.create_index(index, "image_usage_report", indexed)
    parts: tuple[tuple[str, list[sa.Column[Any]]], ...] = (
        (
            "image_usage_report_type",
            [
                sa.Column("position", sa.Integer(), nullable=False, primary_key=True),
                sa.Column("resource_type", sa.String(length=64), nullable=False),
                sa.Column("version_depth", sa.Integer()),
            ],
        ),
        (
            "image_usage_report_entry",
            [
                sa.Column("resource_type", sa.String(length=64), nullable=False, primary_key=True),
                sa.Column("account_id", sa.String(length=12), nullable=False, primary_key=True),
                sa.Column("usage_count", sa.BigInteger(), nullable=False),
            ],
        ),
    )
    for name, columns in parts:
        op.create_table(
            name,
            sa.Column("report_id", sa.String(length=32), nullable=False, primary_key=True),
            *columns,
            sa.ForeignKeyConstraint(
                ["report_id"], ["image_usage_report.id"], name=op.f(f"fk_{name}_report_id"), ondelete="CASCADE"
            ),
        )


def downgrade() -> None:
    """Takes it away again."""
    op.drop_index(op.f("ix_snapshot_parent_id"), "snapshot")
    for name in ("event", "image_usage_report_entry", "image_usage_report_type", "image_usage_report"):
        op.drop_table(name)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION refuse_event_change()")
