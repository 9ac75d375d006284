"""Products with their prices and subscriptions, which resources carry their codes, and what was metered of these."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, String, Table, text

from amiable.database.connect import Instant
from amiable.database.schema.metadata import metadata

resource_product_code = Table(
    "resource_product_code",
    metadata,
    Column("resource_id", String(32), primary_key=True),  # of a snapshot, an image, an instance or a volume
    Column("code", String(64), primary_key=True, index=True),
    Column("position", Integer, nullable=False),
    Column("type", String(16), nullable=False),  # devpay | marketplace
)
product = Table(
    "product",
    metadata,
    Column("code", String(64), primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False, index=True),  # the seller
    Column("name", String(128), nullable=False),
    Column("currency", String(3), nullable=False),
    Column("created_at", Instant, nullable=False),
)
product_price = Table(
    "product_price",
    metadata,
    Column("code", ForeignKey("product.code"), primary_key=True),
    Column("since_at", Instant, primary_key=True),
    Column("hourly_micros", BigInteger, nullable=False),  # millionths of the currency's unit
    Column("monthly_micros", BigInteger, nullable=False),
)
product_subscription = Table(
    "product_subscription",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False, index=True),
    Column("code", ForeignKey("product.code"), nullable=False, index=True),
    Column("started_at", Instant, nullable=False),
    Column("ended_at", Instant),  # absent: it stands
    Index(
        "uq_product_subscription_standing",
        "account_id",
        "code",
        unique=True,
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
)
metering_run = Table(
    "metering_run",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("instance_id", String(32), nullable=False, index=True),  # its instance's row goes an hour after its end
    Column("account_id", ForeignKey("account.id"), nullable=False, index=True),
    Column("code", String(64), nullable=False, index=True),
    Column("region", String(32), nullable=False),
    Column("instance_type", String(32), nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("boot", String(64), nullable=False),  # with steady_ms: the steady clock's reading at the beginning
    Column("steady_ms", BigInteger, nullable=False),
)
metering_end = Table(
    "metering_end",
    metadata,
    Column("run_id", ForeignKey("metering_run.id"), primary_key=True),
    Column("duration_ms", BigInteger, nullable=False),
    Column("recorded_at", Instant, nullable=False),
)
metering_seen = Table(  # no record: of open runs only, written over at each heartbeat
    "metering_seen",
    metadata,
    Column("run_id", ForeignKey("metering_run.id"), primary_key=True),
    Column("duration_ms", BigInteger, nullable=False),
)
