"""The hypervisor for 32-bit guests, built from Debian's source package: Debian's own build has 32-bit PV left out.

Only the hypervisor is built (under a minute); dom0's kernel and tools stay the packages'.  What it is configured without is what
the appliance never uses.  Upstream gives 32-bit PV no security support: it does not bound a hostile guest.  Here QEMU does.
"""

import gzip
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Final

from amiable.vm.appliance.programs import BuildFailure, find_program, run

TOOLS: Final = {
    "dpkg-source": "dpkg-dev",
    "gcc": "gcc",
    "make": "make",
    "flex": "flex",
    "bison": "bison",
    "python3": "python3",
    "patch": "patch",
}
KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
CONFIGURATION: Final = """\
CONFIG_PV=y
CONFIG_PV32=y
# CONFIG_HVM is not set
# CONFIG_SHADOW_PAGING is not set
# CONFIG_XSM is not set
# CONFIG_LIVEPATCH is not set
"""
PACKAGE: Final = "xen"
PV32: Final = "pv32"
"""The hypervisor's folder beside the appliances."""
VERSIONS_MAX: Final = 4


def build_pv32(folder: Path) -> Path:
    """Builds ``<folder>/pv32/xen``, as it is now in Debian's sources; its path.  Raises BuildFailure."""
    check_tools()
    target = folder / PV32 / "xen"
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".build-", dir=folder) as name:
        source = _fetch(Path(name))
        hypervisor = _build(source)
        temp = target.with_name("xen.new")
        with gzip.open(hypervisor) as packed, temp.open("wb") as file:
            shutil.copyfileobj(packed, file)
        temp.chmod(0o444)
        temp.rename(target)
    return target


def check_tools() -> None:
    """Refuses, naming all packages at once, where a program is missing that the build needs."""
    missing = []
    for program, package in TOOLS.items():
        try:
            find_program(program)
        except BuildFailure:
            missing.append(package)
    if missing:
        raise BuildFailure(
            f"the build needs {', '.join(missing)}",
            hint=f"apt-get install --no-install-recommends {' '.join(missing)} libc6-dev",
        )


def _fetch(folder: Path) -> Path:
    """The unpacked source, through package lists of our own: the machine's may have no sources."""
    apt = folder / "apt"
    (apt / "lists/partial").mkdir(parents=True)
    (apt / "sources.list").write_text(_source_list())
    options = ["-o", f"Dir::Etc::SourceList={apt}/sources.list", "-o", "Dir::Etc::SourceParts=/dev/null"]
    options += ["-o", f"Dir::State::Lists={apt}/lists", "-o", f"Dir::Cache={apt}"]
    if os.geteuid() == 0:
        options += ["-o", "APT::Sandbox::User=root"]
    run(["apt-get", "-q", "-y", *options, "update"], folder=folder)
    _download(folder, options)
    found = [path for path in folder.glob("xen-*") if (path / "xen/Makefile").exists()]
    if len(found) != 1:
        raise BuildFailure("Debian's source package of Xen is not laid out as expected")
    return found[0]


def _download(folder: Path, options: list[str]) -> None:
    """The newest of the source's versions whose files are there: a mirror may lack those of a security update."""
    said = run(["apt-cache", *options, "showsrc", "--only-source", PACKAGE]).stdout
    versions = list(dict.fromkeys(re.findall(r"^Version: (\S+)$", said, re.MULTILINE)))
    if not versions:
        raise BuildFailure("apt knows no source package of Xen")
    failures = []
    for version in versions[:VERSIONS_MAX]:
        try:
            run(["apt-get", "-q", "-y", *options, "source", f"{PACKAGE}={version}"], folder=folder)
            return
        except BuildFailure as failure:
            failures.append(failure)
    raise failures[0]


def _source_list() -> str:
    """A line for the sources of each Debian repository that the machine takes packages from."""
    form = "$(ORIGIN)|$(REPO_URI) $(RELEASE) $(COMPONENT)"
    said = run(["apt-get", "indextargets", "--format", form, "Created-By: Packages"]).stdout
    places = dict.fromkeys(line.removeprefix("Debian|") for line in said.splitlines() if line.startswith("Debian|"))
    if not places:
        raise BuildFailure("the machine takes no packages from Debian", hint="build it on a Debian 12 machine")
    signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    return "".join(f"deb-src {signed}{place}\n" for place in places)


def _build(source: Path) -> Path:
    tree = source / "xen"
    (tree / "arch/x86/configs/pv32_defconfig").write_text(CONFIGURATION)
    run(["make", "-C", str(tree), "KBUILD_DEFCONFIG=pv32_defconfig", "defconfig"])
    if "CONFIG_PV32=y" not in (tree / ".config").read_text().splitlines():
        raise BuildFailure("this version of Xen has no 32-bit PV any more")
    run(["make", "-C", str(tree), f"-j{os.cpu_count() or 1}", "build"])
    return tree / "xen.gz"
