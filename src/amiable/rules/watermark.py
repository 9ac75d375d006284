"""What a watermark may be called, and which image may get one.

A watermark says that its owner has looked at an image, so nobody else attaches or detaches it, and a public image gets none.
An image that has one may be made public later: it keeps what it has.  Source: EC2 API, AttachImageWatermark.
"""

import re
from typing import Final

from amiable.model.errors import InvalidParameterValue, ResourceLimitExceeded
from amiable.model.image import Image

WATERMARKS_MAX: Final = 50
"""How many one image may have, inherited ones included."""

_NAME: Final = re.compile(r"[A-Za-z0-9()\[\] ./\-'@_]{3,128}")
_KEY: Final = re.compile(rf"[0-9]{{12}}:{_NAME.pattern}")


def check_name(name: str) -> None:
    """Refuses a name that is too short, too long or has other characters: those of an image's name."""
    if _NAME.fullmatch(name) is None:
        raise InvalidParameterValue(
            parameter="WatermarkName",
            value=name,
            why="It has 3 to 128 letters, digits, spaces and of ( ) [ ] . / - ' @ _",
        )


def check_key(key: str) -> None:
    """Refuses what is not of the form ``account:name``."""
    if _KEY.fullmatch(key) is None:
        raise InvalidParameterValue(parameter="WatermarkKey", value=key, why="Expecting accountId:watermarkName.")


def check_attach(image: Image) -> None:
    """Refuses a new watermark on a public image, and one more than an image may have."""
    if image.is_public:
        raise InvalidParameterValue(
            f"Watermarks cannot be attached to public images: {image.id} is public.",
            hint=f"make it private first: ResetImageAttribute of launchPermission of {image.id}",
        )
    if len(image.watermarks) >= WATERMARKS_MAX:
        raise ResourceLimitExceeded(
            f"The image {image.id} has {len(image.watermarks)} watermarks; it may have no more."
        )
