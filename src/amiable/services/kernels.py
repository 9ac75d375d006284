"""A kernel's bytes where they lie, ``kernels/<id>``, looked at."""

from pathlib import Path

from amiable.model.kernel import KernelFacts, KernelKind
from amiable.rules.kernel_kind import inspect_kernel
from amiable.rules.kernel_payload import FILE_BYTES_MAX


def look_at(path: Path) -> KernelFacts:
    """What the kernel in the file is; a file that is not there is unknown too."""
    try:
        with path.open("rb") as file:
            return inspect_kernel(file.read(FILE_BYTES_MAX + 1))
    except FileNotFoundError:
        return KernelFacts(KernelKind.UNKNOWN, None, boots_directly=True, why="it has no bytes here")
