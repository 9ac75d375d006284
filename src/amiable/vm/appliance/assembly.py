"""The appliance put together, once, from Debian's packages.

    <folder>/<digest>/      named by the packages' versions and by the files of this package
      xen                   the hypervisor, unpacked: QEMU's multiboot loader takes no gzip
      vmlinux               dom0's kernel, unpacked: Xen would take 2 s longer
      initramfs.cpio        dom0's programs and modules; an instance's own files are appended
      inputs.json           what it was made of; written last, so a folder that has it is whole
    <folder>/pv32/xen       the hypervisor for 32-bit guests, where it was built (``pv32``)

One process makes it at a time; the others wait and find it.  Instances hold copies or links, so that an old one may be removed.
"""

import fcntl
import gzip
import hashlib
import json
import lzma
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from amiable.vm.appliance.cpio import write_cpio
from amiable.vm.appliance.modules import Kernel, read_kernel
from amiable.vm.appliance.packages import Archive, Packages
from amiable.vm.appliance.programs import BuildFailure
from amiable.vm.appliance.tree import CharacterDevice, Directory, File, Link, Tree

XEN: Final = "4.17"
KERNEL: Final = "linux-image-amd64"
HYPERVISOR: Final = f"xen-hypervisor-{XEN}-amd64"
XEN_TOOLS: Final = f"xen-utils-{XEN}"
LIBRARIES: Final = (
    f"libxenmisc{XEN}",
    "libxencall1",
    "libxendevicemodel1",
    "libxenevtchn1",
    "libxenforeignmemory1",
    "libxengnttab1",
    "libxenhypfs1",
    "libxenstore4",
    "libxentoolcore1",
    "libxentoollog1",
    "libc6",
    "libgcc-s1",
    "liblzma5",
    "libuuid1",
    "libyajl2",
    "libzstd1",
    "zlib1g",
)
"""``xl`` aborts without libgcc_s (pthread_cancel)."""
OTHERS: Final = ("busybox-static", "xenstore-utils")

LIBRARY_FILES: Final = (
    "libxenlight",
    "libxlutil",
    "libxenctrl",
    "libxenguest",
    "libxencall",
    "libxendevicemodel",
    "libxenevtchn",
    "libxenforeignmemory",
    "libxengnttab",
    "libxenhypfs",
    "libxenstore",
    "libxentoolcore",
    "libxentoollog",
    "libc",
    "libgcc_s",
    "liblzma",
    "libuuid",
    "libyajl",
    "libzstd",
    "libz",
)
PROGRAMS: Final = ("xl", "xenstored", "xenconsoled", "xen-init-dom0")
MODULES: Final = (
    "xen_evtchn",
    "xen_privcmd",
    "xenfs",
    "xen_gntdev",
    "xen_gntalloc",
    "virtio_pci",
    "virtio_blk",
    "virtio_net",
    "xen_blkback",
    "xen_netback",
    "bridge",
    "evdev",
    "button",
)
APPLETS: Final = (
    *("sh", "mount", "mkdir", "cut", "sleep", "usleep", "dd", "printf", "poweroff", "reboot", "insmod", "basename"),
    *("dirname", "ip", "brctl", "stty", "cat", "acpid", "sed", "wc", "stat", "sync", "echo", "test", "["),
)
FILES: Final = Path(__file__).parent / "files"
RECORD: Final = "inputs.json"
VMLINUX_BYTES_MAX: Final = 256 << 20
HYPERVISOR_BYTES_MAX: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Appliance:
    """A whole one; ``folder`` is only read."""

    folder: Path

    @property
    def xen(self) -> Path:
        """The hypervisor."""
        return self.folder / "xen"

    @property
    def vmlinux(self) -> Path:
        """The kernel of dom0."""
        return self.folder / "vmlinux"

    @property
    def initramfs(self) -> Path:
        """The initial RAM disk of dom0."""
        return self.folder / "initramfs.cpio"

    @property
    def xen_pv32(self) -> Path:
        """The hypervisor for 32-bit guests, which may not be there."""
        return self.folder.parent / "pv32" / "xen"


def find_appliance(folder: Path) -> Appliance | None:
    """The appliance that this version of Amiable made in ``folder``; None when there is none.  Asks no package source."""
    builder = _builder_digest()
    if not folder.is_dir():
        return None
    found = [entry for entry in folder.iterdir() if _record(entry).get("builder") == builder]
    return Appliance(max(found, key=lambda entry: entry.stat().st_mtime)) if found else None


def ensure_appliance(folder: Path) -> Appliance:
    """The appliance of ``folder``, made when there is none; raises BuildFailure with apt's words."""
    found = find_appliance(folder)
    if found is not None:
        return found
    with _locked(folder):
        return find_appliance(folder) or _assemble(folder)


def download_bytes(folder: Path) -> int:
    """How much would be fetched now, as the machine's package lists say; raises BuildFailure where they do not know."""
    packages = Packages(folder, may_update=False)
    return sum(archive.size_bytes for archive in packages.archives(package_names(packages)))


def package_names(packages: Packages) -> list[str]:
    """Every package that the appliance is made of."""
    return [HYPERVISOR, XEN_TOOLS, packages.dependency(KERNEL), *LIBRARIES, *OTHERS]


