"""The tiny guest's scp, run by the host's busybox as the guest runs it, with the host's own scp at the other end."""

import shlex
import subprocess
from pathlib import Path

import pytest

from amiable.vm.appliance.programs import find_program

SCRIPT = Path(__file__).parents[2] / "guests" / "tiny" / "files" / "scp"


@pytest.fixture
def ssh(tmp_path: Path) -> Path:
    """A stand-in for ssh: it runs the far side's command here, with the guest's shell and its scp first on the path."""
    far = tmp_path / "far-bin"
    far.mkdir()
    (far / "scp").write_text(f'#!/bin/sh\nexec {shlex.quote(find_program("busybox").as_posix())} ash {SCRIPT} "$@"\n')
    (far / "scp").chmod(0o755)
    program = tmp_path / "ssh"
    program.write_text(f'#!/bin/sh\nwhile [ $# -gt 1 ]; do shift; done\nPATH={far}:$PATH exec sh -c "$1"\n')
    program.chmod(0o755)
    return program


def copy(ssh: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """One run of the host's scp in its classic protocol."""
    command = ["scp", "-O", "-S", str(ssh), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_files_go_there_and_back_with_their_bytes_and_modes(ssh: Path, tmp_path: Path) -> None:
    here, there, back = tmp_path / "here", tmp_path / "there", tmp_path / "back"
    there.mkdir()
    here.write_bytes(bytes(range(256)) * 600)
    here.chmod(0o751)
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    done = copy(ssh, str(here), str(empty), f"guest:{there}/")
    assert done.returncode == 0, done.stderr
    assert (there / "here").read_bytes() == here.read_bytes()
    assert (there / "here").stat().st_mode & 0o777 == 0o751
    assert (there / "empty").read_bytes() == b""
    assert copy(ssh, f"guest:{there}/here", str(back)).returncode == 0
    assert back.read_bytes() == here.read_bytes()


def test_what_cannot_be_is_refused_in_words(ssh: Path, tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.write_text("x")
    missing = copy(ssh, str(here), f"guest:{tmp_path}/no/such/folder/")
    assert missing.returncode != 0 and "scp:" in missing.stderr
    absent = copy(ssh, f"guest:{tmp_path}/absent", str(tmp_path / "back"))
    assert absent.returncode != 0 and "no such file" in absent.stderr


@pytest.mark.parametrize("name", ["../out", ".", "..", ""])
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    said = f"C0644 1 {name}\n".encode() + b"x\0"
    command = [find_program("busybox").as_posix(), "ash", str(SCRIPT), "-t", str(folder)]
    done = subprocess.run(command, input=said, capture_output=True, timeout=60, check=False)
    assert done.returncode == 1 and b"bad name" in done.stdout
    assert not (tmp_path / "out").exists() and list(folder.iterdir()) == []
