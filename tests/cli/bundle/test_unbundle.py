"""``amiable bundle unbundle``: what it refuses, and what remains then."""

from pathlib import Path

import pytest

from amiable.cli.main import main
from tests.cli.bundle.bundles import CASE, KEYS


def test_a_refusal_is_an_error_a_blank_line_and_a_hint(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["bundle", "unbundle", str(CASE), "-k", str(KEYS / "other.key"), "-d", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: The private key does not open this bundle")
    assert "\n\nhint: " in said.err
    assert list(tmp_path.iterdir()) == []


def test_an_unsigned_bundle_opens_only_where_that_is_waived(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    unsigned = CASE.parents[1] / "euca34-unsigned" / "small.img.manifest.xml"
    words = ["bundle", "unbundle", str(unsigned), "-d", str(tmp_path)]
    assert main(words) == 1
    assert "not signed" in capsys.readouterr().err
    assert main([*words, "--waive-signature"]) == 0
    assert (tmp_path / "small.img").stat().st_size == 142000
