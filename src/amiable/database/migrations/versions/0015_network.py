"""Networks: groups' rules, interfaces, routes, addresses; and those of what was there before: the default ones."""

import secrets
import time
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

VPC_COLUMNS = ("dhcp_options_id", "has_dns_support", "has_dns_hostnames")
MADE = (
    "address",
    "network_interface_group",
    "network_interface",
    "security_group_rule",
    "route",
    "route_table_association",
    "route_table",
    "internet_gateway",
    "network_acl",
    "dhcp_options",
    "default_network",
)


def upgrade() -> None:
    """Adds it."""
    op.add_column("vpc", sa.Column("dhcp_options_id", sa.String(length=32)))
    for name in ("has_dns_support", "has_dns_hostnames"):
        op.add_column("vpc", sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.true()))
    op.add_column("subnet", sa.Column("maps_public_ip", sa.Boolean(), nullable=False, server_default=sa.false()))
    _make_parts_of_vpcs()
    _make_routes()
    _make_rules()
    _make_interfaces()
    _make_addresses()
    _fill_vpcs()
    _fill_rules()
    _fill_interfaces()


def _resource(name: str, *more: Any) -> None:
    """A table of an account's things in a region, with its index."""
    op.create_table(
        name,
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        *more,
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f(f"fk_{name}_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{name}")),
    )
    if name != "network_interface":
        op.create_index(op.f(f"ix_{name}_account_id"), name, ["account_id"])


def _foreign(table: str, column: str, other: str, ondelete: str | None = None) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{other}.id"], name=op.f(f"fk_{table}_{column}"), ondelete=ondelete)


def _make_parts_of_vpcs() -> None:
    op.create_table(
        "default_network",
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("zone", sa.String(length=32), nullable=False),
        _foreign("default_network", "account_id", "account"),
        sa.PrimaryKeyConstraint("account_id", "region", "zone", name=op.f("pk_default_network")),
    )
    _resource("dhcp_options")
    _resource(
        "network_acl",
        sa.Column("vpc_id", sa.String(length=32), nullable=False),
        _foreign("network_acl", "vpc_id", "vpc"),
        sa.UniqueConstraint("vpc_id", name=op.f("uq_network_acl_vpc_id")),
    )
    _resource(
        "internet_gateway",
        sa.Column("vpc_id", sa.String(length=32)),
        _foreign("internet_gateway", "vpc_id", "vpc"),
        sa.UniqueConstraint("vpc_id", name=op.f("uq_internet_gateway_vpc_id")),
    )


