"""Finding an appliance, and opening what packages hold; the assembly itself is what the acceptance tests boot."""

import json
import lzma
from pathlib import Path

import pytest

from amiable.vm.appliance import assembly
from amiable.vm.appliance.assembly import find_appliance, unpack_bzimage
from amiable.vm.appliance.programs import BuildFailure


def make(folder: Path, name: str, builder: str) -> Path:
    made = folder / name
    made.mkdir(parents=True)
    (made / "inputs.json").write_text(json.dumps({"builder": builder}))
    return made


def test_only_a_whole_appliance_of_this_version_is_found(tmp_path: Path) -> None:
    assert find_appliance(tmp_path / "nothing") is None
    make(tmp_path, "of-another-version", "another")
    (tmp_path / "unfinished").mkdir()
    assert find_appliance(tmp_path) is None
    whole = make(tmp_path, "whole", assembly._builder_digest())
    found = find_appliance(tmp_path)
    assert found is not None and found.folder == whole


def test_the_hypervisor_for_32_bit_guests_lies_beside_every_appliance(tmp_path: Path) -> None:
    make(tmp_path, "whole", assembly._builder_digest())
    found = find_appliance(tmp_path)
    assert found is not None and found.xen_pv32 == tmp_path / "pv32" / "xen"


def test_the_elf_file_comes_out_of_an_xz_bzimage_behind_what_only_looks_like_one() -> None:
    elf = b"\x7fELF" + bytes(1000)
    image = b"setup" + b"\xfd7zXZ\0 not really" + lzma.compress(elf) + b"rest"
    assert unpack_bzimage(image) == elf


def test_a_kernel_that_unpacks_to_too_much_or_to_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BuildFailure, match="not compressed by xz"):
        unpack_bzimage(lzma.compress(b"text"))
    monkeypatch.setattr(assembly, "VMLINUX_BYTES_MAX", 100)
    with pytest.raises(BuildFailure, match="larger than 100 bytes"):
        unpack_bzimage(lzma.compress(b"\x7fELF" + bytes(1000)))
