"""Packages of the host's own Debian sources, fetched and unpacked beside the system, never installed.

``apt`` is used as it is configured: which mirror, which keyring and which proxy are the machine's affair; it checks the
signatures.  Root is not needed.
"""

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from amiable.vm.appliance.programs import BuildFailure, run

PACKAGES: Final = "packages"
"""The folder in a cache that holds them."""
UNPACKED_BYTES_MAX: Final = 2 << 30
"""Of one package, as its control file declares it."""


@dataclass(frozen=True, slots=True)
class Archive:
    """One package file as apt would fetch it now."""

    package: str
    file_name: str
    size_bytes: int

    @property
    def folder_name(self) -> str:
        """Where it is unpacked: the package's name, version and architecture."""
        return Path(self.file_name).stem.replace("%3a", ":")


class Packages:
    """Fetched packages below ``cache / "packages"``, one folder each, made once."""

    def __init__(self, cache: Path, *, may_update: bool = True) -> None:
        """``may_update``: lists that are missing or old are fetched; otherwise what apt knows must do."""
        self._folder = cache / PACKAGES
        self._folder.mkdir(parents=True, exist_ok=True)
        self._private_lists = False
        self._may_update = may_update

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

    def archives(self, names: Sequence[str]) -> list[Archive]:
        """What apt would fetch for ``names`` now, in their order; nothing is fetched."""
        try:
            said = self._apt_get("download", "--print-uris", *names)
        except BuildFailure:
            if not self._may_update:
                raise
            self._update()
            said = self._apt_get("download", "--print-uris", *names)
        found = {
            file_name.partition("_")[0]: Archive(file_name.partition("_")[0], file_name, int(size))
            for file_name, size in re.findall(r"^'\S+' (\S+) (\d+)", said, re.MULTILINE)
        }
        missing = [name for name in names if name not in found]
        if missing:
            raise BuildFailure(f"apt does not say where {', '.join(missing)} lies", hint="sudo apt-get update")
        return [found[name] for name in names]

    def unpack(self, name: str) -> Path:
        """The folder with the files of package ``name``, in the version that apt would install."""
        return self.unpack_all(self.archives([name]))[0]

    def unpack_all(self, archives: Sequence[Archive]) -> list[Path]:
        """The folders with the packages' files, in their order; what is not there is fetched in one go."""
        missing = [
            archive
            for archive in archives
            if not self._unpacked(archive).is_dir() and not (self._folder / archive.file_name).exists()
        ]
        if missing:
            self._download([archive.package for archive in missing])
        return [self._unpack(archive) for archive in archives]

    def _unpacked(self, archive: Archive) -> Path:
        return self._folder / archive.folder_name

    def _unpack(self, archive: Archive) -> Path:
        unpacked = self._unpacked(archive)
        if unpacked.is_dir():
            return unpacked
        file = self._folder / archive.file_name
        partial = unpacked.with_name(f"{unpacked.name}.{os.getpid()}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            size = run(["dpkg-deb", "-f", str(file), "Installed-Size"]).stdout.strip()
            if not size.isdigit() or int(size) * 1024 > UNPACKED_BYTES_MAX:
                raise BuildFailure(f"{archive.package} says that it needs {size or 'no'} KiB; that is not believed")
            run(["dpkg-deb", "-x", str(file), str(partial)])
        except BuildFailure:
            file.unlink()  # it may have been fetched in part: the next try fetches it again
            raise
        partial.rename(unpacked)
        file.unlink()
        return unpacked

    def _download(self, names: Sequence[str]) -> None:
        try:
            self._apt_get("download", *names)
        except BuildFailure:
            if self._private_lists:
                raise
            self._update()
            self._apt_get("download", *names)

    def _update(self) -> None:
        """The machine's package lists are missing or old: lists of our own, which need no root."""
        self._private_lists = True
        (self._folder / "apt/lists/partial").mkdir(parents=True, exist_ok=True)
        self._apt_get("update")

    def _apt_get(self, *arguments: str) -> str:
        return run(["apt-get", "-q", "-y", *self._options(), *arguments], folder=self._folder).stdout

    def _apt_cache(self, *arguments: str) -> str:
        said = run(["apt-cache", *self._options(), *arguments]).stdout
        if not said and self._may_update and not self._private_lists:
            self._update()
            return self._apt_cache(*arguments)
        return said

    def _options(self) -> list[str]:
        options = ["-o", "APT::Sandbox::User=root"] if os.geteuid() == 0 else []
        if self._private_lists:
            own = self._folder / "apt"
            options += ["-o", f"Dir::State::Lists={own}/lists", "-o", f"Dir::Cache={own}"]
        return options
