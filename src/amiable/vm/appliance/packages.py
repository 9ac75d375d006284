"""Packages of the host's own Debian sources, fetched and unpacked beside the system, never installed.

``apt`` is used as it is configured: which mirror, which keyring and which proxy are the machine's affair.
"""

import os
import re
from pathlib import Path

from amiable.vm.appliance.programs import BuildFailure, run


class Packages:
    """Fetched packages below ``cache / "packages"``, one folder each, made once."""

    def __init__(self, cache: Path) -> None:
        self._folder = cache / "packages"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._private_lists = False

    def dependency(self, metapackage: str) -> str:
        """The first package that ``metapackage`` depends on: the concrete kernel of ``linux-image-cloud-amd64``."""
        said = self._apt_cache("depends", metapackage)
        found = re.search(r"^\s*Depends: (\S+)", said, re.MULTILINE)
        if found is None:
            raise BuildFailure(f"apt does not know {metapackage}", hint="sudo apt-get update")
        return found[1]

    def names(self, pattern: str) -> list[str]:
        """Names that match the whole regular expression, sorted by their numbers."""
        names = [name for name in self._apt_cache("pkgnames").split() if re.fullmatch(pattern, name)]
        return sorted(names, key=lambda name: [int(number) for number in re.findall(r"\d+", name)])

    def unpack(self, name: str) -> Path:
        """The folder with the files of package ``name``, in the version that apt would install."""
        file_name = self._archive_name(name)
        unpacked = self._folder / Path(file_name).stem.replace("%3a", ":")
        if unpacked.is_dir():
            return unpacked
        archive = self._folder / file_name
        if not archive.exists():
            self._download(name)
        partial = unpacked.with_name(f"{unpacked.name}.{os.getpid()}.partial")
        run(["dpkg-deb", "-x", str(archive), str(partial)])
        partial.rename(unpacked)
        archive.unlink()
        return unpacked

    def _archive_name(self, name: str) -> str:
        try:
            said = self._apt_get("download", "--print-uris", name)
        except BuildFailure:
            self._update()
            said = self._apt_get("download", "--print-uris", name)
        found = re.search(r"^'\S+' (\S+) \d+", said, re.MULTILINE)
        if found is None:
            raise BuildFailure(f"apt does not say where {name} lies", hint="sudo apt-get update")
        return found[1]

    def _download(self, name: str) -> None:
        try:
            self._apt_get("download", name)
        except BuildFailure:
            if self._private_lists:
                raise
            self._update()
            self._apt_get("download", name)

    def _update(self) -> None:
        """The machine's package lists are missing or old: lists of our own, which need no root."""
        self._private_lists = True
        (self._folder / "apt/lists/partial").mkdir(parents=True, exist_ok=True)
        self._apt_get("update")

    def _apt_get(self, *arguments: str) -> str:
        return run(["apt-get", "-q", "-y", *self._options(), *arguments], folder=self._folder).stdout

    def _apt_cache(self, *arguments: str) -> str:
        said = run(["apt-cache", *self._options(), *arguments]).stdout
        if not said and not self._private_lists:
            self._update()
            return self._apt_cache(*arguments)
        return said

    def _options(self) -> list[str]:
        options = ["-o", "APT::Sandbox::User=root"] if os.geteuid() == 0 else []
        if self._private_lists:
            own = self._folder / "apt"
            options += ["-o", f"Dir::State::Lists={own}/lists", "-o", f"Dir::Cache={own}"]
        return options
