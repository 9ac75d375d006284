"""What one instance adds to the appliance: its domain's configuration, its kernel, its ramdisk."""

from amiable.vm.appliance.cpio import write_cpio
from amiable.vm.appliance.tree import File, Tree


def instance_archive(configuration: str, kernel: bytes, ramdisk: bytes | None) -> bytes:
    """The cpio archive that goes behind the appliance's own."""
    tree = Tree()
    tree.add("domu/cfg", File(configuration.encode()))
    tree.add("domu/kernel", File(kernel))
    if ramdisk is not None:
        tree.add("domu/ramdisk", File(ramdisk))
    return b"".join(write_cpio(tree))
