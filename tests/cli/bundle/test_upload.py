"""``amiable bundle upload``: what arrives in a bucket."""

from typing import Any

import pytest

from amiable.cli.main import main
from tests.cli.bundle.bundles import CASE


def test_upload_makes_the_bucket_and_lets_the_service_read(
    s3: Any, sent: list[tuple[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bundle", "upload", "-m", str(CASE), "-b", "images/web//v1/"]) == 0
    said = capsys.readouterr()
    assert said.out == "images/web/v1/small.img.manifest.xml\n"
    assert "--image-location images/web/v1/small.img.manifest.xml" in said.err
    assert sent[:3] == [("HEAD images", None), ("PUT images", None), ("GET images", None)]
    assert {acl for _, acl in sent[3:]} == {"aws-exec-read"}
    assert sent[-1][0] == "PUT images/web/v1/small.img.manifest.xml"
    assert len(sent) == 8
    keys = {row["Key"]: row for row in s3.list_objects_v2(Bucket="images")["Contents"]}
    parts = {f"web/v1/small.img.part.{index:02d}" for index in range(4)}
    assert set(keys) == {"web/v1/small.img.manifest.xml", *parts}
    for key in keys:
        body = s3.get_object(Bucket="images", Key=key)["Body"].read()
        assert body == (CASE.parent / key.rpartition("/")[2]).read_bytes()
    assert main(["bundle", "upload", "-m", str(CASE), "-b", "images", "--acl", "private"]) == 0
    assert capsys.readouterr().out == "images/small.img.manifest.xml\n"


def test_a_damaged_bundle_is_not_uploaded(s3: Any, capsys: pytest.CaptureFixture[str]) -> None:
    damaged = CASE.parents[2] / "bad" / "part-bit-flipped" / "small.img.manifest.xml"
    assert main(["bundle", "upload", "-m", str(damaged), "-b", "damaged"]) == 1
    assert "small.img.part.01 (16384 bytes) is damaged" in capsys.readouterr().err
    assert "small.img.manifest.xml" not in {
        row["Key"] for row in s3.list_objects_v2(Bucket="damaged").get("Contents", [])
    }
