"""An account is born whole."""

import json
import re
import stat
import subprocess
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from sqlalchemy import select

from amiable.api import accounts as module
from amiable.api import amiable
from amiable.api.accounts import (
    ACCESS_KEYS_MAX,
    create_access_key,
    create_account,
    secret_of,
    settle_accounts,
    settle_networks,
)
from amiable.database import accounts, network, schema
from amiable.model.errors import InvalidParameterValue, ResourceLimitExceeded
from amiable.services import Services
from tests.support.services import make_account


def test_an_account_has_a_key_a_certificate_and_a_network(services: Services) -> None:
    made = create_account(services, "someone", administrator=True)
    assert re.fullmatch(r"[1-9]\d{11}", made.account_id)
    assert re.fullmatch(r"AKIA[A-Z2-7]{16}", made.access_key_id)
    assert len(made.secret) == 40
    with services.database.read() as c:
        key = accounts.find_access_key(c, made.access_key_id)
        assert key is not None
        assert (key.account_id, key.state, key.is_administrator) == (made.account_id, "active", True)
        assert accounts.signing_certificates(c, made.account_id) == [made.certificate_pem]
        enrolled = c.execute(select(schema.signing_certificate.c.id)).scalar_one()
        vpc = c.execute(select(schema.vpc).where(schema.vpc.c.account_id == made.account_id)).one()
        subnet = c.execute(select(schema.subnet).where(schema.subnet.c.account_id == made.account_id)).one()
        group = c.execute(
            select(schema.security_group).where(schema.security_group.c.account_id == made.account_id)
        ).one()
    assert secret_of(services, key) == made.secret
    certificate = x509.load_pem_x509_certificate(made.certificate_pem.encode())
    assert enrolled == certificate.fingerprint(hashes.SHA256()).hex()
    assert (vpc.cidr, vpc.is_default, subnet.cidr, subnet.zone, subnet.vpc_id) == (
        "172.31.0.0/16",
        True,
        "172.31.0.0/20",
        services.settings.zones[0],
        vpc.id,
    )
    assert (group.name, group.vpc_id) == ("default", vpc.id)


def test_openssl_says_that_certificate_and_key_belong_together(services: Services) -> None:
    made = create_account(services, "someone")
    folder = services.data / "accounts" / made.account_id
    ca = services.data / "installation" / "ca.pem"
    verified = subprocess.run(
        ["openssl", "verify", "-CAfile", ca, folder / "signing.pem"], capture_output=True, text=True, check=True
    )
    assert verified.stdout.strip().endswith("OK")
    moduli = [
        subprocess.run(
            ["openssl", kind, "-noout", "-modulus", "-in", folder / name], capture_output=True, check=True
        ).stdout
        for kind, name in (("rsa", "signing.key"), ("x509", "signing.pem"))
    ]
    assert moduli[0] == moduli[1]


def test_an_accounts_files_are_its_owners_alone(services: Services) -> None:
    made = create_account(services, "someone")
    folder = services.data / "accounts" / made.account_id
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == dict.fromkeys(
        ("credentials.json", "signing.key", "signing.pem"), 0o600
    )
    found = json.loads((folder / "credentials.json").read_text())
    assert (found["AccountId"], found["AccessKeyId"], found["SecretAccessKey"], found["Administrator"]) == (
        made.account_id,
        made.access_key_id,
        made.secret,
        False,
    )
    assert (folder / "signing.key").read_text() == made.private_key_pem


def test_a_credentials_file_that_was_taken_away_stays_away(services: Services) -> None:
    made, principal = make_account(services, "someone")
    file = services.data / "accounts" / made.account_id / "credentials.json"
    file.unlink()
    amiable.delete_access_key(services, principal, create_access_key(services, made.account_id).id)
    assert not file.exists()


def test_no_secret_stands_in_the_database_or_in_a_repr(services: Services) -> None:
    made = create_account(services, "someone")
    stored = b"".join(path.read_bytes() for path in services.data.glob("amiable.db*"))
    assert made.access_key_id.encode() in stored
    assert made.secret.encode() not in stored
    assert b"PRIVATE KEY" not in stored
    assert made.secret not in repr(made) and "PRIVATE" not in repr(made)


@pytest.mark.parametrize("name", ["", "  ", "x" * 256, "a\nb"])
def test_a_name_must_be_printable(services: Services, name: str) -> None:
    with pytest.raises(InvalidParameterValue):
        create_account(services, name)
    with services.database.read() as c:
        assert accounts.list_accounts(c) == []


def test_an_account_id_is_given_once(services: Services) -> None:
    create_account(services, "first", account_id="012345678901")
    for wrong in ("012345678901", "12345678901", "12345678901x"):
        with pytest.raises(InvalidParameterValue):
            create_account(services, "second", account_id=wrong)
    with services.database.read() as c:
        assert [account.name for account in accounts.list_accounts(c)] == ["first"]


def test_an_account_has_so_many_keys_and_no_more(services: Services) -> None:
    made = create_account(services, "someone")
    for _ in range(ACCESS_KEYS_MAX - 1):
        create_access_key(services, made.account_id)
    with pytest.raises(ResourceLimitExceeded):
        create_access_key(services, made.account_id)


def test_a_crash_before_or_after_the_rows_is_settled_at_the_next_start(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(module, "create_default_network", crash)  # inside the transaction: the rows are undone
        with pytest.raises(KeyboardInterrupt):
            create_account(services, "before", administrator=True)
    with monkeypatch.context() as broken:
        broken.setattr(module, "_rename_durably", crash)
        with pytest.raises(KeyboardInterrupt):
            create_account(services, "after", administrator=True)
    with services.database.read() as c:
        (made,) = accounts.list_accounts(c)
    assert made.name == "after" and len(list((services.data / "accounts").iterdir())) == 2
    settle_accounts(services)
    settle_accounts(services)
    (folder,) = (services.data / "accounts").iterdir()
    assert folder.name == made.id and json.loads((folder / "credentials.json").read_text())["Name"] == "after"


def test_a_zone_that_is_set_later_gets_a_subnet_in_every_accounts_network_once(services: Services) -> None:
    principals = [make_account(services, name)[1] for name in ("one", "two")]
    zones = (*services.settings.zones, "us-east-1b")
    later = replace(services, settings=replace(services.settings, zones=zones))
    for _ in range(2):
        settle_networks(later)
        for principal in principals:
            with services.database.read() as c:
                subnets = network.list_subnets(c, principal.account_id, principal.region)
                assert len(network.list_vpcs(c, principal.account_id, principal.region)) == 1
            assert sorted(subnet.zone for subnet in subnets) == sorted(zones)
            assert len({subnet.cidr for subnet in subnets}) == len(zones)
