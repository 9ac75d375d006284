"""Which modules are taken from a kernel package, and in which order they load."""

import lzma
from pathlib import Path

import pytest

from amiable.vm.appliance.programs import BuildFailure
from guests import kernel
from guests.kernel import read_kernel

VERSION = "6.1.0-1-test"


def module(*dependencies: str) -> bytes:
    return b"\x7fELF\0license=GPL\0depends=" + ",".join(dependencies).encode() + b"\0name=x\0"


def package(folder: Path, modules: dict[str, bytes], built_in: str = "") -> Path:
    (folder / "boot").mkdir()
    (folder / "boot" / f"vmlinuz-{VERSION}").write_bytes(b"kernel")
    for name, content in modules.items():
        path = folder / "lib/modules" / VERSION / "kernel" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (folder / "lib/modules" / VERSION / "modules.builtin").write_text(built_in)
    return folder


ALL = {f"{name}.ko": module() for name in kernel.REQUIRED}


def test_what_a_module_depends_on_loads_before_it(tmp_path: Path) -> None:
    modules = ALL | {
        "virtio_blk.ko": module("virtio-ring", "virtio"),
        "virtio_ring.ko": module("virtio"),
        "virtio.ko": module(),
        "unrelated.ko": module(),
    }
    names = [name for name, _ in read_kernel(package(tmp_path, modules)).modules]
    assert names.index("virtio.ko") < names.index("virtio_ring.ko") < names.index("virtio_blk.ko")
    assert len(names) == len(set(names))
    assert "unrelated.ko" not in names


def test_compressed_modules_are_unpacked(tmp_path: Path) -> None:
    modules = {name: content for name, content in ALL.items() if name != "nvme.ko"}
    found = read_kernel(package(tmp_path, modules | {"nvme.ko.xz": lzma.compress(module())}))
    assert dict(found.modules)["nvme.ko"] == module()
    assert found.version == VERSION


def test_a_built_in_driver_needs_no_module(tmp_path: Path) -> None:
    modules = {name: content for name, content in ALL.items() if name != "nvme.ko"}
    found = read_kernel(package(tmp_path, modules, built_in="kernel/drivers/nvme/host/nvme.ko\n"))
    assert "nvme.ko" not in dict(found.modules)


def test_a_kernel_without_a_needed_driver_is_refused_by_the_driver_s_name(tmp_path: Path) -> None:
    modules = {name: content for name, content in ALL.items() if name != "virtio_net.ko"}
    with pytest.raises(BuildFailure, match="has no virtio_net"):
        read_kernel(package(tmp_path, modules))
