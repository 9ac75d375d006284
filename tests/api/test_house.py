"""The house account: made at first use, once; its credentials go to the administrator and end."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from amiable.api import house
from amiable.api.sessions import open_session
from amiable.database import accounts, block_public_access
from amiable.model.errors import UnauthorizedOperation
from amiable.model.principal import Principal
from amiable.services import Services
from tests.support.services import make_account


def test_the_account_is_made_once_with_its_alias_and_may_publish_in_the_caller_s_region(
    services: Services, administrator: Principal
) -> None:
    first = house.begin_house_session(services, administrator)
    elsewhere = replace(administrator, region="eu-central-1")
    assert house.begin_house_session(services, elsewhere).account_id == first.account_id
    with services.database.read() as c:
        account = accounts.find_account(c, first.account_id)
        guards = [
            block_public_access.find(c, first.account_id, name) for name in (administrator.region, "eu-central-1")
        ]
        untouched = block_public_access.find(c, first.account_id, "us-west-2")
    assert account is not None
    assert (account.name, account.owner_alias, account.is_administrator) == ("house", "amazon", False)
    assert {guard.images for guard in guards} == {"unblocked"} and untouched.images == "block-new-sharing"
    assert {guard.snapshots for guard in guards} == {untouched.snapshots}


def test_two_first_uses_at_once_make_one_account(services: Services, administrator: Principal) -> None:
    with ThreadPoolExecutor(4) as pool:
        begun = list(pool.map(lambda _: house.begin_house_session(services, administrator), range(4)))
    assert len({each.account_id for each in begun}) == 1
    assert len({each.session.key_id for each in begun}) == 4


def test_nobody_else_is_let_in_and_nothing_is_made_for_them(services: Services, administrator: Principal) -> None:
    _, someone = make_account(services, "someone")
    with pytest.raises(UnauthorizedOperation):
        house.begin_house_session(services, someone)
    with services.database.read() as c:
        assert "house" not in {account.name for account in accounts.list_accounts(c)}


def test_an_account_that_only_bears_the_name_or_the_alias_is_not_the_house_s(
    services: Services, administrator: Principal
) -> None:
    named, _ = make_account(services, "house")
    with_alias, _ = make_account(services, "vendor")
    with services.database.write() as c:
        accounts.set_owner_alias(c, with_alias.account_id, "amazon")
    assert house.begin_house_session(services, administrator).account_id not in {
        named.account_id,
        with_alias.account_id,
    }


def test_the_credentials_speak_for_the_house_account_and_end_with_the_hour(
    services: Services, administrator: Principal
) -> None:
    begun = house.begin_house_session(services, administrator)
    opened = open_session(services, begun.session.token, begun.session.key_id)
    assert (opened.account_id, opened.secret) == (begun.account_id, begun.session.secret)
    assert not opened.is_administrator
    assert (begun.expires_at - services.now()).total_seconds() <= house.SESSION_SECONDS


def test_an_account_whose_keys_are_gone_gets_a_new_one(services: Services, administrator: Principal) -> None:
    begun = house.begin_house_session(services, administrator)
    with services.database.write() as c:
        for key in accounts.list_access_keys(c, begun.account_id):
            accounts.delete_access_key(c, account_id=begun.account_id, key_id=key.id)
    again = house.begin_house_session(services, administrator)
    assert again.account_id == begun.account_id
    assert open_session(services, again.session.token, again.session.key_id).account_id == begun.account_id


def test_no_secret_shows_where_a_session_is_printed(services: Services, administrator: Principal) -> None:
    begun = house.begin_house_session(services, administrator)
    assert begun.session.secret not in repr(begun) and begun.session.token not in repr(begun)
