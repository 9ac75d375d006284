"""The machine that an instance is: decisions alone."""

from amiable.rules.hardware import in_guest_order
from tests.rules.test_volume import held


def ordered(*devices: str, root: str | None = "/dev/sda1") -> list[str | None]:
    return [volume.device_name for volume in in_guest_order(held(*devices), root)]


def test_a_guest_counts_its_disks_by_their_letters_however_they_are_spelled_the_root_first() -> None:
    assert ordered("xvdb", "/dev/sdc", "/dev/xvda", root="/dev/xvda") == ["/dev/xvda", "xvdb", "/dev/sdc"]
    assert ordered("/dev/xvdba", "/dev/xvdc", "/dev/sda1") == ["/dev/sda1", "/dev/xvdc", "/dev/xvdba"]
    assert ordered("/dev/sdb10", "/dev/sdb2", "/dev/sdf1") == ["/dev/sdb2", "/dev/sdb10", "/dev/sdf1"]
    assert ordered("ephemeral0", "/dev/sdf", "/dev/sda") == ["/dev/sda", "/dev/sdf", "ephemeral0"]


def test_a_root_at_a_later_letter_is_the_first_disk_all_the_same() -> None:
    assert ordered("/dev/sdb", "/dev/sdf", root="/dev/sdf") == ["/dev/sdf", "/dev/sdb"]
