"""Writing: every layout, in one pass, and what other programs make of it."""

import gzip
import io
import os
import re
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amiable.bundle import pipeline
from amiable.bundle.keys import load_private_key
from amiable.bundle.layout import find_extents
from amiable.bundle.pipeline import Recipe, create
from amiable.bundle.unbundle import Waivers, find_bundle, read_bundle, unbundle, unwrap_keys, verify
from amiable.model.errors import LocalRefusal
from amiable.model.manifest import Mapping
from amiable.model.units import GIB, MIB, PART_BYTES
from tests.bundle.conftest import allocated_bytes, data_bytes, same_data, sparse_file

Make = Callable[..., Recipe]
Pem = Callable[[str], bytes]
CLASSIC = Path(__file__).with_name("classic.sh")
CLASSIC_SECONDS_MAX = 300


def plain_gzip(manifest_path: Path, pem: Pem) -> bytes:
    """The gzip stream of a bundle, by nothing of ours but the key."""
    manifest = read_bundle(manifest_path, pem("user.crt"))
    key, iv = unwrap_keys(manifest, load_private_key(pem("user.key")))
    decryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
    text = b"".join((manifest_path.parent / part.filename).read_bytes() for part in manifest.parts)
    plain = decryptor.update(text) + decryptor.finalize()
    return plain[: -plain[-1]]


def open_both_ways(manifest_path: Path, image: Path, pem: Pem, folder: Path) -> Path:
    """Opens a bundle with the user's key and with the cloud's; both must give ``image``."""
    for name in ("user.key", "ec2.key"):
        out = folder / f"{name}.img"
        unbundle(find_bundle(manifest_path, pem("user.crt")), out, private_key_pem=pem(name))
        assert subprocess.run(["cmp", image, out], check=False).returncode == 0
    return out


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    extents=st.dictionaries(st.integers(0, 700), st.binary(min_size=1, max_size=9000), max_size=12),
    size=st.integers(1, 3 * MIB),
)
def test_every_sparse_image_comes_back_with_its_holes(
    recipe: Make, pem: Pem, tmp_path_factory: pytest.TempPathFactory, extents: dict[int, bytes], size: int
) -> None:
    folder = tmp_path_factory.mktemp("law")
    data = {at * 4096: piece[: max(0, size - at * 4096)] for at, piece in extents.items()}
    image = sparse_file(folder / "in", size, {at: piece for at, piece in data.items() if piece})
    manifest = create(recipe(image), folder)
    out = open_both_ways(manifest, image, pem, folder)
    assert data_bytes(out) <= data_bytes(image)


def test_ours_is_undone_by_the_classic_tools_byte_for_byte(
    recipe: Make, pem: Pem, bundle_cases: Path, tmp_path: Path
) -> None:
    image = sparse_file(
        tmp_path / "disk.img", 64 * MIB + 512, {MIB: os.urandom(12 * MIB), 40 * MIB: b"text " * MIB, 64 * MIB: b"end"}
    )
    (tmp_path / "bundle").mkdir()
    manifest = create(recipe(image, kernel_id="aki-12345678"), tmp_path / "bundle")
    assert len(list((tmp_path / "bundle").glob("*.part.*"))) > 1
    (tmp_path / "out").mkdir()
    keys = bundle_cases / "keys"
    subprocess.run(
        ["bash", CLASSIC, "unbundle", manifest, keys / "user.key", keys / "user.crt", tmp_path / "out"],
        check=True,
        timeout=CLASSIC_SECONDS_MAX,
    )
    assert subprocess.run(["cmp", image, tmp_path / "out/disk.img"], check=False).returncode == 0
    assert allocated_bytes(tmp_path / "out/disk.img") <= allocated_bytes(image)


