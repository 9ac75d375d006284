"""The whoAMI case through stock clients: found by name without an owner, newer than a trusted image of that name."""

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from amiable.api.amiable import set_owner_alias
from amiable.cli.main import main
from amiable.database import events, images
from amiable.database.events import Wanted
from amiable.model.principal import Principal
from tests.api.ec2.launching import make_image
from tests.server.edge import Edge, running_edge
from tests.support.clock import Clock, sign_by
from tests.support.services import make_account, open_services

PATTERN = [{"Name": "name", "Values": ["debian-12-*"]}]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    sign_by(made, monkeypatch)
    return made


@pytest.fixture
def edge(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Edge]:
    with open_services(tmp_path / "data", clock=clock) as services:
        account, _ = make_account(services, "edge")
        with running_edge(services, account) as running:
            running.speak_in(monkeypatch)
            yield running


@pytest.fixture
def ec2(edge: Edge) -> Iterator[Any]:
    with closing(edge.client("ec2")) as client:
        yield client


@pytest.fixture
def house(edge: Edge) -> Principal:
    """The owner whom everybody trusts."""
    administrator = make_account(edge.services, "administrator", administrator=True)[1]
    principal = make_account(edge.services, "house")[1]
    set_owner_alias(edge.services, administrator, principal.account_id, "amazon")
    return principal


@pytest.fixture
def stranger(edge: Edge) -> Principal:
    return make_account(edge.services, "stranger")[1]


def publish(edge: Edge, owner: Principal, name: str, **facts: Any) -> str:
    image = make_image(edge.services, owner, name=name, **facts)
    with edge.services.database.write() as c:
        images.change_grants(c, image.id, add=["all"], remove=[])
    return image.id


@pytest.fixture
def trusted(edge: Edge, house: Principal, clock: Clock) -> str:
    image_id = publish(edge, house, "debian-12-20260101")
    clock.pass_(days=1)
    return image_id


@pytest.fixture
def lookalike(edge: Edge, stranger: Principal, trusted: str) -> str:
    return publish(edge, stranger, "debian-12-20260102")


def launch(ec2: Any, image_id: str, **words: Any) -> Any:
    return ec2.run_instances(ImageId=image_id, MinCount=1, MaxCount=1, InstanceType="t2.nano", **words)


