"""The initial RAM disk's archive, read back by GNU cpio."""

import gzip
import subprocess

from amiable.vm.appliance.cpio import write_initrd
from amiable.vm.appliance.tree import CharacterDevice, File, Link, Tree


def archive() -> bytes:
    tree = Tree()
    tree.add("bin/program", File(b"12345", 0o755))
    tree.add("bin/alias", Link("/bin/program"))
    tree.add("dev/console", CharacterDevice(5, 1))
    return write_initrd(tree)


def test_cpio_lists_every_entry_with_its_mode_and_root_as_owner() -> None:
    listing = subprocess.run(
        ["cpio", "-itv", "--quiet", "--numeric-uid-gid"],
        input=gzip.decompress(archive()),
        capture_output=True,
        check=True,
    ).stdout.decode()
    rows = {line.split(" 1970 ")[1].split()[0]: line.split() for line in listing.splitlines()}
    assert set(rows) == {"bin", "bin/program", "bin/alias", "dev", "dev/console"}
    assert rows["bin/program"][:5] == ["-rwxr-xr-x", "1", "0", "0", "5"]
    assert rows["bin/alias"][-3:] == ["bin/alias", "->", "/bin/program"]
    assert rows["dev/console"][0] == "crw-------"
    assert rows["dev/console"][4:6] == ["5,", "1"]


def test_equal_trees_make_equal_archives() -> None:
    assert archive() == archive()