@pytest.mark.parametrize("kind", ["sparse", "dense", "all hole", "many extents", "9 GiB"])
def test_a_bundle_of_the_classic_tools_is_opened(pem: Pem, bundle_cases: Path, tmp_path: Path, kind: str) -> None:
    layouts: dict[str, tuple[int, dict[int, bytes]]] = {
        "sparse": (30 * MIB, {5 * MIB: os.urandom(3 * MIB), 29 * MIB: b"x" * 5000}),
        "dense": (11 * MIB + 3, {0: os.urandom(11 * MIB + 3)}),
        "all hole": (5 * MIB, {}),
        "many extents": (60 * MIB, {index * MIB: bytes([index + 1]) * 8192 for index in range(60)}),
        "9 GiB": (9 * GIB, {8 * GIB + 4096: b"far out"}),
    }
    size, extents = layouts[kind]
    image = sparse_file(tmp_path / "disk.img", size, extents)
    (tmp_path / "bundle").mkdir()
    keys = bundle_cases / "keys"
    arguments = [image, tmp_path / "bundle", keys / "user.key", keys / "user.crt", keys / "ec2.crt"]
    subprocess.run(["bash", CLASSIC, "bundle", *arguments], check=True, timeout=CLASSIC_SECONDS_MAX)
    out = tmp_path / "out.img"
    unbundle(
        find_bundle(tmp_path / "bundle/disk.img.manifest.xml", pem("user.crt")), out, private_key_pem=pem("ec2.key")
    )
    assert out.stat().st_size == size
    assert same_data(image, out)
    assert allocated_bytes(out) <= allocated_bytes(image) + 8192


def test_the_gzip_stream_is_one_member_that_every_reader_reads(recipe: Make, pem: Pem, tmp_path: Path) -> None:
    image = sparse_file(tmp_path / "in", 7 * MIB + 77, {0: b"some text, again and again. " * 200_000})
    stream = plain_gzip(create(recipe(image), tmp_path), pem)
    decompressor = zlib.decompressobj(31)
    tar = decompressor.decompress(stream)
    assert decompressor.eof
    assert decompressor.unused_data == b""
    assert gzip.decompress(stream) == tar
    assert subprocess.run(["gzip", "-dc"], input=stream, capture_output=True, check=True).stdout == tar
    with tarfile.open(fileobj=io.BytesIO(stream), mode="r|gz") as read:
        member = read.next()
        assert member is not None
        extracted = read.extractfile(member)
        assert extracted is not None
        assert extracted.read() == image.read_bytes()


def test_every_chunk_can_be_unpacked_alone(recipe: Make, pem: Pem, tmp_path: Path) -> None:
    image = tmp_path / "in"
    image.write_bytes(os.urandom(512) * 8192)
    stream = plain_gzip(create(recipe(image), tmp_path), pem)
    tar = gzip.decompress(stream)
    unpacked = [chunk for chunk in map(inflate_at_most, flushed(stream)) if chunk]
    for at in range(MIB, len(tar), MIB):
        assert tar[at : at + MIB] in unpacked


def flushed(stream: bytes) -> list[bytes]:
    """What follows each of the places that look like the mark of a flush."""
    return [stream[found.end() :] for found in re.finditer(rb"(?=\0\0\xff\xff)....", stream, re.DOTALL)]


def inflate_at_most(deflated: bytes) -> bytes:
    """One chunk of raw deflate; nothing where none begins."""
    try:
        return zlib.decompressobj(-15).decompress(deflated, MIB)
    except zlib.error:
        return b""


def test_the_manifest_says_what_the_recipe_said(recipe: Make, pem: Pem, tmp_path: Path) -> None:
    image = sparse_file(tmp_path / "in", MIB, {0: b"x"})
    wanted = recipe(
        image,
        name="web-1.2_x",
        architecture="i386",
        kernel_id="aki-1",
        ramdisk_id="ari-1",
        block_device_mapping=(Mapping("ami", "sda1"),),
        product_codes=("AAAA",),
        image_type="kernel",
        kernel_name="vmlinuz-2.6.18",
        ancestor_ami_ids=("ami-1", "ami-2"),
        level=0,
    )
    manifest = read_bundle(create(wanted, tmp_path), pem("user.crt"))
    said = (manifest.name, manifest.architecture, manifest.kernel_id, manifest.ramdisk_id, manifest.image_type)
    assert said == ("web-1.2_x", "i386", "aki-1", "ari-1", "kernel")
    assert manifest.block_device_mapping == (Mapping("ami", "sda1"),)
    assert manifest.product_codes == ("AAAA",)
    assert manifest.kernel_name == "vmlinuz-2.6.18"
    assert manifest.ancestor_ami_ids == ("ami-1", "ami-2")
    assert manifest.size_bytes == MIB
    assert [part.filename for part in manifest.parts] == ["web-1.2_x.part.00"]


