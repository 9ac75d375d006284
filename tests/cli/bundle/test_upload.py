"""``amiable bundle upload``: what arrives in a bucket."""

from pathlib import Path
from typing import Any

import pytest

from amiable.cli.bundle.upload import elsewhere
from amiable.cli.main import main
from tests.cli.bundle.bundles import CASE
from tests.support.server import Server


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


def test_a_second_upload_says_what_was_there(
    s3: Any, sent: list[tuple[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["bundle", "upload", "-m", str(CASE), "-b", "images", "--acl", "private"]
    assert main(words) == main(words) == 0
    assert "4 of 4 parts were there already\n" in capsys.readouterr().err
    assert main([*words, "--location", "EU"]) == 10
    assert "error: bucket images is in us-east-1, not in eu-west-1\n\nhint: " in capsys.readouterr().err


def test_a_kernel_of_another_region_is_warned_of() -> None:
    assert elsewhere("aki-12345678", "us-east-1", "us-east-1") is None
    assert elsewhere(None, "eu-west-1", "us-east-1") is None
    assert elsewhere("aki-12345678", "", "us-east-1") is None
    warning = elsewhere("aki-12345678", "eu-west-1", "us-east-1")
    assert warning is not None
    assert "aki-12345678" in warning


@pytest.mark.parametrize(
    "flags",
    [
        ["-a", "KEY"],
        ["--url", "ftp://x"],
        ["--upload-policy", "{}"],
        ["--upload-policy-signature", "x"],
        ["--part", "-1"],
    ],
)
def test_flags_that_do_not_go_together_are_usage(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bundle", "upload", "-m", str(CASE), "-b", "images", *flags]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_a_policy_that_is_no_text_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "policy").write_bytes(b"\xfd")
    words = ["bundle", "upload", "-m", str(CASE), "-b", "images", "-a", "AKIA", "--upload-policy-signature", "x"]
    assert main([*words, "--upload-policy-file", str(tmp_path / "policy")]) == 1
    assert capsys.readouterr().err == f"error: {tmp_path}/policy holds no policy: it is no text\n"


def test_keys_endpoint_and_either_signature_come_by_flag(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """As ec2-upload-bundle is called; the keys in the environment are others, and no endpoint is there."""
    found = server.credentials()
    flags = [
        "-a",
        found["AccessKeyId"],
        "-s",
        found["SecretAccessKey"],
        "--url",
        server.endpoint,
        "--region",
        "us-east-1",
    ]
    for version in ("2", "4"):
        words = ["-m", str(CASE), "-b", f"version-{version}", *flags, "--sigv", version, "--batch"]
        assert main(["bundle", "upload", *words]) == 0
        assert capsys.readouterr().out == f"version-{version}/small.img.manifest.xml\n"


def test_a_session_s_keys_and_token_come_by_flag(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    found = server.client("sts").get_session_token()["Credentials"]
    keys = ["-a", found["AccessKeyId"], "-s", found["SecretAccessKey"]]
    words = ["bundle", "upload", "-m", str(CASE), "-b", "by-session", "--url", server.endpoint, *keys]
    assert main([*words, "-t", found["SessionToken"]]) == 0
    assert capsys.readouterr().out == "by-session/small.img.manifest.xml\n"
    assert main(words) == 1