def _make_routes() -> None:
    _resource(
        "route_table",
        sa.Column("vpc_id", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        _foreign("route_table", "vpc_id", "vpc"),
    )
    op.create_index(op.f("ix_route_table_vpc_id"), "route_table", ["vpc_id"])
    op.create_table(
        "route_table_association",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("route_table_id", sa.String(length=32), nullable=False),
        sa.Column("subnet_id", sa.String(length=32)),
        _foreign("route_table_association", "route_table_id", "route_table"),
        _foreign("route_table_association", "subnet_id", "subnet"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_route_table_association")),
        sa.UniqueConstraint("subnet_id", name=op.f("uq_route_table_association_subnet_id")),
    )
    op.create_index(op.f("ix_route_table_association_route_table_id"), "route_table_association", ["route_table_id"])
    op.create_table(
        "route",
        sa.Column("route_table_id", sa.String(length=32), nullable=False),
        sa.Column("destination", sa.String(length=64), nullable=False),
        sa.Column("gateway_id", sa.String(length=32)),
        sa.Column("interface_id", sa.String(length=32)),
        _foreign("route", "route_table_id", "route_table"),
        sa.PrimaryKeyConstraint("route_table_id", "destination", name=op.f("pk_route")),
    )


def _make_rules() -> None:
    _resource(
        "security_group_rule",
        sa.Column("group_id", sa.String(length=32), nullable=False),
        sa.Column("is_egress", sa.Boolean(), nullable=False),
        sa.Column("protocol", sa.String(length=8), nullable=False),
        sa.Column("from_port", sa.Integer()),
        sa.Column("to_port", sa.Integer()),
        sa.Column("cidr_ipv4", sa.String(length=18)),
        sa.Column("cidr_ipv6", sa.String(length=43)),
        sa.Column("prefix_list_id", sa.String(length=32)),
        sa.Column("referenced_group_id", sa.String(length=32)),
        sa.Column("description", sa.String(length=255)),
        _foreign("security_group_rule", "group_id", "security_group"),
        _foreign("security_group_rule", "referenced_group_id", "security_group"),
    )
    for column in ("group_id", "referenced_group_id"):
        op.create_index(op.f(f"ix_security_group_rule_{column}"), "security_group_rule", [column])


def _make_interfaces() -> None:
    attached = sa.text("instance_id IS NOT NULL")
    _resource(
        "network_interface",
        sa.Column("zone", sa.String(length=32), nullable=False),
        sa.Column("vpc_id", sa.String(length=32), nullable=False),
        sa.Column("subnet_id", sa.String(length=32), nullable=False),
        sa.Column("private_ip", sa.String(length=15), nullable=False),
        sa.Column("mac", sa.String(length=17), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("has_source_dest_check", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("instance_id", sa.String(length=32)),
        sa.Column("attachment_id", sa.String(length=32)),
        sa.Column("device_index", sa.Integer()),
        sa.Column("attached_at", sa.BigInteger()),
        sa.Column("delete_on_termination", sa.Boolean()),
        _foreign("network_interface", "vpc_id", "vpc"),
        _foreign("network_interface", "subnet_id", "subnet"),
        _foreign("network_interface", "instance_id", "instance"),
        sa.UniqueConstraint("attachment_id", name=op.f("uq_network_interface_attachment_id")),
        sa.UniqueConstraint("subnet_id", "private_ip", name=op.f("uq_network_interface_subnet_id_private_ip")),
    )
    for column in ("vpc_id", "instance_id"):
        op.create_index(op.f(f"ix_network_interface_{column}"), "network_interface", [column])
    op.create_index("ix_network_interface_account_region", "network_interface", ["account_id", "region"])
    name = "uq_network_interface_device"
    op.create_index(
        name,
        "network_interface",
        ["instance_id", "device_index"],
        unique=True,
        sqlite_where=attached,
        postgresql_where=attached,
    )
    op.create_table(
        "network_interface_group",
        sa.Column("interface_id", sa.String(length=32), nullable=False),
        sa.Column("group_id", sa.String(length=32), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        _foreign("network_interface_group", "interface_id", "network_interface", ondelete="CASCADE"),
        _foreign("network_interface_group", "group_id", "security_group"),
        sa.PrimaryKeyConstraint("interface_id", "group_id", name=op.f("pk_network_interface_group")),
    )
    op.create_index(op.f("ix_network_interface_group_group_id"), "network_interface_group", ["group_id"])


def _make_addresses() -> None:
    _resource(
        "address",
        sa.Column("public_ip", sa.String(length=15), nullable=False),
        sa.Column("association_id", sa.String(length=32)),
        sa.Column("interface_id", sa.String(length=32)),
        sa.Column("private_ip", sa.String(length=15)),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        _foreign("address", "interface_id", "network_interface"),
        sa.UniqueConstraint("public_ip", name=op.f("uq_address_public_ip")),
        sa.UniqueConstraint("association_id", name=op.f("uq_address_association_id")),
    )
    where = sa.text("interface_id IS NOT NULL")
    op.create_index(
        "uq_address_interface_id", "address", ["interface_id"], unique=True, sqlite_where=where, postgresql_where=where
    )


def _fill_vpcs() -> None:
    """Every VPC so far is a default one: options, an ACL, a gateway, and a main table that leads to it."""
    c = op.get_bind()
    zones = "SELECT DISTINCT account_id, region, zone FROM subnet WHERE is_default"
    c.execute(sa.text(f"INSERT INTO default_network (account_id, region, zone) {zones}"))
    now = int(time.time() * 1000)
    for row in c.execute(sa.text("SELECT id, account_id, region, cidr FROM vpc")).mappings().all():
        owner = {"account_id": row["account_id"], "region": row["region"]}
        options, table, gateway = _mint("dopt"), _mint("rtb"), _mint("igw")
        _insert("dhcp_options", id=options, **owner)
        statement = sa.text("UPDATE vpc SET dhcp_options_id = :options WHERE id = :id")
        c.execute(statement, {"options": options, "id": row["id"]})
        _insert("network_acl", id=_mint("acl"), **owner, vpc_id=row["id"])
        _insert("internet_gateway", id=gateway, **owner, vpc_id=row["id"])
        _insert("route_table", id=table, **owner, vpc_id=row["id"], created_at=now)
        _insert("route_table_association", id=_mint("rtbassoc"), route_table_id=table, subnet_id=None)
        _insert("route", route_table_id=table, destination="0.0.0.0/0", gateway_id=gateway)


def _fill_rules() -> None:
    """Every group so far is a default one: in from itself, out to anywhere."""
    c = op.get_bind()
    for row in c.execute(sa.text("SELECT id, account_id, region FROM security_group")).mappings().all():
        common = {"account_id": row["account_id"], "region": row["region"], "group_id": row["id"], "protocol": "-1"}
        _insert(
            "security_group_rule",
            id=_mint("sgr"),
            **common,
            is_egress=False,
            referenced_group_id=row["id"],
            cidr_ipv4=None,
        )
        _insert(
            "security_group_rule",
            id=_mint("sgr"),
            **common,
            is_egress=True,
            referenced_group_id=None,
            cidr_ipv4="0.0.0.0/0",
        )


def _fill_interfaces() -> None:
    """Each live instance's one interface."""
    c = op.get_bind()
    columns = "id, account_id, region, zone, vpc_id, subnet_id, private_ip, mac, interface_id, security_group_ids, launched_at"
    for row in c.execute(sa.text(f"SELECT {columns} FROM instance WHERE terminated_at IS NULL")).mappings().all():
        shared = ("account_id", "region", "zone", "vpc_id", "subnet_id", "private_ip", "mac")
        _insert(
            "network_interface",
            id=row["interface_id"],
            **{name: row[name] for name in shared},
            description="",
            has_source_dest_check=True,
            created_at=row["launched_at"],
            instance_id=row["id"],
            attachment_id="eni-attach-" + row["interface_id"].rpartition("-")[2],
            device_index=0,
            attached_at=row["launched_at"],
            delete_on_termination=True,
        )
        for position, group_id in enumerate(row["security_group_ids"].split()):
            _insert("network_interface_group", interface_id=row["interface_id"], group_id=group_id, position=position)


def _mint(prefix: str) -> str:
    return f"{prefix}-{secrets.token_hex(9)[:17]}"


def _insert(table: str, **values: Any) -> None:
    names = ", ".join(values)
    places = ", ".join(f":{name}" for name in values)
    op.get_bind().execute(sa.text(f"INSERT INTO {table} ({names}) VALUES ({places})"), values)


def downgrade() -> None:
    """Takes it away again."""
    for name in MADE:
        op.drop_table(name)
    op.drop_column("subnet", "maps_public_ip")
    for name in VPC_COLUMNS:
        op.drop_column("vpc", name)