@pytest.mark.parametrize("size", [9 * GIB, 12 * GIB + 512])
def test_images_beyond_8_gib_come_back_and_tar_knows_their_numbers(
    recipe: Make, pem: Pem, tmp_path: Path, size: int
) -> None:
    image = sparse_file(tmp_path / "in", size, {0: b"first", 8 * GIB + 4096: b"far out", size - 5: b"last!"})
    manifest_path = create(recipe(image), tmp_path)
    out = tmp_path / "out"
    unbundle(find_bundle(manifest_path, pem("user.crt")), out, private_key_pem=pem("user.key"))
    assert out.stat().st_size == size
    assert same_data(image, out)
    assert allocated_bytes(out) <= allocated_bytes(image)
    tar = gzip.decompress(plain_gzip(manifest_path, pem))
    assert tar[483] == 0x80
    with tarfile.open(fileobj=io.BytesIO(tar)) as read:
        member = read.next()
        assert member is not None
        assert member.size == size
        extracted = read.extractfile(member)
        assert extracted is not None
        extracted.seek(size - 5)
        assert extracted.read() == b"last!"


def test_a_hole_that_is_stored_is_deflated_once(recipe: Make, pem: Pem, tmp_path: Path) -> None:
    zeros = tmp_path / "in"
    zeros.write_bytes(bytes(20 * MIB))
    manifest = create(recipe(zeros), tmp_path)
    assert read_bundle(manifest, pem("user.crt")).bundled_size_bytes < 64 * 1024
    assert pipeline.deflate(bytearray(MIB), 2)[0] is pipeline.deflate(bytearray(MIB), 2)[0]
    open_both_ways(manifest, zeros, pem, tmp_path)


def test_nothing_remains_of_a_bundle_that_fails(recipe: Make, tmp_path: Path) -> None:
    image = tmp_path / "in"
    image.write_bytes(os.urandom(3 * PART_BYTES))

    def fail(done: int, total: int) -> None:
        if done > 2 * PART_BYTES:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        create(recipe(image), tmp_path, progress=fail)
    assert list(tmp_path.iterdir()) == [image]


def test_an_image_that_is_written_to_meanwhile_is_refused(recipe: Make, tmp_path: Path) -> None:
    image = tmp_path / "in"
    image.write_bytes(os.urandom(2 * PART_BYTES))

    def touch(done: int, total: int) -> None:
        os.utime(image, ns=(1, 1))

    with pytest.raises(LocalRefusal, match="was changed while it was read"):
        create(recipe(image), tmp_path, progress=touch)

    def cut(done: int, total: int) -> None:
        os.truncate(image, 0)

    image.write_bytes(os.urandom(8 * PART_BYTES))
    with pytest.raises(LocalRefusal, match=r"shorter|changed"):
        create(recipe(image), tmp_path, progress=cut)
    assert list(tmp_path.iterdir()) == [image]


def test_an_old_bundle_stays_unless_forced_and_goes_whole_when_it_is(recipe: Make, pem: Pem, tmp_path: Path) -> None:
    image = tmp_path / "in"
    image.write_bytes(os.urandom(2 * PART_BYTES))
    manifest = create(recipe(image), tmp_path)
    before = manifest.read_bytes()
    image.write_bytes(b"small")
    with pytest.raises(LocalRefusal, match="exists already"):
        create(recipe(image), tmp_path)
    assert manifest.read_bytes() == before
    create(recipe(image), tmp_path, force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk.img.manifest.xml", "disk.img.part.00", "in"]
    verify(find_bundle(manifest, pem("user.crt")), private_key_pem=pem("user.key"))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"name": "../up"}, "cannot be a bundle's name"),
        ({"name": "n" * 101}, "cannot be a bundle's name"),
        ({"name": "-rf"}, "cannot be a bundle's name"),
        ({"name": "Ümlaut"}, "cannot be a bundle's name"),
        ({"account_id": "12345"}, "not an account number"),
        ({"image_type": "toaster"}, "not an image type"),
        ({"level": 9}, "no compression level 9"),
        ({"kernel_name": "vmlinuz"}, "a machine image has no kernel's name"),
        ({"kernel_id": ""}, "cannot be a kernel"),
        ({"ramdisk_id": "ari 1"}, "cannot be a ramdisk"),
        ({"architecture": "x86_64\n"}, "cannot be an architecture"),
        ({"product_codes": ("A,B",)}, "'A,B' cannot be a product code"),
        ({"ancestor_ami_ids": ("ami-1", "ämi")}, "'ämi' cannot be an ancestor"),
        ({"block_device_mapping": (Mapping("ami", "s" * 256),)}, "cannot be part of a block device mapping"),
        ({"image": Path("/nowhere/disk.img")}, "cannot be read"),
        ({"image": Path("/tmp")}, "neither a file nor a block device"),
        ({"image": Path("/dev/zero")}, "neither a file nor a block device"),
    ],
)
def test_what_cannot_be_bundled_is_refused_before_any_work(
    recipe: Make, tmp_path: Path, changes: dict[str, object], why: str
) -> None:
    image = tmp_path / "in"
    image.write_bytes(b"x")
    with pytest.raises(LocalRefusal, match=why):
        create(recipe(image, **changes), tmp_path)
    assert list(tmp_path.iterdir()) == [image]


