"""What an image takes from its manifest."""

from dataclasses import replace
from typing import Any

import pytest

from amiable.model.errors import InvalidManifest
from amiable.model.image import Image, ImageDevice, ImageType
from amiable.model.manifest import Manifest, Mapping, WrappedKey
from amiable.model.product import ProductCode, ProductCodeType
from amiable.rules.manifest import image_type_of, is_windows, with_manifest
from tests.rules.images import AN_IMAGE

MANIFEST = Manifest(
    name="disk",
    account_id="123456789012",
    image_sha1="0" * 40,
    size_bytes=5,
    bundled_size_bytes=16,
    ec2=WrappedKey(None, None),
    user=WrappedKey(None, None),
    parts=(),
)
PARAVIRTUAL = replace(
    AN_IMAGE, virtualization_type="paravirtual", kernel_id=None, ramdisk_id=None, root_device_name=None, devices=()
)


def made(image: Image = PARAVIRTUAL, **changes: Any) -> Image:
    return with_manifest(image, replace(MANIFEST, **changes), ImageType.MACHINE, new_id="ami-1", digest=b"d")


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"image_type": "kernel"}, ImageType.KERNEL),
        ({"image_type": "ramdisk"}, ImageType.RAMDISK),
        ({"image_type": "machine"}, ImageType.MACHINE),
        ({"image_type": "machine", "kernel_id": "true"}, ImageType.KERNEL),  # euca2ools 1 and 2
        ({"ramdisk_id": "yes"}, ImageType.RAMDISK),
        ({"name": "vmlinuz-2.6"}, ImageType.KERNEL),
        ({"name": "initrd-2.6"}, ImageType.RAMDISK),
        ({"kernel_id": "aki-1"}, ImageType.MACHINE),
    ],
)
def test_what_a_bundle_holds_is_said_in_many_ways(changes: dict[str, Any], kind: ImageType) -> None:
    assert image_type_of(replace(MANIFEST, **changes)) is kind


def test_a_request_wins_over_the_manifest() -> None:
    mapping = (Mapping("root", "sda2"), Mapping("ephemeral0", "sdb"), Mapping("ephemeral1", "/dev/sdc"))
    given = (ImageDevice("/dev/sdb", virtual_name="ephemeral3"),)
    plain = made(kernel_id="aki-1", ramdisk_id="ari-1", block_device_mapping=mapping)
    assert (plain.kernel_id, plain.ramdisk_id, plain.root_device_name) == ("aki-1", "ari-1", "/dev/sda2")
    assert [device.device_name for device in plain.devices] == ["/dev/sdb", "/dev/sdc"]
    asked = replace(PARAVIRTUAL, kernel_id="aki-2", root_device_name="/dev/xvda", devices=given)
    chosen = made(asked, kernel_id="aki-1", block_device_mapping=mapping)
    assert (chosen.kernel_id, chosen.root_device_name) == ("aki-2", "/dev/xvda")
    assert [device.virtual_name for device in chosen.devices] == ["ephemeral3", "ephemeral1"]


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ([("root", "sda1\nx")], "'sda1"),
        ([("ami", "")], "no device"),
        ([("ephemeral0", "../etc")], "no device"),
        ([("ephemeral0", '/dev/sdb"')], "no device"),
        ([("root", "/dev/" + "s" * 60)], "no device"),
        ([("ephemeral0", "sdb"), ("ephemeral1", "/dev/sdb")], "/dev/sdb twice"),
        ([("root", "sda1"), ("ephemeral0", "sda1")], "/dev/sda1 twice"),
        ([("root", "sda1"), ("root", "sda2")], "root twice"),
    ],
)
def test_a_mapping_that_no_machine_could_have_is_refused(pairs: list[tuple[str, str]], words: str) -> None:
    with pytest.raises(InvalidManifest, match=words):
        made(block_device_mapping=tuple(Mapping(*pair) for pair in pairs))


def test_the_classic_mapping_is_taken_and_what_is_not_used_is_not_looked_at() -> None:
    pairs = [("ami", "sda1"), ("root", "/dev/sda1"), ("ephemeral0", "sda2"), ("swap", "sda3"), ("note", "a\nb")]
    image = made(block_device_mapping=tuple(Mapping(*pair) for pair in pairs))
    assert (image.root_device_name, [each.device_name for each in image.devices]) == ("/dev/sda1", ["/dev/sda2"])


@pytest.mark.parametrize("name", ["ephemeral24", "ephemeral00", "ephemeral\u0661", "ephemeral"])
def test_a_disk_that_no_launch_would_take_is_not_of_the_image(name: str) -> None:
    pairs = [("root", "sda1"), ("ephemeral23", "sdb"), (name, "sdc")]
    image = made(block_device_mapping=tuple(Mapping(*pair) for pair in pairs))
    assert [device.virtual_name for device in image.devices] == ["ephemeral23"]


def test_product_codes_and_ancestors_are_kept_and_what_is_no_id_is_not() -> None:
    image = made(product_codes=("774F4FF8",), ancestor_ami_ids=("ami-11111111", "no id", "ami-2\nx", "emi-00A0"))
    assert image.product_codes == (ProductCode("774F4FF8", ProductCodeType.DEVPAY),)
    assert image.ancestor_ami_ids == ("ami-11111111", "emi-00A0")
    kernel = with_manifest(
        PARAVIRTUAL, replace(MANIFEST, product_codes=("x",)), ImageType.KERNEL, new_id="aki-1", digest=b"d"
    )
    assert kernel.product_codes == ()


@pytest.mark.parametrize("codes", [("a b",), ("",), ("a\nb",), ("x" * 65,), ("x" * 60,) * 20])
def test_codes_that_would_confuse_a_reader_are_refused(codes: tuple[str, ...]) -> None:
    with pytest.raises(InvalidManifest, match="product code"):
        made(product_codes=codes)


@pytest.mark.parametrize(
    ("changes", "windows"), [({"kernel_id": "windows"}, True), ({"name": "windows7"}, True), ({"name": "win"}, False)]
)
def test_windows_is_told_by_its_kernel_or_its_name(changes: dict[str, Any], windows: bool) -> None:
    manifest = replace(MANIFEST, **changes)
    assert is_windows(manifest) is windows
    image = with_manifest(
        replace(PARAVIRTUAL, virtualization_type="hvm"), manifest, ImageType.MACHINE, new_id="a", digest=b""
    )
    assert (image.platform, image.kernel_id) == ("windows" if windows else None, None)
