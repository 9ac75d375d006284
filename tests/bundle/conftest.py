"""Keys, images and bundles that the tests of this stratum share."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from amiable.bundle.layout import find_extents
from amiable.bundle.pipeline import Recipe
from amiable.model.units import MIB
from tests.bundle.assured import SIZE, Made, make_assured
from tests.support.cases import cases_dir


@pytest.fixture(scope="session")
def bundle_cases() -> Path:
    """The folder of the bundle cases."""
    return cases_dir() / "bundles"


@pytest.fixture(scope="session")
def pem(bundle_cases: Path) -> Callable[[str], bytes]:
    """From ``user.key``, ``ec2.crt`` … to its PEM."""
    return lambda name: (bundle_cases / "keys" / name).read_bytes()


@pytest.fixture
def recipe(pem: Callable[[str], bytes], tmp_path: Path) -> Callable[..., Recipe]:
    """A recipe for an image, with fields changed at will."""

    def make(image: Path, /, **changes: Any) -> Recipe:
        made = Recipe(image, "disk.img", "123456789012", "x86_64", pem("user.crt"), pem("user.key"), pem("ec2.crt"))
        return replace(made, **changes)

    return make


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, pem: Callable[[str], bytes]) -> Made:
    """A bundle with its sidecar: two parts, for most of its data does not compress."""
    folder = tmp_path_factory.mktemp("assured")
    extents = {MIB: os.urandom(11 * MIB), 30 * MIB + 4096: b"text" * 300_000, SIZE - 5: b"end.."}
    return make_assured(folder, pem, sparse_file(folder / "image", SIZE, extents))


def sparse_file(path: Path, size_bytes: int, extents: dict[int, bytes]) -> Path:
    """A file of ``size_bytes`` that holds ``extents`` (offset → data) and holes."""
    with path.open("wb") as file:
        file.truncate(size_bytes)
        for offset, data in extents.items():
            os.pwrite(file.fileno(), data, offset)
    return path


def allocated_bytes(path: Path) -> int:
    """What ``path`` takes on disk."""
    return path.stat().st_blocks * 512


def data_bytes(path: Path) -> int:
    """How much of ``path`` is not hole."""
    with path.open("rb") as file:
        return sum(length for _, length in find_extents(file.fileno(), path.stat().st_size) or [])


def sparse_sha256(path: Path) -> str:
    """SHA-256 of ``path`` in hex; its holes are not read."""
    digest, zeros, at = hashlib.sha256(), bytes(1 << 20), 0
    size = path.stat().st_size
    with path.open("rb") as file:
        for offset, length in [*(find_extents(file.fileno(), size) or []), (size, 0)]:
            while at < offset:
                hole = min(len(zeros), offset - at)
                digest.update(zeros[:hole])
                at += hole
            digest.update(os.pread(file.fileno(), length, offset))
            at += length
    return digest.hexdigest()


def same_data(one: Path, other: Path) -> bool:
    """Whether two files hold the same, reading their data only."""
    with one.open("rb") as a, other.open("rb") as b:
        for file in (a, b):
            for offset, length in find_extents(file.fileno(), one.stat().st_size) or []:
                if os.pread(a.fileno(), length, offset) != os.pread(b.fileno(), length, offset):
                    return False
    return True
