"""``amiable bundle download``: what it prints and what it refuses; ``tests/bundle`` has what arrives."""

from pathlib import Path
from typing import Any

import pytest

from amiable.cli.main import main
from tests.cli.bundle.bundles import CASE, KEYS


@pytest.fixture
def uploaded(s3: Any, sent: list[tuple[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    """A bundle in a bucket."""
    assert main(["bundle", "upload", "-m", str(CASE), "-b", "images/web"]) == 0
    capsys.readouterr()


def fetch(folder: Path, *more: str) -> int:
    return main(["bundle", "download", "-b", "images/web", "-d", str(folder), *more])


@pytest.mark.usefixtures("uploaded")
def test_a_bundle_is_fetched_by_its_name_or_its_manifest_s(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fetch(tmp_path / "new", "-p", "small.img") == 0
    assert capsys.readouterr().out == f"{tmp_path / 'new' / CASE.name}\n"
    assert fetch(tmp_path / "new", "-m", CASE.name, "--batch") == 0
    said = capsys.readouterr()
    assert said.err == "4 of 4 parts were there already\n"
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(
        p.name for p in CASE.parent.glob("small*")
    )


@pytest.mark.usefixtures("uploaded")
def test_a_key_that_does_not_open_it_or_another_signer_is_told_before_a_part_is_fetched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch(tmp_path, "-p", "small.img", "-k", str(KEYS / "other.key")) == 1
    assert "The private key does not open this bundle" in capsys.readouterr().err
    assert fetch(tmp_path, "-p", "small.img", "-c", str(KEYS / "other.crt")) == 1
    assert "signature does not fit" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    assert fetch(tmp_path, "-p", "small.img", "-k", str(KEYS / "user.key"), "-c", str(KEYS / "user.crt")) == 0


@pytest.mark.usefixtures("uploaded")
def test_which_bundle_must_be_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["-p", "a", "-m", "b"], ["-m", "a/b.manifest.xml"]):
        assert fetch(tmp_path, *words) == 2
    capsys.readouterr()
    assert fetch(tmp_path, "-p", "other") == 1
    assert "there is no images/web/other.manifest.xml" in capsys.readouterr().err
