"""Our bundles and the classic tools', in both directions, and every reader of gzip that may meet ours."""

import hashlib
import random
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from amiable.bundle import parts
from amiable.bundle.manifest_xml import read_manifest
from amiable.bundle.pipeline import Recipe, create
from amiable.bundle.unbundle import find_bundle, unbundle
from amiable.model.errors import LocalRefusal
from amiable.model.units import GIB, MIB
from tests.bundle.conftest import allocated_bytes, same_data, sparse_file
from tests.bundle.readers import JAVA, READERS
from tests.support import classic_tools
from tests.support.cases import cases_dir
from tests.support.classic_tools import Pair

Make = Callable[..., Recipe]

KEYS = cases_dir() / "bundles/keys"
USER = Pair(KEYS / "user.crt", KEYS / "user.key")
CLOUD = Pair(KEYS / "ec2.crt", KEYS / "ec2.key")


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def text(size: int) -> bytes:
    return (b"".join(b"%d bottles of beer on the wall\n" % number for number in range(size // 28 + 1)))[:size]


IMAGES: dict[str, Callable[[Path], Path]] = {
    "dense": lambda path: sparse_file(path, 3 * MIB + 512, {0: noise(MIB) + text(2 * MIB + 512)}),
    "sparse": lambda path: sparse_file(path, 64 * MIB, {4096: text(MIB), 20 * MIB: noise(100_000), 64 * MIB - 4096: noise(4096)}),
    "all hole": lambda path: sparse_file(path, 5 * MIB, {}),
    "one byte": lambda path: sparse_file(path, 1, {0: b"\x01"}),
    "an odd length": lambda path: sparse_file(path, 1_234_567, {0: text(1_234_567)}),
    "two times 10 MiB": lambda path: sparse_file(path, 20 * MIB, {0: noise(20 * MIB)}),
    "many extents": lambda path: sparse_file(path, 8 * MIB, {at: noise(4096, at) for at in range(0, 8 * MIB, 32768)}),
    "9 GiB sparse": lambda path: sparse_file(path, 9 * GIB, {0: text(4096), 8 * GIB + 4096: noise(8192), 9 * GIB - 4096: text(4096)}),
}  # fmt: skip


@pytest.mark.parametrize("kind", IMAGES)
def test_the_classic_tools_open_our_bundle(kind: str, recipe: Make, tmp_path: Path) -> None:
    image = IMAGES[kind](tmp_path / "disk.img")
    manifest = create(recipe(image), folder(tmp_path, "ours"))
    unpacked = classic_tools.unbundle(manifest, folder(tmp_path, "out"), key=USER.key, certificate=USER.certificate)
    assert unpacked.name == "disk.img"
    assert unpacked.stat().st_size == image.stat().st_size
    assert same_data(image, unpacked)
    assert allocated_bytes(unpacked) <= allocated_bytes(image) + 64 * 1024


@pytest.mark.parametrize("kind", IMAGES)
def test_we_open_the_classic_tools_bundle(kind: str, tmp_path: Path) -> None:
    image = IMAGES[kind](tmp_path / "disk.img")
    manifest = classic_tools.bundle(image, folder(tmp_path, "theirs"), user=USER, cloud=CLOUD.certificate)
    for pair in (USER, CLOUD):
        out = tmp_path / pair.key.name
        unbundle(find_bundle(manifest, USER.certificate.read_bytes()), out, private_key_pem=pair.key.read_bytes())
        assert out.stat().st_size == image.stat().st_size
        assert same_data(image, out)
        assert allocated_bytes(out) <= allocated_bytes(image) + 64 * 1024


def test_an_image_of_nothing_is_refused(recipe: Make, tmp_path: Path) -> None:
    image = sparse_file(tmp_path / "disk.img", 0, {})
    with pytest.raises(LocalRefusal, match="0 bytes"):
        create(recipe(image), folder(tmp_path, "ours"))
    assert list((tmp_path / "ours").iterdir()) == []
    manifest = tmp_path / "theirs/disk.img.manifest.xml"
    classic_tools.bundle(image, folder(tmp_path, "theirs"), user=USER, cloud=CLOUD.certificate)
    with pytest.raises(Exception, match="<size> is 0"):
        unbundle(
            find_bundle(manifest, USER.certificate.read_bytes()),
            tmp_path / "out",
            private_key_pem=USER.key.read_bytes(),
        )
    assert not (tmp_path / "out").exists()


def test_120_parts_of_10_mib_are_opened_in_their_order(recipe: Make, tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    with image.open("wb") as file:
        for seed in range(1195):
            file.write(noise(MIB, seed))
    manifest = create(recipe(image), folder(tmp_path, "ours"))
    found = read_manifest(manifest.read_bytes())
    assert len(found.parts) == 120
    assert {(manifest.parent / part.filename).stat().st_size for part in found.parts[:-1]} == {10 * MIB}
    unpacked = classic_tools.unbundle(manifest, folder(tmp_path, "out"), key=USER.key, certificate=USER.certificate)
    assert subprocess.run(["cmp", image, unpacked], check=False).returncode == 0


def test_120_small_parts_of_the_classic_tools_are_opened(tmp_path: Path) -> None:
    image = sparse_file(tmp_path / "disk.img", 2 * MIB, {0: noise(2 * MIB)})
    manifest = classic_tools.bundle(
        image, folder(tmp_path, "theirs"), user=USER, cloud=CLOUD.certificate, part_bytes=17504
    )
    assert len(read_manifest(manifest.read_bytes()).parts) == 120
    out = tmp_path / "out"
    unbundle(find_bundle(manifest, USER.certificate.read_bytes()), out, private_key_pem=USER.key.read_bytes())
    assert out.read_bytes() == image.read_bytes()


@pytest.mark.parametrize("count", [1, 2])
def test_cipher_text_that_fills_its_parts_has_no_empty_part_behind_it(
    count: int, recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part is made as long as a half, or all, of what a first run made."""
    image = sparse_file(tmp_path / "disk.img", 2 * MIB, {0: noise(2 * MIB)})
    ours = folder(tmp_path, "ours")
    first = read_manifest(create(recipe(image), ours).read_bytes())
    part_bytes = first.bundled_size_bytes // count
    monkeypatch.setattr(parts, "PART_BYTES", part_bytes)
    manifest = create(recipe(image), ours, force=True)
    found = read_manifest(manifest.read_bytes())
    assert found.bundled_size_bytes == first.bundled_size_bytes
    assert [(ours / part.filename).stat().st_size for part in found.parts] == [part_bytes] * count
    unpacked = classic_tools.unbundle(manifest, folder(tmp_path, "out"), key=USER.key, certificate=USER.certificate)
    assert unpacked.read_bytes() == image.read_bytes()
    again, certificate = tmp_path / "again", USER.certificate.read_bytes()
    unbundle(find_bundle(manifest, certificate), again, private_key_pem=USER.key.read_bytes())
    assert again.read_bytes() == image.read_bytes()


@pytest.mark.parametrize("name", ["x", "Disk-1.0_final.img", "n" * 100])
def test_names_at_the_edge_are_kept_by_the_classic_tools(name: str, recipe: Make, tmp_path: Path) -> None:
    image = sparse_file(tmp_path / "disk.img", MIB, {0: text(4096)})
    manifest = create(replace(recipe(image), name=name), folder(tmp_path, "ours"))
    unpacked = classic_tools.unbundle(manifest, folder(tmp_path, "out"), key=USER.key, certificate=USER.certificate)
    assert unpacked.name == name
    assert unpacked.read_bytes() == image.read_bytes()


@pytest.mark.parametrize("name", ["a name, with spaces", 'it\'s <quoted> & "escaped"', "a-dash-", "n" * 200])
def test_names_that_we_would_not_write_are_read(name: str, tmp_path: Path) -> None:
    image = sparse_file(folder(tmp_path, "in") / f"./{name}", MIB, {0: text(4096)})
    manifest = classic_tools.bundle(image, folder(tmp_path, "theirs"), user=USER, cloud=CLOUD.certificate)
    out = tmp_path / "out"
    unbundle(find_bundle(manifest, USER.certificate.read_bytes()), out, private_key_pem=USER.key.read_bytes())
    assert out.read_bytes() == image.read_bytes()


@pytest.fixture(scope="module")
def our_gzip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Our gzip stream of 24 chunks, a few of them zeros, and the SHA-256 of what it holds."""
    work = tmp_path_factory.mktemp("gzip")
    image = work / "disk.img"
    image.write_bytes(noise(4 * MIB) + bytes(5 * MIB) + text(10 * MIB) + noise(5 * MIB, 2))
    certificate, key = USER.certificate.read_bytes(), USER.key.read_bytes()
    recipe = Recipe(image, "disk.img", "123456789012", "x86_64", certificate, key, CLOUD.certificate.read_bytes())
    manifest = create(recipe, folder(work, "ours"))
    classic_tools.gzip_stream(manifest, USER.key, work / "stream.gz")
    unpacked = subprocess.run(["gzip", "-dc", work / "stream.gz"], check=True, stdout=subprocess.PIPE).stdout
    assert image.read_bytes() in unpacked
    (work / "Gunzip.java").write_text(JAVA)
    return work / "stream.gz", hashlib.sha256(unpacked).hexdigest()


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_of_gzip_reads_all_of_our_stream(reader: str, our_gzip: tuple[Path, str]) -> None:
    stream, sha256 = our_gzip
    with subprocess.Popen(["cat", stream], stdout=subprocess.PIPE) as piped:
        read = subprocess.run(
            READERS[reader], stdin=piped.stdout, stdout=subprocess.PIPE, cwd=stream.parent, check=True
        )
    assert hashlib.sha256(read.stdout).hexdigest() == sha256


def test_gnu_tar_and_python_read_our_stream_as_an_archive(our_gzip: tuple[Path, str], tmp_path: Path) -> None:
    stream, _ = our_gzip
    subprocess.run(["tar", "-xzf", stream, "-C", tmp_path], check=True)
    image = (stream.parent / "disk.img").read_bytes()
    assert (tmp_path / "disk.img").read_bytes() == image
    with stream.open("rb") as file, tarfile.open(fileobj=file, mode="r|gz") as archive:
        member = archive.next()
        assert member is not None
        content = archive.extractfile(member)
        assert content is not None and content.read() == image
        assert archive.next() is None


def folder(parent: Path, name: str) -> Path:
    """A new folder ``name`` in ``parent``."""
    made = parent / name
    made.mkdir()
    return made
