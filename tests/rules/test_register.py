"""RegisterImage's rules, as laws over maps of any kind."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.model.errors import InvalidAMINameMalformed, InvalidParameterValue, Refusal
from amiable.model.image import find_root_device
from amiable.model.snapshot import COMPLETED, Snapshot
from amiable.rules.register import (
    RequestedDevice,
    RequestedVolume,
    check_device_name,
    check_name,
    plan_devices,
)
from amiable.rules.volume_type import VOLUME_TYPES, Figures, check_figures

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SNAPSHOTS = {
    name: Snapshot(id=name, account_id="1", region="r", state=COMPLETED, size_gib=size, started_at=NOW, touched_at=NOW)
    for name, size in (("snap-00000001", 1), ("snap-00000008", 8), ("snap-00002000", 2000))
}
NAMES = st.sampled_from(
    ["/dev/sda1", "/dev/sda", "/dev/xvda", "/dev/sdb", "/dev/sdf", "/dev/sdb1", "/dev/nvme0n1", "sdb", ""]
)
VOLUMES = st.builds(
    RequestedVolume,
    snapshot_id=st.none() | st.sampled_from(sorted(SNAPSHOTS)),
    size_gib=st.none() | st.integers(-1, 70_000),
    volume_type=st.none() | st.sampled_from([*VOLUME_TYPES, "floppy"]),
    iops=st.none() | st.integers(-1, 300_000),
    throughput=st.none() | st.integers(0, 3000),
    delete_on_termination=st.none() | st.booleans(),
    encrypted=st.none() | st.booleans(),
)
DEVICES = st.builds(
    RequestedDevice,
    device_name=st.none() | NAMES,
    virtual_name=st.none() | st.sampled_from(["ephemeral0", "ephemeral23", "ephemeral24", "ephemeral007", "root"]),
    volume=st.none() | VOLUMES,
    suppressed=st.booleans(),
)
ROOTS = st.builds(
    RequestedDevice,
    device_name=NAMES,
    volume=st.builds(RequestedVolume, snapshot_id=st.sampled_from(sorted(SNAPSHOTS)), size_gib=st.none() | st.just(16)),
)


@given(root=ROOTS, others=st.lists(DEVICES, max_size=3), name=NAMES, kind=st.sampled_from(["hvm", "paravirtual"]))
def test_a_map_is_refused_or_kept_whole_with_a_root_that_can_boot(
    root: RequestedDevice, others: list[RequestedDevice], name: str, kind: str
) -> None:
    asked = [root, *others]
    try:
        planned = plan_devices(asked, root_device_name=name, virtualization_type=kind, snapshots=SNAPSHOTS)
    except Refusal as refusal:
        assert refusal.message and refusal.code != "InternalError"
        return
    assert [device.device_name for device in planned] == [device.device_name for device in asked]
    found = find_root_device(planned, name)
    assert found is not None and found.snapshot_id is not None
    for device, wanted in zip(planned, asked, strict=True):
        if not device.is_volume:
            assert device.virtual_name == wanted.virtual_name and device.size_gib is None
            continue
        assert device.size_gib is not None and device.volume_type is not None and device.encrypted is False
        figures = Figures(device.volume_type, device.size_gib, device.iops, device.throughput)
        check_figures(figures, is_root=device is found)  # what is registered can be launched
        if device.snapshot_id is not None:
            assert device.size_gib >= SNAPSHOTS[device.snapshot_id].size_gib
        assert wanted.volume is not None
        default = (
            device is found if wanted.volume.delete_on_termination is None else wanted.volume.delete_on_termination
        )
        assert device.delete_on_termination is default


@given(st.text(alphabet=st.characters(max_codepoint=0x2FF), max_size=140))
def test_a_name_is_legal_exactly_when_its_characters_and_its_length_are(name: str) -> None:
    legal = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789()[] ./-'@_")
    if 3 <= len(name) <= 128 and set(name) <= legal:
        check_name(name)
    else:
        with pytest.raises(InvalidAMINameMalformed):
            check_name(name)


def test_every_legal_character_may_stand_in_a_name() -> None:
    check_name("aZ9()[] ./-'@_")
    for character in '+\n\\"#é\0':
        with pytest.raises(InvalidAMINameMalformed):
            check_name("abc" + character)


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("hvm", ["/dev/sda1", "/dev/sda", "/dev/sda2", "/dev/sdz", "/dev/xvda", "/dev/xvdba", "xvdb"], ["/dev/sdb1", "/dev/sda3", "/dev/xvda1"]),
        ("paravirtual", ["/dev/sda1", "/dev/sdb15", "/dev/hda", "/dev/hdc3"], ["/dev/sdb16", "/dev/sdb0", "/dev/sdaa"]),
    ],
)  # fmt: skip
def test_device_names_are_ec2s_and_never_the_guests(kind: str, good: list[str], bad: list[str]) -> None:
    for name in good:
        check_device_name(name, kind)
    for name in [*bad, "/dev/nvme0n1", "/dev/vda", "nvme0n1", "/dev/", "/dev/sda1\n", "../sda", "/dev/disk/by-id/x"]:
        with pytest.raises(InvalidParameterValue, match="is not a valid EBS device name"):
            check_device_name(name, kind)
