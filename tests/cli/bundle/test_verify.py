"""``amiable bundle verify``: what it says it looked at."""

import pytest

from amiable.cli.main import main
from tests.cli.bundle.bundles import CASE


def test_verify_without_a_key_says_what_it_did_not_look_at(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EC2_PRIVATE_KEY")
    assert main(["bundle", "verify", str(CASE)]) == 0
    assert "not opened: no private key" in capsys.readouterr().out
