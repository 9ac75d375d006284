"""``amiable bundle show``: manifests of every version and writer, and the state of their signatures."""

import json
from pathlib import Path
from typing import Any

import pytest

from amiable.cli.main import main
from tests.cli.bundle.bundles import CASE, KEYS

GOOD = CASE.parents[1]
TABLE = """\
Name                small.img
OwnerId             123456789012
ImageType           machine
Architecture        x86_64
KernelId            aki-919dcaf8
Size                142000
BundledSize         57888
Bundler             euca2ools 3.4-devel
ManifestVersion     2007-10-10
ImageDigest         sha1:438c9d43a61d5d053029c1a6d48056a9e002036d
Signature           valid
OpenedBy            user,ec2
Parts               small.img.part.00 sha1:1e5cdc470318d9cb418f1fcb1985a2d4151e647b
                    small.img.part.01 sha1:5ac2d7056d33d20d59185eef204dec63d169b275
                    small.img.part.02 sha1:8c0d6272555b4f3486dd76b0d7b20366056d21cc
                    small.img.part.03 sha1:7cc8b0f13f7cefab64a360ea123545b2f6adc6ad
"""


def show(capsys: pytest.CaptureFixture[str], manifest: Path, *more: str) -> dict[str, Any]:
    assert main(["bundle", "show", "-m", str(manifest), "--output", "json", *more]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_table_of_all_that_the_manifest_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bundle", "show", str(CASE)]) == 0
    assert capsys.readouterr().out == TABLE


@pytest.mark.parametrize("case", sorted(path.name for path in GOOD.iterdir() if (path / "expect.json").is_file()))
def test_every_good_manifest_is_shown_with_its_signature(capsys: pytest.CaptureFixture[str], case: str) -> None:
    expect = json.loads((GOOD / case / "expect.json").read_text())
    found = show(capsys, GOOD / case / expect["manifest"])
    signature = expect["signature"]
    if signature["state"] == "valid":
        right = KEYS.parent / signature["certificate"]
        assert show(capsys, GOOD / case / expect["manifest"], "-c", str(right))["Signature"] == "valid"
        wrong = show(capsys, GOOD / case / expect["manifest"], "-c", str(KEYS / "other.crt"))
        assert wrong["Signature"] == "not by this certificate, or changed since"
    else:
        assert found["Signature"] == "none"
    assert [part["Index"] for part in found["Parts"]] == list(range(len(found["Parts"])))
    assert found["ManifestVersion"] == expect["manifest_facts"]["manifest_version"]


def test_without_a_certificate_the_signature_is_not_checked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EC2_CERT")
    assert show(capsys, CASE)["Signature"] == "not checked: no certificate"
