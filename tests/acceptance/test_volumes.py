"""Volumes in real machines: plugged while the guest runs, seen by serial and size, written, grown, limited, taken out, and read elsewhere."""

import string
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from amiable.rules.devices import DISKS_MAX
from amiable.vm import machine
from amiable.vm.directory import open_directory
from tests.support import journey
from tests.support.guests import tiny_guest
from tests.support.server import Server

WORDS = "these bytes go with their volume"
GIB_SECTORS = 1 << 21
LAUNCH = {"InstanceType": "amiable.tiny", "MinCount": 1, "MaxCount": 1, "KeyName": "volumes"}
BOOT_ID = "cat /proc/sys/kernel/random/boot_id"
PROFILE = "amiable:hardware-profile"
BOOTS = [("virtio", "legacy-bios"), ("nitro", "uefi")]
LIST_DISKS = (
    "for d in /sys/block/vd* /sys/block/nvme*; do [ -e $d ] || continue; "
    "s=$(cat $d/serial 2>/dev/null || cat $d/device/serial); echo ${s%% *} /dev/${d##*/} $(cat $d/size); done"
)


class Guest:
    """One instance with the hand that reaches into it."""

    def __init__(self, server: Server, image: str, key: Path, profile: str) -> None:
        self.server, self.key, self.ec2 = server, key, server.client("ec2")
        tags = [{"ResourceType": "instance", "Tags": [{"Key": PROFILE, "Value": profile}]}]
        made = self.ec2.run_instances(ImageId=image, TagSpecifications=tags, **LAUNCH)["Instances"][0]
        self.id = str(made["InstanceId"])
        journey.wait_for_state(server, self.id, "running")

    def run(self, command: str) -> str:
        """What ``command`` prints in the guest."""
        return journey.ssh(self.server, self.id, self.key, command).strip()

    def reboot(self) -> None:
        """Restarts the guest; it answers again."""
        boot = self.run(BOOT_ID)
        self.ec2.reboot_instances(InstanceIds=[self.id])

        def look() -> bool | None:
            try:
                return self.run(BOOT_ID) != boot or None
            except AssertionError:  # its host keys are not known yet
                return None

        journey.wait_until(f"{self.id} to come back", look)

    def disks(self) -> dict[str, tuple[str, int]]:
        """Serial → device and sectors."""
        lines = [line.split() for line in self.run(LIST_DISKS).splitlines()]
        return {serial: (device, int(sectors)) for serial, device, sectors in lines}

    def wait_for_disk(self, volume_id: str, sectors: int | None) -> str:
        """The volume's device once the guest sees it so long; None: once it is gone."""

        def look() -> str | None:
            found = self.disks().get(serial(volume_id))
            if sectors is None:
                return "" if found is None else None
            return found[0] if found is not None and found[1] == sectors else None

        return journey.wait_until(f"{volume_id} with {sectors} sectors in the guest", look)

    def wait_for_disks(self, serials: set[str]) -> dict[str, str]:
        """Serial → device of the disks beside the root, once they are those, each of one GiB."""
        root = serial(root_of(self))

        def look() -> dict[str, str] | None:
            found = {each: disk for each, disk in self.disks().items() if each != root}
            is_right = found.keys() == serials and all(sectors == GIB_SECTORS for _, sectors in found.values())
            return {each: device for each, (device, _) in found.items()} if is_right else None

        return journey.wait_until(f"{len(serials)} disks in the guest", look)

    def rates(self, volume_id: str) -> dict[str, int]:
        """What QEMU holds the volume's disk to."""
        with open_directory(self.server.data, self.id) as directory:
            qemu = machine.find_machine(directory)
            assert qemu is not None
            with machine.monitor(directory, qemu) as qmp:
                for entry in qmp.execute("query-block"):
                    if volume_id in str(entry.get("inserted", {}).get("image", {}).get("filename")):
                        return dict(entry["inserted"])
        raise AssertionError(f"QEMU has no disk {volume_id}")


def serial(volume_id: str) -> str:
    return volume_id.replace("-", "")


def wait(ec2: Any, volume_id: str, state: str, attachment: str | None = None) -> dict[str, Any]:
    """The volume once it is in ``state``."""

    def look() -> dict[str, Any] | None:
        (found,) = ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"]
        now = [each["State"] for each in found["Attachments"]]
        return dict(found) if found["State"] == state and (attachment is None or now == [attachment]) else None

    return journey.wait_until(f"{volume_id} to be {state}", look)


