import json
import subprocess
from pathlib import Path

import pytest

from amiable.bundle.volume.disk import PLANS, Scheme, partition
from amiable.model.units import MIB


@pytest.mark.parametrize(
    ("scheme", "starts"), [("mbr", {"1": 34816, "2": 2048}), ("gpt", {"1": 40960, "14": 2048, "15": 8192})]
)
def test_a_table_has_root_last_and_all_of_the_rest(scheme: Scheme, starts: dict[str, int], tmp_path: Path) -> None:
    image, plan, size_bytes = tmp_path / "image", PLANS[scheme], 100 * MIB
    with image.open("wb") as file:
        file.truncate(size_bytes)
    partition(image, plan, size_bytes=size_bytes)
    told = subprocess.run(["sfdisk", "-J", str(image)], capture_output=True, text=True, check=True).stdout
    found = {
        entry["node"].removeprefix(str(image)): entry for entry in json.loads(told)["partitiontable"]["partitions"]
    }
    assert {number: entry["start"] for number, entry in found.items()} == starts
    assert found["1"]["size"] * 512 == plan.root_bytes(size_bytes)
    assert plan.root_offset_bytes + plan.root_bytes(size_bytes) + plan.tail_bytes == size_bytes
    assert max(starts.values()) == starts["1"]


def test_a_bare_image_gets_no_table(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(bytes(MIB))
    partition(image, PLANS["none"], size_bytes=MIB)
    assert image.read_bytes() == bytes(MIB) and PLANS["none"].root_bytes(MIB) == MIB
