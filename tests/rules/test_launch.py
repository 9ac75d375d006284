"""What a launch makes of an image and a request, and what it refuses before anything is made."""

import base64
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiable.model.errors import (
    AuthFailure,
    InsufficientInstanceCapacity,
    InvalidAMIIDUnavailable,
    InvalidParameterCombination,
    InvalidParameterValue,
    Malformed,
    NotFound,
    Refusal,
    Unsupported,
)
from amiable.model.hardware import Profile
from amiable.model.image import Image, ImageDevice, ImageState, ImageType, RootDeviceType
from amiable.model.instance_errors import InvalidUserDataMalformed
from amiable.model.instance_type import INSTANCE_TYPES
from amiable.model.kernel import KernelKind
from amiable.model.units import GIB, MIB
from amiable.rules import launch
from amiable.rules.launch import Asked, Host, Known, Plan
from amiable.rules.metadata_options import AskedMetadata
from tests.rules.images import AN_IMAGE

OWNER = "123456789012"
OTHER = "210987654321"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SNAPSHOT = "snap-" + "1" * 17
AKI, AKI_2, ARI = "aki-" + "1" * 17, "aki-" + "2" * 17, "ari-" + "1" * 17


def image(**changes: Any) -> Image:
    """An EBS-backed HVM image of OWNER, but for what is changed."""
    plain = replace(
        AN_IMAGE,
        id="ami-" + "1" * 17,
        account_id=OWNER,
        name="web",
        location=f"{OWNER}/web",
        ena_support=False,
        created_at=NOW,
        devices=(ImageDevice("/dev/sda1", snapshot_id=SNAPSHOT, size_gib=8),),
    )
    return replace(plain, **changes)


def kernel(image_id: str, **changes: Any) -> Image:
    """A kernel or ramdisk, public and approved."""
    kind = ImageType.RAMDISK if image_id.startswith("ari") else ImageType.KERNEL
    facts: dict[str, Any] = {"id": image_id, "image_type": kind, "devices": (), "grantees": frozenset({"all"})}
    facts |= {"approved_at": NOW, **changes}
    return image(**facts)


PV = image(virtualization_type="paravirtual", kernel_id=AKI, ramdisk_id=ARI)
KNOWN = Known({each.id: each for each in (kernel(AKI), kernel(AKI_2), kernel(ARI))})


def plan(of: Image | None = None, known: Known = KNOWN, account_id: str = OWNER, **asked: Any) -> Plan:
    """The plan of a tiny instance."""
    request = Asked(**{"instance_type": "amiable.tiny", **asked})
    return launch.plan(of or image(), request, known, account_id=account_id)


def refusal(kind: type[Refusal], of: Image | None = None, **asked: Any) -> Refusal:
    """The refusal of the plan."""
    with pytest.raises(kind) as caught:
        plan(of, **asked)
    return caught.value


# ── image ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("state", [ImageState.PENDING, ImageState.FAILED, ImageState.DEREGISTERED])
def test_an_image_that_is_not_available_is_refused(state: ImageState) -> None:
    assert refusal(InvalidAMIIDUnavailable, image(state=state)).code == "InvalidAMIID.Unavailable"


def test_another_account_launches_only_what_is_shared_with_it() -> None:
    assert "images: [ami-" in refusal(AuthFailure, account_id=OTHER).message
    shared = image(grantees=frozenset({OTHER}))
    assert plan(shared, account_id=OTHER).image is shared


def test_a_kernel_is_not_launched_as_a_machine() -> None:
    assert refusal(Malformed, kernel(AKI)).code == "InvalidAMIID.Malformed"


# ── type ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_unknown_type_is_refused_by_name() -> None:
    assert "'t9.huge'" in refusal(InvalidParameterValue, instance_type="t9.huge").message


def test_without_a_type_it_is_ec2s_default() -> None:
    assert plan(instance_type=None).instance_type.name == "m1.small"


