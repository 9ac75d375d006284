"""What keeps an image, on the command line; and a refusal that says so."""

import json

import pytest

from amiable.cli.main import main
from amiable.model.principal import Principal
from tests.api.ec2.launching import make_image
from tests.server.edge import Edge


def test_keepers_are_shown_with_what_frees_them(edge: Edge, capsys: pytest.CaptureFixture[str]) -> None:
    owner = Principal(edge.account.account_id, edge.account.access_key_id, "us-east-1")
    image = make_image(
        edge.services, owner, grantees=frozenset({"all"}), deregistration_protection="enabled-with-cooldown"
    )
    assert main(["image", "why", image.id]) == 0
    shown = capsys.readouterr()
    heading, protection, share = shown.out.splitlines()
    assert heading.split() == ["WHAT", "ID", "ACCOUNT", "WHY", "TO", "FREE", "IT"]
    assert "(refuses deletion)" in protection
    assert protection.endswith(f"aws ec2 disable-image-deregistration-protection --image-id {image.id}")
    assert share.endswith(f"amiable image share {image.id} --remove --public")
    assert shown.err == "\nwould come free: 0 B (0 bytes)\n"
    assert main(["image", "why", image.id, "--output", "json"]) == 0
    assert [it["Kind"] for it in json.loads(capsys.readouterr().out)["Keepers"]] == ["protection", "share"]
    assert main(["image", "deregister", image.id, "--yes"]) == 1
    words, _, hint = capsys.readouterr().err.partition("\n\nhint: ")
    assert words.startswith("error: OperationNotPermitted: The image")
    assert hint.splitlines()[0].startswith(f"protection {image.id}:") and "share all:" in hint


def test_what_nothing_keeps_says_so(edge: Edge, capsys: pytest.CaptureFixture[str]) -> None:
    owner = Principal(edge.account.account_id, edge.account.access_key_id, "us-east-1")
    assert main(["image", "why", make_image(edge.services, owner).id]) == 0
    assert capsys.readouterr().err.startswith("nothing keeps ami-")


def test_another_kind_of_id_is_refused(edge: Edge, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["image", "why", "vol-12345678"]) == 1
    assert "InvalidAMIID.Malformed" in capsys.readouterr().err