def _assemble(folder: Path) -> Appliance:
    packages = Packages(folder)
    archives = packages.archives(package_names(packages))
    unpacked = dict(
        zip([archive.package for archive in archives], packages.unpack_all(archives), strict=True),
    )
    inputs = _inputs(archives)
    digest = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]
    partial = folder / f".{digest}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    hypervisor = _only(unpacked[HYPERVISOR] / "boot", f"xen-{XEN}-amd64.gz")
    with gzip.open(hypervisor) as file:
        (partial / "xen").write_bytes(_bounded(file.read(HYPERVISOR_BYTES_MAX + 1), HYPERVISOR_BYTES_MAX, "Xen"))
    kernel = read_kernel(unpacked[archives[2].package], required=MODULES)
    (partial / "vmlinux").write_bytes(unpack_bzimage(kernel.image))
    with (partial / "initramfs.cpio").open("wb") as target:
        target.writelines(write_cpio(_tree(unpacked, kernel)))
    for path in partial.iterdir():
        path.chmod(0o444)
    (partial / RECORD).write_text(json.dumps(inputs, indent=2, sort_keys=True) + "\n")
    shutil.rmtree(folder / digest, ignore_errors=True)
    partial.rename(folder / digest)
    for old in folder.iterdir():
        if (old.name != digest and (old / RECORD).exists()) or old == folder / "packages":
            shutil.rmtree(old, ignore_errors=True)
    return Appliance(folder / digest)


def unpack_bzimage(image: bytes) -> bytes:
    """The ELF file inside a bzImage that xz compresses, as Debian's are; raises BuildFailure for another."""
    start = image.find(b"\xfd7zXZ\0")
    while start >= 0:
        try:
            decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ)
            inner = decompressor.decompress(image[start:], max_length=VMLINUX_BYTES_MAX + 1)
        except lzma.LZMAError:
            inner = b""
        if inner.startswith(b"\x7fELF"):
            return _bounded(inner, VMLINUX_BYTES_MAX, "dom0's kernel")
        start = image.find(b"\xfd7zXZ\0", start + 1)
    raise BuildFailure("dom0's kernel is not compressed by xz: its package is not one of Debian 12's")


def _bounded(content: bytes, bytes_max: int, what: str) -> bytes:
    if len(content) > bytes_max:
        raise BuildFailure(f"{what} is larger than {bytes_max} bytes")
    return content


def _tree(unpacked: dict[str, Path], kernel: Kernel) -> Tree:
    tree = Tree()
    for path in ("proc", "sys", "run", "tmp", "etc/xen", "var/lib/xen", "var/log/xen", "var/run", "dev", "domu"):
        tree.add(path, Directory())
    tree.add("dev/console", CharacterDevice(5, 1))
    tree.add("bin/busybox", File((unpacked["busybox-static"] / "bin/busybox").read_bytes(), 0o755))
    for applet in APPLETS:
        tree.add(f"bin/{applet}", Link("busybox"))
    tree.add("sbin", Link("bin"))
    tools = unpacked[XEN_TOOLS] / f"usr/lib/xen-{XEN}/bin"
    for program in PROGRAMS:
        tree.add(f"usr/lib/xen-{XEN}/bin/{program}", File((tools / program).read_bytes(), 0o755))
    for verb in ("read", "write", "watch", "list"):
        program = f"usr/bin/xenstore-{verb}"
        tree.add(program, File((unpacked["xenstore-utils"] / program).read_bytes(), 0o755))
    for package in LIBRARIES:
        _add_libraries(tree, unpacked[package])
    for name, content in kernel.modules:
        tree.add(f"modules/{name}", File(content))
    tree.add("modules/order", File("".join(f"{name}\n" for name, _ in kernel.modules).encode()))
    for name, place in (
        ("init", "init"),
        ("block", "etc/xen/scripts/block"),
        ("vif-amiable", "etc/xen/scripts/vif-amiable"),
        ("power-button", "etc/acpi/PWRF/00000080"),
    ):
        tree.add(place, File((FILES / name).read_bytes(), 0o755))
    tree.add("etc/xen/xl.conf", File((FILES / "xl.conf").read_bytes()))
    return tree


def _add_libraries(tree: Tree, package: Path) -> None:
    """Each library under the one name that programs ask for, and the loader where they ask for it."""
    found = [path for path in package.rglob("*.so.*") if path.parent.name == "x86_64-linux-gnu" and path.exists()]
    behind_links = {path.resolve() for path in found if path.is_symlink()}
    for path in sorted(found):
        if path.name.startswith("ld-linux-x86-64.so"):
            tree.add(f"lib64/{path.name}", File(path.read_bytes(), 0o755))
        elif path.name.partition(".so")[0] in LIBRARY_FILES and path not in behind_links:
            tree.add(f"lib/x86_64-linux-gnu/{path.name}", File(path.read_bytes(), 0o755))


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise BuildFailure(f"{len(found)} files {pattern}; one was expected")
    return found[0]


def _inputs(archives: list[Archive]) -> dict[str, str]:
    return {**{archive.package: archive.folder_name for archive in archives}, "builder": _builder_digest()}


def _builder_digest() -> str:
    digest = hashlib.sha256()
    for path in sorted([*FILES.iterdir(), *(Path(__file__).parent / f"{name}.py" for name in ("assembly", "cpio"))]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _record(folder: Path) -> dict[str, str]:
    try:
        found: dict[str, str] = json.loads((folder / RECORD).read_text())
    except (OSError, ValueError):
        return {}
    return found


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
