"""The migrations lead to exactly what ``schema.py`` says, on both dialects, and may be run again."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Column, inspect, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from amiable.database import block_public_access, interfaces, network, routes, security_groups
from amiable.database.connect import Database, Instant, milliseconds
from amiable.database.migrate import MIGRATIONS, migrate, upgrade
from amiable.database.schema import metadata
from amiable.model.block_public_access import BLOCK_NEW_SHARING, UNBLOCKED, BlockPublicAccess
from amiable.rules.retirement import add_years, to_minute

INSTANCE_TEXTS = (
    "reservation_id", "image_id", "state", "transition_reason", "instance_type", "architecture", "virtualization_type",
    "root_device_type", "boot_mode", "hardware_profile", "hardware_profile_why", "http_tokens", "http_endpoint",
    "instance_metadata_tags", "shutdown_behavior",
)  # fmt: skip
INSTANCE_NUMBERS = ("launch_index", "http_hop_limit", "boot_count", "launched_at")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path}/facts.db"
    migrate(url)
    opened = Database(url)
    yield opened
    opened.close()


def test_the_migrations_leave_what_the_schema_says(database: Database) -> None:
    with database.read() as c:
        context = MigrationContext.configure(c, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_every_index_and_its_condition_is_there(database: Database) -> None:
    with database.read() as c:
        seen = inspect(c)
        for table in metadata.sorted_tables:
            found = {index["name"]: index for index in seen.get_indexes(table.name)}
            for index in table.indexes:
                assert bool(found[index.name]["unique"]) == index.unique
                where = index.dialect_options["sqlite"]["where"]
                assert str(found[index.name].get("dialect_options", {}).get("sqlite_where", None)) == str(where)


def test_migrating_again_changes_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/facts.db"
    migrate(url)
    migrate(url)


def test_kernels_of_the_first_version_are_approved(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/facts.db"
    values = {
        "account_id": "1", "region": "r", "description": None, "state": "available", "architecture": "x86_64",
        "virtualization_type": "paravirtual", "root_device_type": "instance-store", "location": "l", "ena_support": False,
        "created_at": 1234,
    }  # fmt: skip
    database = Database(url)
    with database.write() as c:
        upgrade(c, "0001")
        c.execute(text("INSERT INTO account (id, name, is_administrator, created_at) VALUES ('1', 'n', 1, 1)"))
        for kind in ("machine", "kernel", "ramdisk"):
            row = values | {"id": kind, "name": kind, "image_type": kind}
            names = ", ".join(row)
            c.execute(text(f"INSERT INTO image ({names}) VALUES ({', '.join(':' + name for name in row)})"), row)
    database.close()
    migrate(url)
    database = Database(url)
    with database.read() as c:
        marks = {row.id: row.approved_at for row in c.execute(text("SELECT id, approved_at FROM image"))}
    database.close()
    assert marks == {"machine": None, "kernel": 1234, "ramdisk": 1234}


def test_who_had_a_public_image_keeps_publishing_in_its_region_and_nobody_else(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/facts.db"
    common = {
        "image_type": "machine", "state": "available", "architecture": "x86_64", "virtualization_type": "hvm",
        "root_device_type": "ebs", "location": "l", "ena_support": False, "created_at": 1,
    }  # fmt: skip
    granted = [
        ("1", "here", "all"),
        ("1", "there", "2"),
        ("2", "here", "1"),
        ("2", "there", None),
        ("1", "here", "all"),
    ]
    database = Database(url)
    with database.write() as c:
        upgrade(c, "0003")
        for one in ("1", "2"):
            values = {"id": one}
            c.execute(
                text("INSERT INTO account (id, name, is_administrator, created_at) VALUES (:id, 'n', 0, 1)"), values
            )
        for number, (account_id, region, grantee) in enumerate(granted):
            row = common | {"id": f"ami-{number}", "name": f"n{number}", "account_id": account_id, "region": region}
            names = ", ".join(row)
            c.execute(text(f"INSERT INTO image ({names}) VALUES ({', '.join(':' + name for name in row)})"), row)
            if grantee is not None:
                grant = {"image_id": row["id"], "grantee": grantee}
                c.execute(text("INSERT INTO launch_permission (image_id, grantee) VALUES (:image_id, :grantee)"), grant)
    database.close()
    migrate(url)
    database = Database(url)
    with database.read() as c:
        guards = {
            (account_id, region): block_public_access.find(c, account_id, region)
            for account_id in ("1", "2")
            for region in ("here", "there")
        }
    database.close()
    assert guards.pop(("1", "here")) == BlockPublicAccess(images=UNBLOCKED)
    assert set(guards.values()) == {BlockPublicAccess(images=BLOCK_NEW_SHARING, snapshots=UNBLOCKED)}


def test_what_was_public_is_deprecated_two_years_after_its_creation(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/facts.db"
    born = {"leap": datetime(2024, 2, 29, 1, 2, 30, tzinfo=UTC), "private": datetime(2025, 1, 1, tzinfo=UTC)}
    database = Database(url)
    with database.write() as c:
        upgrade(c, "0006")
        c.execute(text("INSERT INTO account (id, name, is_administrator, created_at) VALUES ('1', 'n', 0, 1)"))
        for name, kind in (("leap", "machine"), ("private", "machine"), ("kernel", "kernel")):
            row = {
                "id": name, "name": name, "account_id": "1", "region": "r", "image_type": kind, "state": "available",
                "architecture": "x86_64", "virtualization_type": "hvm", "root_device_type": "ebs", "location": "l",
                "ena_support": False, "created_at": milliseconds(born.get(name, born["private"])),
            }  # fmt: skip
            c.execute(text(f"INSERT INTO image ({', '.join(row)}) VALUES ({', '.join(':' + key for key in row)})"), row)
        c.execute(text("INSERT INTO launch_permission VALUES ('leap', 'all'), ('private', '2'), ('kernel', 'all')"))
    database.close()
    migrate(url)
    database = Database(url)
    with database.read() as c:
        moments = {row.id: row.deprecation_at for row in c.execute(text("SELECT id, deprecation_at FROM image"))}
    database.close()
    expected = to_minute(add_years(born["leap"], 2))
    assert moments == {"leap": milliseconds(expected), "private": None, "kernel": None}


def test_what_ran_before_networks_had_rules_keeps_its_interface_and_gets_ec2s_default_rules(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/facts.db"
    mine = {"account_id": "1", "region": "r"}
    launched: dict[str, Any] = dict.fromkeys(INSTANCE_TEXTS, "x") | dict.fromkeys(INSTANCE_NUMBERS, 1)
    place = {"zone": "z", "vpc_id": "vpc-1", "subnet_id": "subnet-1", "security_group_ids": "sg-1", "mac": "02:1"}
    rows: list[tuple[str, dict[str, Any]]] = [
        ("account", {"id": "1", "name": "n", "is_administrator": False, "created_at": 1}),
        ("vpc", {"id": "vpc-1", **mine, "cidr": "172.31.0.0/16", "is_default": True, "created_at": 1}),
        (
            "subnet",
            {"id": "subnet-1", **mine, "vpc_id": "vpc-1", "zone": "z", "cidr": "172.31.0.0/20", "is_default": True},
        ),
        ("security_group", {"id": "sg-1", **mine, "vpc_id": "vpc-1", "name": "default", "description": "d"}),
        ("reservation", {"id": "x", **mine, "created_at": 1}),
        *(
            (
                "instance",
                launched
                | mine
                | place
                | {"id": f"i-{n}", "private_ip": f"172.31.0.{n}", "interface_id": f"eni-{n}", "terminated_at": over},
            )
            for n, over in ((4, None), (5, 1))
        ),
    ]
    database = Database(url)
    with database.write() as c:
        upgrade(c, "0014")
        for table, row in rows:
            there = {column["name"] for column in inspect(c).get_columns(table)}
            kept = {name: value for name, value in row.items() if name in there}
            places = ", ".join(f":{name}" for name in kept)
            c.execute(text(f"INSERT INTO {table} ({', '.join(kept)}) VALUES ({places})"), kept)
    database.close()
    migrate(url)
    database = Database(url)
    with database.read() as c:
        (interface,) = interfaces.list_interfaces(c, "1", "r")
        rules = security_groups.rules_of(c, ["sg-1"])["sg-1"]
        (route_table,), (gateway,) = routes.list_route_tables(c, "1", "r"), routes.list_internet_gateways(c, "1", "r")
        (vpc,), (options,) = network.list_vpcs(c, "1", "r"), routes.list_dhcp_options(c, "1", "r")
        (acl,) = routes.list_network_acls(c, "1", "r")
    database.close()
    assert (interface.id, interface.private_ip, interface.group_ids) == ("eni-4", "172.31.0.4", ("sg-1",))
    assert interface.attachment is not None and interface.attachment.instance_id == "i-4"
    assert sorted((rule.is_egress, rule.cidr_ipv4, rule.referenced_group_id) for rule in rules) == [
        (False, None, "sg-1"),
        (True, "0.0.0.0/0", None),
    ]
    assert route_table.is_main and [route.gateway_id for route in route_table.routes] == [gateway.id]
    assert (vpc.dhcp_options_id, acl.vpc_id, gateway.vpc_id) == (options.id, "vpc-1", "vpc-1")


def test_the_schema_is_plain_enough_for_postgresql() -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy does not say its type
    for table in metadata.sorted_tables:
        assert str(CreateTable(table).compile(dialect=dialect))
        for index in table.indexes:
            text = str(CreateIndex(index).compile(dialect=dialect))
            assert ("WHERE" in text) == (index.dialect_options["postgresql"]["where"] is not None)


def test_every_time_is_an_instant_and_every_resource_has_account_and_region() -> None:
    for name in (
        "image",
        "snapshot",
        "instance",
        "volume",
        "key_pair",
        "import_snapshot_task",
        "vpc",
        "subnet",
        "security_group",
    ):
        assert {"account_id", "region"} <= set(metadata.tables[name].c.keys())
    columns: list[Column[object]] = [column for table in metadata.sorted_tables for column in table.c]
    assert all(isinstance(column.type, Instant) for column in columns if column.name.endswith("_at"))


def test_product_codes_move_into_a_table_of_their_own_and_back(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/facts.db"
    image = {
        "id": "ami-1", "name": "n", "image_type": "machine", "account_id": "1", "region": "r", "state": "available",
        "architecture": "x86_64", "virtualization_type": "hvm", "root_device_type": "ebs", "location": "l",
        "ena_support": False, "created_at": 1, "product_codes": "B A B",
    }  # fmt: skip
    read = text("SELECT resource_id, code, type FROM resource_product_code ORDER BY resource_id, position")
    database = Database(url)
    with database.write() as c:
        upgrade(c, "0005")
        c.execute(text("INSERT INTO account (id, name, is_administrator, created_at) VALUES ('1', 'n', 1, 1)"))
        c.execute(text(f"INSERT INTO image ({', '.join(image)}) VALUES ({', '.join(':' + n for n in image)})"), image)
        upgrade(c, "0006")
        assert c.execute(read).all() == [("ami-1", "B", "devpay"), ("ami-1", "A", "devpay")]
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = c
        command.downgrade(config, "0005")
        assert c.execute(text("SELECT product_codes FROM image")).scalar() == "B A"
    database.close()
