"""A kernel of a Debian package with the modules that it needs, in an order in which they load.

Debian runs ``depmod`` only when it installs a kernel, so the order of loading comes from each module's own ``depends=`` line.
"""

import lzma
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from amiable.vm.appliance.programs import BuildFailure


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel and its modules."""

    version: str
    """As ``uname -r`` tells it."""
    image: bytes
    modules: tuple[tuple[str, bytes], ...]
    """File name and content, in an order in which they load."""


def read_kernel(package: Path, *, required: Sequence[str], optional: Sequence[str] = ()) -> Kernel:
    """The kernel that lies unpacked in ``package``; raises BuildFailure where it lacks what is required."""
    images = sorted((package / "boot").glob("vmlinuz-*"))
    if len(images) != 1:
        raise BuildFailure(f"{package.name} holds {len(images)} kernels; one was expected")
    version = images[0].name.removeprefix("vmlinuz-")
    folders = [package / "lib/modules" / version, package / "usr/lib/modules" / version]
    folder = next(folder for folder in folders if folder.is_dir())
    files = {_module_name(path): path for path in folder.rglob("*.ko*")}
    built_in = {_module_name(Path(line)) for line in (folder / "modules.builtin").read_text().split()}
    missing = [name for name in required if name not in files and name not in built_in]
    if missing:
        raise BuildFailure(f"kernel {version} has no {', '.join(missing)}")
    ordered: dict[str, bytes] = {}
    for name in (*optional, *required):
        _add_with_dependencies(name, files, ordered)
    modules = tuple((f"{name}.ko", content) for name, content in ordered.items())
    return Kernel(version, images[0].read_bytes(), modules)


def _module_name(path: Path) -> str:
    return path.name.split(".ko")[0].replace("-", "_")


def _add_with_dependencies(name: str, files: dict[str, Path], ordered: dict[str, bytes]) -> None:
    if name in ordered or name not in files:
        return
    content = files[name].read_bytes()
    if files[name].suffix == ".xz":
        content = lzma.decompress(content)
    found = re.search(rb"\0depends=([^\0]*)\0", content)
    for needed in found[1].decode().split(",") if found else []:
        _add_with_dependencies(needed.replace("-", "_"), files, ordered)
    ordered[name] = content
