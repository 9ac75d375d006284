"""What a host needs before it builds, and what a failed build is called."""

import os
import subprocess
from pathlib import Path

import pytest

from amiable.bundle.house import bootstrap
from amiable.bundle.house.bootstrap import package_sources, refusal_of, require_host, sources_in
from amiable.bundle.volume import boot_loader
from amiable.model.errors import LocalRefusal
from tests.support.processes import wait_for_end

TARGETS = """\
http://mirror.example/debian/ bookworm main
http://mirror.example/debian/ bookworm main
http://mirror.example/debian/ bookworm non-free-firmware
http://mirror.example/debian/ bookworm-updates main
http://mirror.example/debian-security/ bookworm-security main
http://mirror.example/debian/ bookworm-backports main
http://mirror.example/debian/ trixie main
"""


def test_the_sources_are_the_suite_s_own_each_once() -> None:
    assert sources_in(TARGETS) == [
        "deb http://mirror.example/debian/ bookworm main",
        "deb http://mirror.example/debian/ bookworm-updates main",
        "deb http://mirror.example/debian-security/ bookworm-security main",
    ]


def programs(folder: Path, *names: str) -> str:
    """A PATH that has these programs, which do nothing."""
    for name in names:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    return str(folder)


@pytest.mark.parametrize(
    ("missing", "package"),
    [("mmdebstrap", "mmdebstrap"), ("mke2fs", "e2fsprogs"), ("mcopy", "mtools"), ("sfdisk", "fdisk")],
)
def test_a_program_that_is_missing_is_told_with_its_package(
    missing: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("amiable.bundle.volume.programs.SYSTEM_FOLDERS", ())
    monkeypatch.setenv("PATH", programs(tmp_path, *(name for name in bootstrap.PROGRAMS if name != missing)))
    with pytest.raises(LocalRefusal, match=f"{missing} is not installed") as caught:
        require_host()
    assert caught.value.advice == f"sudo apt-get install {package}" and caught.value.exit_code == 69


def test_a_host_without_grub_is_told_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boot_loader, "GRUB_FOLDER", tmp_path)
    with pytest.raises(LocalRefusal, match="GRUB for i386-pc is not installed") as caught:
        boot_loader.require()
    assert caught.value.advice == "sudo apt-get install grub-pc-bin"
    (tmp_path / "i386-pc").mkdir()
    with pytest.raises(LocalRefusal, match="GRUB for x86_64-efi") as caught:
        boot_loader.require()
    assert caught.value.advice == "sudo apt-get install grub-efi-amd64-bin"


def test_an_ordinary_user_needs_uidmap_and_subordinate_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amiable.bundle.volume.programs.SYSTEM_FOLDERS", ())
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    monkeypatch.setenv("PATH", programs(tmp_path, *bootstrap.PROGRAMS, "unshare"))
    with pytest.raises(LocalRefusal, match="newuidmap is not installed") as caught:
        require_host()
    assert caught.value.advice == "sudo apt-get install uidmap"
    programs(tmp_path, "newuidmap")
    subordinate = tmp_path / "subuid"
    monkeypatch.setattr(bootstrap, "SUBORDINATE_IDS", subordinate)
    for text in (None, "someone-else:100000:65536\n"):
        if text is not None:
            subordinate.write_text(text)
        with pytest.raises(LocalRefusal, match="nobody has no subordinate user ids") as caught:
            require_host()
        assert "usermod --add-subuids" in caught.value.advice
    subordinate.write_text("nobody:100000:65536\n")
    require_host()


def test_a_host_of_another_suite_has_no_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "apt-get").write_text("#!/bin/sh\necho 'http://example.org/ubuntu noble main'\n")
    (tmp_path / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(LocalRefusal, match="apt has no source of Debian bookworm") as caught:
        package_sources()
    assert caught.value.advice == "sudo apt-get update, on Debian 12"


def test_a_network_that_is_not_there_is_unavailable_and_other_ends_are_told_by_their_last_words() -> None:
    offline = "I: running apt-get update\nErr:1 http://deb.example bookworm InRelease\n  Temporary failure resolving 'deb.example'\nE: apt-get update failed\n"
    refusal = refusal_of("mmdebstrap", 25, offline)
    assert refusal.exit_code == 69 and "packages cannot be fetched" in refusal.message
    assert "apt-get update" in refusal.advice
    other = refusal_of("mmdebstrap", 1, "I: installing\nE: no space left on device\n")
    assert other.exit_code == 74 and other.message == "mmdebstrap ended with 1: E: no space left on device"
    assert "ended with 3" in refusal_of("mmdebstrap", 3, "").message


def test_the_group_that_a_program_leaves_behind_is_ended(tmp_path: Path) -> None:
    process = subprocess.Popen(["sh", "-c", "sleep 600 & echo $!; sleep 600"], stdout=subprocess.PIPE, text=True, start_new_session=True)  # fmt: skip
    assert process.stdout is not None
    child = int(process.stdout.readline())
    bootstrap._end_group(process)
    process.stdout.close()
    assert process.returncode is not None
    wait_for_end(child)
