import subprocess
from pathlib import Path
from uuid import UUID

import pytest

from amiable.bundle.volume import ext
from amiable.bundle.volume.capacity import SLACK_BLOCKS, least_bytes, needed_bytes
from amiable.bundle.volume.contents import Measure
from amiable.bundle.volume.ext import Identity
from amiable.model.units import GIB, MIB


@pytest.mark.parametrize("size_bytes", [16 * MIB, 100 * MIB, 600 * MIB, 1500 * MIB, 10 * GIB, 40 * GIB])
def test_what_an_empty_file_system_uses_is_reckoned_to_a_few_blocks(size_bytes: int, tmp_path: Path) -> None:
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(size_bytes)
    ext.make(image, Identity("ext4", "", UUID(int=1)), offset_bytes=0, size_bytes=size_bytes, inodes=500)
    header = subprocess.run(["dumpe2fs", "-h", str(image)], capture_output=True, text=True, check=True).stdout
    told = dict(line.split(":", 1) for line in header.splitlines() if ":" in line)
    used = int(told["Block count"]) - int(told["Free blocks"])
    reckoned = needed_bytes(Measure(500, 0), size_bytes) // 4096
    assert used <= reckoned <= used + SLACK_BLOCKS * 2 + used // 20
    assert image.stat().st_blocks * 512 < 8 * MIB


def test_the_least_size_holds_what_it_was_reckoned_for() -> None:
    for data_bytes in (0, 50 * MIB, 127 * MIB, 4 * GIB):
        measure = Measure(1000, data_bytes)
        least = least_bytes(measure, 8 * MIB)
        assert needed_bytes(measure, least) <= least