def test_an_arm64_image_on_an_x86_type_is_refused_naming_both_architectures() -> None:
    message = refusal(InvalidParameterValue, image(architecture="arm64")).message
    assert "'arm64'" in message and "x86_64" in message


def test_an_arm64_image_on_an_arm64_type_cannot_run_here() -> None:
    refusal(Unsupported, image(architecture="arm64"), instance_type="t4g.nano")


@pytest.mark.parametrize(
    ("boot_mode", "type_", "expected"),
    [
        (None, "m1.small", "legacy-bios"),
        (None, "amiable.tiny", "legacy-bios"),
        ("uefi", "amiable.tiny", "uefi"),
        ("legacy-bios", "t3.micro", "legacy-bios"),
        ("uefi-preferred", "t3.micro", "uefi"),
        ("uefi-preferred", "t2.micro", "legacy-bios"),
    ],
)
def test_the_boot_mode_is_the_images_where_the_type_has_it(boot_mode: str | None, type_: str, expected: str) -> None:
    assert plan(image(boot_mode=boot_mode, ena_support=True), instance_type=type_).boot_mode == expected


def test_a_boot_mode_that_the_type_lacks_is_refused() -> None:
    assert "t2.micro" in refusal(InvalidParameterCombination, image(boot_mode="uefi"), instance_type="t2.micro").message


def test_the_newer_types_start_hvm_images_with_the_ena_flag_only() -> None:
    refused = refusal(InvalidParameterCombination, image(ena_support=False), instance_type="c5.large")
    assert refused.message.startswith(
        "Enhanced networking with the Elastic Network Adapter (ENA) is required for the 'c5.large' instance type."
    )
    plan(image(ena_support=True), instance_type="c5.large")
    for older in ("t2.micro", "m4.large", "amiable.tiny"):
        plan(image(ena_support=False), instance_type=older)


def test_an_image_with_a_tpm_starts_on_types_that_have_one() -> None:
    wants = image(boot_mode="uefi", tpm_support="v2.0", ena_support=True)
    assert plan(wants, instance_type="t3.micro").boot_mode == "uefi"
    assert "xen" not in plan(wants).profile.profile
    no_tpm = replace(wants, boot_mode=None)
    refused = refusal(Unsupported, no_tpm, instance_type="t2.micro")
    assert "TpmSupport v2.0" in refused.message and "'t2.micro'" in refused.message


def test_an_image_brings_its_uefi_variables_to_a_launch() -> None:
    assert plan(image(boot_mode="uefi", uefi_data="AA==")).image.uefi_data == "AA=="


def test_an_i386_image_starts_by_bios() -> None:
    assert plan(image(architecture="i386", boot_mode="uefi-preferred")).boot_mode == "legacy-bios"
    refused = refusal(InvalidParameterCombination, image(architecture="i386", boot_mode="uefi"))
    assert "is i386 and starts by uefi only" in refused.message


def test_the_profile_xen_hvm_starts_by_bios_only() -> None:
    assert plan(image(), profile_tag="xen-hvm").profile.profile is Profile.XEN_HVM
    refused = refusal(InvalidParameterCombination, image(boot_mode="uefi"), profile_tag="xen-hvm")
    assert refused.message == (
        "The hardware profile 'xen-hvm' starts by legacy-bios only, and the boot mode of this launch is uefi."
    )


def test_an_image_that_prefers_uefi_starts_by_bios_where_the_profile_asked_for_has_nothing_else() -> None:
    prefers = image(boot_mode="uefi-preferred")
    assert plan(prefers).boot_mode == "uefi" and plan(prefers, profile_tag="nitro").boot_mode == "uefi"
    told = plan(prefers, profile_tag="xen-hvm")
    assert (told.boot_mode, told.profile.profile) == ("legacy-bios", Profile.XEN_HVM)


