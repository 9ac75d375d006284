"""What is given as a raw disk and is not one, over every case there is."""

import json
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from amiable.blocks.formats import FORMATS, guess_format, refusal_words, remark
from tests.support.cases import cases_dir

EDGE_BYTES = 65536
UNZIPPED_BYTES_MAX = 64 << 20

NAMES: dict[str, set[str | None]] = {
    "qcow2": {"qcow2"},
    "qcow": {"qcow"},
    "vmdk": {"vmdk", "vmdk-descriptor"},
    "vhd": {"vhd", None},  # a fixed VHD is raw bytes with a footer: remarked, not refused
    "vhdx": {"vhdx"},
    "vdi": {"vdi"},
    "ova": {"tar"},
    "parallels": {"parallels"},
    "bochs": {"bochs"},
    "dmg": {"dmg"},
    "ewf": {"ewf"},
    "tar": {"tar"},
    "ovf": {"markup"},
}
NOT_WHAT_THEY_SAY = {  # cases whose bytes are deliberately not those of their format
    "html-error-page-as-vmdk", "iso-as-vmdk", "luks-in-qcow2-name", "qcow2-that-is-raw", "scalibr-text-vmdk",
    "text-file-as-qcow2", "vdi-magic", "vhd-that-is-vhdx", "virtnbd-vm4-raw-named-qcow2",
}  # fmt: skip


def edges(folder: Path, expect: dict[str, Any]) -> tuple[bytes, bytes, int] | None:
    """First and last 64 KiB and size of a case's input; None where unpacking it takes too long for a unit test."""
    file = next(file for file in expect["files"] if file["name"] == expect["input"])
    if "truncate" in file:
        return bytes(min(EDGE_BYTES, file["truncate"])), bytes(min(EDGE_BYTES, file["truncate"])), file["truncate"]
    if file["size"] > UNZIPPED_BYTES_MAX:
        return None
    body = zstandard.ZstdDecompressor().stream_reader((folder / file["stored"]).read_bytes()).read(UNZIPPED_BYTES_MAX)
    assert len(body) == file["size"]
    return body[:EDGE_BYTES], body[-EDGE_BYTES:], len(body)


def cases() -> list[tuple[Path, dict[str, Any]]]:
    """Every case with one readable input."""
    found = sorted((cases_dir() / "disks").glob("*/*/expect.json"))
    return [(path.parent, json.loads(path.read_text())) for path in found]


def test_every_foreign_format_is_named_and_every_raw_disk_is_let_through() -> None:
    seen = 0
    wrong: list[str] = []
    for folder, expect in cases():
        given_ = edges(folder, expect)
        if given_ is None or expect["id"] in NOT_WHAT_THEY_SAY:
            continue
        seen += 1
        guessed = guess_format(*given_)
        if expect["given_format"] == "raw":
            reasons = ("format-mismatch", "unsupported-format", "compressed-input")
            right = (guessed is not None) == (expect.get("reason_class") in reasons)
        else:
            right = guessed in NAMES[str(expect["format"])]
        if not right:
            wrong.append(f"{expect['id']}: {expect['format']} given as {expect['given_format']} seen as {guessed}")
    print(f"{seen} cases")
    assert not wrong, "\n".join(wrong)
    assert seen > 200


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("raw-that-is-qcow2", "a qcow2 image that names a backing file, "),
        ("raw-that-is-qcow2-data-file", "a qcow2 image that keeps its data in another file, "),
        ("raw-that-is-vhdx", "a VHDX image"),
        (
            "raw-that-is-vmdk-descriptor",
            "a VMDK descriptor: a text that names the files of a disk that names the extent '",
        ),
        ("qcow2-backing-etc-passwd", "a qcow2 image that names a backing file, '/etc/passwd'"),
        ("qcow2-backing-json", "a qcow2 image that names a backing file, 'json:"),
        ("qcow2-data-file", "a qcow2 image that keeps its data in another file, '/etc/passwd'"),
        ("qcow2-valid-v2", "a qcow2 image"),
        ("vmdk-delta-with-parent", "a VMDK image (sparse) that names a parent, '"),
        (
            "vmdk-descriptor-etc-passwd",
            "a VMDK descriptor: a text that names the files of a disk that names the extent '/etc/passwd'",
        ),
        ("vhd-differencing-parent-passwd", "a VHD image (dynamic or differencing) that names a parent, '"),
        ("vdi-snapshot-child", "a VDI image that is a difference to a parent"),
        ("gzip-raw", "compressed with gzip"),
        ("e01", "an Expert Witness (E01) image"),
    ],
)
def test_the_refusal_names_what_it_saw(case: str, words: str) -> None:
    folder = cases_dir() / "disks" / "hostile" / case
    given_ = edges(folder, json.loads((folder / "expect.json").read_text()))
    assert given_ is not None
    seen = guess_format(*given_)
    assert seen is not None
    assert refusal_words(seen, given_[0]).startswith(words)


def test_a_fixed_vhd_and_a_cd_are_let_through_with_a_remark() -> None:
    for path, words in (
        ("hostile/vhd-valid-dynamic", None),
        ("boot/iso-not-disk", "ISO 9660"),
        ("boot/efi-only", None),
    ):
        folder = cases_dir() / "disks" / path
        given_ = edges(folder, json.loads((folder / "expect.json").read_text()))
        assert given_ is not None
        said = remark(*given_) if guess_format(*given_) is None else None
        assert (said is None) if words is None else (said is not None and words in said)
    footer = bytearray(b"conectix" + bytes(504))
    footer[60:64] = (2).to_bytes(4, "big")
    footer[64:68] = (~sum(footer) & 0xFFFFFFFF).to_bytes(4, "big")
    disk = bytes(4096) + bytes(footer)
    assert guess_format(disk, disk, len(disk)) is None
    assert "fixed VHD" in (remark(disk, disk, len(disk)) or "")
    footer[70] ^= 1
    assert remark(disk[:4096] + footer, disk[:4096] + footer, len(disk)) is None


MAGICS = [
    b"QFI\xfb\0\0\0\3",
    b"QFI\xfb\0\0\0\1",
    b"KDMV\1\0\0\0",
    b"# Disk DescriptorFile\n",
    b"conectix",
    bytes(64) + b"\x7f\x10\xda\xbe",
]


@given(st.sampled_from(MAGICS), st.binary(max_size=700))
def test_a_header_of_noise_is_named_and_never_followed_out_of_its_bytes(magic: bytes, rest: bytes) -> None:
    head = magic + rest
    seen = guess_format(head, head, len(head))
    assert seen is not None
    words = refusal_words(seen, head)
    assert words.isprintable() and len(words) < 500


@given(st.binary(max_size=2000))
def test_words_exist_for_every_format_over_any_bytes(head: bytes) -> None:
    for known in FORMATS:
        assert refusal_words(known.name, head).isprintable()
    guess_format(head, head, len(head))
    remark(head, head, len(head))
