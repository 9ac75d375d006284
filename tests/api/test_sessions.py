"""Sessions of instances: derived, so that two reads agree, and never the same for two things."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from amiable.api.sessions import INSTANCE_ROTATION, INSTANCE_SESSION, Session, instance_session, open_session
from amiable.database import roles
from amiable.model.errors import Unauthenticated
from amiable.model.role import Role
from amiable.services import Services
from tests.rules.instances import AN_INSTANCE
from tests.support.clock import Clock
from tests.support.services import make_account, open_services

TRUST = '{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}}'


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def services(tmp_path: Path, clock: Clock) -> Iterator[Services]:
    with open_services(tmp_path / "data", clock=clock) as opened:
        yield opened


@pytest.fixture
def role(services: Services, clock: Clock) -> Role:
    account, _ = make_account(services, "owner")
    made = Role("AROA" + "A" * 17, account.account_id, "worker", "/", None, TRUST, 3600, (), clock.moment)
    with services.database.write() as c:
        roles.insert_role(c, made)
    return made


def nonce(session: Session) -> str:
    return session.token[:16]


def test_what_an_instance_reads_follows_from_what_it_is_for(services: Services, clock: Clock, role: Role) -> None:
    instance = replace(AN_INSTANCE, launched_at=clock.moment, account_id=role.account_id)
    others = {
        "now": instance_session(services, instance, role),
        "another instance": instance_session(services, replace(instance, id="i-" + "1" * 17), role),
        "another role": instance_session(services, instance, replace(role, id="AROA" + "B" * 17)),
        "no role": instance_session(services, instance, None),
        "another start": instance_session(
            services, replace(instance, launched_at=clock.moment - timedelta(minutes=1)), role
        ),
    }
    assert instance_session(services, instance, role) == others["now"]
    clock.moment += INSTANCE_ROTATION
    others["another hour"] = instance_session(services, instance, role)
    for told in (lambda it: it.key_id, lambda it: it.secret, nonce):
        assert len({told(session) for session in others.values()}) == len(others)


def test_it_opens_until_it_ends_or_the_role_does(services: Services, clock: Clock, role: Role) -> None:
    instance = replace(AN_INSTANCE, launched_at=clock.moment, account_id=role.account_id)
    session = instance_session(services, instance, role)
    clock.moment += INSTANCE_SESSION
    opened = open_session(services, session.token, session.key_id)
    assert opened.secret == session.secret and not opened.is_administrator
    assert opened.role is not None and opened.role.session_name == instance.id
    with pytest.raises(Unauthenticated, match="invalid"):
        open_session(services, session.token, "ASIA" + "A" * 16)
    clock.moment += timedelta(milliseconds=1)
    with pytest.raises(Unauthenticated, match="expired"):
        open_session(services, session.token, session.key_id)
    clock.moment -= timedelta(hours=1)
    with services.database.write() as c:
        roles.delete_role(c, role.id)
    with pytest.raises(Unauthenticated, match="not there any more"):
        open_session(services, session.token, session.key_id)


def test_a_clock_that_was_set_back_gives_credentials_of_the_start(services: Services, clock: Clock, role: Role) -> None:
    instance = replace(AN_INSTANCE, launched_at=clock.moment + timedelta(days=1), account_id=role.account_id)
    assert instance_session(services, instance, role).begun_at == instance.launched_at