def test_an_empty_image_and_a_pair_that_is_none_are_refused(recipe: Make, pem: Pem, tmp_path: Path) -> None:
    image = tmp_path / "in"
    image.write_bytes(b"")
    with pytest.raises(LocalRefusal, match="has 0 bytes"):
        create(recipe(image), tmp_path)
    image.write_bytes(b"x")
    with pytest.raises(LocalRefusal, match="do not belong together"):
        create(recipe(image, private_key_pem=pem("other.key")), tmp_path)


@pytest.mark.parametrize("name", ["n", "n" * 100, "0.._-", "x.part.00"])
def test_names_at_the_edge_come_back(recipe: Make, pem: Pem, tmp_path: Path, name: str) -> None:
    image = sparse_file(tmp_path / "in", 20000, {0: b"x"})
    open_both_ways(create(recipe(image, name=name), tmp_path), image, pem, tmp_path)


def test_more_extents_than_the_bound_are_counted_no_further(tmp_path: Path) -> None:
    image = sparse_file(tmp_path / "in", 80 * 8192, {index * 8192: b"x" for index in range(80)})
    with image.open("rb") as file:
        extents = find_extents(file.fileno(), image.stat().st_size)
        assert extents is not None
        if len(extents) > 1:  # the file system keeps holes
            assert find_extents(file.fileno(), image.stat().st_size, extents_max=50) is None
        merged = find_extents(file.fileno(), image.stat().st_size, least_hole=8192)
        assert merged == [(0, 79 * 8192 + 4096)]


def test_progress_counts_the_data_and_ends_at_the_whole(recipe: Make, tmp_path: Path) -> None:
    image = sparse_file(tmp_path / "in", 50 * MIB, {0: os.urandom(5 * MIB)})
    seen: list[tuple[int, int]] = []
    create(recipe(image), tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (5 * MIB, 5 * MIB)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


MEASURE = """
import sys
from pathlib import Path
from amiable.bundle import pipeline, unbundle
image, folder, keys = map(Path, sys.argv[1:4])
pem = lambda name: (keys / name).read_bytes()
recipe = pipeline.Recipe(image, "big", "123456789012", "x86_64", pem("user.crt"), pem("user.key"), pem("ec2.crt"))
manifest = pipeline.create(recipe, folder)
unbundle.unbundle(unbundle.find_bundle(manifest, pem("user.crt")), folder / "back", private_key_pem=pem("ec2.key"))
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
MEMORY_KIB_MAX = 150_000_000 // 1024


def test_memory_stays_small_whatever_the_size(bundle_cases: Path, tmp_path: Path) -> None:
    noise = os.urandom(MIB)
    image = sparse_file(tmp_path / "big", 64 * GIB, {index * 200 * MIB: noise for index in range(300)})
    measured = subprocess.run(
        [sys.executable, "-c", MEASURE, image, tmp_path, bundle_cases / "keys"],
        capture_output=True,
        check=True,
        timeout=CLASSIC_SECONDS_MAX,
    )
    assert int(measured.stdout) < MEMORY_KIB_MAX
    assert same_data(image, tmp_path / "back")
    assert allocated_bytes(tmp_path / "back") <= 2 * 300 * MIB


def test_waivers_are_off_by_default() -> None:
    assert Waivers() == Waivers(signature=False, image_digest=False)
    assert vars(pipeline.Recipe)["__dataclass_params__"].frozen
