"""The log on the command line: a table, JSON, and new lines as they come."""

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError

from amiable.cli import events
from amiable.cli.main import main
from amiable.cli.output import Output
from amiable.model.errors import LocalRefusal
from tests.server.edge import Edge

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def ec2(edge: Edge) -> Iterator[Any]:
    with closing(edge.client("ec2")) as client:
        yield client


def test_what_was_done_is_shown(ec2: Any, capsys: pytest.CaptureFixture[str]) -> None:
    made = ec2.create_key_pair(KeyName="one")["KeyPairId"]
    assert main(["events"]) == 0
    heading, line = capsys.readouterr().out.splitlines()
    assert heading.split()[:5] == ["TIME", "ACCOUNT", "SERVICE", "ACTION", "OUTCOME"]
    assert line.split()[2:] == ["ec2", "CreateKeyPair", "done", "-", made, "127.0.0.1"]
    assert main(["events", "--since", "1h", "--output", "json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["Resources"] == [made] and row["Parameters"]["KeyName"] == "one"
    assert main(["events", "--output", "id"]) == 0
    assert capsys.readouterr().out.split() == [row["RequestId"]]


class Enough(Exception):
    """The test has seen what it waited for."""


@pytest.mark.parametrize("output", ["table", "json"])
def test_new_lines_come_as_they_are_written(
    ec2: Any, output: Output, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ec2.create_key_pair(KeyName="before")
    asked: list[dict[str, str]] = []
    page = events.page

    def watched(query: dict[str, str]) -> Any:
        asked.append(query)
        if len(asked) == 3:
            raise Enough
        if len(asked) == 2:
            threading.Thread(target=lambda: ec2.create_key_pair(KeyName="after")).start()
        return page(query)

    monkeypatch.setattr(events, "page", watched)
    with pytest.raises(Enough):
        events.events(follow=True, output=output)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and all("CreateKeyPair" in line for line in lines)
    assert asked[1]["wait"] and int(asked[2]["after"]) == int(asked[1]["after"]) + 1
    if output == "json":
        assert [json.loads(line)["Parameters"]["KeyName"] for line in lines] == ["before", "after"]


def test_following_outlasts_a_restart_of_the_server(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers: list[Any] = [EndpointConnectionError(endpoint_url="x"), ConnectionClosedError(endpoint_url="x"), ([], 7)]
    asked: list[str] = []

    def page(query: dict[str, str]) -> Any:
        asked.append(query["after"])
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(events, "page", page)
    assert events.page_after(5) == ([], 7) and asked == ["5", "5", "5"]
    assert capsys.readouterr().err == "the server is away; the log goes on when it is back\n"


def test_of_many_resources_a_table_shows_the_first_ones_only() -> None:
    row = {"AccountId": "1", "PrincipalArn": None, "Resources": [f"ami-{number}" for number in range(300)]}
    assert events.told(row, "table")["Resources"] == "ami-0 ami-1 ami-2 and 297 more"
    assert events.told(row, "json") == row


@pytest.mark.parametrize(
    ("arn", "who"),
    [
        (None, "123456789012"),
        ("arn:aws:iam::123456789012:root", "123456789012"),
        ("arn:aws:sts::123456789012:assumed-role/builder/i-1", "123456789012:assumed-role/builder/i-1"),
    ],
)
def test_a_table_tells_a_roles_session_from_its_account(arn: str | None, who: str) -> None:
    row: dict[str, Any] = {"AccountId": "123456789012", "PrincipalArn": arn, "Resources": []}
    assert events.told(row, "table")["AccountId"] == who


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("15m", NOW - timedelta(minutes=15)),
        ("2h", NOW - timedelta(hours=2)),
        ("7d", NOW - timedelta(days=7)),
        ("2026-02-01T00:00:00+02:00", datetime(2026, 1, 31, 22, tzinfo=UTC)),
    ],
)
def test_a_moment_is_named_or_how_long_ago_it_was(text: str, moment: datetime) -> None:
    assert datetime.fromisoformat(events.moment_of(text, NOW)) == moment


@pytest.mark.parametrize("text", ["soon", "", "999999d"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(LocalRefusal, match=f"--since is no moment: {text}") as refused:
        events.moment_of(text, NOW)
    assert refused.value.exit_code == 2
