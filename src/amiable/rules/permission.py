"""Who may see, launch and change an image.

    class      condition                                 seen    launched        changed
    implicit   the caller owns it                        yes     if available    yes
    explicit   a launch permission names the account,    yes     if available    AuthFailure
               its organization or a unit above it
    public     a launch permission names the group all   yes     if available    AuthFailure
    none       otherwise                                 no      AuthFailure     AuthFailure

A kernel or ramdisk must besides be approved by the administrator: for its owner's launches too, and before it may be public.

Source: EC2 API, DescribeImages; User Guide, "Shared AMIs".
"""

from collections.abc import Sequence

from amiable.model.errors import AuthFailure, InvalidAMIIDUnavailable, InvalidRequest, OperationNotPermitted
from amiable.model.ids import is_account
from amiable.model.image import Image, ImageState, ImageType
from amiable.rules import product


def may_see(image: Image, account_id: str) -> bool:
    """Whether the account finds the image in its lists and by id.

    ``image.grantees`` must be this viewer's: of the words that are no account's number, only those that stand for it.
    """
    shared = any(grantee == account_id or not is_account(grantee) for grantee in image.grantees)
    return image.account_id == account_id or shared


def check_owner(image: Image, account_id: str) -> None:
    """Refuses whoever does not own the image."""
    if image.account_id != account_id:
        raise AuthFailure(what=f"image:{image.id}")


def check_registered(image: Image) -> None:
    """Refuses an image that was deregistered; of its owner's in the Recycle Bin too nothing is left but to restore it."""
    if image.state is ImageState.BINNED:
        raise InvalidAMIIDUnavailable(image_id=image.id, hint=f"amiable recycle-bin restore {image.id}")
    if image.state is ImageState.DEREGISTERED:
        raise InvalidAMIIDUnavailable(image_id=image.id)


def check_approved(image: Image) -> None:
    """Refuses a kernel or ramdisk that the administrator has not approved."""
    if image.approved_at is None:
        raise AuthFailure(
            f"Not authorized for images: [{image.id}]. This {image.image_type} is not on the list of approved kernels.",
            hint=f"choose an approved one (amiable kernel list), or ask the administrator: amiable kernel approve {image.id}",
        )


def check_publish(image: Image) -> None:
    """Refuses to make public a kernel or ramdisk that is not approved, and what carries product codes."""
    if image.image_type is not ImageType.MACHINE and image.approved_at is None:
        raise OperationNotPermitted(
            f"The {image.image_type} {image.id} cannot be made public before the administrator has approved it.",
            hint=f"amiable kernel approve {image.id}",
        )
    product.check_publish(f"The image {image.id}", image.product_codes)


def check_cancel(image: Image, account_id: str) -> None:
    """Refuses to cancel a permission that does not name the account itself."""
    if account_id not in image.grantees:
        raise AuthFailure(
            f"Not authorized for image:{image.id}. None of its launch permissions names the account {account_id} itself; "
            "what it may through the group all or an organization only the owner takes away."
        )


def check_copy(image: Image, account_id: str, closed_snapshot_ids: Sequence[str]) -> None:
    """Refuses a copy of what the account may not launch, of what another sells, and of what has snapshots closed to it.

    Launch permission is not enough: each snapshot has a createVolumePermission of its own.
    """
    check_launch(image, account_id)
    if account_id != image.account_id:
        product.check_copy(image.product_codes)
    if closed_snapshot_ids:
        snapshots = ", ".join(closed_snapshot_ids)
        raise InvalidRequest(
            f"You do not have permission to access the storage of this ami. {snapshots}: no createVolumePermission for {account_id}.",
            hint=f"its owner gives it: aws ec2 modify-snapshot-attribute --snapshot-id {closed_snapshot_ids[0]} "
            f"--attribute createVolumePermission --operation-type add --user-ids {account_id}",
        )


def check_launch(image: Image, account_id: str) -> None:
    """Refuses a launch of what the account may not see, and of what is not available; one that is gone is gone for everybody."""
    if image.state in (ImageState.BINNED, ImageState.DEREGISTERED):
        raise InvalidAMIIDUnavailable(image_id=image.id)
    if not may_see(image, account_id):
        raise AuthFailure(what=f"images: [{image.id}]")
    if image.state is not ImageState.AVAILABLE:
        enable = f"it is disabled; aws ec2 enable-image --image-id {image.id}"
        may_enable = image.state is ImageState.DISABLED and image.account_id == account_id
        raise InvalidAMIIDUnavailable(image_id=image.id, hint=enable if may_enable else None)
