"""Good inputs to begin with, made by our own writers, and the files that earlier runs left in ``fuzz/kept/<target>``."""

import base64
import gzip
import hashlib
import io
import json
import lzma
import struct
import tarfile
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from amiable.bundle import sparse_tar
from amiable.bundle.assurance import Assurance, read_assurance, write_assurance
from amiable.bundle.assurance_tables import GZIP_END_BYTES, GZIP_HEADER_BYTES
from amiable.bundle.manifest_xml import read_manifest, write_manifest
from amiable.model.manifest import Manifest, Mapping, Part, WrappedKey
from amiable.model.units import PART_BYTES
from amiable.rules.content_digest import content_digest
from fuzz.targets import ASSURED, small_key

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
    return [write_manifest(one, small_key()[0]) for one in (plain, full)]


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


def _sidecars() -> list[bytes]:
    header, block = 1024, bytes(range(256)) * 2048
    deflated = 4096 - GZIP_HEADER_BYTES - GZIP_END_BYTES - 1
    tables = {
        "content_digest": content_digest(1 << 20, [(1, hashlib.sha256(block).digest())]),
        "header_bytes": header,
        "extents": [len(block), len(block)],
        "chunks": [len(block) + header + 1024, 1],
        "deflated": [deflated],
        "blocks": [1, 1],
        "digests": hashlib.sha256(block).digest(),
    }
    packed = msgspec.msgpack.encode(tables)
    found = Assurance(
        manifest_sha256=hashlib.sha256(ASSURED).digest(),
        part_sha256s={"i.part.0": bytes(32)},
        image_bytes=1 << 20,
        bundled_bytes=4096,
        part_bytes=PART_BYTES,
        stream_sha256=bytes(32),
        sealed=b"sealed",
    )
    envelope = write_assurance(found, "i.manifest.xml", [Ed25519PrivateKey.from_private_bytes(bytes(32))])
    payload = base64.b64decode(json.loads(envelope)["payload"])
    read_assurance(
        envelope, [Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()], read_manifest(ASSURED), ASSURED
    )
    return [b"\0" + envelope, b"\1" + payload, b"\2" + packed]


def _kernels() -> list[bytes]:
    """An ELF file with one note of Xen's, and the same as the payload of a bzImage."""
    note = struct.pack("<III", 4, 8, 6) + b"Xen\0" + b"linux\0\0\0" + struct.pack("<III", 4, 8, 1) + b"Xen\0" + bytes(8)
    segment = struct.pack("<IIQQQQQQ", 4, 4, 120, 0, 0, len(note), len(note), 4)
    begin = b"\x7fELF\2\1\1".ljust(16, b"\0")
    elf = begin + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 64, 0, 0, 64, 56, 1, 64, 0, 0) + segment + note
    setup = bytearray(1024)
    setup[0x1F1], setup[0x202:0x206], setup[0x206:0x208] = 1, b"HdrS", (0x20F).to_bytes(2, "little")
    packed = gzip.compress(elf, 6, mtime=0)
    setup[0x248:0x250] = struct.pack("<II", 0, len(packed))
    return [elf, gzip.compress(elf, 6, mtime=0), bytes(setup) + packed, bytes(setup) + lzma.compress(elf)]


MADE: Final = {"manifest": _manifests, "tar": _tars, "stream": _streams, "sidecar": _sidecars, "kernel": _kernels}
