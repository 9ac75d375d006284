"""Puts the tiny guest together: trees of files, then the images made of them."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from amiable.rules.kernel_payload import open_payload
from amiable.vm.appliance.cpio import write_initrd
from amiable.vm.appliance.modules import Kernel
from amiable.vm.appliance.packages import Packages
from amiable.vm.appliance.programs import find_program, run
from amiable.vm.appliance.tree import CharacterDevice, Directory, File, Link, Tree
from guests import disk, ext4
from guests.kernel import read_kernel
from guests.outputs import build_once, builder_sources, digest_of_files

MAIN_KERNEL = "linux-image-cloud-amd64"
OTHER_KERNELS = r"linux-image-[0-9.]+-[0-9]+-cloud-amd64"
LAST_RESORT_KERNEL = "linux-image-rt-amd64"

LABEL = "amiable-root"
ROOT_BYTES = 72 << 20
NO_BOOT_LOADER_BYTES = 8 << 20
BALLAST_BYTES = 16 << 20

FILES = Path(__file__).parent / "files"
PROGRAMS = ("dropbear", "dropbearkey", "resize2fs", "sfdisk", "partx")
SCRIPTS = ("start", "stop", "dhcp", "grow", "functions", "provision")

GRUB_CFG = f"""\
serial --unit=0 --speed=115200
terminal_input serial console
terminal_output serial console
linux /boot/vmlinuz root=LABEL={LABEL} console=tty0 console=ttyS0,115200 panic=5 quiet
initrd /boot/initrd
boot
"""


MENU = """\
default 0
timeout 1
title tiny
        root {root}
        kernel /boot/vmlinuz root=LABEL={label} ro console=hvc0 from={name}
        initrd /boot/initrd
