"""Who may see, launch and change an image."""

from dataclasses import replace

import pytest

from amiable.model.errors import AuthFailure, InvalidAMIIDUnavailable, InvalidRequest, OperationNotPermitted
from amiable.model.image import Image, ImageState, ImageType
from amiable.model.product import ProductCode, ProductCodeType
from amiable.rules.permission import (
    check_approved,
    check_cancel,
    check_copy,
    check_launch,
    check_owner,
    check_publish,
    check_registered,
    may_see,
)
from tests.rules.images import AN_IMAGE, OTHER, OWNER


@pytest.mark.parametrize(
    ("image", "account", "sees"),
    [
        (AN_IMAGE, OWNER, True),
        (AN_IMAGE, OTHER, False),
        (replace(AN_IMAGE, grantees=frozenset({OTHER})), OTHER, True),
        (replace(AN_IMAGE, grantees=frozenset({"all"})), OTHER, True),
        (replace(AN_IMAGE, grantees=frozenset({"000000000000"})), OTHER, False),
        (replace(AN_IMAGE, grantees=frozenset({"arn:aws:organizations::1:organization/o-x"})), OTHER, True),
    ],
)
def test_an_image_is_seen_by_its_owner_by_whom_it_names_and_by_all_when_public(
    image: Image, account: str, sees: bool
) -> None:
    assert may_see(image, account) is sees
    if sees:
        check_launch(image, account)
    else:
        with pytest.raises(AuthFailure, match=f"Not authorized for images: .{image.id}."):
            check_launch(image, account)


@pytest.mark.parametrize("state", [state for state in ImageState if state is not ImageState.AVAILABLE])
def test_only_what_is_available_launches(state: ImageState) -> None:
    with pytest.raises(InvalidAMIIDUnavailable):
        check_launch(replace(AN_IMAGE, state=state), OWNER)


def test_a_disabled_images_owner_is_told_how_to_enable_it_and_nobody_else() -> None:
    disabled = replace(AN_IMAGE, state=ImageState.DISABLED, grantees=frozenset({OTHER}))
    for account, hint in ((OWNER, f"it is disabled; aws ec2 enable-image --image-id {disabled.id}"), (OTHER, "")):
        with pytest.raises(InvalidAMIIDUnavailable) as refused:
            check_launch(disabled, account)
        assert refused.value.advice == hint


KERNEL = replace(AN_IMAGE, id="aki-0123456789abcdef0", image_type=ImageType.KERNEL, approved_at=None)


@pytest.mark.parametrize("kind", [ImageType.KERNEL, ImageType.RAMDISK])
def test_what_is_not_approved_is_neither_launched_nor_made_public(kind: ImageType) -> None:
    kernel = replace(KERNEL, image_type=kind)
    with pytest.raises(AuthFailure, match=f"This {kind} is not on the list of approved kernels"):
        check_approved(kernel)
    with pytest.raises(OperationNotPermitted, match=f"The {kind} {kernel.id} cannot be made public"):
        check_publish(kernel)
    approved = replace(kernel, approved_at=AN_IMAGE.created_at)
    check_approved(approved)
    check_publish(approved)


def test_a_machine_image_needs_no_approval_to_be_public() -> None:
    check_publish(replace(AN_IMAGE, approved_at=None))


def test_only_the_owner_changes_an_image_public_or_not() -> None:
    check_owner(AN_IMAGE, OWNER)
    with pytest.raises(AuthFailure):
        check_owner(replace(AN_IMAGE, grantees=frozenset({"all", OTHER})), OTHER)


def test_a_deregistered_image_is_unavailable() -> None:
    check_registered(replace(AN_IMAGE, state=ImageState.FAILED))
    with pytest.raises(InvalidAMIIDUnavailable, match="no longer available"):
        check_registered(replace(AN_IMAGE, state=ImageState.DEREGISTERED))


def test_only_a_permission_that_names_the_account_itself_is_given_back() -> None:
    check_cancel(replace(AN_IMAGE, grantees=frozenset({OTHER, "all"})), OTHER)
    for grantees in (frozenset({"all"}), frozenset({"arn:aws:organizations::1:organization/o-x"}), frozenset({OWNER})):
        with pytest.raises(AuthFailure, match=f"names the account {OTHER} itself"):
            check_cancel(replace(AN_IMAGE, grantees=grantees), OTHER)


def test_a_copy_needs_every_snapshot_and_the_launch_permission_too() -> None:
    public = replace(AN_IMAGE, grantees=frozenset({"all"}))
    check_copy(public, OTHER, [])
    with pytest.raises(InvalidRequest) as caught:
        check_copy(public, OTHER, ["snap-1", "snap-2"])
    text = f"snap-1, snap-2: no createVolumePermission for {OTHER}."
    assert caught.value.message == f"You do not have permission to access the storage of this ami. {text}"
    assert (
        f"--snapshot-id snap-1 --attribute createVolumePermission --operation-type add --user-ids {OTHER}"
        in caught.value.advice
    )
    with pytest.raises(AuthFailure):
        check_copy(AN_IMAGE, OTHER, [])


def test_what_a_seller_sells_is_copied_by_itself_only_and_public_it_is_made_by_nobody() -> None:
    sold = replace(
        AN_IMAGE,
        grantees=frozenset({"all"}),
        product_codes=(ProductCode("bundled"), ProductCode("suite", ProductCodeType.MARKETPLACE)),
    )
    check_copy(sold, OWNER, [])
    check_copy(replace(sold, product_codes=sold.product_codes[:1]), OTHER, [])
    with pytest.raises(InvalidRequest) as caught:
        check_copy(sold, OTHER, [])
    text = "Images from AWS Marketplace cannot be copied to another AWS account. This one carries: suite."
    assert caught.value.message == text
    with pytest.raises(OperationNotPermitted, match="cannot be made public: bundled, suite"):
        check_publish(sold)
