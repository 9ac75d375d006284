"""Who may launch an image, from the command line over a real edge: accounts, organizations, everybody, and the guard."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from amiable.cli.main import main
from tests.server.edge import Edge
from tests.support.publisher import new_snapshot, publishing_edge, register
from tests.support.services import make_account

ORGANIZATION = "arn:aws:organizations::123456789012:organization/o-abcdefghij"
UNIT = "arn:aws:organizations::123456789012:ou/o-abcdefghij/ou-root-00000001"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    with publishing_edge(tmp_path) as running:
        yield running


@pytest.fixture
def run(edge: Edge, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs ``amiable image …`` for the publisher: exit code, stdout, stderr."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    edge.speak_in(monkeypatch)

    def run_one(*words: str) -> tuple[int, str, str]:
        status = main(["image", *words])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run_one


@pytest.fixture
def image_id(edge: Edge) -> str:
    with closing(edge.client("ec2")) as ec2:
        return register(ec2, new_snapshot(edge), "an image")


def test_an_image_is_shared_with_accounts_and_organizations(edge: Edge, run: Run, image_id: str) -> None:
    other = make_account(edge.services, "other")[0].account_id
    status, out, _ = run("share", image_id, "--account", other, "--organization", ORGANIZATION, "--organization", UNIT)
    assert status == 0 and set(out.split()) == {other, ORGANIZATION, UNIT}
    assert run("share", image_id, "--organization", UNIT, "--account", other, "--remove")[:2] == (
        0,
        f"{ORGANIZATION}\n",
    )
    status, _, said = run("share", image_id, "--organization", "o-abcdefghij")
    assert status == 1
    assert 'Invalid attribute item value "o-abcdefghij" for organizationArn item type.' in said
    assert run("share", image_id) == (
        2,
        "",
        "error: nobody to share with\n\nhint: --account 123456789012, --organization ARN, or --public\n",
    )


def test_the_guard_refuses_says_how_it_is_lifted_and_is_lifted_so(run: Run, image_id: str) -> None:
    assert run("public-access") == (0, "block-new-sharing\n", "")
    status, out, said = run("share", image_id, "--public")
    assert (status, out) == (1, "")
    assert "OperationNotPermitted: You can't publicly share this image because block public access" in said
    hint = said.rpartition("hint: amiable ")[2]
    assert hint == "image public-access allow\n"
    assert run(*hint.split()[1:]) == (0, "unblocked\n", "")
    assert run("share", image_id, "--public") == (0, "all\n", "")
    assert run("public-access", "block") == (0, "block-new-sharing\n", "")
    assert run("share", image_id, "--public", "--remove") == (0, "", "")


def test_a_disabled_image_is_listed_on_request_only(edge: Edge, run: Run, image_id: str) -> None:
    with closing(edge.client("ec2")) as ec2:
        ec2.disable_image(ImageId=image_id)
    assert run("list", "--output", "id") == (0, "", "")
    status, out, _ = run("list", "--disabled")
    assert status == 0 and image_id in out and "disabled" in out
