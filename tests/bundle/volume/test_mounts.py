from amiable.bundle.volume import mounts

TABLE = """\
27 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw
22 27 0:21 / /proc rw - proc proc rw
24 27 0:6 / /dev rw - devtmpfs devtmpfs rw
25 24 0:23 / /dev/shm rw - tmpfs tmpfs rw
30 27 254:2 / /boot rw - ext4 /dev/vda2 rw
31 30 254:15 / /boot/efi rw - vfat /dev/vda15 rw
32 27 254:1 /srv/data /mirror rw - ext4 /dev/vda1 rw
33 27 0:50 / /net rw - nfs4 server:/export rw
34 27 7:0 / /snap/core/1 ro - squashfs /dev/loop0 ro
35 27 0:60 / /home/with\\040space rw shared:5 master:1 - xfs /dev/vdb rw
36 27 0:61 /@home /sub rw - btrfs /dev/vdc rw
"""


def test_each_kind_of_mount_is_taken_or_left_for_its_own_reason() -> None:
    found = mounts.below(mounts.read(TABLE), "/", remote=False)
    assert sorted(found.taken) == ["boot", "boot/efi", "home/with space", "sub"]
    assert found.left_out == {
        "dev": "file system of type devtmpfs",
        "mirror": "bind mount",
        "net": "not local (nfs4); --all takes it",
        "proc": "file system of type proc",
        "snap/core/1": "mounted image (squashfs)",
    }


def test_network_file_systems_are_taken_when_all_are_asked_for() -> None:
    found = mounts.below(mounts.read(TABLE), "/", remote=True)
    assert "net" in found.taken and "proc" in found.left_out


def test_only_what_is_mounted_below_the_volume_counts() -> None:
    found = mounts.below(mounts.read(TABLE), "/boot", remote=False)
    assert list(found.taken) == ["efi"] and found.left_out == {}
    at = mounts.at(mounts.read(TABLE), "/boot")
    assert at is not None and at.source == "/dev/vda2"
    assert mounts.at(mounts.read(TABLE), "/bo") is None


def test_a_folder_bound_from_elsewhere_is_taken_once() -> None:
    table = "1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 8:2 /x /p rw - ext4 /dev/b rw\n3 1 8:2 /x/y /q rw - ext4 /dev/b rw\n"
    found = mounts.below(mounts.read(table), "/", remote=False)
    assert list(found.taken) == ["p"] and found.left_out == {"q": "bind mount"}


def test_this_hosts_own_table_can_be_read() -> None:
    assert any(mount.point == "/proc" and mount.type == "proc" for mount in mounts.of_this_host())
