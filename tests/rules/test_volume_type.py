"""What a volume does at most, in EC2's figures, and which figures may be asked for."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.model.errors import Refusal
from amiable.model.volume import Volume
from amiable.rules.volume_type import (
    GP2_BURST_IOPS,
    GP2_BURST_OPERATIONS,
    VOLUME_TYPES,
    Figures,
    Limits,
    check_figures,
    effective_iops,
    limits_of,
)
from tests.rules.volumes import VOLUME

MIB, KIB = 1 << 20, 1 << 10


def of(volume_type: str, size_gib: int, iops: int | None = None, throughput: int | None = None) -> Volume:
    return replace(VOLUME, volume_type=volume_type, size_gib=size_gib, iops=iops, throughput=throughput)


@pytest.mark.parametrize(
    ("volume", "limits"),
    [
        (of("gp2", 1), Limits(100, 128 * MIB, 256 * KIB, 3000, 1862)),
        (of("gp2", 100), Limits(300, 128 * MIB, 256 * KIB, 3000, 2000)),
        (of("gp2", 1000), Limits(3000, 250 * MIB, 256 * KIB)),
        (of("gp2", 16384), Limits(16000, 250 * MIB, 256 * KIB)),
        (of("gp3", 1), Limits(3000, 125 * MIB, 256 * KIB)),
        (of("gp3", 100, 6000, 500), Limits(6000, 500 * MIB, 256 * KIB)),
        (of("io1", 100, 2000), Limits(2000, 500 * MIB, 256 * KIB)),
        (of("io1", 2000, 64000), Limits(64000, 1000 * MIB, 256 * KIB)),
        (of("io2", 1000, 256000), Limits(256000, 4000 * MIB, 256 * KIB)),
        (of("st1", 1024), Limits(500, 40 * MIB, MIB)),
        (of("st1", 16384), Limits(500, 500 * MIB, MIB)),
        (of("sc1", 125), Limits(250, MIB, MIB)),
        (of("standard", 10), Limits(200, 90 * MIB, 256 * KIB)),
    ],
    ids=lambda value: f"{value.volume_type}-{value.size_gib}" if isinstance(value, Volume) else "",
)
def test_a_volume_is_held_to_what_its_type_size_and_rates_say(volume: Volume, limits: Limits) -> None:
    assert limits_of(volume) == limits


def test_a_local_disk_is_held_to_nothing() -> None:
    assert limits_of(replace(VOLUME, is_instance_store=True)) is None


@given(st.sampled_from(sorted(VOLUME_TYPES)), st.integers(0, 70000), st.none() | st.integers(0, 300000))
def test_what_may_be_asked_for_has_limits_that_qemu_takes(name: str, size: int, iops: int | None) -> None:
    try:
        check_figures(Figures(name, size, iops))
    except Refusal:
        return
    limits = limits_of(of(name, size, iops))
    assert limits is not None and limits.iops > 0 and limits.bytes_per_second > 0
    assert limits.burst_iops == 0 or (limits.burst_iops > limits.iops and limits.burst_seconds > 0)
    assert limits.burst_seconds * (GP2_BURST_IOPS - limits.iops) <= GP2_BURST_OPERATIONS
    told = effective_iops(name, size, iops)
    assert told is None or told == limits.iops
