"""``amiable kernel appliance``, ``add-pv-grub`` and ``build-pv32``: what paravirtual images need that Debian's packages give.

They work on the server's host: the appliance lies in the server's data directory.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from amiable.cli.output import Output, say
from amiable.model.errors import LocalRefusal
from amiable.model.units import human_bytes

Data = Annotated[str | None, Parameter(help="Data directory of the server.")]
UNTESTED = "untested with a genuine old kernel: tell the project what you ran"


@contextmanager
def refusing() -> Iterator[None]:
    """Failures of a build as refusals of the command line."""
    from amiable.vm.appliance.programs import BuildFailure

    try:
        yield
    except BuildFailure as failure:
        raise LocalRefusal(str(failure), hint=failure.hint) from None


def folder_of(data: str | None) -> Path:
    """Where the appliance of the server with this data directory lies."""
    from amiable.cli.serve import settings_from

    return Path(settings_from({"data": data}).appliance)


def appliance(*, data: Data = None) -> None:
    """Assembles the Xen appliance now rather than at the first launch that needs it.  Prints its folder."""
    from amiable.bundle.new_file import new_folder
    from amiable.vm.appliance.assembly import download_bytes, ensure_appliance, find_appliance
    from amiable.vm.appliance.packages import PACKAGES

    folder = folder_of(data)
    with refusing():
        found = find_appliance(folder)
        if found is None:
            with new_folder(folder / PACKAGES):
                say(f"fetching {human_bytes(download_bytes(folder))} of Debian packages")
                found = ensure_appliance(folder)
    print(found.folder)


def add_pv_grub(
    *,
    root: Annotated[
        Literal["hd0", "hd00", "both"], Parameter(help="hd0: bare file systems. hd00: disks with partitions.")
    ] = "both",
    arch: Annotated[Literal["x86_64", "i386", "both"], Parameter(help="Of the kernels that it loads.")] = "both",
    output: Output = "table",
) -> None:
    """Builds PV-GRUB and adds it as kernels: images then boot by their own menu.lst (administrator only).

    One that is there already stays as it is.  Prints all of them.
    """
    from amiable.cli.kernel import COLUMNS, PV_GRUB, register_file
    from amiable.cli.output import show_rows
    from amiable.vm.appliance.packages import Packages
    from amiable.vm.appliance.pv_grub import PACKAGE, build_pv_grub

    found: list[dict[str, Any]] = []
    there = own_kernels()
    with tempfile.TemporaryDirectory(prefix="amiable-pv-grub-") as name, refusing():
        packages = Packages(Path(name))
        version = packages.archives([PACKAGE])[0].folder_name.split("_")[1].partition("-")[0]
        for architecture in ("x86_64", "i386") if arch == "both" else (arch,):
            for kind in ("hd0", "hd00") if root == "both" else (root,):
                path = Path(name) / f"pv-grub-{kind}_{version}-{architecture}.gz"
                if path.name in there:
                    say(f"{path.name} is there already")
                    found.append(there[path.name])
                    continue
                path.write_bytes(build_pv_grub(packages, kind, architecture))
                facts = {
                    "Name": path.name,
                    "Type": "kernel",
                    "Architecture": architecture,
                    "Description": f"PV-GRUB {version}: boots an image by its own menu.lst",
                }
                found.append(register_file(path, facts, PV_GRUB[kind]))
    show_rows(found, COLUMNS, output, identifier="ImageId")
    if any(row["Architecture"] == "i386" for row in found):
        say("\n32-bit images also need their hypervisor: amiable kernel build-pv32")


def own_kernels() -> dict[str, dict[str, Any]]:
    """The caller's kernels by name."""
    from amiable.cli.client import call, client

    account = client("sts").get_caller_identity()["Account"]
    return {row["Name"]: row for row in call("GET", "/kernels")["Kernels"] if row["OwnerId"] == account}


def build_pv32(*, data: Data = None) -> None:
    """Builds the hypervisor for 32-bit paravirtual guests from Debian's source package (about a minute).  Prints its path."""
    from amiable.bundle.new_file import new_folder
    from amiable.vm.appliance.pv32 import PV32
    from amiable.vm.appliance.pv32 import build_pv32 as build

    folder = folder_of(data)
    say(f"building Xen for 32-bit guests; {UNTESTED}")
    with refusing(), new_folder(folder / PV32):
        found = build(folder)
    print(found)