"""
"""As images for PV-GRUB have it; ``from`` shows in the guest which file was read."""


@dataclass(frozen=True)
class Plan:
    """What a build would read: two builds of equal inputs make equal bytes."""

    kernels: tuple[Path, Path]
    inputs: dict[str, str]

    @property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps(self.inputs, sort_keys=True).encode()).hexdigest()[:16]


def plan(cache: Path) -> Plan:
    """Fetches the kernels into ``cache``, when they are not there, and names all inputs."""
    packages = Packages(cache)
    main_package = packages.dependency(MAIN_KERNEL)
    others = [name for name in packages.names(OTHER_KERNELS) if name != main_package]
    other_package = others[-1] if others else packages.dependency(LAST_RESORT_KERNEL)
    kernels = packages.unpack(main_package), packages.unpack(other_package)
    inputs = {
        "kernel": kernels[0].name,
        "other kernel": kernels[1].name,
        "programs": digest_of_files(_host_files()),
        "builder": digest_of_files(builder_sources("tiny")),
    }
    return Plan(kernels, inputs)


def build(folder: Path, cache: Path) -> bool:
    """Makes every file of the tiny guest in ``folder``; returns whether anything had to be built."""
    planned = plan(cache)
    return build_once(folder, planned.inputs, partial(_build, planned.kernels))


def build_cached(cache: Path) -> Path:
    """A folder below ``cache`` that holds the tiny guest and never changes: its name follows from the inputs."""
    planned = plan(cache)
    folder = cache / "guests" / f"tiny-{planned.digest}"
    build_once(folder, planned.inputs, partial(_build, planned.kernels))
    return folder


def _build(kernels: tuple[Path, Path], folder: Path) -> None:
    main, other = (read_kernel(package) for package in kernels)
    for kernel, suffix in ((main, ""), (other, "-other")):
        (folder / f"vmlinuz{suffix}").write_bytes(kernel.image)
        (folder / f"initrd{suffix}").write_bytes(write_initrd(_initrd(kernel)))
    root = _root(main)
    ext4.write_ext4(root, folder / "tiny-pv.ext4", label=LABEL, size_bytes=ROOT_BYTES)
    _write_menu_images(main, folder)
    root.add("boot/vmlinuz", File(main.image))
    root.add("boot/initrd", File((folder / "initrd").read_bytes()))
    root.add("boot/grub/grub.cfg", File(GRUB_CFG.encode()))
    hvm = folder / "tiny-hvm.img"
    disk.partition(hvm, name="amiable-tiny", root_bytes=ROOT_BYTES)
    ext4.write_ext4(root, hvm, label=LABEL, size_bytes=ROOT_BYTES, offset_bytes=disk.ROOT_OFFSET_BYTES)
    disk.make_bootable(hvm, root_label=LABEL)
    bare = Tree({"README": File(b"A file system, not a disk: nothing starts from here.\n")})
    ext4.write_ext4(bare, folder / "nobootloader.img", label="nobootloader", size_bytes=NO_BOOT_LOADER_BYTES)
    versions = {"vmlinuz": main.version, "vmlinuz-other": other.version}
    (folder / "kernels.json").write_text(json.dumps(versions, indent=2) + "\n")


def _write_menu_images(kernel: Kernel, folder: Path) -> None:
    """A bare file system and an MBR disk that PV-GRUB boots; its kernel is a gzip-compressed ELF file, since GRUB knows no lz4."""
    elf = open_payload(kernel.image).elf
    assert elf is not None
    program = gzip.compress(elf, compresslevel=6, mtime=0)
    for name, file, device in (("menu.lst", "tiny-menu.ext4", "(hd0)"), ("grub.conf", "tiny-menu.img", "(hd0,0)")):
        root = _root(kernel)
        root.add("boot/vmlinuz", File(program))
        root.add("boot/initrd", File((folder / "initrd").read_bytes()))
        menu = MENU.format(root=device, label=LABEL, name=name)
        root.add(f"boot/grub/{name}", File(menu.encode()))
        path, offset = folder / file, 0
        if path.suffix == ".img":
            offset = disk.partition_mbr(path, root_bytes=ROOT_BYTES)
        ext4.write_ext4(root, path, label=LABEL, size_bytes=ROOT_BYTES, offset_bytes=offset)


def _initrd(kernel: Kernel) -> Tree:
    tree = Tree()
    _add_busybox(tree, flat=True)
    for path in ("proc", "sys", "root", "dev"):
        tree.add(path, Directory())
    tree.add("dev/console", CharacterDevice(5, 1))
    tree.add("init", File((FILES / "initrd-init").read_bytes(), 0o755))
    _add_modules(tree, kernel, "modules")
    return tree


def _root(kernel: Kernel) -> Tree:
    tree = Tree()
    _add_busybox(tree, flat=False)
    for program in _host_files():
        if program.name != "busybox":
            tree.add_host_file(program, at=_place(program))
    for path in ("dev", "proc", "sys", "run", "mnt", "etc/dropbear", "var/lib/amiable", "var/log"):
        tree.add(path, Directory())
    for path, mode in (("root", 0o700), ("root/.ssh", 0o700), ("tmp", 0o1777)):
        tree.add(path, Directory(mode))
    _add_modules(tree, kernel, f"lib/modules/{kernel.version}")
    ballast = _ballast()
    tree.add("usr/share/amiable/ballast", File(ballast))
    tree.add("usr/share/amiable/ballast.sha256", File(f"{hashlib.sha256(ballast).hexdigest()}  ballast\n".encode()))
    for name in SCRIPTS:
        tree.add(f"usr/lib/amiable/{name}", File((FILES / name).read_bytes(), 0o755))
    tree.add("usr/bin/amiable-facts", File((FILES / "facts").read_bytes(), 0o755))
    tree.add("usr/bin/scp", File((FILES / "scp").read_bytes(), 0o755))
    tree.add("etc/acpi/PWRF/00000080", File((FILES / "power-button").read_bytes(), 0o755))
    tree.add("etc/inittab", File((FILES / "inittab").read_bytes()))
    tree.add("etc/passwd", File(b"root:*:0:0:root:/root:/bin/sh\n"))
    tree.add("etc/group", File(b"root:x:0:\ntty:x:5:\n"))
    tree.add("etc/shells", File(b"/bin/sh\n"))
    tree.add("etc/hosts", File(b"127.0.0.1 localhost amiable-tiny\n"))
    tree.add("etc/fstab", File(f"LABEL={LABEL} / ext4 defaults 0 1\n".encode()))
    tree.add("etc/os-release", File(b'ID=amiable-tiny\nNAME="Amiable tiny guest"\nPRETTY_NAME="Amiable tiny guest"\n'))
    return tree


def _ballast() -> bytes:
    """Bytes that no boot reads and no compressor shrinks: what a test reads when it wants blocks never read before."""
    return b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(BALLAST_BYTES // 32))


def _add_busybox(tree: Tree, *, flat: bool) -> None:
    busybox = _busybox()
    tree.add_host_file(busybox, at="bin/busybox")
    for applet in run([str(busybox), "--list-full"]).stdout.split():
        name = applet.rpartition("/")[2]
        if name not in ("busybox", "linuxrc"):
            tree.add(f"bin/{name}" if flat else applet, Link("/bin/busybox"))


def _add_modules(tree: Tree, kernel: Kernel, folder: str) -> None:
    for name, content in kernel.modules:
        tree.add(f"{folder}/{name}", File(content))
    order = "".join(f"{name}\n" for name, _ in kernel.modules)
    tree.add(f"{folder}/order", File(order.encode()))


def _busybox() -> Path:
    """The static busybox; Debian puts it where the dynamic one would be."""
    return find_program("busybox").resolve()


def _host_files() -> list[Path]:
    """busybox, the other programs and the libraries that these load."""
    programs = [find_program(name) for name in PROGRAMS]
    libraries = {
        Path(found)
        for program in programs
        for found in re.findall(r"(/\S+\.so\S*) \(", run(["ldd", str(program)]).stdout)
    }
    return [_busybox(), *programs, *sorted(libraries)]


def _place(path: Path) -> str:
    """Where a file of the host goes: programs where Debian has them, libraries where the loader looks."""
    if path.name in PROGRAMS:
        return f"usr/sbin/{path.name}" if path.name != "dropbearkey" else "usr/bin/dropbearkey"
    return f"lib64/{path.name}" if path.name.startswith("ld-linux") else f"lib/x86_64-linux-gnu/{path.name}"
