"""Good inputs to begin with, made by our own writers, and the files that earlier runs left in ``fuzz/kept/<target>``."""

import gzip
import io
import tarfile
from pathlib import Path
from typing import Final

from amiable.bundle import sparse_tar
from amiable.bundle.manifest_xml import write_manifest
from amiable.model.manifest import Manifest, Mapping, Part, WrappedKey
from fuzz.targets import _key

KEPT: Final = Path(__file__).parent / "kept"


def seeds_of(target: str) -> list[bytes]:
    """The inputs that ``target`` begins with."""
    kept = sorted((KEPT / target).glob("*")) if (KEPT / target).is_dir() else []
    return MADE[target]() + [path.read_bytes() for path in kept]


def _manifests() -> list[bytes]:
    hidden = WrappedKey("ab" * 64, "cd" * 64)
    plain = Manifest(
        name="disk.img",
        account_id="123456789012",
        image_sha1="1" * 40,
        size_bytes=1 << 20,
        bundled_size_bytes=4096,
        ec2=hidden,
        user=hidden,
        parts=(Part(0, "disk.img.part.00", "2" * 40), Part(1, "disk.img.part.01", "3" * 40)),
    )
    full = Manifest(
        **{name: getattr(plain, name) for name in ("account_id", "image_sha1", "size_bytes", "bundled_size_bytes")},
        name="full",
        ec2=hidden,
        user=hidden,
        parts=plain.parts,
        architecture="i386",
        kernel_id="aki-12345678",
        ramdisk_id="ari-12345678",
        block_device_mapping=(Mapping("ami", "sda1"), Mapping("root", "/dev/sda1")),
        product_codes=("A1", "B2"),
        image_type="machine",
        ancestor_ami_ids=("ami-12345678",),
    )
    return [write_manifest(one, _key()[0]) for one in (plain, full)]


def _tars() -> list[bytes]:
    size = 4 * 4096
    data = b"".join(b"%d " % number for number in range(9000))[:8192]
    extents = ((0, 4096), (8192, 4096))
    header = sparse_tar.header("image", size, extents)
    sparse = header + data + sparse_tar.trailer(len(header), len(data))
    many = sparse_tar.header("image", size, tuple((at, 512) for at in range(0, size, 1024)))
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.GNU_FORMAT) as archive:
        member = tarfile.TarInfo("i" * 120)
        member.size = size
        archive.addfile(member, io.BytesIO(data + data))
    prefix = (size - 1).to_bytes(3, "big")
    return [prefix + tar for tar in (sparse, many + data, plain.getvalue())]


def _streams() -> list[bytes]:
    tars = _tars()
    gzips = [tar[:3] + gzip.compress(tar[3:], 6) for tar in tars]
    gzips.append(tars[0][:3] + gzip.compress(tars[0][3:700], 1) + gzip.compress(tars[0][700:], 9))
    return [b"\0" + tar for tar in tars] + [b"\1" + packed for packed in gzips]


MADE: Final = {"manifest": _manifests, "tar": _tars, "stream": _streams}
