"""What ``image import`` refuses before it asks or sends anything."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from amiable.cli.architecture import architecture_of
from amiable.cli.image import default_name


def run(*words: str, command: tuple[str, ...] = ("image", "import")) -> "subprocess.CompletedProcess[str]":
    """The command with an endpoint that nothing listens on: whoever asks it gets another error."""
    environment = {
        "PATH": os.environ["PATH"],
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    environment |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_MAX_ATTEMPTS": "1"}
    argv = [sys.executable, "-m", "amiable.cli.main", *command, *words]
    return subprocess.run(argv, capture_output=True, text=True, env=environment, timeout=120, check=False)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--name", "ab"), "AMI names must be between 3 and 128 characters"),
        (("--name", "a+b+c"), "AMI names must be between 3 and 128 characters"),
        (("--root-device", "nvme0n1"), "nvme0n1 is not a valid EBS device name"),
    ],
)
def test_a_bad_name_is_refused_before_anything_is_sent(tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes(1 << 20))
    done = run(str(disk), *options)
    assert done.returncode == 1 and words in done.stderr, done.stderr


def test_a_server_that_is_down_is_unavailable_with_a_hint(tmp_path: Path) -> None:
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes(1 << 20))
    done = run(str(disk))
    assert done.returncode == 69 and "amiable serve" in done.stderr


@pytest.mark.parametrize(("file", "name"), [("debian 12.img", "debian 12"), ("a+b.raw", "a-b"), ("x.img", "image-x")])
def test_a_files_name_becomes_a_legal_image_name(file: str, name: str) -> None:
    assert default_name(Path(file)) == name


@pytest.mark.parametrize("command", [("image", "import"), ("bundle", "create", "-i"), ("kernel", "add", "--kernel")])
def test_an_architecture_that_does_not_run_here_is_refused_by_name(tmp_path: Path, command: tuple[str, ...]) -> None:
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes(1 << 20))
    done = run(str(disk), "--arch", "arm64", command=command)
    assert done.returncode == 2 and "arm64" in done.stderr and "x86_64 or i386" in done.stderr


@pytest.mark.parametrize(("option", "word"), [("--virtualization", "none"), ("--boot-mode", "bios")])
def test_a_word_that_is_no_choice_is_a_usage_error(tmp_path: Path, option: str, word: str) -> None:
    done = run(str(tmp_path / "disk.img"), option, word)
    assert done.returncode == 2 and word in done.stderr and option in done.stderr


@pytest.mark.parametrize(("given", "named"), [("amd64", "x86_64"), ("X86_64", "x86_64"), ("i686", "i386")])
def test_other_names_of_an_architecture_are_known(given: str, named: str) -> None:
    assert architecture_of(given) == named
