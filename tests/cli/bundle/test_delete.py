"""``amiable bundle delete``: dry without ``--yes``, and never another's object."""

from typing import Any

import pytest

from amiable.cli.main import main
from tests.cli.bundle.bundles import CASE

KEYS = ["web/small.img.manifest.xml", *(f"web/small.img.part.0{index}" for index in range(4))]


@pytest.fixture(autouse=True)
def uploaded(s3: Any, sent: list[tuple[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    """A bundle in a bucket, and another object."""
    assert main(["bundle", "upload", "-m", str(CASE), "-b", "images/web"]) == 0
    s3.put_object(Bucket="images", Key="web/other", Body=b"")
    capsys.readouterr()


def left(s3: Any) -> list[str]:
    return [row["Key"] for row in s3.list_objects(Bucket="images").get("Contents", [])]


@pytest.mark.parametrize("which", [["-p", "small.img"], ["-m", str(CASE)]])
def test_it_tells_what_it_would_delete_and_deletes_it_with_yes(
    s3: Any, capsys: pytest.CaptureFixture[str], which: list[str]
) -> None:
    words = ["bundle", "delete", "-b", "images/web", *which]
    for more in ([], ["--batch"]):
        with pytest.raises(SystemExit) as ended:
            main([*words, *more])
        assert ended.value.code == 1
    said = capsys.readouterr()
    assert said.out == ""
    told = "".join(f"{key}\n" for key in KEYS)
    assert (
        f"{told}would delete 5 objects of images/web/small.img.manifest.xml\n\nhint: add --yes to do it\n" in said.err
    )
    assert len(left(s3)) == 6
    assert main([*words, "-y", "--clear"]) == 0
    said = capsys.readouterr()
    assert sorted(said.out.split()) == KEYS
    assert said.out.startswith(KEYS[0])
    assert "bucket images stays: other objects lie in it" in said.err
    assert left(s3) == ["web/other"]
    assert main([*words, "-y"]) == 1
    assert "nothing of small.img.manifest.xml lies in images/web" in capsys.readouterr().err


def test_an_empty_bucket_is_cleared(s3: Any, capsys: pytest.CaptureFixture[str]) -> None:
    s3.delete_object(Bucket="images", Key="web/other")
    assert main(["bundle", "delete", "-b", "images/web", "-p", "small.img", "--clear", "--yes"]) == 0
    assert capsys.readouterr().out.endswith("\nimages\n")
    assert s3.list_buckets()["Buckets"] == []
