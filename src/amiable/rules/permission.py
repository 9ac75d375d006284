"""Who may see, launch and change an image.

    class      condition                                 seen    launched        changed
    implicit   the caller owns it                        yes     if available    yes
    explicit   a launch permission names the account     yes     if available    AuthFailure
    public     a launch permission names the group all   yes     if available    AuthFailure
    none       otherwise                                 no      AuthFailure     AuthFailure

Source: EC2 API, DescribeImages; User Guide, "Shared AMIs".
"""

from amiable.model.errors import AuthFailure, InvalidAMIIDUnavailable
from amiable.model.image import Image, ImageState


def may_see(image: Image, account_id: str) -> bool:
    """Whether the account finds the image in its lists and by id.  ``image.grantees`` must be this viewer's."""
    return image.account_id == account_id or image.is_public or account_id in image.grantees


def check_owner(image: Image, account_id: str) -> None:
    """Refuses whoever does not own the image."""
    if image.account_id != account_id:
        raise AuthFailure(what=f"image:{image.id}")


def check_registered(image: Image) -> None:
    """Refuses an image that was deregistered."""
    if image.state is ImageState.DEREGISTERED:
        raise InvalidAMIIDUnavailable(image_id=image.id)


def check_launch(image: Image, account_id: str) -> None:
    """Refuses a launch of what the account may not see, and of what is not available."""
    if not may_see(image, account_id):
        raise AuthFailure(what=f"images: [{image.id}]")
    if image.state is not ImageState.AVAILABLE:
        raise InvalidAMIIDUnavailable(image_id=image.id)