def attach(guest: Guest, volume_id: str, device: str) -> None:
    guest.ec2.attach_volume(VolumeId=volume_id, InstanceId=guest.id, Device=device)
    wait(guest.ec2, volume_id, "in-use", "attached")


def root_of(guest: Guest) -> str:
    mapped = journey.describe(guest.ec2, guest.id)["BlockDeviceMappings"]
    return str(next(each["Ebs"]["VolumeId"] for each in mapped if each["DeviceName"] == "/dev/sda1"))


@dataclass(frozen=True)
class Imported:
    """The tiny guest as an image, its snapshot, and the key that opens its instances."""

    image: str
    snapshot: str
    key: Path


@pytest.fixture(scope="module")
def imported(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Imported:
    image = journey.amiable(server, "image", "import", str(tiny_guest().hvm), "--name", "volumes").stdout.strip()
    key, public = journey.make_key(tmp_path_factory.mktemp("key"))
    ec2 = server.client("ec2")
    ec2.import_key_pair(KeyName="volumes", PublicKeyMaterial=public.encode())
    (mapped,) = ec2.describe_images(ImageIds=[image])["Images"][0]["BlockDeviceMappings"]
    return Imported(image, mapped["Ebs"]["SnapshotId"], key)


@pytest.mark.boot
def test_volumes_come_and_go_while_guests_run_and_carry_their_bytes(server: Server, imported: Imported) -> None:
    ec2 = server.client("ec2")
    first = Guest(server, imported.image, imported.key, "virtio")
    zone = journey.describe(ec2, first.id)["Placement"]["AvailabilityZone"]
    data = ec2.create_volume(AvailabilityZone=zone, Size=1)["VolumeId"]
    clone = ec2.create_volume(AvailabilityZone=zone, SnapshotId=imported.snapshot, Size=3)["VolumeId"]

    # plugged while it runs: serials, sizes, the snapshot's bytes
    attach(first, data, "/dev/sdf")
    attach(first, clone, "/dev/sdg")
    device = first.wait_for_disk(data, GIB_SECTORS)
    cloned = first.wait_for_disk(clone, 3 * GIB_SECTORS)
    root, _ = first.disks()[serial(root_of(first))]
    head = "dd if={} bs=512 skip=64 count=64 2>/dev/null | md5sum; "  # behind the partition table, which the guest has changed
    write = f"printf '{WORDS}' | dd of={device} bs=512 seek=9 conv=sync 2>/dev/null; sync"
    one, other = first.run(head.format(cloned) + head.format(root) + write).splitlines()
    assert one == other

    # grown and made faster while it runs
    assert (first.rates(data)["iops"], first.rates(data)["iops_max"]) == (100, 3000)
    ec2.modify_volume(VolumeId=data, Size=2, VolumeType="gp3", Throughput=130)
    assert first.wait_for_disk(data, 2 * GIB_SECTORS) == device
    journey.wait_until("gp3", lambda: wait(ec2, data, "in-use")["VolumeType"] == "gp3" or None)
    rates = first.rates(data)
    assert (rates["iops"], rates["bps"], rates["iops_size"], rates.get("iops_max", 0)) == (
        3000,
        130 << 20,
        256 << 10,
        0,
    )

    # taken out
    for volume_id in (data, clone):
        assert ec2.detach_volume(VolumeId=volume_id)["State"] == "detaching"
        wait(ec2, volume_id, "available")
        first.wait_for_disk(volume_id, None)
    assert (server.data / "volumes" / f"{data}.qcow2").exists()
    journey.terminate(server, first.id)

    # read elsewhere
    second = Guest(server, imported.image, imported.key, "nitro")
    attach(second, data, "/dev/sdf")
    device = second.wait_for_disk(data, 2 * GIB_SECTORS)
    assert second.run(f"dd if={device} bs=512 skip=9 count=1 2>/dev/null").startswith(WORDS)
    journey.terminate(server, second.id)
    for volume_id in (data, clone):
        wait(ec2, volume_id, "available")
        ec2.delete_volume(VolumeId=volume_id)
    journey.wait_until("no volumes", lambda: not ec2.describe_volumes()["Volumes"] or None)
    assert list((server.data / "volumes").glob("*.qcow2")) == []


@pytest.mark.boot
def test_a_running_guest_takes_as_many_disks_as_there_may_be_and_gives_them_all_back(
    server: Server, imported: Imported
) -> None:
    ec2 = server.client("ec2")
    guest = Guest(server, imported.image, imported.key, "virtio")
    zone = journey.describe(ec2, guest.id)["Placement"]["AvailabilityZone"]
    devices = [f"/dev/sd{letter}" for letter in string.ascii_lowercase[5 : 5 + DISKS_MAX]]
    made = [ec2.create_volume(AvailabilityZone=zone, Size=1)["VolumeId"] for _ in devices]
    *fitting, surplus = made  # the root is one of those that there may be
    for volume_id, device in zip(fitting, devices, strict=False):
        ec2.attach_volume(VolumeId=volume_id, InstanceId=guest.id, Device=device)
    there = guest.wait_for_disks({serial(each) for each in fitting})
    guest.run("; ".join(f"echo {volume} | dd of={device} conv=sync 2>/dev/null" for volume, device in there.items()))

    # the one too many
    with pytest.raises(ClientError) as refused:
        ec2.attach_volume(VolumeId=surplus, InstanceId=guest.id, Device=devices[-1])
    assert refused.value.response["Error"]["Code"] == "AttachmentLimitExceeded"
    assert not wait(ec2, surplus, "available")["Attachments"]
    assert guest.wait_for_disks({serial(each) for each in fitting}) == there
    heads = "; ".join(f"dd if={device} bs=64 count=1 2>/dev/null | head -n 1" for device in there.values())
    assert guest.run(f"echo 3 >/proc/sys/vm/drop_caches; {heads}").splitlines() == list(there)

    # all are given back, and their slots are free again
    for volume_id in fitting:
        ec2.detach_volume(VolumeId=volume_id)
    for volume_id in fitting:
        wait(ec2, volume_id, "available")
    assert guest.wait_for_disks(set()) == {}
    again = (surplus, fitting[0], fitting[-1])
    for volume_id, device in zip(again, devices, strict=False):
        attach(guest, volume_id, device)
    there = guest.wait_for_disks({serial(each) for each in again})
    for volume_id in again[1:]:
        assert guest.run(f"head -c 64 {there[serial(volume_id)]}").startswith(serial(volume_id))
    journey.terminate(server, guest.id)
    for volume_id in made:
        wait(ec2, volume_id, "available")
        ec2.delete_volume(VolumeId=volume_id)


@pytest.mark.boot
@pytest.mark.slow
@pytest.mark.parametrize(("profile", "boot_mode"), BOOTS)
def test_the_root_is_the_boot_disk_beside_a_clone_of_itself(
    server: Server, imported: Imported, profile: str, boot_mode: str
) -> None:
    ec2 = server.client("ec2")
    device = {"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": imported.snapshot}}
    words = {
        "Architecture": "x86_64",
        "VirtualizationType": "hvm",
        "RootDeviceName": "/dev/sda1",
        "BootMode": boot_mode,
    }
    image = ec2.register_image(Name=f"clones by {boot_mode}", BlockDeviceMappings=[device], **words)["ImageId"]
    guest = Guest(server, image, imported.key, profile)
    zone = journey.describe(ec2, guest.id)["Placement"]["AvailabilityZone"]
    clone = ec2.create_volume(AvailabilityZone=zone, SnapshotId=imported.snapshot)["VolumeId"]
    guest.run("sed -i 's,root=LABEL=,own=root &,' /boot/grub/grub.cfg; echo here >/own-root; sync")
    attach(guest, clone, "/dev/sda2")  # its name stands before every other's
    guest.reboot()
    assert "own=root" in guest.run("cat /proc/cmdline"), "the boot loader's menu is the root's own"
    assert guest.run("cat /own-root") == "here", "the guest takes the boot disk's of two file systems of one label"
    assert {serial(clone), serial(root_of(guest))} <= set(guest.disks())
    journey.terminate(server, guest.id)
    wait(ec2, clone, "available")
    ec2.delete_volume(VolumeId=clone)
