"""The registry of kernels as people meet it: the command line and boto3 against a real server.  Nothing is booted."""

import gzip
import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.rules.elf import bzimage, elf, notes, pv_notes
from tests.support.guests import tiny_guest
from tests.support.journey import amiable
from tests.support.server import Server

XENU = gzip.compress(elf(64, segment=notes(pv_notes()), tail=b"Linux version 2.6.18-xenU (root@x) gcc\n\0"))


def said(server: Server, *words: str, account: str | None = None) -> Any:
    """What the command prints as JSON."""
    return json.loads(amiable(server, *words, "--output", "json", account=account).stdout)


def refused(server: Server, *words: str, account: str | None = None) -> str:
    """What the command says when the server refuses it."""
    done = amiable(server, *words, account=account, check=False)
    assert done.returncode == 1, done
    return done.stderr


def file(folder: Path, content: bytes) -> str:
    """A file of that content; its name is new."""
    path = folder / f"kernel-{uuid.uuid4().hex[:8]}"
    path.write_bytes(content)
    return str(path)


def row(server: Server, image_id: str, account: str | None = None) -> dict[str, Any] | None:
    """The kernel's line of ``kernel list``."""
    found: list[dict[str, Any]] = said(server, "kernel", "list", account=account)
    return next((each for each in found if each["ImageId"] == image_id), None)


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def pv_image(server: Server, account: str | None, kernel: str, **fields: Any) -> str:
    """A paravirtual image of an empty disk, which nothing boots here."""
    ebs, ec2 = server.client("ebs", account), server.client("ec2", account)
    snapshot = ebs.start_snapshot(VolumeSize=1)["SnapshotId"]
    ebs.complete_snapshot(SnapshotId=snapshot, ChangedBlocksCount=0)
    ec2.get_waiter("snapshot_completed").wait(SnapshotIds=[snapshot], WaiterConfig={"Delay": 1})
    mapping = [{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": snapshot}}]
    facts = {"Architecture": "x86_64", "RootDeviceName": "/dev/sda1", "BlockDeviceMappings": mapping, **fields}
    name = f"pv {uuid.uuid4().hex}"
    return str(ec2.register_image(Name=name, VirtualizationType="paravirtual", KernelId=kernel, **facts)["ImageId"])


def launch(server: Server, account: str | None, image: str, **fields: Any) -> None:
    """A dry run of a launch; raises what refuses it."""
    wanted = {"ImageId": image, "InstanceType": "amiable.tiny", "MinCount": 1, "MaxCount": 1, **fields}
    with pytest.raises(ClientError) as answer:
        server.client("ec2", account).run_instances(DryRun=True, **wanted)
    if code(answer) != "DryRunOperation":
        raise answer.value


@pytest.fixture(scope="module")
def partner(server: Server) -> str:
    """An account that the administrator trusts with kernels."""
    made = said(server, "account", "create", "vendor")["AccountId"]
    assert said(server, "account", "partner", made, "on")[0]["IsPartner"] is True
    return str(made)


@pytest.fixture(scope="module")
def other(server: Server) -> str:
    """An ordinary account."""
    return str(said(server, "account", "create", "other")["AccountId"])


def test_the_administrators_kernel_is_approved_and_public_and_known_by_its_notes(server: Server, other: str) -> None:
    guest = tiny_guest()
    words = ("--kernel", str(guest.kernel), "--ramdisk", str(guest.ramdisk), "--name", "debian")
    kernel, ramdisk = said(server, "kernel", "add", *words)
    assert (kernel["Kind"], kernel["Version"], kernel["Approved"], kernel["Visibility"]) == (
        "xen-pv64",
        guest.kernel_version,
        True,
        "public",
    )
    assert (ramdisk["Kind"], ramdisk["Approved"]) == (None, True)
    assert row(server, kernel["ImageId"], other) == kernel | {"Visibility": "public"}
    ec2 = server.client("ec2", other)
    for kind, image_id in (("kernel", kernel["ImageId"]), ("ramdisk", ramdisk["ImageId"])):
        found = ec2.describe_images(Filters=[{"Name": "image-type", "Values": [kind]}])["Images"]
        assert image_id in {image["ImageId"] for image in found} and {image["ImageType"] for image in found} == {kind}
    image = pv_image(server, other, kernel["ImageId"], RamdiskId=ramdisk["ImageId"])
    launch(server, other, image)
    told = ec2.describe_image_attribute(ImageId=image, Attribute="kernel")["KernelId"]["Value"]
    assert told == kernel["ImageId"]
    assert ec2.describe_image_attribute(ImageId=image, Attribute="ramdisk")["RamdiskId"]["Value"] == ramdisk["ImageId"]


def test_an_ordinary_account_registers_no_kernel_and_approves_none(server: Server, other: str, tmp_path: Path) -> None:
    assert "UnauthorizedOperation" in refused(server, "kernel", "add", "--kernel", file(tmp_path, XENU), account=other)
    made = said(server, "kernel", "add", "--kernel", file(tmp_path, XENU))[0]["ImageId"]
    for verb in ("approve", "disapprove"):
        assert "UnauthorizedOperation" in refused(server, "kernel", verb, made, account=other)
    assert "UnauthorizedOperation" in refused(server, "account", "partner", other, "on", account=other)


def test_what_was_approved_before_a_refusal_is_shown(server: Server, tmp_path: Path) -> None:
    kernel = said(server, "kernel", "add", "--kernel", file(tmp_path, XENU))[0]["ImageId"]
    done = amiable(server, "kernel", "disapprove", kernel, "aki-12345678", "--output", "id", check=False)
    assert (done.returncode, done.stdout) == (1, f"{kernel}\n") and "aki-12345678" in done.stderr
    found = row(server, kernel)
    assert found is not None and found["Approved"] is False


def test_a_partners_kernel_is_launched_when_approved_and_published_only_then(
    server: Server, partner: str, other: str, tmp_path: Path
) -> None:
    (made,) = said(server, "kernel", "add", "--kernel", file(tmp_path, XENU), account=partner)
    kernel = made["ImageId"]
    assert (made["Approved"], made["Visibility"], made["OwnerId"]) == (False, "private", partner)
    assert (made["Kind"], made["Version"]) == ("xen-pv64", "2.6.18-xenU")
    assert row(server, kernel) is not None, "the administrator sees it"
    assert row(server, kernel, other) is None
    image = pv_image(server, partner, kernel)  # which kernels are approved binds at launch
    with pytest.raises(ClientError, match="not on the list of approved kernels") as answer:
        launch(server, partner, image)
    assert code(answer) == "AuthFailure"
    ec2 = server.client("ec2", partner)
    ec2.disable_image_block_public_access()
    share = {"ImageId": kernel, "LaunchPermission": {"Add": [{"Group": "all"}]}}
    with pytest.raises(ClientError, match="cannot be made public") as answer:
        ec2.modify_image_attribute(**share)
    assert code(answer) == "OperationNotPermitted"

    assert said(server, "kernel", "approve", kernel)[0]["Approved"] is True
    launch(server, partner, image)
    with pytest.raises(ClientError) as answer:
        pv_image(server, other, kernel)
    assert code(answer) == "InvalidAMIID.NotFound"
    ec2.modify_image_attribute(**share)
    theirs = pv_image(server, other, kernel)
    launch(server, other, theirs)

    said(server, "kernel", "disapprove", kernel)
    with pytest.raises(ClientError, match="not on the list of approved kernels"):
        launch(server, other, theirs)
    approved = said(server, "kernel", "add", "--kernel", file(tmp_path, XENU))[0]["ImageId"]
    launch(server, other, theirs, KernelId=approved)


def test_a_kernel_shared_with_one_account_is_that_accounts_to_launch(
    server: Server, partner: str, other: str, tmp_path: Path
) -> None:
    kernel = said(server, "kernel", "add", "--kernel", file(tmp_path, XENU), account=partner)[0]["ImageId"]
    said(server, "kernel", "approve", kernel)
    ec2 = server.client("ec2", partner)
    ec2.modify_image_attribute(ImageId=kernel, LaunchPermission={"Add": [{"UserId": other}]})
    found = row(server, kernel, other)
    assert found is not None and found["Visibility"] == "shared"
    image = pv_image(server, other, kernel)
    launch(server, other, image)
    ec2.modify_image_attribute(ImageId=kernel, LaunchPermission={"Remove": [{"UserId": other}]})
    with pytest.raises(ClientError) as answer:
        launch(server, other, image)
    assert code(answer) == "AuthFailure" and "approved" not in str(answer.value)
    ec2.deregister_image(ImageId=kernel)
    public = said(server, "kernel", "add", "--kernel", file(tmp_path, XENU))[0]["ImageId"]
    with pytest.raises(ClientError) as answer:
        launch(server, partner, pv_image(server, partner, public), KernelId=kernel)
    assert code(answer) == "InvalidAMIID.Unavailable"


def test_a_partner_that_is_none_any_more_registers_nothing(server: Server, tmp_path: Path) -> None:
    account = said(server, "account", "create", "former")["AccountId"]
    said(server, "account", "partner", account, "on")
    assert said(server, "account", "partner", account, "off")[0]["IsPartner"] is False
    assert "by partners" in refused(server, "kernel", "add", "--kernel", file(tmp_path, XENU), account=account)
    assert "InvalidID" in refused(server, "account", "partner", "999999999999", "on")


def test_a_kernel_comes_from_a_bundle_on_disk_and_from_one_in_a_bucket(
    server: Server, partner: str, tmp_path: Path
) -> None:
    image = tmp_path / "vmlinuz-xenu"
    image.write_bytes(XENU)
    folder = tmp_path / "bundle"
    words = ("-i", str(image), "-d", str(folder), "--type", "kernel", "--arch", "x86_64")
    amiable(server, "bundle", "create", *words, account=partner)
    manifest = str(folder / "vmlinuz-xenu.manifest.xml")
    (made,) = said(server, "kernel", "add", "--manifest", manifest, "--name", "of-a-bundle", account=partner)
    assert (made["Name"], made["Kind"], made["Approved"]) == ("of-a-bundle", "xen-pv64", False)
    assert (server.data / "kernels" / made["ImageId"]).read_bytes() == XENU

    upload = amiable(server, "bundle", "upload", "--manifest", manifest, "--bucket", f"k-{partner}", account=partner)
    (made,) = said(server, "kernel", "add", "--location", upload.stdout.strip(), account=partner)
    assert (made["Name"], made["Kind"], made["Version"]) == ("vmlinuz-xenu", "xen-pv64", "2.6.18-xenU")
    assert (made["Approved"], made["Visibility"]) == (False, "private")
    assert (server.data / "kernels" / made["ImageId"]).read_bytes() == XENU


def test_a_bundle_whose_kernel_is_of_another_architecture_leaves_nothing(server: Server, tmp_path: Path) -> None:
    image = tmp_path / "vmlinuz-pv32"
    image.write_bytes(gzip.compress(elf(32, segment=notes(pv_notes(32)))))
    words = ("-i", str(image), "-d", str(tmp_path / "b"), "--type", "kernel", "--arch", "x86_64")
    amiable(server, "bundle", "create", *words)
    manifest = str(tmp_path / "b" / "vmlinuz-pv32.manifest.xml")
    where = amiable(server, "bundle", "upload", "-m", manifest, "-b", "kernels-of-32-bits").stdout.strip()
    before = set((server.data / "kernels").iterdir())
    assert "32 bits: give i386" in refused(server, "kernel", "add", "--location", where, "--name", "wrong bits")
    assert "32 bits: give i386" in refused(server, "kernel", "add", "-m", manifest, "--name", "wrong bits")
    assert set((server.data / "kernels").iterdir()) == before
    (made,) = said(server, "kernel", "add", "--location", where, "--name", "wrong bits", "--arch", "i386")
    assert (made["Kind"], made["Architecture"]) == ("xen-pv32", "i386")


def test_the_bundle_of_a_machine_is_not_added_as_a_kernel(server: Server, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(1 << 20))
    amiable(server, "bundle", "create", "-i", str(disk), "-d", str(tmp_path / "b"), "--arch", "x86_64")
    manifest = str(tmp_path / "b" / "disk.manifest.xml")
    assert "machine image" in refused(server, "kernel", "add", "--manifest", manifest)
    where = amiable(server, "bundle", "upload", "-m", manifest, "-b", "machines").stdout.strip()
    assert "machine image" in refused(server, "kernel", "add", "--location", where, "--name", "a machine")
    assert (
        server.client("ec2").describe_images(Owners=["self"], Filters=[{"Name": "name", "Values": ["a machine"]}])[
            "Images"
        ]
        == []
    )


def test_a_kernel_of_the_other_architecture_is_refused(server: Server, tmp_path: Path) -> None:
    pv32 = gzip.compress(elf(32, segment=notes(pv_notes(32))))
    assert "give i386" in refused(server, "kernel", "add", "--kernel", file(tmp_path, pv32))
    (made,) = said(server, "kernel", "add", "--kernel", file(tmp_path, pv32), "--arch", "i386")
    assert (made["Kind"], made["Architecture"]) == ("xen-pv32", "i386")
    with pytest.raises(ClientError, match="is for i386, the image") as answer:
        launch(server, None, pv_image(server, None, made["ImageId"]))
    assert code(answer) == "InvalidParameterCombination"


def test_pv_grub_is_declared_by_the_administrator_and_takes_no_ramdisk(
    server: Server, partner: str, tmp_path: Path
) -> None:
    words = ("kernel", "add", "--kernel", file(tmp_path, XENU), "--pv-grub", "hd0")
    assert "UnauthorizedOperation" in refused(server, *words, account=partner)
    (made,) = said(server, *words)
    assert made["Kind"] == "pv-grub-hd0"
    path = tmp_path / "initrd"
    path.write_bytes(gzip.compress(b"070701"))
    ramdisk = said(server, "kernel", "add", "--ramdisk", str(path), "--name", "grub-initrd")[0]["ImageId"]
    with pytest.raises(ClientError, match="takes no ari-") as answer:
        pv_image(server, None, made["ImageId"], RamdiskId=ramdisk)
    assert code(answer) == "InvalidParameterCombination"
    image = pv_image(server, None, made["ImageId"])
    launch(server, None, image)
    with pytest.raises(ClientError, match="takes no ari-"):
        launch(server, None, image, RamdiskId=ramdisk)


def test_the_tag_chooses_the_way_and_a_way_that_the_kernel_has_not_is_refused(server: Server, tmp_path: Path) -> None:
    both = bzimage(gzip.compress(elf(64, segment=notes(pv_notes()))))
    plain = bzimage(gzip.compress(elf(64)))

    def way(content: bytes, profile: str) -> None:
        kernel = said(server, "kernel", "add", "--kernel", file(tmp_path, content))[0]["ImageId"]
        tags = [{"ResourceType": "instance", "Tags": [{"Key": "amiable:hardware-profile", "Value": profile}]}]
        launch(server, None, pv_image(server, None, kernel), TagSpecifications=tags)

    way(both, "xen-pv")
    for content, profile, words in (
        (plain, "xen-pv", "cannot run under Xen: bzImage"),
        (XENU, "direct", "cannot be started directly: ELF file compressed by gzip"),
    ):
        with pytest.raises(ClientError, match=words) as answer:
            way(content, profile)
        assert code(answer) == "InvalidParameterCombination"


def test_one_thing_at_a_time_is_added(server: Server, tmp_path: Path) -> None:
    for words in ((), ("--kernel", file(tmp_path, XENU), "--location", "a/b.manifest.xml")):
        assert amiable(server, "kernel", "add", *words, check=False).returncode == 2


def test_a_file_that_is_none_is_named_before_anything_is_registered(server: Server, tmp_path: Path) -> None:
    text = tmp_path / "passwd"
    text.write_text("root:x:0:0:root:/root:/bin/bash\n")
    before = said(server, "kernel", "list")
    words = refused(server, "kernel", "add", "--kernel", file(tmp_path, XENU), "--ramdisk", str(text))
    assert words.startswith(f"error: {text} is no ramdisk but text\n\nhint: a ramdisk is a cpio archive")
    assert said(server, "kernel", "list") == before
