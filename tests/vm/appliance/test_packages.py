"""What apt says, and what is made of it; ``apt-get`` is a script of the test's, since what it reports is the point."""

from pathlib import Path

import pytest

from amiable.vm.appliance.packages import Archive, Packages
from amiable.vm.appliance.programs import BuildFailure


def put_apt(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    folder.mkdir()
    program = folder / "apt-get"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_archives_come_in_the_order_in_which_they_were_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_apt(
        tmp_path / "bin",
        monkeypatch,
        "echo \"'http://x/b.deb' b_2%3a1.0-1_amd64.deb 20 SHA256:0\"; echo \"'http://x/a.deb' a_1.0_all.deb 10 SHA256:0\"",
    )
    found = Packages(tmp_path).archives(["a", "b"])
    assert [(archive.package, archive.size_bytes) for archive in found] == [("a", 10), ("b", 20)]
    assert found[1].folder_name == "b_2:1.0-1_amd64"


def test_a_package_that_apt_does_not_name_is_named_in_the_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_apt(tmp_path / "bin", monkeypatch, "exit 0")
    with pytest.raises(BuildFailure, match="where xen-hypervisor lies"):
        Packages(tmp_path).archives(["xen-hypervisor"])


def test_without_a_network_the_failure_has_apts_own_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_apt(tmp_path / "bin", monkeypatch, "echo 'E: Failed to fetch: Could not resolve host' >&2; exit 100")
    with pytest.raises(BuildFailure, match="Could not resolve host"):
        Packages(tmp_path).archives(["xen-hypervisor"])


def test_an_archive_that_was_fetched_in_part_is_fetched_again_at_the_next_try(tmp_path: Path) -> None:
    packages, archive = Packages(tmp_path), Archive("half", "half_1.0_all.deb", 100)
    file = tmp_path / "packages" / archive.file_name
    file.write_bytes(b"!<arch>\ndebian-binary")
    with pytest.raises(BuildFailure, match="dpkg-deb"):
        packages.unpack_all([archive])
    assert list(file.parent.iterdir()) == []