@pytest.mark.parametrize(
    ("name", "vcpus", "memory_mib"),
    [("amiable.2c4g", 2, 4096), ("amiable.1c128m", 1, 128), ("amiable.64c1024g", 64, 1 << 20)],
)
def test_a_type_of_any_size_says_it_in_its_name(name: str, vcpus: int, memory_mib: int) -> None:
    type_ = plan(image(architecture="i386"), instance_type=name).instance_type
    assert (type_.name, type_.vcpus, type_.memory_mib) == (name, vcpus, memory_mib)
    assert type_.has_tpm and not type_.needs_ena


@pytest.mark.parametrize(
    "name",
    [
        "amiable.0c1g",
        "amiable.65c1g",
        "amiable.1c127m",
        "amiable.1c1025g",
        "amiable.01c1g",
        "amiable.1c01g",
        "amiable.1c1G",
        "amiable.1c1",
        "Amiable.1c1g",
        "amiable.1c1g ",
    ],
)
def test_a_size_that_no_machine_has_is_no_type(name: str) -> None:
    assert (
        refusal(InvalidParameterValue, image(), instance_type=name).message
        == f"Invalid value '{name}' for InstanceType."
    )


# ── kernel and ramdisk ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_paravirtual_image_boots_with_its_own_kernel_and_ramdisk() -> None:
    planned = plan(PV)
    assert (planned.kernel_id, planned.ramdisk_id) == (AKI, ARI)


def test_a_kernel_chosen_at_launch_wins_over_the_images() -> None:
    planned = plan(PV, kernel_id=AKI_2)
    assert (planned.kernel_id, planned.ramdisk_id) == (AKI_2, ARI)


def test_a_paravirtual_image_without_any_kernel_is_refused() -> None:
    assert "names no kernel" in refusal(InvalidParameterCombination, replace(PV, kernel_id=None)).message


@pytest.mark.parametrize("parameter", ["kernel_id", "ramdisk_id"])
def test_an_hvm_image_takes_no_kernel_and_no_ramdisk(parameter: str) -> None:
    refusal(InvalidParameterCombination, image(), **{parameter: AKI})


def test_kernels_of_the_wrong_form_unknown_ones_and_ones_of_another_kind_are_refused() -> None:
    assert refusal(Malformed, PV, kernel_id="aki-x").code == "InvalidKernelId.Malformed"
    assert refusal(Malformed, PV, ramdisk_id="ari-x").code == "InvalidRamDiskId.Malformed"
    assert refusal(NotFound, PV, kernel_id="aki-" + "9" * 17).code == "InvalidAMIID.NotFound"
    ramdisk_as_kernel = Known({AKI: replace(kernel(ARI), id=AKI), ARI: kernel(ARI)})
    assert refusal(NotFound, PV, known=ramdisk_as_kernel).code == "InvalidAMIID.NotFound"


def test_a_kernel_that_the_caller_may_not_launch_is_refused() -> None:
    private = kernel(AKI, account_id=OTHER, grantees=frozenset())
    refusal(AuthFailure, PV, known=Known({AKI: private, ARI: kernel(ARI)}))


def test_a_kernel_of_another_architecture_is_refused() -> None:
    known = Known({AKI: kernel(AKI, architecture="arm64"), ARI: kernel(ARI)})
    assert "arm64" in refusal(InvalidParameterCombination, PV, known=known).message


def test_another_accounts_public_kernel_and_one_shared_are_launched() -> None:
    for grantee in ("all", OWNER):
        theirs = kernel(AKI, account_id=OTHER, grantees=frozenset({grantee}))
        assert plan(PV, known=Known({AKI: theirs, ARI: kernel(ARI)})).kernel_id == AKI


@pytest.mark.parametrize("image_id", [AKI, ARI])
def test_a_kernel_that_is_not_approved_is_refused_to_its_owner_too(image_id: str) -> None:
    known = {each.id: each for each in (kernel(AKI), kernel(ARI))}
    known[image_id] = kernel(image_id, approved_at=None)
    refused = refusal(AuthFailure, PV, known=Known(known))
    assert image_id in refused.message and "not on the list of approved" in refused.message
    assert f"amiable kernel approve {image_id}" in refused.advice


