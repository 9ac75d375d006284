"""What one instance adds, behind what all share: read back by GNU cpio."""

import subprocess
from pathlib import Path

from amiable.vm.appliance.cpio import write_cpio
from amiable.vm.appliance.instance import instance_archive
from amiable.vm.appliance.tree import File, Tree


def names_in(archive: bytes) -> list[str]:
    listed = subprocess.run(["cpio", "-t", "--quiet"], input=archive, capture_output=True, check=True)
    return listed.stdout.decode().split()


def test_the_archive_holds_the_configuration_the_kernel_and_the_ramdisk(tmp_path: Path) -> None:
    archive = instance_archive('name="domu"\n', b"kernel", b"ramdisk")
    subprocess.run(["cpio", "-i", "-d", "--quiet"], input=archive, cwd=tmp_path, check=True)
    assert (tmp_path / "domu/cfg").read_text() == 'name="domu"\n'
    assert (tmp_path / "domu/kernel").read_bytes() == b"kernel"
    assert (tmp_path / "domu/ramdisk").read_bytes() == b"ramdisk"


def test_an_instance_without_a_ramdisk_has_no_file_of_that_name() -> None:
    assert "domu/ramdisk" not in names_in(instance_archive("", b"kernel", None))


def test_it_follows_another_archive_where_linux_looks_for_one() -> None:
    shared = Tree()
    shared.add("init", File(b"12345"))
    first = b"".join(write_cpio(shared))
    assert len(first) % 4 == 0
    both = first + instance_archive("", b"kernel", None)
    assert names_in(both) == ["init"] and names_in(both[len(first) :]) == ["domu", "domu/cfg", "domu/kernel"]