def run(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert main(["name-guard", *words, "--output", "json"]) == 0
    return json.loads(capsys.readouterr().out)


def newest(ec2: Any, **words: Any) -> str:
    """As a tool takes "the latest"."""
    found = ec2.describe_images(Filters=PATTERN, **words)["Images"]
    return str(max(found, key=lambda image: image["CreationDate"])["ImageId"])


def test_without_a_guard_ec2_behaves_as_ever(ec2: Any, trusted: str, lookalike: str) -> None:
    assert newest(ec2) == lookalike
    assert launch(ec2, lookalike)["Instances"]


def test_an_enforcing_guard_refuses_the_lookalike_and_records_it(
    ec2: Any, trusted: str, lookalike: str, stranger: Principal, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, "set", "enforce") == {"Mode": "enforce", "Trusted": []}
    assert newest(ec2) == lookalike
    for dry in (True, False):
        with pytest.raises(ClientError, match=rf"OperationNotPermitted.*{lookalike}.*'debian-12-\*'.*{trusted}"):
            launch(ec2, lookalike, DryRun=dry)
    assert ec2.describe_instances()["Reservations"] == []
    (finding,) = run(capsys, "findings")
    assert (finding["Result"], finding["ImageId"], finding["TrustedImageId"]) == ("refused", lookalike, trusted)
    assert (finding["LookedForBy"], finding["ImageOwnerId"]) == ("debian-12-*", stranger.account_id)
    assert newest(ec2, Owners=["amazon"]) == trusted
    assert launch(ec2, trusted)["Instances"]


def test_the_log_says_of_a_launch_that_an_enforcing_guard_refused_only_that(
    edge: Edge, ec2: Any, trusted: str, lookalike: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "set", "enforce")
    newest(ec2)
    with pytest.raises(ClientError, match="OperationNotPermitted"):
        launch(ec2, lookalike)
    assert run(capsys, "findings")
    with edge.services.database.read() as c:
        told = [(it.action, it.outcome.value) for it in events.list_events(c, Wanted(edge.account.account_id))]
    assert told == [("PUT name-guard", "done"), ("RunInstances", "refused")]


def test_an_auditing_guard_launches_and_records(
    ec2: Any, trusted: str, lookalike: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "set", "audit")
    newest(ec2)
    with pytest.raises(ClientError, match="DryRunOperation"):
        launch(ec2, lookalike, DryRun=True)
    assert run(capsys, "findings") == []
    assert launch(ec2, lookalike)["Instances"]
    (finding,) = run(capsys, "findings")
    assert (finding["Result"], finding["ImageId"]) == ("flagged", lookalike)


def test_who_says_whose_image_is_meant_is_not_suspected(
    ec2: Any, trusted: str, lookalike: str, stranger: Principal, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "set", "enforce")
    assert newest(ec2, Owners=[stranger.account_id]) == lookalike
    filters = [*PATTERN, {"Name": "owner-id", "Values": [stranger.account_id]}]
    assert ec2.describe_images(Filters=filters)["Images"]
    assert launch(ec2, lookalike)["Instances"]


@pytest.mark.parametrize("owners", [["*"], ["?" * 12], ["123456789012", "*"]])
def test_an_owner_of_wildcards_alone_is_no_owner(
    ec2: Any, trusted: str, lookalike: str, owners: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "set", "enforce")
    found = ec2.describe_images(Filters=[*PATTERN, {"Name": "owner-id", "Values": owners}])["Images"]
    assert {trusted, lookalike} <= {image["ImageId"] for image in found}
    with pytest.raises(ClientError, match="OperationNotPermitted"):
        launch(ec2, lookalike)


def test_a_trusted_owners_image_is_launched_and_one_distrusted_again_is_not(
    ec2: Any, trusted: str, lookalike: str, stranger: Principal, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "set", "enforce")
    newest(ec2)
    assert run(capsys, "trust", stranger.account_id)["Trusted"] == [stranger.account_id]
    assert launch(ec2, lookalike)["Instances"]
    assert run(capsys, "distrust", stranger.account_id)["Trusted"] == []
    with pytest.raises(ClientError, match="OperationNotPermitted"):
        launch(ec2, lookalike)


def test_of_many_names_looked_for_the_one_that_finds_the_trusted_image_is_told(
    edge: Edge, ec2: Any, trusted: str, lookalike: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "set", "enforce")
    (name,) = [each["Name"] for each in ec2.describe_images(ImageIds=[lookalike])["Images"]]
    names = [*(f"{name[:length]}*{name[length:]}" for length in range(len(name))), "debian-1?-*", "fedora-*"]
    ec2.describe_images(Filters=[{"Name": "name", "Values": names}])
    with pytest.raises(ClientError, match=rf"OperationNotPermitted.*'debian-1\?-\*'.*{trusted}"):
        launch(ec2, lookalike)


def test_an_older_image_one_of_another_name_and_one_without_a_trusted_one_are_not_suspected(
    edge: Edge, ec2: Any, trusted: str, stranger: Principal, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "set", "enforce")
    older = publish(edge, stranger, "debian-12-20250101", created_at=clock() - timedelta(days=30))
    other = publish(edge, stranger, "fedora-40")
    assert {image["ImageId"] for image in ec2.describe_images(Filters=PATTERN)["Images"]} == {trusted, older}
    ec2.describe_images(Filters=[{"Name": "name", "Values": ["fedora-*"]}])
    for image_id in (older, other):
        assert launch(ec2, image_id)["Instances"]


def test_a_name_looked_for_long_ago_no_longer_counts(
    ec2: Any, trusted: str, lookalike: str, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "set", "enforce")
    newest(ec2)
    clock.pass_(days=8)
    assert launch(ec2, lookalike)["Instances"]


def test_a_policy_that_makes_no_sense_is_refused(edge: Edge, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["name-guard", "trust", "somebody"]) == 1
    assert "Give account ids" in capsys.readouterr().err
    assert main(["name-guard", "set", "maybe"]) == 2