@pytest.mark.parametrize("image_id", [AKI, ARI])
def test_a_kernel_that_was_deregistered_is_refused(image_id: str) -> None:
    known = {each.id: each for each in (kernel(AKI), kernel(ARI))}
    known[image_id] = kernel(image_id, state=ImageState.DEREGISTERED)
    assert refusal(InvalidAMIIDUnavailable, PV, known=Known(known)).code == "InvalidAMIID.Unavailable"


@pytest.mark.parametrize(("of_kernel", "of_image"), [("i386", "x86_64"), ("x86_64", "i386")])
def test_kernel_and_image_are_of_one_architecture(of_kernel: str, of_image: str) -> None:
    known = Known({AKI: kernel(AKI, architecture=of_kernel)})
    pv = replace(PV, architecture=of_image, ramdisk_id=None)
    assert f"is for {of_kernel}" in refusal(InvalidParameterCombination, pv, known=known).message


def test_pv_grub_takes_no_ramdisk_but_the_images_own_is_left_out_when_the_request_chose_pv_grub() -> None:
    grub = kernel(AKI_2, kernel_kind=KernelKind.PV_GRUB_HD0, boots_directly=False)
    known = Known({AKI: kernel(AKI), AKI_2: grub, ARI: kernel(ARI)})
    planned = plan(PV, known=known, kernel_id=AKI_2)
    assert (planned.kernel_id, planned.ramdisk_id, planned.profile.profile) == (AKI_2, None, Profile.XEN_PV)
    assert (
        "takes no ari-"
        in refusal(InvalidParameterCombination, PV, known=known, kernel_id=AKI_2, ramdisk_id=ARI).message
    )
    both = replace(PV, kernel_id=AKI_2)
    assert "takes no ari-" in refusal(InvalidParameterCombination, both, known=known).message


# ── user data ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.binary(min_size=1, max_size=launch.USER_DATA_BYTES_MAX))
def test_user_data_reaches_the_guest_byte_for_byte(data: bytes) -> None:
    assert launch.decode_user_data(base64.b64encode(data).decode()) == data
    assert launch.decode_user_data(base64.encodebytes(data).decode()) == data  # with line breaks


@pytest.mark.parametrize("text", ["#!/bin/sh\necho hi", "aGk", "aGk=!", "aGk=\u00e9", "a-_b"])
def test_plain_text_and_half_base64_are_refused_not_guessed(text: str) -> None:
    with pytest.raises(InvalidUserDataMalformed):
        launch.decode_user_data(text)


def test_user_data_that_was_encoded_twice_is_served_encoded_once() -> None:
    once = base64.b64encode(b"#!/bin/sh")
    assert launch.decode_user_data(base64.b64encode(once).decode()) == once


def test_no_user_data_is_none_and_more_than_16_kib_is_refused() -> None:
    assert launch.decode_user_data(None) is None
    assert launch.decode_user_data("") is None
    with pytest.raises(InvalidParameterValue, match="16384 bytes"):
        launch.decode_user_data(base64.b64encode(b"x" * (launch.USER_DATA_BYTES_MAX + 1)).decode())


# ── options, count ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_image_with_imds_support_v2_requires_tokens_and_allows_two_hops() -> None:
    options = plan(image(imds_support="v2.0")).metadata
    assert (options.http_tokens, options.http_hop_limit) == ("required", 2)
    options = plan().metadata
    assert (options.http_tokens, options.http_hop_limit, options.http_endpoint) == ("optional", 1, "enabled")


