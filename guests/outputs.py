"""Built files and what they were built from: made again only when an input changed, and whole or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from amiable.bundle.volume import boot_loader, disk
from amiable.vm.appliance import cpio, modules, tree

RECORD = "inputs.json"


def default_cache() -> Path:
    """``.cache`` of the checkout."""
    return Path(__file__).parents[1] / ".cache"


def digest_of_files(paths: Iterable[Path]) -> str:
    """One digest over names and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for path in sorted(set(paths)):
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def builder_sources(guest: str) -> list[Path]:
    """The files that ``guest`` is built by, those of other guests left out: a builder that changed builds again."""
    package = Path(__file__).parent
    left_out = {"__pycache__", "tiny", "tiny.py", "debian", "debian.py"} - {guest, f"{guest}.py"}
    files = [path for path in package.rglob("*") if path.is_file()]
    shared = [Path(str(module.__file__)) for module in (cpio, modules, tree, boot_loader, disk)]
    return shared + [path for path in files if left_out.isdisjoint(path.relative_to(package).parts)]


def build_once(folder: Path, inputs: dict[str, str], build: Callable[[Path], None]) -> bool:
    """Calls ``build`` on an empty folder that then becomes ``folder``, unless ``folder`` holds what these inputs make.

    Two processes that ask for the same folder wait for each other.  Returns whether it built.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _lock(folder.with_name(f".{folder.name}.lock")):
        if _recorded(folder) == inputs:
            return False
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        build(partial)
        (partial / RECORD).write_text(json.dumps(inputs, indent=2, sort_keys=True) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
        return True


def _recorded(folder: Path) -> object:
    try:
        return json.loads((folder / RECORD).read_text())
    except (FileNotFoundError, ValueError):
        return None


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        os.set_inheritable(file.fileno(), False)
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
