"""S3 as the AWS command line speaks it."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.server import Server, shell_environment

SECONDS_MAX = 180
Aws = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def aws(server: Server) -> Aws:
    program = Path(sys.executable).parent / "aws"

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        environment = shell_environment(server)
        return subprocess.run(
            [program, *words], env=environment, capture_output=True, text=True, timeout=SECONDS_MAX, check=False
        )

    return run


def test_files_are_copied_synced_listed_and_removed(aws: Aws, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "small").write_bytes(b"small")
    (folder / "big").write_bytes(os.urandom(9 << 20))
    made = aws("s3", "mb", "s3://by-the-command-line")
    assert made.returncode == 0, made.stderr
    copied = aws("s3", "cp", "--recursive", str(folder), "s3://by-the-command-line/a b/")
    assert copied.returncode == 0, copied.stderr
    listed = aws("s3api", "list-objects-v2", "--bucket", "by-the-command-line", "--output", "json")
    assert [(one["Key"], one["Size"]) for one in json.loads(listed.stdout)["Contents"]] == [
        ("a b/big", 9 << 20),
        ("a b/small", 5),
    ]
    synced = aws("s3", "sync", "s3://by-the-command-line/a b/", str(tmp_path / "back"))
    assert synced.returncode == 0, synced.stderr
    assert (tmp_path / "back" / "big").read_bytes() == (folder / "big").read_bytes()
    removed = aws("s3", "rb", "--force", "s3://by-the-command-line")
    assert removed.returncode == 0, removed.stderr
    absent = aws("s3", "ls", "s3://by-the-command-line")
    assert absent.returncode != 0 and "NoSuchBucket" in absent.stderr


def test_a_stream_is_stored(aws: Aws, server: Server) -> None:
    assert aws("s3", "mb", "s3://a-stream").returncode == 0
    program = Path(sys.executable).parent / "aws"
    command = [str(program), "s3", "cp", "-", "s3://a-stream/k"]
    stored = subprocess.run(
        command,
        input=b"from a pipe",
        env=shell_environment(server),
        capture_output=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert stored.returncode == 0, stored.stderr
    assert aws("s3", "cp", "s3://a-stream/k", "-").stdout == "from a pipe"
    presigned = aws("s3", "presign", "s3://a-stream/k").stdout.strip()
    with urllib.request.urlopen(presigned) as answer:
        assert answer.read() == b"from a pipe"