def test_the_requests_metadata_options_win_over_the_images() -> None:
    asked = AskedMetadata(
        http_tokens="optional", http_hop_limit=7, http_endpoint="disabled", instance_metadata_tags="enabled"
    )
    options = plan(image(imds_support="v2.0"), metadata=asked).metadata
    assert (options.http_tokens, options.http_hop_limit) == ("optional", 7)
    assert (options.http_endpoint, options.instance_metadata_tags) == ("disabled", "enabled")


@pytest.mark.parametrize(
    "asked", [AskedMetadata(http_hop_limit=0), AskedMetadata(http_hop_limit=65), AskedMetadata(http_tokens="x")]
)
def test_metadata_options_out_of_range_are_refused(asked: AskedMetadata) -> None:
    refusal(InvalidParameterValue, metadata=asked)


def test_an_instance_store_instance_ends_when_it_powers_off() -> None:
    stored = image(
        root_device_type=RootDeviceType.INSTANCE_STORE, root_snapshot_id=SNAPSHOT, size_bytes=3 * 512, devices=()
    )
    assert plan(stored).shutdown_behavior == "terminate"
    refusal(InvalidParameterCombination, stored, shutdown_behavior="stop")
    assert plan().shutdown_behavior == "stop"


def test_the_profile_tag_is_validated_against_the_image() -> None:
    assert plan(profile_tag="nitro").profile.profile == "nitro"
    refusal(InvalidParameterValue, profile_tag="quantum")
    refusal(InvalidParameterCombination, PV, profile_tag="nitro")


TINY = INSTANCE_TYPES["amiable.tiny"]


def host(free_mib: int, **figures: int) -> Host:
    """A host with that much free memory and a live instance of 1 GiB."""
    busy = {"instances_max": 32, "live_count": 1, "live_memory_bytes": GIB, **figures}
    return Host(memory_bytes=launch.HOST_RESERVE_BYTES + busy["live_memory_bytes"] + free_mib * MIB, **busy)


@given(st.integers(-3, 40), st.integers(-3, 40), st.integers(-3, 40), st.integers(0, 40 * 256))
def test_a_launch_makes_between_min_and_max_as_far_as_there_is_room(
    minimum: int, maximum: int, room: int, free_mib: int
) -> None:
    fitting = max(0, min(room, free_mib // TINY.memory_mib))
    try:
        count = launch.choose_count(minimum, maximum, type_=TINY, host=host(free_mib, instances_max=1 + room))
    except InsufficientInstanceCapacity:
        assert fitting < minimum <= maximum
    except InvalidParameterValue:
        assert minimum < 1 or maximum < minimum
    else:
        assert 1 <= minimum <= count <= maximum
        assert count == min(maximum, fitting)


def test_what_does_not_fit_is_refused_with_the_hosts_figures() -> None:
    with pytest.raises(InsufficientInstanceCapacity) as caught:
        launch.choose_count(3, 9, type_=TINY, host=host(767))
    text = caught.value.message
    for figure in (
        "768 MiB asked for",
        "767 MiB free",
        "(2303 MiB",
        "512 MiB are the host's own",
        "1024 MiB",
        "1 live instance)",
    ):
        assert figure in text
    assert "767 MiB are free" in caught.value.advice


@given(st.lists(st.sampled_from(["amiable.tiny", "t3.nano", "t3.small"])), st.integers(0, 8192))
def test_instances_start_together_where_their_memory_fits_together(names: list[str], free_mib: int) -> None:
    types = [INSTANCE_TYPES[name] for name in names]
    fits = sum(type_.memory_mib for type_ in types) <= free_mib
    try:
        launch.check_start(types, host(free_mib, instances_max=1000))
    except InsufficientInstanceCapacity:
        assert not fits
    else:
        assert fits


def test_a_host_that_has_more_instances_than_it_should_has_room_for_none() -> None:
    crowded = host(0, live_memory_bytes=GIB, live_count=40)
    assert (crowded.free_count, replace(crowded, memory_bytes=MIB).free_memory_bytes) == (0, 0)
