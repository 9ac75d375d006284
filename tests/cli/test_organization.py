"""Organizations from the command line, over a real edge: made, divided, joined, left, ended; and who may do which."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from amiable.api.accounts import NewAccount
from amiable.cli.main import main
from amiable.database.organizations import grantee_words
from amiable.services import Services
from tests.server.edge import running_edge
from tests.support.services import make_account, open_services

Run = Callable[..., Any]


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    with open_services(tmp_path / "data") as opened:
        yield opened


@pytest.fixture
def speak(services: Services, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[NewAccount], None]]:
    """Makes the environment speak for an account."""
    administrator, _ = make_account(services, "administrator", administrator=True)
    with running_edge(services, administrator) as edge:

        def speak_for(account: NewAccount) -> None:
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", account.access_key_id)
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", account.secret)

        monkeypatch.setenv("AWS_ENDPOINT_URL", edge.endpoint)
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        speak_for(administrator)
        yield speak_for


@pytest.fixture
def run(speak: object, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs ``amiable organization …`` for its JSON; a failing one gives its exit code and what it said."""

    def run_one(*words: str) -> Any:
        takes_output = words[0] not in ("delete", "delete-unit", "leave")
        status = main(["organization", *words, *(("--output", "json") if takes_output else ())])
        said = capsys.readouterr()
        if status != 0:
            return status, said.err
        return json.loads(said.out) if said.out else None

    return run_one


def words_of(services: Services, account: NewAccount) -> set[str]:
    with services.database.read() as c:
        return set(grantee_words(c, account.account_id)) - {account.account_id, "all"}


def test_an_account_is_meant_by_the_arns_of_its_organization_and_of_every_unit_above_it(
    services: Services, run: Run
) -> None:
    manager, _ = make_account(services, "manager")
    member, _ = make_account(services, "member")
    made = run("create", "Publishers", "--manager", manager.account_id)
    organization = made["OrganizationId"]
    assert made["Arn"] == f"arn:aws:organizations::{manager.account_id}:organization/{organization}"
    outer = run("create-unit", organization, "Europe")[0]
    inner = run("create-unit", organization, "Vienna", "--parent", outer["UnitId"])[0]
    run("join", organization, member.account_id, "--unit", inner["UnitId"])
    assert words_of(services, manager) == {made["Arn"]}
    assert words_of(services, member) == {made["Arn"], outer["Arn"], inner["Arn"]}
    run("join", organization, member.account_id, "--unit", outer["UnitId"])
    assert words_of(services, member) == {made["Arn"], outer["Arn"]}
    shown = run("show", organization)
    assert {unit["Name"] for unit in shown["Units"]} == {"Europe", "Vienna"}
    assert {each["AccountId"] for each in shown["Members"]} == {manager.account_id, member.account_id}
    assert run("leave", organization, member.account_id) is None
    assert words_of(services, member) == set()


def test_the_manager_divides_and_places_but_only_the_administrator_adds(
    services: Services, speak: Callable[[NewAccount], None], run: Run
) -> None:
    manager, _ = make_account(services, "manager")
    member, _ = make_account(services, "member")
    stranger, _ = make_account(services, "stranger")
    organization = run("create", "Publishers", "--manager", manager.account_id)["OrganizationId"]
    run("join", organization, member.account_id)
    speak(manager)
    unit = run("create-unit", organization, "Europe")[0]["UnitId"]
    assert run("join", organization, member.account_id, "--unit", unit)[0]["UnitId"] == unit
    assert "UnauthorizedOperation" in run("join", organization, stranger.account_id)[1]
    assert "OperationNotPermitted" in run("leave", organization, manager.account_id)[1]
    speak(member)
    assert run("list")[0]["OrganizationId"] == organization
    assert "UnauthorizedOperation" in run("create-unit", organization, "Mine")[1]
    speak(stranger)
    assert run("list") == []
    assert "does not exist" in run("show", organization)[1]
    assert "UnauthorizedOperation" in run("create", "Other", "--manager", stranger.account_id)[1]


def test_what_is_not_empty_stays_and_what_is_not_there_is_named(services: Services, run: Run) -> None:
    manager, _ = make_account(services, "manager")
    member, _ = make_account(services, "member")
    organization = run("create", "Publishers", "--manager", manager.account_id)["OrganizationId"]
    other = run("create", "Others", "--manager", member.account_id)["OrganizationId"]
    unit = run("create-unit", organization, "Europe")[0]["UnitId"]
    assert "There is a unit of this name there" in run("create-unit", organization, "Europe")[1]
    assert f"is in the organization {other} already" in run("join", organization, member.account_id)[1]
    assert "is not empty" in run("delete", organization)[1]
    assert "ou-none-missing1" in run("join", organization, manager.account_id, "--unit", "ou-none-missing1")[1]
    run("join", organization, manager.account_id, "--unit", unit)
    assert "is not empty" in run("delete-unit", organization, unit)[1]
    run("join", organization, manager.account_id)
    assert run("delete-unit", organization, unit) is None
    assert run("delete", organization) is None
    assert [each["OrganizationId"] for each in run("list")] == [other]


def test_units_lie_five_deep_at_most(services: Services, run: Run) -> None:
    manager, _ = make_account(services, "manager")
    organization = run("create", "Deep", "--manager", manager.account_id)["OrganizationId"]
    parent: tuple[str, ...] = ()
    for number in range(5):
        parent = ("--parent", run("create-unit", organization, f"level {number}", *parent)[0]["UnitId"])
    assert "5 deep" in run("create-unit", organization, "too deep", *parent)[1]


def test_an_owner_alias_is_given_and_taken_by_the_administrator(
    services: Services, speak: Callable[[NewAccount], None], capsys: pytest.CaptureFixture[str]
) -> None:
    house, _ = make_account(services, "house")
    for word, wanted in (("amazon", "amazon"), ("none", None)):
        assert main(["account", "alias", house.account_id, word, "--output", "json"]) == 0
        assert json.loads(capsys.readouterr().out)[0]["OwnerAlias"] == wanted
    speak(house)
    assert main(["account", "alias", house.account_id, "amazon"]) == 1
    assert "UnauthorizedOperation" in capsys.readouterr().err
